"""Every error a user can meet: one tree, a stable code each, and what to do next.

StiltscaleError          code, what, where, hint, exit code
├── StudyInvalid         1  the study is wrong; carries every diagnostic of the file
├── PlanInvalid          1  a plan.json that cannot be read or trusted
├── EnvironmentUnready   2  a path, permission, package or disk stands in the way
├── StoreDamaged         2  a record that fails its own checks
├── ReportImpossible     2  nothing to report from
└── StagesFailed         3  some stages failed; the rest is done and recorded
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Span:
    """A place in a file: 1-based line and column, and the text of that line for display.

    Line 0 is the file as a whole.
    """

    file: str
    line: int
    column: int
    text: str = ""
    width: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding about a study: a stable code, what is the matter, where, and what to do."""

    code: str
    severity: Severity
    message: str
    hint: str = ""
    span: Span | None = None

    def sort_key(self) -> tuple[str, int, int, str, str]:
        """Order by file and position in it, then by code, so that output is stable."""
        where = self.span or Span("", 0, 0)
        return (where.file, where.line, where.column, self.code, self.message)


class StiltscaleError(Exception):
    """The root: says what went wrong, where, and what to do next."""

    exit_code: ClassVar[int] = 2

    def __init__(self, code: str, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(code, what, where, hint)
        self.code = code
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        advice = f"\n  to do: {self.hint}" if self.hint else ""
        return f"{self.code}: {self.what}{place}{advice}"


class StudyInvalid(StiltscaleError):
    """The study file is wrong; ``diagnostics`` holds all findings of the pass."""

    exit_code = 1

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(sorted(diagnostics, key=Diagnostic.sort_key))
        errors = sum(d.severity == "error" for d in self.diagnostics)
        super().__init__("S000", f"the study has {errors} error(s)")


class PlanInvalid(StiltscaleError):
    """A plan file that cannot be read, or that another version wrote."""

    exit_code = 1


class EnvironmentUnready(StiltscaleError):
    """Something outside the study stands in the way: a path, a permission, a package, a disk."""


class StoreDamaged(StiltscaleError):
    """A record in the store does not pass its own checks."""


class ReportImpossible(StiltscaleError):
    """There is nothing in the store that a report could be made from."""


class StagesFailed(StiltscaleError):
    """Some stages failed; what does not depend on them is done and recorded."""

    exit_code = 3
