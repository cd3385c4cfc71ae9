"""Leases: the right of one living process to run a stage, and who counts as living."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from compiler.render import atomic_write, host

HEARTBEAT = 5.0
"""Seconds between the signs of life of a running stage."""

STALE = 60.0
"""Seconds without a sign of life after which another machine's lease may be taken over."""

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES)
"""What file systems without hard links answer."""

_NAME = re.compile(r"[0-9a-f]{16}\Z")

_seen: dict[Path, tuple[tuple[int, int], float]] = {}
"""When this process first saw a lease of another machine as it now is, by its own steady clock."""


class Holder(NamedTuple):
    """One of those who have had a lease: the file that says so, and the name that it gives."""

    place: Path
    name: str


@dataclass
class Lease:
    """The right to run one stage, kept alive by a thread that touches the lease's file.

    A lease that is free is the file ``path``, created whole. One whose holder is gone is never
    removed or replaced, since whoever looked at it a moment ago may still act on what it saw: its
    heir is a file beside it, named after the dead holder, which one process alone can create. Who
    has the lease is therefore the last of a line of heirs.
    """

    path: Path
    place: Path
    name: str = field(default_factory=lambda: secrets.token_hex(8))
    progress: dict[str, Any] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None
    _written: float = 0.0

    def text(self) -> str:
        """Say who holds the lease and how far the stage has come."""
        owner = {"host": host(), "pid": os.getpid(), "born": born(os.getpid()), "name": self.name}
        return json.dumps({**owner, "progress": self.progress})

    def claim(self) -> bool:
        """Create the lease's file, whole; False when another process was first."""
        own = f".{self.path.name}.{self.name}.{host()}.{os.getpid()}.tmp"
        temporary = self.path.with_name(own)
        try:
            temporary.write_text(self.text(), encoding="utf-8")
            try:
                os.link(temporary, self.place)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                return self._create()
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def _create(self) -> bool:
        """Create the file where there are no hard links: for a moment it is there and empty."""
        try:
            handle = os.open(self.place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(self.text())
        return True

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
                    atomic_write(self.place, self.text().encode("utf-8"))

    def release(self) -> None:
        """Give the lease back, unless it was taken over meanwhile."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self._ours():
            line = holders(self.path)
            self.path.unlink(missing_ok=True)  # first: what is left are heirs of nobody
            for holder in line[1:]:
                holder.place.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            self.touch()

    def _ours(self) -> bool:
        try:
            line = holders(self.path)
        except OSError:
            return False
        return bool(line) and line[-1] == (self.place, self.name)


def take(path: Path) -> Lease | None:
    """Take the lease that a file stands for; None while a living process has it."""
    for _ in range(5):
        line = holders(path)
        if line and not abandoned(line[-1].place):
            return None
        lease = Lease(path, _heir(path, line[-1].name) if line else path)
        if not lease.claim():
            continue  # another one was quicker: look at who it is
        if line and lease.place not in [holder.place for holder in holders(path)]:
            lease.place.unlink(missing_ok=True)  # it was inherited and given back in between
            continue
        lease.start()
        return lease
    return None


def holders(path: Path) -> list[Holder]:
    """Return who has had a lease, the one who has it last; [] when it is free."""
    found: list[Holder] = []
    place = path
    while True:
        try:
            text = place.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return found
        name = _named(text) or f"cut{len(found):013}"
        found.append(Holder(place, name))
        place = _heir(path, name)


def _heir(path: Path, name: str) -> Path:
    return path.with_name(f".{path.name}.{name}.heir")


def _named(text: str) -> str:
    """Return the name in a lease; "" when it is cut short, or was written without one."""
    with contextlib.suppress(ValueError, AttributeError, RecursionError):
        name = json.loads(text).get("name")
        return name if isinstance(name, str) and _NAME.match(name) else ""
    return ""


def orphans(folder: Path) -> list[Path]:
    """Return the heirs in a folder whose lease was given back before they could be removed."""
    heirs = list(folder.glob(".*.heir"))  # listed before the lines are read: see `Lease`
    known: dict[Path, list[Path]] = {}
    lost = []
    for place in heirs:
        path = place.with_name(place.name[1:].rsplit(".", 2)[0])
        if path not in known:
            known[path] = [holder.place for holder in holders(path)]
        if place not in known[path]:
            lost.append(place)
    return lost


def abandoned(path: Path) -> bool:
    """Tell whether a lease's owner is gone: dead on this machine, or silent on another.

    Clocks of two machines may differ and jump, so another machine's lease is silent only when it
    was seen unchanged for some time by the steady clock of this process: for several heartbeats
    where its time stamp is old as well, else for the whole of ``STALE``.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        found = path.stat()
    except FileNotFoundError:
        return False
    here = _gone(text)
    if here is not None:
        return here
    quiet = _quiet(path, (found.st_ino, found.st_mtime_ns))
    return quiet >= STALE or (quiet >= 3 * HEARTBEAT and time.time() - found.st_mtime > STALE)


def silent(path: Path) -> bool:
    """Tell at first sight, by the clocks, whether a lease's owner seems gone: for views alone."""
    try:
        here = _gone(path.read_text(encoding="utf-8", errors="replace"))
        return time.time() - path.stat().st_mtime > STALE if here is None else here
    except FileNotFoundError:
        return True


def _gone(text: str) -> bool | None:
    """Tell whether the owner that a lease names is a dead process of this machine.

    None when it is one of another machine, or not known.
    """
    try:
        owner = json.loads(text)
        if owner["host"] == host():
            return bool(born(int(owner["pid"])) != owner["born"])
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        pass  # being written just now, or cut short by a kill: its age decides
    return None


def _quiet(path: Path, state: tuple[int, int]) -> float:
    """Return for how long this process has seen a lease in one state."""
    now = time.monotonic()
    known = _seen.get(path)
    if known is None or known[0] != state:
        known = _seen[path] = (state, now)
    return now - known[1]


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
