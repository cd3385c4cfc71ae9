"""Knows when the system's out-of-memory killer ended a process, and of which stage that cost."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from compiler.plan import Job, Plan
from runtime.inputs import needs
from runtime.lease import abandoned, holders
from runtime.records import Failure
from runtime.store import Store

RECENT = 60.0
"""Seconds before a job's end in which a kill counts as its cause; what has started a process that
was killed may first wait for the others."""

COUNTS = {"cgroup2": "memory.events", "cgroup": "memory.oom_control"}
"""The file of a control group that counts kills, by the kind of its file system. See the kernel's
Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst: ``oom_kill`` is the number of
processes of this group that any kind of out-of-memory killer has killed."""


def counter(root: Path = Path("/")) -> Path | None:
    """Return the file that counts the kills in this process's memory control group.

    It is the group's own, or that of the nearest one above where memory is not counted in each.
    None where the kernel counts nothing.
    """
    try:
        groups = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
        mounts = (root / "proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    own = {}
    for line in groups:  # "0::/user.slice" of version 2, "4:memory:/job" of version 1
        _, kinds, path = line.split(":", 2)
        if not kinds or "memory" in kinds.split(","):
            own["cgroup" if kinds else "cgroup2"] = path
    for line in mounts:  # "32 31 0:29 /top /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
        before, _, after = line.partition(" - ")
        top, place = (word.encode().decode("unicode_escape") for word in before.split()[3:5])
        kind, _, options = after.split(" ", 2)
        if kind not in own or (kind == "cgroup" and "memory" not in options.split(",")):
            continue
        at = root / place.lstrip("/")
        inner = os.path.relpath(own[kind], top)
        below = at / inner if not inner.startswith("..") else at  # of a group outside of ours
        for folder in (below, *below.parents):
            if count(folder / COUNTS[kind]) is not None:
                return folder / COUNTS[kind]
            if folder == at:
                break
    return None


def count(path: Path) -> int | None:
    """Return how many processes were killed; None when the file does not say."""
    try:
        words = path.read_text(encoding="utf-8").split()
        return int(words[words.index("oom_kill") + 1])
    except (OSError, ValueError, IndexError):
        return None


@dataclass
class Kills:
    """Remembers when the killer was last seen at work, by looks that are seldom far apart."""

    path: Path | None = field(default_factory=counter)
    last: float | None = None
    _count: int | None = None

    def look(self) -> None:
        """Compare the count with that of the last look."""
        found = count(self.path) if self.path is not None else None
        if found is not None and self._count is not None and found > self._count:
            self.last = time.monotonic()
        self._count = found

    def recent(self, since: float) -> bool:
        """Tell whether the killer was seen lately, and not before ``since`` (steady clock)."""
        return self.last is not None and max(since, time.monotonic() - RECENT) <= self.last


def blame(
    plan: Plan, store: Store, job: Job, log: str, source: str, *, elsewhere: bool = False
) -> str:
    """Record as out of memory what a job had in hand when it was killed; return the stage.

    That is the stage whose lease it has left behind, else the first that it could have run: a job
    of several processes of which one is killed gives its lease back. '' when all is done, or what
    is not has failed for a reason of its own. ``source`` says how the kill is known. A job that
    ran ``elsewhere`` has left each lease on its stages, though that may still look alive.
    """
    open_ = [key for key in job.stages if _could_run(plan, store, key)]
    lines = {key: holders(store.root / "leases" / f"{key}.json") for key in open_}
    left = [k for k, line in lines.items() if line and (elsewhere or abandoned(line[-1].place))]
    running = store.running()  # by another run
    for key in (left or [key for key in open_ if key not in running])[:1]:
        when = datetime.now(UTC).isoformat(timespec="seconds")
        message = f"{source}; this stage was in hand{'' if left else ', or next'}"
        with contextlib.suppress(OSError):  # a full disk: the job is then named as ended early
            store.fail(Failure(key, "oom", message, when, log))
            return key
    return ""


def _could_run(plan: Plan, store: Store, key: str) -> bool:
    """Tell whether a stage is open, has not failed, and has what some part of it reads."""
    stage = plan.stages[key]
    return store.failure(key) is None and any(
        all(store.record(*source) is not None for source in needs(stage, part))
        for part in store.missing(stage)
    )
