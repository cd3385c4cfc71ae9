"""Carries records from one store to another, as a tar archive with checksums."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from compiler.errors import EnvironmentUnready, StoreDamaged
from compiler.render import host, unwritable
from runtime.audit import Part, fault, parts
from runtime.records import LARGEST, Record, read_record
from runtime.store import Store, sync

SCHEMA = "stiltscale/archive/1"
CONTENTS = "contents.json"
CHUNK = 2**20


def export(store: Store, keys: Iterable[str] | None, target: Path) -> tuple[int, list[str]]:
    """Write the finished parts of some stages, or of all, to a tar archive.

    The archive appears whole or not at all. Returns how many parts are in it, and what was left
    out because it does not pass its checks.
    """
    sound: list[Part] = []
    damaged = []
    for part in parts(store, keys):
        wrong = fault(part)
        if wrong:
            damaged.append(f"{part.key}/{part.part}: {wrong}")
        else:
            sound.append(part)
    temporary = target.with_name(f".{target.name}.{host()}.{os.getpid()}.tmp")
    try:
        with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as archive:
            body = {"schema": SCHEMA, "parts": [f"{part.key}/{part.part}" for part in sound]}
            text = json.dumps(body, indent=1).encode("utf-8") + b"\n"
            archive.addfile(_member(CONTENTS, len(text)), io.BytesIO(text))
            for part in sound:
                for name in ("record.json", *(part.record.outputs if part.record else ())):
                    _add(archive, part, name)
        sync(temporary)
        temporary.replace(target)
    except OSError as error:
        raise unwritable(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)
    return len(sound), damaged


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member


def _add(archive: tarfile.TarFile, part: Part, name: str) -> None:
    with (part.folder / name).open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        archive.addfile(_member(f"stages/{part.key}/{part.part}/{name}", size), stream)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A part in an archive: its record as it was written there, and its files by name."""

    record: Record
    text: bytes
    files: Mapping[str, tarfile.TarInfo]


def bring(store: Store, source: Path) -> tuple[int, int]:
    """Move the parts of an archive into a store; return how many came, and were there already.

    All of the archive is looked at before anything is written: only plain files at the places that
    its records name are taken, never links, devices or paths that lead elsewhere. Raises
    StoreDamaged: R009 when it is not an archive of records or is damaged, R010 when the store has
    other files under one of its keys. Parts come in one by one, each whole, so that an import that
    was cut short is gone on with by the same command.
    """
    store.prepare()
    came = there = 0
    with _opened(source) as archive:
        arrivals = list(_arrivals(archive, source))
        others = [a.record for a in arrivals if not _agrees(store, a.record)]
        if others:
            names = ", ".join(f"{record.stage}/{record.part}" for record in others[:3])
            raise StoreDamaged(
                "R010",
                f"the store has other content for {len(others)} of {len(arrivals)} parts: {names}",
                where=str(source),
                hint="nothing was imported; set one machine's aside, or import into another store",
            )
        for arrival in arrivals:
            record = arrival.record
            if store.record(record.stage, record.part) is not None:
                there += 1
                continue
            with store.writing(record.stage, record.part) as folder:
                for name, member in arrival.files.items():
                    _extract(archive, member, folder / name)
                if store.place(record, arrival.text, folder):
                    came += 1
                else:
                    there += 1
    return came, there


def _agrees(store: Store, record: Record) -> bool:
    kept = store.record(record.stage, record.part)
    return kept is None or same(kept, record)


def same(one: Record, other: Record) -> bool:
    """Tell whether two records say the same of a part: its files, or without any its result.

    How long it took, and where, may differ.
    """
    if one.outputs or other.outputs:
        return one.outputs == other.outputs
    return one.result == other.result


@contextlib.contextmanager
def _opened(source: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(source, "r:") as archive:
            yield archive
    except (tarfile.TarError, EOFError, UnicodeError) as error:
        raise _refused(source, f"not a whole archive: {error}") from error
    except FileNotFoundError as error:
        raise EnvironmentUnready("E004", "there is no such file", where=str(source)) from error


def _arrivals(archive: tarfile.TarFile, source: Path) -> Iterator[Arrival]:
    """Read what an archive holds; raises StoreDamaged (R009) for what no export has written."""
    members = _members(archive, source)
    contents = members.pop(CONTENTS, None)
    if contents is None:
        raise _refused(source, f"it has no {CONTENTS}")
    promised = _contents(_text(archive, contents, source), source)
    grouped: dict[str, dict[str, tarfile.TarInfo]] = {}
    for name, member in members.items():
        words = name.split("/")
        if len(words) != 4 or words[0] != "stages":
            raise _refused(source, f"a file in an odd place: {name[:120]!r}")
        grouped.setdefault(f"{words[1]}/{words[2]}", {})[words[3]] = member
    if set(promised) != set(grouped):
        raise _refused(source, "it does not hold the parts that it lists")
    for place, files in sorted(grouped.items()):
        described = files.pop("record.json", None)
        if described is None:
            raise _refused(source, f"{place[:120]!r} has no record")
        text = _text(archive, described, source)
        try:
            record = read_record(text.decode("utf-8"), f"{source}: {place}")
        except (StoreDamaged, UnicodeDecodeError) as error:
            raise _refused(source, f"the record of {place[:120]!r} cannot be read") from error
        if f"{record.stage}/{record.part}" != place:
            raise _refused(source, f"a record in another stage's place: {place[:120]!r}")
        sizes = {name: int(output["bytes"]) for name, output in record.outputs.items()}
        if sizes != {name: member.size for name, member in files.items()}:
            raise _refused(source, f"{place[:120]!r} has not the files that its record names")
        yield Arrival(record, text, files)


def _members(archive: tarfile.TarFile, source: Path) -> dict[str, tarfile.TarInfo]:
    found: dict[str, tarfile.TarInfo] = {}
    for member in archive:
        if not member.isreg() or member.issparse():
            raise _refused(source, f"{member.name[:120]!r} is not a plain file")
        if member.name in found:
            raise _refused(source, f"{member.name[:120]!r} is in it twice")
        found[member.name] = member
    return found


def _contents(text: bytes, source: Path) -> list[str]:
    try:
        body: dict[str, Any] = json.loads(text)
        if body["schema"] != SCHEMA:
            raise ValueError("another schema")
        return [str(place) for place in body["parts"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _refused(source, f"its {CONTENTS} cannot be read: {error}") from error


def _text(archive: tarfile.TarFile, member: tarfile.TarInfo, source: Path) -> bytes:
    if member.size > LARGEST:
        raise _refused(source, f"{member.name[:120]!r} is too large")
    with _stream(archive, member) as stream:
        return stream.read()


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    with _stream(archive, member) as stream, target.open("xb") as out:
        shutil.copyfileobj(stream, out, CHUNK)


def _stream(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(member)
    if stream is None:
        raise tarfile.ReadError(f"{member.name[:120]!r} is not a plain file")
    return stream


def _refused(source: Path, what: str) -> StoreDamaged:
    return StoreDamaged(
        "R009", what, where=str(source), hint="take what `stiltscale store export` has written"
    )
