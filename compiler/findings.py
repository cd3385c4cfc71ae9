"""Collects what is found wrong or worth knowing about one study file, each at its place."""

from __future__ import annotations

from dataclasses import dataclass, field

from compiler.codes import CODES
from compiler.errors import Diagnostic, Span
from compiler.source import Document, Path_


@dataclass(frozen=True)
class Findings:
    """The findings about a document so far, in the order in which they were made."""

    document: Document
    made: list[Diagnostic] = field(default_factory=list)

    def say(self, code: str, message: str, hint: str, path: Path_, key: bool = False) -> None:
        """Add a finding at a path of the document; ``key`` underlines the key, not its value."""
        span = self.document.span(path, key=key) if path else Span(self.document.file, 0, 0)
        self.made.append(Diagnostic(code, CODES[code][0], message, hint, span))

    def errors(self) -> list[Diagnostic]:
        """Return the findings that forbid going on."""
        return [d for d in self.made if d.severity == "error"]
