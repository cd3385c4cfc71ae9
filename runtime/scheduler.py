"""Walks the jobs of a plan on this machine: starts their launch scripts, a few at a time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiler.plan import Job, Plan
from compiler.render import unwritable
from runtime.store import Store

TICK = 0.25
"""Seconds between two looks at the running jobs."""

GRACE = 10.0
"""Seconds that a job has to stop in before it is killed."""


@dataclass(frozen=True)
class Progress:
    """What a view needs: how many stages are done, and what is running."""

    total: int
    done: int
    fresh: tuple[str, ...]
    running: Mapping[str, Mapping[str, Any]]
    jobs: Mapping[str, str]
    seconds: float


def unfinished(plan: Plan, store: Store) -> list[Job]:
    """Return the jobs that have a stage without all its records."""
    return [job for job in plan.jobs if any(store.missing(plan.stages[key]) for key in job.stages)]


def run(
    plan: Plan, folder: Path, store: Store, parallel: int, tell: Callable[[Progress], None]
) -> dict[str, int]:
    """Start the unfinished jobs in the order of their needs; return their exit codes by name.

    A job starts when those it comes after have ended, well or not: what it can do without the
    failed ones it does. When this process is interrupted its jobs are asked to stop.
    """
    waiting = unfinished(plan, store)
    ended = {job.name for job in plan.jobs} - {job.name for job in waiting}
    open_stages = {key for key in plan.stages if store.missing(plan.stages[key])}
    active: dict[str, subprocess.Popen[bytes]] = {}
    codes: dict[str, int] = {}
    started = time.monotonic()
    logs = folder / "logs"
    try:
        logs.mkdir(parents=True, exist_ok=True)
        while waiting or active:
            for job in list(waiting):
                if len(active) < parallel and ended.issuperset(job.after):
                    waiting.remove(job)
                    active[job.name] = launch(folder, logs, job, store)
            for name, process in list(active.items()):
                if process.poll() is not None:
                    codes[name] = process.returncode
                    ended.add(name)
                    del active[name]
            fresh = tuple(sorted(k for k in open_stages if not store.missing(plan.stages[k])))
            open_stages.difference_update(fresh)
            tell(
                Progress(
                    len(plan.stages),
                    len(plan.stages) - len(open_stages),
                    fresh,
                    {k: v for k, v in store.running().items() if k in plan.stages},
                    dict.fromkeys(active, "running"),
                    time.monotonic() - started,
                )
            )
            if active:
                time.sleep(TICK)
    except OSError as error:
        raise unwritable(folder, error) from error
    finally:
        stop(active)
    return codes


def launch(folder: Path, logs: Path, job: Job, store: Store) -> subprocess.Popen[bytes]:
    """Start a job's launch script in a process group of its own, its output in its log."""
    with (logs / f"{job.name}.log").open("ab") as log:
        return subprocess.Popen(
            ["bash", str(folder / "launch" / f"{job.name}.sh")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "STORE": str(store.root)},
        )


def stop(active: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Ask running jobs to stop, and kill those that have not after the grace period."""
    for process in active.values():
        _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    for process in active.values():
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)
            process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
