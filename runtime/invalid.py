"""The error of data or weights that cannot be used."""

from __future__ import annotations

from pathlib import Path


class DataInvalid(ValueError):
    """Data or weights that are not there, or not what the catalog promises; says what is wrong."""


def damaged(path: Path, line: int, what: str) -> DataInvalid:
    """Return the error of a file that is damaged at a line, counted from 1."""
    return DataInvalid(f"{path}:{line}: {what}")
