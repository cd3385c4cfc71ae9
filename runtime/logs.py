"""The logs of a study's jobs: which one a stage has, its end, and its text made harmless."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from compiler.errors import EnvironmentUnready
from compiler.plan import Plan
from runtime.store import Store

TAIL = 64 * 1024
"""Bytes of the end of a log that are read when all of it would be too much."""

_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def harmless(text: str) -> str:
    r"""Return a text that changes nothing but the screen's next characters.

    Escape sequences (colours, titles, moves of the cursor) go; other control characters, and those
    that turn the direction of writing, are shown by their number, as ``\x07``. Of a line that was
    written over by carriage returns, as progress bars do, what it showed last is kept.
    """
    lines = []
    for line in _SEQUENCE.sub("", text).split("\n"):
        last = line.rstrip("\r").rsplit("\r", 1)[-1]
        lines.append(_CONTROL.sub(_number, last))
    return "\n".join(lines)


def log_of(plan: Plan, store: Store, folder: Path, key: str) -> Path:
    """Return the log of the job that runs a stage, or that of its latest failure.

    Raises EnvironmentUnready (E070) when there is none yet.
    """
    failure = store.failure(key)
    names = [failure.log] if failure is not None and failure.log else []
    names += [f"logs/{job.name}.log" for job in plan.jobs if key in job.stages]
    for name in names:
        path = folder / name
        if confined(path, folder / "logs"):
            return path
    raise EnvironmentUnready(
        "E070",
        f"there is no log of {key} here",
        where=str(folder / "logs"),
        hint="it has not begun, or another study or another --build ran it (with the same store): "
        "its log is in that study's folder; a launch script started by hand says all in its own "
        "terminal",
    )


def confined(path: Path, folder: Path) -> bool:
    """Tell whether a path is an ordinary file in a folder, links followed."""
    try:
        real = path.resolve(strict=True)
        return real.is_relative_to(folder.resolve()) and stat.S_ISREG(real.stat().st_mode)
    except (OSError, ValueError, RuntimeError):
        return False


def end(path: Path, lines: int, most: int = TAIL) -> tuple[str, int]:
    """Return the last lines of a log, made harmless, and the byte at which the log ended."""
    with path.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - most))
        text = stream.read(most).decode("utf-8", "replace")
    kept = text.splitlines(keepends=True)
    if size > most:
        kept = kept[1:]  # the first one is cut
    return harmless("".join(kept[-lines:])), size


def fresh(path: Path, at: int) -> tuple[str, int]:
    """Return the whole lines that a log has got since a byte, and where they end.

    A log that became shorter was begun anew, and is read from its start.
    """
    with path.open("rb") as stream:
        if stream.seek(0, os.SEEK_END) < at:
            at = 0
        stream.seek(at)
        data = stream.read(TAIL)
    whole = data[: data.rfind(b"\n") + 1] or (data if len(data) == TAIL else b"")
    return harmless(whole.decode("utf-8", "replace")), at + len(whole)


def _number(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
