"""Runs the jobs of a plan on Slurm: submits what is missing, in arrays, and follows it."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path

from compiler.arrays import FEW, Array, Arrays, Need, arrays, reduced
from compiler.errors import EnvironmentUnready
from compiler.plan import Job, Plan
from compiler.render import limited
from compiler.site import Site
from runtime import killer, slurm
from runtime.scheduler import Progress, done, log_of, unfinished
from runtime.slurm import Queued
from runtime.store import Store
from runtime.submissions import Submissions, load, told

MARK = "stiltscale:"
"""What the comment of our jobs begins with."""


KILLED = "Slurm says OUT_OF_MEMORY: the job took more memory than it was given"
"""What the record of a failure says where the worker could not say it itself."""


def active(plan: Plan, kept: Submissions, seen: Mapping[str, Queued]) -> dict[str, str]:
    """Return the ids of a plan's jobs that Slurm has, queued or running, by job."""
    names = {job.name for job in plan.jobs}
    ids = {name: job.id for name, job in kept.jobs.items() if name in names}
    return {name: i for name, i in ids.items() if i in seen and not seen[i].over}


def submit(
    plan: Plan, folder: Path, store: Store, site: Site, chosen: Collection[str] | None = None
) -> tuple[int, int, int]:
    """Submit the unfinished jobs that Slurm does not have; count these, arrays, and those it has.

    With ``chosen``, only jobs of these names. A job waits for those of its needs that are open, of
    the others it takes what there is. Raises EnvironmentUnready when Slurm cannot be
    reached or refuses; what was submitted until then stays, and is found again.
    """
    kept = load(store, plan.name)
    seen = _asked()
    _recover(kept, seen)
    there = active(plan, kept, seen)
    todo = {
        job.name: job for job in unfinished(plan, store) if chosen is None or job.name in chosen
    }
    fresh = {name for name in todo if name not in there}
    grouped, jobs = arrays(plan, site), {job.name: job for job in plan.jobs}
    ids = {name: number for name, number in there.items() if name in todo}
    sent = 0
    for array in grouped.made:
        parts: dict[str, dict[int, str]] = {}
        for index, name in array.jobs.items():
            if name in fresh:
                parts.setdefault(_dependency(grouped, array, index, ids, jobs), {})[index] = name
        for dependency, some in parts.items():
            for name in some.values():
                for key in todo[name].stages:  # a failure found later is one of this attempt
                    store.forgive(key)
            number = _send(kept, folder, store, site, array, some, dependency)
            ids |= {name: f"{number}_{index}" for index, name in some.items()}
            sent += 1
    return len(fresh), sent, len(there if chosen is None else there.keys() & set(chosen))


def follow(
    plan: Plan, store: Store, site: Site, tell: Callable[[Progress], None]
) -> dict[str, str]:
    """Wait for the jobs that Slurm has; return how those ended that did not end well, by job.

    Only looks: whoever stops it leaves the jobs as they are.
    """
    kept = load(store, plan.name)
    open_stages = {key for key in plan.stages if store.missing(plan.stages[key])}
    ended: dict[str, str] = {}
    watched: dict[str, str] | None = None
    jobs = {job.name: job for job in plan.jobs}
    started = time.monotonic()
    while True:
        seen = slurm.queue()
        if seen is not None:
            there = active(plan, kept, seen)
            for name in set(watched or ()) - set(there):
                ended[name] = _end(plan, store, kept, name, seen)
                row = seen.get(kept.jobs[name].id)
                if row is not None and row.state == "OUT_OF_MEMORY":
                    killer.blame(plan, store, jobs[name], log_of(name), KILLED, elsewhere=True)
            watched = there
        fresh = done(plan, store, open_stages)
        open_stages.difference_update(fresh)
        now = seen or {}
        states = {n: now[i].state.lower() for n, i in (watched or {}).items() if i in now}
        tell(
            Progress(
                len(plan.stages),
                len(plan.stages) - len(open_stages),
                fresh,
                {k: v for k, v in store.running().items() if k in plan.stages},
                {name: state for name, state in states.items() if state == "running"},
                time.monotonic() - started,
            )
        )
        if watched is not None and not watched:
            return {name: how for name, how in ended.items() if how}
        time.sleep(site.poll_seconds)


def cancel(plan: Plan, store: Store) -> int:
    """End the jobs of a plan that Slurm has; return how many there were."""
    kept = load(store, plan.name)
    seen = _asked()
    _recover(kept, seen)
    there = active(plan, kept, seen)
    slurm.cancel(there.values())
    return len(there)


