"""The store: one folder per stage, a record per finished part, and leases on what is running."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from compiler.errors import StoreDamaged
from compiler.plan import Plan, Stage
from compiler.render import atomic_write, unwritable
from runtime.records import Failure, Record, read_failure, read_record

HEARTBEAT = 5.0
"""Seconds between the signs of life of a running stage."""

STALE = 60.0
"""Seconds without a sign of life after which another machine's lease may be taken over."""

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,200}\Z")


@dataclass(frozen=True)
class Store:
    """Reads and writes ``<root>/stages/<key>/<part>/`` and ``<root>/leases/<key>.json``.

    A part counts when its folder has a ``record.json``: files are written in ``<root>/tmp`` and
    the folder is moved into place whole, so a killed stage leaves nothing that looks finished.
    """

    root: Path

    def folder(self, key: str, part: str = "all") -> Path:
        """Return where a part lives; refuses names that could lead out of the store."""
        for word in (key, part):
            if not _SAFE.match(word):
                raise StoreDamaged("R002", f"not a stage or part name: {word!r}")
        return self.root / "stages" / key / part

    def record(self, key: str, part: str = "all") -> Record | None:
        """Return the record of a finished part, None when there is none; raises StoreDamaged."""
        path = self.folder(key, part) / "record.json"
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise StoreDamaged(
                "R001",
                f"a record cannot be read: {error}",
                where=str(path),
                hint="check the permissions, or delete its folder; the stage will run again",
            ) from error
        record = read_record(text, str(path))
        if (record.stage, record.part) != (key, part):
            raise StoreDamaged(
                "R003",
                "a record lies in another stage's folder",
                where=str(path),
                hint="delete its folder; the stage will run again",
            )
        return record

    def missing(self, stage: Stage) -> tuple[str, ...]:
        """Return the parts of a stage that have no record yet."""
        return tuple(
            part
            for part in stage.parts
            if not (self.folder(stage.key, part) / "record.json").is_file()
        )

    def failure(self, key: str) -> Failure | None:
        """Return why the latest attempt at a stage failed, None when it did not."""
        path = self._failure_path(key)
        try:
            return read_failure(path.read_text(encoding="utf-8"), str(path))
        except FileNotFoundError:
            return None

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
        name = f"{key}.{part}.{_host()}.{os.getpid()}.{threading.get_ident()}"
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
        outputs = {
            path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)}
            for path in sorted(temporary.iterdir())
        }
        finished = replace(record, outputs=outputs)
        atomic_write(temporary / "record.json", finished.to_json().encode("utf-8"))
        target = self.folder(record.stage, record.part)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.rename(target)
        except OSError:
            first = self.record(record.stage, record.part)
            if first is None:  # a leftover without a record is in the way
                shutil.rmtree(target)
                temporary.rename(target)
                first = finished
            return first
        return finished

    def _failure_path(self, key: str) -> Path:
        return self.folder(key).parent / "failure.json"

    def prepare(self) -> None:
        """Make the store's folders; raises EnvironmentUnready when they cannot be written."""
        try:
            for name in ("stages", "leases", "tmp"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            probe = self.root / "tmp" / f".probe.{os.getpid()}"
            probe.write_bytes(b"x")
            probe.unlink()
        except OSError as error:
            raise unwritable(self.root, error) from error

    def lease(self, key: str) -> Lease | None:
        """Take the right to run a stage; None while a living process has it."""
        path = self.root / "leases" / f"{key}.json"
        self.folder(key)
        for _ in range(3):
            try:
                handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            except FileExistsError:
                if not _abandoned(path):
                    return None
                # One of several contenders wins the rename; the others find it gone.
                grave = path.with_name(f".{path.name}.{os.getpid()}.{time.time_ns()}.stale")
                with contextlib.suppress(FileNotFoundError):
                    path.rename(grave)
                    grave.unlink()
                continue
            except OSError as error:
                raise unwritable(self.root, error) from error
            lease = Lease(path)
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(lease.text())
            lease.start()
            return lease
        return None

    def running(self) -> dict[str, Mapping[str, Any]]:
        """Return what each living lease says of its progress, by stage key."""
        found = {}
        for path in sorted((self.root / "leases").glob("*.json")):
            with contextlib.suppress(OSError, ValueError):
                if not _abandoned(path):
                    found[path.stem] = json.loads(path.read_text(encoding="utf-8"))
        return found


@dataclass
class Lease:
    """The right to run one stage, kept alive by a thread that touches the lease's file."""

    path: Path
    progress: dict[str, Any] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _written: float = 0.0

    def text(self) -> str:
        """Say who holds the lease and how far the stage has come."""
        owner = {"host": _host(), "pid": os.getpid(), "born": _born(os.getpid())}
        return json.dumps({**owner, "progress": self.progress})

    def start(self) -> None:
        """Begin the heartbeat."""
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def tell(self, **progress: Any) -> None:
        """Note how far the stage has come, for the views that watch the store."""
        self.progress = progress
        if time.monotonic() - self._written > 1.0:
            self._touch()

    def release(self) -> None:
        """Give the lease back, unless it was taken over meanwhile."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self._ours():
            self.path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            self._touch()

    def _ours(self) -> bool:
        try:
            owner = json.loads(self.path.read_text(encoding="utf-8"))
            return (owner["host"], owner["pid"]) == (_host(), os.getpid())
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _touch(self) -> None:
        self._written = time.monotonic()
        if not self._ours():  # taken over after a long pause: do not take it back
            return
        # A lost heartbeat is not worth a stage: the next one may succeed.
        with contextlib.suppress(OSError):
            atomic_write(self.path, self.text().encode("utf-8"))


def _abandoned(path: Path) -> bool:
    """Tell whether a lease's owner is gone: dead on this machine, or silent on another."""
    try:
        text = path.read_text(encoding="utf-8")
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return False
    try:
        owner = json.loads(text)
        if owner["host"] == _host():
            return bool(_born(int(owner["pid"])) != owner["born"])
    except (ValueError, KeyError, TypeError):
        pass  # being written just now, or cut short by a kill: its age decides
    return age > STALE


def _born(pid: int) -> str:
    """Return when a process was started, '' when there is none; a reused pid differs."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        state, *rest = stat.rsplit(")", 1)[1].split()
        return "" if state == "Z" else rest[18]
    except (OSError, IndexError):
        pass
    if Path("/proc/self/stat").exists():
        return ""
    try:  # no /proc: macOS
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "alive"


def _host() -> str:
    return socket.gethostname().split(".")[0]


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sweep(store: Store) -> None:
    """Remove temporary folders whose process on this machine is gone."""
    host = _host()
    for path in (store.root / "tmp").glob("*"):
        words = path.name.rsplit(".", 3)
        if len(words) == 4 and words[1] == host and words[2].isdigit() and not _born(int(words[2])):
            shutil.rmtree(path, ignore_errors=True)


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
