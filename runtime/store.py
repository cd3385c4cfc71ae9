"""The store: one folder per stage, a record per finished part, and leases on what is running."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from compiler.errors import EnvironmentUnready, StoreDamaged
from compiler.plan import Plan, Stage
from compiler.render import atomic_write, host, unwritable
from runtime.lease import Lease, abandoned, born, holders, orphans, silent, take
from runtime.records import LARGEST, Failure, Record, read_failure, read_record

LAYOUT = "stiltscale/store/1"
"""What ``store.json`` says of how the folders of a store are laid out."""

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,200}\Z")
_IN_THE_WAY = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
_NOT_KNOWN_HERE = (errno.EINVAL, errno.ENOTSUP)


@dataclass(frozen=True)
class Store:
    """Reads and writes ``<root>/stages/<key>/<part>/`` and ``<root>/leases/<key>.json``.

    A part counts when its folder has a ``record.json``: files are written in ``<root>/tmp`` and
    the folder is moved into place whole, so a killed stage leaves nothing that looks finished.
    What is damaged counts as missing; it goes to ``<root>/damaged`` when the part is made anew.
    """

    root: Path
    _read: dict[str, tuple[tuple[int, int], Record | None]] = field(
        default_factory=dict, repr=False, compare=False
    )
    _verified: set[Path] = field(default_factory=set, repr=False, compare=False)

    def folder(self, key: str, part: str = "all") -> Path:
        """Return where a part lives; refuses names that could lead out of the store."""
        return self.root / "stages" / _name(key) / _name(part)

    def record(self, key: str, part: str = "all") -> Record | None:
        """Return the record of a finished part; None when there is none, or none to be trusted.

        It is read once a process as long as the file stays the same. That each output is there
        with the size it had is looked at each time. Raises EnvironmentUnready when the store
        cannot be read.
        """
        folder = f"{self.root}/stages/{_name(key)}/{_name(part)}"
        path = f"{folder}/record.json"  # text: a Path of each part would take most of the time
        try:
            if not stat.S_ISDIR(os.lstat(folder).st_mode):
                return None  # a link may lead out of the store
            found = os.lstat(path)
            if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
                return None
            state = (found.st_mtime_ns, found.st_size)
            known = self._read.get(path)
            if known is None or known[0] != state:
                known = self._read[path] = (state, _sound(Path(path), key, part))
            record = known[1]
            return record if record is not None and _whole(folder, record) else None
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unreadable(Path(path), error) from error

    def present(self) -> set[str]:
        """Return the stages that have a folder: only these can have a record or a failure.

        One look at a folder, where asking for each stage of a large plan would be thousands.
        """
        try:
            return {path.name for path in (self.root / "stages").iterdir()}
        except (FileNotFoundError, NotADirectoryError):
            return set()
        except OSError as error:
            raise _unreadable(self.root / "stages", error) from error

    def missing(self, stage: Stage) -> tuple[str, ...]:
        """Return the parts of a stage that have no record yet, or a damaged one."""
        return tuple(part for part in stage.parts if self.record(stage.key, part) is None)

    def verified(self, key: str, part: str = "all") -> Path:
        """Return a part's folder; its files are compared with their checksums once a process.

        Raises StoreDamaged when they differ; the part is then set aside, and so runs again.
        """
        folder = self.folder(key, part)
        if folder in self._verified:
            return folder
        record = self.record(key, part)
        if record is None:
            raise StoreDamaged("R004", f"{key}/{part} is not finished", where=str(folder))
        for name, output in record.outputs.items():
            if sha256(folder / name) != output["sha256"]:
                raise StoreDamaged(
                    "R005",
                    f"{name} has changed since it was recorded",
                    where=str(self.move_aside(key, part)),
                    hint="run the same command again: it is made anew",
                )
        self._verified.add(folder)
        return folder

    def set_aside(self, key: str, part: str) -> Path | None:
        """Move what lies in the place of a part without counting as finished; say where to."""
        if self.record(key, part) is not None or not os.path.lexists(self.folder(key, part)):
            return None
        return self.move_aside(key, part)

    def move_aside(self, key: str, part: str) -> Path:
        """Move what lies in the place of a part to ``damaged/``; return where it is now."""
        aside = self.root / "damaged" / key / f"{part}.{time.time_ns()}"
        aside.parent.mkdir(parents=True, exist_ok=True)
        return self.folder(key, part).rename(aside)

    def failure(self, key: str) -> Failure | None:
        """Return why the latest attempt at a stage failed, None when it did not."""
        path = self._failure_path(key)
        try:
            if path.lstat().st_size > LARGEST:
                raise StoreDamaged("R001", "a record is too large", where=str(path))
            return read_failure(path.read_text(encoding="utf-8"), str(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (StoreDamaged, UnicodeDecodeError):
            return Failure(key, "code", f"it failed; why cannot be read any more ({path})", "")
        except OSError as error:
            raise _unreadable(path, error) from error

    def fail(self, failure: Failure) -> None:
        """Keep the reason of a failed attempt, in place of that of an earlier one."""
        path = self._failure_path(failure.stage)
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, failure.to_json().encode("utf-8"))

    def forgive(self, key: str) -> None:
        """Drop the reason of an earlier failure, before a new attempt."""
        self._failure_path(key).unlink(missing_ok=True)

    @contextlib.contextmanager
    def writing(self, key: str, part: str) -> Iterator[Path]:
        """Give a temporary folder for a part's files; it is removed when the stage fails."""
        self.folder(key, part)
        name = f"{key}.{part}.{host()}.{os.getpid()}.{threading.get_ident()}"
        temporary = self.root / "tmp" / name
        temporary.mkdir(parents=True, exist_ok=False)
        try:
            yield temporary
        finally:
            if temporary.exists():
                shutil.rmtree(temporary, ignore_errors=True)

    def commit(self, record: Record, temporary: Path) -> Record:
        """Checksum a part's files, write its record, and move the folder into place.

        Returns the record as it stands in the store: another process's, if that was first.
        """
        for path in temporary.iterdir():
            sync(path)
        outputs = {
            path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)}
            for path in sorted(temporary.iterdir())
        }
        finished = replace(record, outputs=outputs)
        if self._move_in(finished, finished.to_json().encode("utf-8"), temporary):
            return finished
        first = self.record(record.stage, record.part)
        assert first is not None, "what was in the way has a record"
        return first

    def place(self, record: Record, text: bytes, temporary: Path) -> bool:
        """Move a part made elsewhere into place, with its record as it was written there.

        False when there is one already. Raises StoreDamaged when a file is not as recorded.
        """
        for name, output in record.outputs.items():
            sync(temporary / name)
            if sha256(temporary / name) != output["sha256"]:
                raise StoreDamaged("R009", f"{record.stage}/{record.part}: {name} is damaged")
        return self._move_in(record, text, temporary)

    def _move_in(self, record: Record, text: bytes, temporary: Path) -> bool:
        """Give a folder its record and its place; False when another process was first."""
        atomic_write(temporary / "record.json", text)
        sync(temporary)
        target = self.folder(record.stage, record.part)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.rename(target)
        except OSError as error:
            if error.errno not in _IN_THE_WAY:
                raise
            if self.record(record.stage, record.part) is not None:
                return False
            self.set_aside(record.stage, record.part)
            temporary.rename(target)
        sync(target.parent)
        return True

    def _failure_path(self, key: str) -> Path:
        return self.folder(key).parent / "failure.json"

    def prepare(self) -> None:
        """Make the store's folders; raises EnvironmentUnready when they cannot be written.

        Also when a newer version laid the store out.
        """
        self.known_layout()
        try:
            for name in ("stages", "leases", "tmp"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            probe = self.root / "tmp" / f".probe.{host()}.{os.getpid()}.tmp"
            probe.write_bytes(b"x")
            probe.unlink()
            if not (self.root / "store.json").exists():
                said = json.dumps({"schema": LAYOUT}) + "\n"
                atomic_write(self.root / "store.json", said.encode("utf-8"))
        except OSError as error:
            raise unwritable(self.root, error) from error

    def known_layout(self) -> None:
        """Raise EnvironmentUnready when another version of us laid the store out.

        A store without ``store.json`` is of the first layout, which had none.
        """
        path = self.root / "store.json"
        try:
            said = json.loads(path.read_text(encoding="utf-8"))["schema"]
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise _unreadable(path, error) from error
        except (ValueError, KeyError, TypeError, RecursionError):
            said = "cannot be read"
        if said != LAYOUT:
            raise EnvironmentUnready(
                "R006",
                f"the store is of another layout ({str(said)[:80]!r}, not {LAYOUT!r})",
                where=str(path),
                hint="use the version that made it, or another store; nothing was changed",
            )

    def lease(self, key: str) -> Lease | None:
        """Take the right to run a stage; None while a living process has it."""
        self.folder(key)
        try:
            return take(self.root / "leases" / f"{key}.json")
        except OSError as error:
            raise unwritable(self.root, error) from error

    def running(self, *, patient: bool = False) -> dict[str, Mapping[str, Any]]:
        """Return what each living lease says of its progress, by stage key.

        What another machine's clock calls long silent is left out; with ``patient`` it is not until
        this process has seen it silent, see ``lease.abandoned``.
        """
        found: dict[str, Mapping[str, Any]] = {}
        gone = abandoned if patient else silent
        for path in sorted((self.root / "leases").glob("[!.]*.json")):
            with contextlib.suppress(OSError, ValueError, RecursionError):
                line = holders(path)
                if line and not gone(line[-1].place):
                    said = json.loads(line[-1].place.read_text(encoding="utf-8"))
                    found[path.stem] = said if isinstance(said, dict) else {}
        return found


def _name(word: str) -> str:
    """Return the name of a stage or part; refuses one that could lead out of the store."""
    if not _SAFE.match(word):
        raise StoreDamaged("R002", f"not a stage or part name: {word!r}")
    return word


def _sound(path: Path, key: str, part: str) -> Record | None:
    """Read a record; None when it is damaged or that of another part."""
    try:
        record = read(path)
    except StoreDamaged:
        return None
    return record if (record.stage, record.part) == (key, part) else None


def read(path: Path) -> Record:
    """Read a record's file; raises StoreDamaged when it is damaged."""
    try:
        return read_record(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise StoreDamaged("R001", "a record is no text", where=str(path)) from error


def _whole(folder: str, record: Record) -> bool:
    for name, output in record.outputs.items():
        found = os.lstat(f"{folder}/{name}")
        if not stat.S_ISREG(found.st_mode) or found.st_size != output["bytes"]:
            return False
    return True


def _unreadable(path: Path, error: OSError) -> EnvironmentUnready:
    return EnvironmentUnready(
        "E004",
        f"cannot read here: {error.strerror or error}",
        where=str(path),
        hint="check the permissions of the store and its disk, and run the same command again",
    )


def sync(path: Path) -> None:
    """Bring a file or the entries of a folder to the disk, where its file system can."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NOT_KNOWN_HERE:
            raise
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sweep(store: Store) -> None:
    """Remove what processes that are gone left behind: temporary folders and files, and leases.

    A lease outlives its process when that was killed between a stage's last record and giving the
    lease back: nobody would take it again. So do the checkpoints of a training that has its record.
    """
    for path in (store.root / "checkpoints").glob("*"):
        if _SAFE.match(path.name) and store.record(path.name) is not None:
            shutil.rmtree(path, ignore_errors=True)
    for path in (store.root / "leases").glob("[!.]*.json"):
        lease = take(path)
        if lease is not None:
            lease.release()
    for path in orphans(store.root / "leases"):
        path.unlink(missing_ok=True)
    for path in [*(store.root / "tmp").iterdir(), *(store.root / "leases").glob(".*")]:
        if not _orphaned(path.name.rsplit(".", 3)[1:3]):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _orphaned(owner: list[str]) -> bool:
    """Tell whether a file's owner, host and process id, was a process of this machine."""
    return len(owner) == 2 and owner[0] == host() and owner[1].isdigit() and not born(int(owner[1]))


def status(store: Store, plan: Plan) -> dict[str, str]:
    """Return for each stage: done, running, failed, blocked (by a failed input) or waiting."""
    running = store.running()
    result: dict[str, str] = {}
    for key, stage in plan.stages.items():
        if not store.missing(stage):
            result[key] = "done"
        elif key in running:
            result[key] = "running"
        elif store.failure(key) is not None:
            result[key] = "failed"
        elif any(result.get(up) in ("failed", "blocked") for up in stage.inputs.values()):
            result[key] = "blocked"
        else:
            result[key] = "waiting"
    return result
