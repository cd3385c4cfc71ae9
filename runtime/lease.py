"""Leases: the right of one living process to run a stage, and who counts as living."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compiler.render import atomic_write, host

HEARTBEAT = 5.0
"""Seconds between the signs of life of a running stage."""

STALE = 60.0
"""Seconds without a sign of life after which another machine's lease may be taken over."""


@dataclass
class Lease:
    """The right to run one stage, kept alive by a thread that touches the lease's file."""

    path: Path
    progress: dict[str, Any] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None
    _written: float = 0.0

    def text(self) -> str:
        """Say who holds the lease and how far the stage has come."""
        owner = {"host": host(), "pid": os.getpid(), "born": born(os.getpid())}
        return json.dumps({**owner, "progress": self.progress})

    def start(self) -> None:
        """Begin the heartbeat."""
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def tell(self, **progress: Any) -> None:
        """Note how far the stage has come, for the views that watch the store."""
        self.progress = progress
        if time.monotonic() - self._written > 1.0:
            self.touch()

    def touch(self) -> None:
        """Give a sign of life; what cannot be written now may succeed the next time."""
        with self._lock:  # the heartbeat and the stage write one temporary file
            self._written = time.monotonic()
            if self._ours():  # taken over after a long pause: do not take it back
                with contextlib.suppress(OSError):
                    atomic_write(self.path, self.text().encode("utf-8"))

    def release(self) -> None:
        """Give the lease back, unless it was taken over meanwhile."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self._ours():
            self.path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            self.touch()

    def _ours(self) -> bool:
        try:
            owner = json.loads(self.path.read_text(encoding="utf-8"))
            return (owner["host"], owner["pid"]) == (host(), os.getpid())
        except (OSError, ValueError, KeyError, TypeError):
            return False


def take(path: Path) -> Lease | None:
    """Take the lease that a file stands for; None while a living process has it."""
    for _ in range(3):
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            if not abandoned(path) or not bury(path):
                return None
            continue
        lease = Lease(path)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(lease.text())
        lease.start()
        return lease
    return None


def bury(path: Path) -> bool:
    """Remove an abandoned lease; False when a living process had taken it over meanwhile.

    One of several contenders wins the rename, but what it gets may be the winner's lease of a
    moment before: it is looked at once more, and put back.
    """
    grave = path.with_name(f".{path.name}.{time.time_ns()}.{host()}.{os.getpid()}.stale")
    try:
        path.rename(grave)
    except FileNotFoundError:
        return True
    dead = abandoned(grave)
    if not dead:
        with contextlib.suppress(FileExistsError):  # a third one was quick: both will run it
            os.link(grave, path)
    grave.unlink()
    return dead


def abandoned(path: Path) -> bool:
    """Tell whether a lease's owner is gone: dead on this machine, or silent on another."""
    try:
        text = path.read_text(encoding="utf-8")
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return False
    try:
        owner = json.loads(text)
        if owner["host"] == host():
            return bool(born(int(owner["pid"])) != owner["born"])
    except (ValueError, KeyError, TypeError):
        pass  # being written just now, or cut short by a kill: its age decides
    return age > STALE


def born(pid: int) -> str:
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
