"""Looks at every part of a store: what is there, and whether it is what was recorded."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from compiler.errors import StoreDamaged
from runtime.records import Record
from runtime.store import Store, read, sha256


@dataclass(frozen=True, slots=True)
class Part:
    """One folder of the store: its record, None when there is none to be trusted."""

    key: str
    part: str
    folder: Path
    record: Record | None

    @property
    def bytes(self) -> int:
        """The size of its files, as recorded, without the record's own."""
        outputs = self.record.outputs.values() if self.record else ()
        return sum(int(output["bytes"]) for output in outputs)


def parts(store: Store, keys: Iterable[str] | None = None) -> Iterator[Part]:
    """Yield every part of the store, or of some stages, in the order of their names.

    Raises EnvironmentUnready (R006) when a newer version wrote one.
    """
    folder = store.root / "stages"
    found = sorted(keys) if keys is not None else sorted(path.name for path in _within(folder))
    for key in found:
        for path in sorted(_within(folder / key)):
            if path.name != "failure.json":
                yield Part(key, path.name, path, _record(store, key, path.name))


def _record(store: Store, key: str, part: str) -> Record | None:
    try:
        return store.record(key, part)
    except StoreDamaged:  # not a name that we give
        return None


def _within(folder: Path) -> list[Path]:
    """Return what lies in a folder; nothing of one that is none, or a link out of the store."""
    try:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            return []
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def fault(found: Part) -> str:
    """Say what is wrong with a part; "" when its record and every file are as they were written."""
    if found.folder.is_symlink():
        return "a link, which may lead out of the store"
    if found.record is None:
        return _why(found)
    for name, output in found.record.outputs.items():
        if sha256(found.folder / name) != output["sha256"]:
            return f"{name} has changed since it was recorded"
    more = sorted({path.name for path in found.folder.iterdir()} - {*found.record.outputs})
    more.remove("record.json")
    return f"it holds what no record names: {', '.join(more[:3])}" if more else ""


def _why(found: Part) -> str:
    path = found.folder / "record.json"
    try:
        if not found.folder.is_dir():
            return "not a folder"
        if not stat.S_ISREG(path.lstat().st_mode):
            return "its record is not a file"
        record = read(path)
    except FileNotFoundError:
        return "it has no record"
    except StoreDamaged as error:
        return error.what
    if (record.stage, record.part) != (found.key, found.part):
        return f"its record is that of {record.stage[:80]}/{record.part[:80]}"
    for name, output in record.outputs.items():
        place = found.folder / name
        if place.is_symlink() or not place.is_file():
            return f"{name} is gone, or not a file"
        if place.stat().st_size != output["bytes"]:
            return f"{name} has {place.stat().st_size:,} bytes instead of {output['bytes']:,}"
    return "its name is not one of a part"


def quarantined(store: Store) -> list[Path]:
    """Return what was set aside as damaged, each part with the time in its name."""
    return sorted(path for key in _within(store.root / "damaged") for path in _within(key))
