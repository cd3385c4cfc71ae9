"""Walks the jobs of a plan on this machine: starts their launch scripts, a few at a time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compiler.errors import EnvironmentUnready
from compiler.plan import Job, Plan
from compiler.render import unwritable
from runtime import killer
from runtime.lease import born
from runtime.store import Store

TICK = 0.25
"""Seconds between two looks at the running jobs."""

GRACE = 10.0
"""Seconds that a job has to stop in before it is killed."""

KILLED = "the system's out-of-memory killer ended a process of the job"
"""What the record of a failure says where the worker could not say it itself."""

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What asks a run, or a job of it, to stop."""


@dataclass(frozen=True)
class Progress:
    """What a view needs: how many stages are done, what is running, and what is left.

    ``fresh`` are the stages done since the last look; ``failed`` the jobs that ended so. ``left``
    is a guess of the seconds to the end, None while there is nothing to guess by.
    """

    total: int
    done: int
    fresh: tuple[str, ...]
    running: Mapping[str, Mapping[str, Any]]
    jobs: Mapping[str, str]
    seconds: float
    failed: tuple[str, ...] = ()
    left: float | None = None


@dataclass
class Guess:
    """Guesses how long the open stages take: as those of their kind and model that are done."""

    plan: Plan
    store: Store
    taken: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def learn(self, keys: Iterable[str]) -> None:
        """Note what finished stages took."""
        for key in keys:
            stage = self.plan.stages[key]
            records = [self.store.record(key, part) for part in stage.parts]
            seconds = sum(record.seconds for record in records if record is not None)
            self.taken.setdefault((stage.kind, stage.model), []).append(seconds)

    def left(
        self, open_stages: Iterable[str], running: Mapping[str, Any], at_once: int
    ) -> float | None:
        """Return the seconds to the end with so many jobs at once; None when nothing is known.

        A running stage says itself what is left of it, where it knows; stages of a model that
        none of their kind has been done for count as those of the other models.
        """
        by_kind: dict[str, list[float]] = {}
        for (kind, _), seconds in self.taken.items():
            by_kind.setdefault(kind, []).extend(seconds)
        means = {pair: sum(seconds) / len(seconds) for pair, seconds in self.taken.items()}
        kinds = {kind: sum(seconds) / len(seconds) for kind, seconds in by_kind.items()}
        total = longest = 0.0
        for key in open_stages:
            stage = self.plan.stages[key]
            told = running.get(key, {}).get("progress", {}).get("seconds_left")
            known = means.get((stage.kind, stage.model), kinds.get(stage.kind))
            if told is not None:
                longest = max(longest, float(told))
                total += float(told)
            elif known is not None:
                total += known
            else:
                return None
        return max(longest, total / max(1, at_once))


def unfinished(plan: Plan, store: Store) -> list[Job]:
    """Return the jobs that have a stage without all its records."""
    return [job for job in plan.jobs if any(store.missing(plan.stages[key]) for key in job.stages)]


def done(plan: Plan, store: Store, stages: Set[str]) -> tuple[str, ...]:
    """Return which of some stages are done, in order; only those with a folder are looked into."""
    there = sorted(stages & store.present())
    return tuple(key for key in there if not store.missing(plan.stages[key]))


def run(
    plan: Plan, folder: Path, store: Store, parallel: int, tell: Callable[[Progress], None]
) -> dict[str, int]:
    """Start the unfinished jobs in the order of their needs; return their exit codes by name.

    A job starts when those it comes after have ended, well or not: what it can do without the
    failed ones it does. When this process is interrupted its jobs are asked to stop. What a job
    had in hand that the system's out-of-memory killer ended is recorded so.
    """
    waiting = unfinished(plan, store)
    jobs = {job.name: job for job in waiting}
    ended = {job.name for job in plan.jobs} - {job.name for job in waiting}
    open_stages = {key for job in waiting for key in job.stages if store.missing(plan.stages[key])}
    active: dict[str, subprocess.Popen[bytes]] = {}
    codes: dict[str, int] = {}
    begun: dict[str, float] = {}
    kills = killer.Kills()
    guess = Guess(plan, store)
    guess.learn(plan.stages.keys() - open_stages)
    started = time.monotonic()
    try:
        while waiting or active:
            kills.look()
            for job in list(waiting):
                if len(active) < parallel and ended.issuperset(job.after):
                    waiting.remove(job)
                    begun[job.name] = time.monotonic()
                    active[job.name] = launch(folder, job, store)
            for name, process in list(active.items()):
                if process.poll() is not None:
                    codes[name] = process.returncode
                    ended.add(name)
                    del active[name]
                    if process.returncode:
                        kills.look()
                        if kills.recent(begun[name]):
                            killer.blame(plan, store, jobs[name], log_of(name), KILLED)
            fresh = done(plan, store, open_stages)
            open_stages.difference_update(fresh)
            guess.learn(fresh)
            running = {k: v for k, v in store.running().items() if k in plan.stages}
            tell(
                Progress(
                    len(plan.stages),
                    len(plan.stages) - len(open_stages),
                    fresh,
                    running,
                    dict.fromkeys(active, "running"),
                    time.monotonic() - started,
                    tuple(name for name, code in codes.items() if code),
                    guess.left(open_stages, running, min(parallel, len(active) + len(waiting))),
                )
            )
            if active:
                time.sleep(TICK)
    finally:
        stop(active)
    return codes


def launch(folder: Path, job: Job, store: Store) -> subprocess.Popen[bytes]:
    """Start a job's launch script in a process group of its own, its output in its log."""
    log, script = folder / log_of(job.name), folder / "launch" / f"{job.name}.sh"
    own = {
        "STILTSCALE_PYTHON": sys.executable,
        "STILTSCALE_STORE": str(store.root),
        "STILTSCALE_LOG": log_of(job.name),
        "STILTSCALE_SCHEDULER": f"{os.getpid()}:{born(os.getpid())}",
    }
    try:
        for key in job.stages:  # so that a failure found afterwards is one of this attempt
            store.forgive(key)
        log.parent.mkdir(parents=True, exist_ok=True)
        output = log.open("ab")
    except OSError as error:
        raise unwritable(folder, error) from error
    with output:
        try:
            return subprocess.Popen(
                ["bash", str(script)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=os.environ | own,
            )
        except OSError as error:
            raise EnvironmentUnready(
                "E005",
                f"bash cannot be started: {error.strerror or error}",
                where=str(script),
                hint="launch scripts need bash on the PATH; finished stages are kept",
            ) from error


def log_of(job: str) -> str:
    """Return a job's log, seen from the folder of the study."""
    return f"logs/{job}.log"


def stop(active: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Ask running jobs to stop, and kill what is left of them after the grace period."""
    with _undisturbed():
        for process in active.values():
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        for process in active.values():
            # The worker is not our child: it may outlive the script that has started it.
            while _signal(process, 0) and time.monotonic() < deadline:
                process.poll()
                time.sleep(0.05)
            _signal(process, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let a second Ctrl-C wait; only the main thread may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signal(process: subprocess.Popen[bytes], number: int) -> bool:
    """Send a signal to a job's process group; False when no process of it is left."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    return True
