"""Finds our columns in a source's record: renamed, nested, or joined from several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.invalid import DataInvalid

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Columns:
    """Our column -> the source's (``a.b`` is b inside a, ``a,b`` is both), and values renamed."""

    mapped: Mapping[str, str]
    wording: Mapping[str, Mapping[str, str]]

    def source(self, ours: str) -> str:
        """Return what the source calls one of our columns."""
        return self.mapped.get(ours, ours)

    def has(self, record: Record, ours: str) -> bool:
        """Tell whether a record has one of our columns."""
        path = self.source(ours)
        if path in record or ("," not in path and "." not in path):
            return path in record
        try:
            self.value(record, ours)
        except KeyError:
            return False
        return True

    def at(self, record: Record, path: str) -> Any:
        """Return the value at a path of the source; raises KeyError."""
        if path in record:
            value: Any = record[path]
        else:
            head, dot, rest = path.partition(".")
            inner = record[head] if dot else record[path]
            if isinstance(inner, list):
                return [self.at(one, rest) for one in inner]
            if not isinstance(inner, Mapping):
                raise KeyError(path)
            value = self.at(inner, rest)
        if isinstance(value, str) and path in self.wording:
            return self.wording[path].get(value.strip(), value)
        return value

    def several(self, record: Record, ours: str) -> list[Any]:
        """Return the values of one of our columns that the source has in one place or in many."""
        path = self.source(ours)
        if "," in path and path not in record:
            return [self.at(record, part.strip()) for part in path.split(",")]
        value = self.at(record, path)
        return list(value) if isinstance(value, (list, tuple)) else [value]

    def value(self, record: Record, ours: str) -> Any:
        """Return the value of one of our columns, a list when it joins several."""
        path = self.source(ours)
        return self.several(record, ours) if "," in path else self.at(record, path)

    def text(self, record: Record, ours: str, where: str) -> str:
        """Return a text; several columns are joined by a space, empty ones left out."""
        path = self.source(ours)
        if "," in path and path not in record:
            parts = strings(self.several(record, ours), ours, where)
            return " ".join(part for part in parts if part)
        return string(self.at(record, path), ours, where)

    def words(self, record: Record, ours: str, where: str, *, of_text: bool = True) -> list[Any]:
        """Return a list of words; a text is taken apart at its spaces."""
        value = self.at(record, self.source(ours))
        if isinstance(value, str):
            return value.split()
        if not isinstance(value, list):
            raise DataInvalid(f"{where}: `{ours}` is {shown(value)}, expected a list")
        return strings(value, ours, where) if of_text else value

    def lacking(self, record: Record, needed: tuple[str, ...], where: str) -> str:
        """Say which of the needed columns a record lacks, and what it has."""
        absent = [
            ours if self.source(ours) == ours else f"{ours} (`{self.source(ours)}` in the source)"
            for ours in dict.fromkeys(needed)
            if not self.has(record, ours)
        ]
        return (
            f"{where} lacks {', '.join(absent)}; it has: {', '.join(sorted(map(str, record)))}; "
            "name the source's columns under `source.columns`"
        )


def string(value: Any, ours: str, where: str) -> str:
    """Return a value that is a text of valid Unicode; raises DataInvalid."""
    if not isinstance(value, str):
        raise DataInvalid(f"{where}: `{ours}` is {shown(value)}, expected a text")
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise DataInvalid(f"{where}: `{ours}` holds half a character ({error})") from error
    return value


def strings(value: Any, ours: str, where: str) -> list[str]:
    """Return a value that is a list of texts; raises DataInvalid."""
    if not isinstance(value, list):
        raise DataInvalid(f"{where}: `{ours}` is {shown(value)}, expected a list of texts")
    return [string(one, ours, where) for one in value]


def shown(value: Any) -> str:
    """Show a value in an error message, cut where it is long."""
    text = "missing (null)" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