def rehearse(plan: Plan, folder: Path, site: Site) -> list[tuple[Array, str, str]]:
    """Ask Slurm about every batch file; return each array, Slurm's refusal and our reading of it.

    Nothing is submitted.
    """
    found = []
    for array in arrays(plan, site).made:
        words = [f"--array={limited(array.jobs, site)}", f"slurm/{array.name}.sbatch"]
        refusal = slurm.refusal(words, folder)
        reading = slurm.short(array.shape, site.partition) if refusal else ""
        found.append((array, refusal, reading))
    return found


def states(plan: Plan, store: Store) -> tuple[dict[str, str], bool]:
    """Return what is known of each submitted job, and whether Slurm was there to be asked."""
    kept = load(store, plan.name)
    try:
        seen = slurm.queue()
    except EnvironmentUnready:
        seen = None
    found = {}
    for job in plan.jobs:
        if job.name not in kept.jobs:
            continue
        number = kept.jobs[job.name].id
        if seen is not None and number in seen:
            row = seen[number]
            found[job.name] = row.state.lower() + (
                f" ({row.reason})" if row.state == "PENDING" else ""
            )
        else:
            last = told(store, plan.name, job.name)
            said = f"{last.get('word', '')} {last.get('number', '')}".strip()
            found[job.name] = said if last.get("id") == number else "submitted"
    return found, seen is not None


def _asked() -> dict[str, Queued]:
    seen = slurm.queue()
    if seen is None:
        raise EnvironmentUnready(
            "E050",
            "Slurm does not answer",
            hint="`squeue` says why; nothing was changed, run the same command again",
        )
    return seen


def _recover(kept: Submissions, seen: Mapping[str, Queued]) -> None:
    """Find the ids of submissions whose process was killed before it could note them."""
    for token in list(kept.intents):
        marked = [i for i, row in seen.items() if row.comment == MARK + token]
        kept.settle(token, marked[0].split("_")[0] if marked else None)


def _dependency(
    grouped: Arrays, array: Array, index: int, ids: Mapping[str, str], jobs: Mapping[str, Job]
) -> str:
    """Return what a job waits for, as `sbatch --dependency` reads it: all it needs that is open.

    What is left out of `Arrays.needs` counts too: of two jobs one after the other, the second may
    be done and the first open again.
    """
    name = array.jobs[index]
    needs = [need for need in grouped.every[name] if need.job in ids]
    if array.paired is None and array.needs != grouped.needs[name]:  # it waits for those of others
        needs = [Need("afterany", need.job) for need in needs]
        needs += [need for need in array.needs if need.job in ids]
    found: dict[tuple[str, str], dict[str, None]] = {}
    for need in reduced(dict.fromkeys(needs), jobs):
        source, place = grouped.places[need.job]
        number, _, kept = ids[need.job].partition("_")
        if source == array.paired and place == index == int(kept):
            found[("aftercorr", number)] = {number: None}
        else:
            found.setdefault((need.kind, number), {})[ids[need.job]] = None
    words = []
    for (kind, number), each in found.items():
        many = kind == "afterany" and len(each) > FEW  # all of that array then, in few words
        words.append(":".join([kind, *([number] if many else each)]))
    return ",".join(words)


def _send(
    kept: Submissions,
    folder: Path,
    store: Store,
    site: Site,
    array: Array,
    jobs: Mapping[int, str],
    dependency: str,
) -> str:
    token = secrets.token_hex(8)
    kept.intend(token, array.name, datetime.now(UTC).isoformat(timespec="seconds"), jobs)
    words = [f"--array={limited(jobs, site)}", f"--comment={MARK}{token}"]
    if dependency:
        words += ["--kill-on-invalid-dep=yes", f"--dependency={dependency}"]
    variables = {"STILTSCALE_STORE": str(store.root), "STILTSCALE_PYTHON": sys.executable}
    number = None
    try:
        number = slurm.submit([*words, f"slurm/{array.name}.sbatch"], folder, variables)
    except EnvironmentUnready:
        kept.settle(token, None)
        raise
    kept.settle(token, number)
    return number


def _end(plan: Plan, store: Store, kept: Submissions, name: str, seen: Mapping[str, Queued]) -> str:
    """Say how a job ended, '' when well."""
    number = kept.jobs[name].id
    last = told(store, plan.name, name)
    code = last.get("number", "") if last.get("id") == number else ""
    if last.get("word") == "ended" and code == "0":
        return ""
    row = seen.get(number)
    if row is None:
        return f"exit code {code}" if code else "and Slurm knows it no more"
    if row.state == "COMPLETED":
        return ""
    said = {"FAILED": f"exit code {code}" if code else "Slurm calls it FAILED"}
    return said.get(row.state, f"Slurm calls it {row.state} ({row.reason})")
