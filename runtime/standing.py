"""How far a study is: stages by state, what runs, what failed and blocks, hours spent and left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from compiler.explain import reads
from compiler.formats import duration
from compiler.plan import Plan
from runtime import cluster, progress
from runtime.logs import harmless
from runtime.scheduler import Guess
from runtime.states import states
from runtime.store import Store

ORDER = ("done", "running", "failed", "blocked", "ready", "waiting")
"""States in the order in which they are shown. ``ready`` could start: all that it reads is there;
``waiting`` reads something that is still to come; ``blocked`` reads something that failed."""

SHOWN = 8
"""Stages of a kind that one screen names; of more there is a count."""


@dataclass(frozen=True)
class Running:
    """A stage in hand: who has it, and what it tells of itself."""

    key: str
    owner: str
    told: Mapping[str, Any]


@dataclass(frozen=True)
class Failed:
    """A stage whose latest attempt failed, and how many stages cannot run because of it."""

    key: str
    failure_class: str
    message: str
    when: str
    log: str
    blocks: int


@dataclass(frozen=True)
class Standing:
    """One look at a study; seconds are of wall clock, device seconds of work."""

    study: str
    total: int
    states: Mapping[str, str]
    counts: Mapping[str, int]
    kinds: Mapping[str, Mapping[str, int]]
    running: tuple[Running, ...]
    failed: tuple[Failed, ...]
    spent: float
    work_left: float | None
    left: float | None
    at_once: int
    jobs: Mapping[str, str]
    asked: bool

    @property
    def exit_code(self) -> int:
        """3 when some stages failed, as for `run`; 0 otherwise, also while nothing has run."""
        return 3 if self.failed else 0

    def body(self) -> dict[str, Any]:
        """Return what `status --json` prints; durations are in seconds, None where unknown."""
        return {
            "schema": "stiltscale/status/1",
            "study": self.study,
            "stages": self.total,
            "states": {state: self.counts.get(state, 0) for state in ORDER},
            "kinds": {kind: dict(row) for kind, row in self.kinds.items()},
            "running": [asdict(stage) for stage in self.running],
            "failed": [asdict(stage) for stage in self.failed],
            "stage_seconds_spent": round(self.spent, 1),
            "stage_seconds_left": _rounded(self.work_left),
            "seconds_left": _rounded(self.left),
            "at_once": self.at_once,
            "slurm": {"answers": self.asked, "jobs": dict(self.jobs)},
        }


def look(plan: Plan, store: Store, *, queue: bool = True) -> Standing:
    """Read how far a plan is from its store, and from Slurm when it was submitted there.

    The time left is a guess: open stages take as long as those of their kind and model that are
    done, and as many jobs run at once as the study says, or as stages are running now.
    """
    found, _ = states(store, plan)
    leases = {key: lease for key, lease in store.running().items() if key in plan.stages}
    named = dict(found)
    for key, state in found.items():
        inputs = plan.stages[key].inputs.values()
        if state == "waiting" and all(found.get(up) == "done" for up in inputs):
            named[key] = "ready"
    done = [key for key, state in named.items() if state == "done"]
    guess = Guess(plan, store)
    guess.learn(done)
    open_ = [key for key, state in named.items() if state != "done"]
    at_once = max(int(plan.execution.get("parallel", 1)), len(leases), 1)
    jobs, asked = cluster.states(plan, store) if queue else ({}, False)
    kinds: dict[str, Counter[str]] = {}
    for key, stage in plan.stages.items():
        kinds.setdefault(stage.kind, Counter())[named[key]] += 1
    return Standing(
        study=plan.name,
        total=len(plan.stages),
        states=named,
        counts=Counter(named.values()),
        kinds=kinds,
        running=tuple(_running(key, leases.get(key, {})) for key in _in(named, "running")),
        failed=_failed(plan, store, named),
        spent=sum(sum(seconds) for seconds in guess.taken.values()),
        work_left=guess.left(open_, leases, 1) if open_ else 0.0,
        left=guess.left(open_, leases, at_once) if open_ else 0.0,
        at_once=at_once,
        jobs=jobs,
        asked=asked,
    )


def causes(plan: Plan, states: Mapping[str, str], key: str) -> list[str]:
    """Return the failed stages that a stage needs, directly or through others."""
    return [up for up in reads(plan, key) if states.get(up) == "failed"]


def view(seen: Standing, width: int) -> Group:
    """Return what one screen of so many columns shows."""
    lines: list[Any] = [Text(f"{seen.study}: {seen.counts.get('done', 0)} of {seen.total} stages")]
    words = [f"{seen.counts[state]} {state}" for state in ORDER if seen.counts.get(state)]
    clock = Padding(Text(times(seen)), (0, 0, 0, 2), expand=False)
    lines += [Text(f"  {', '.join(words)}"), clock, Text("")]
    lines += [_kinds(seen)]
    for stage in seen.running[:SHOWN]:
        lines += _entry("running", stage.key, "  ".join(progress.words(stage.told).values()), width)
    lines += _more(len(seen.running), "running")
    for failed in seen.failed[:SHOWN]:
        said = f"{failed.failure_class}: {first_line(failed.message)}"
        lines += _entry("failed", failed.key, said, width)
        if failed.blocks:
            lines.append(
                Text(f"           blocks {failed.blocks} stage{'s' * (failed.blocks > 1)}")
            )
    lines += _more(len(seen.failed), "failed")
    if seen.failed:
        lines.append(Text("why: `stiltscale why STUDY STAGE`; again: `stiltscale retry STUDY`"))
    elif seen.counts.get("done", 0) < seen.total and not seen.running and not seen.jobs:
        lines.append(Text("no stage is running; to go on: `stiltscale run STUDY`"))
    return Group(*lines, *_slurm(seen))


def times(seen: Standing) -> str:
    """Say the hours of stages spent and left, and when the study could be finished."""
    spent = f"{duration(seen.spent)} of stages spent"
    if seen.total == seen.counts.get("done", 0):
        return f"{spent}, nothing left"
    if seen.left is None or seen.work_left is None:
        known = "can be guessed once a stage of each kind is done"
        return f"{spent}; the rest {known}" if seen.spent else f"what is left {known}"
    begun = "" if seen.running else ", once it runs"
    clock = progress.clock(seen.left)
    left = f"about {duration(seen.work_left)} left: {clock}"
    return f"{spent}, {left} with {seen.at_once} at a time{begun}"


def first_line(message: str) -> str:
    """Return the first line of a message, harmless on a terminal."""
    return harmless(message.splitlines()[0][:300] if message else "")


def _kinds(seen: Standing) -> Table:
    shown = [state for state in ORDER if seen.counts.get(state)]
    table = Table.grid(padding=(0, 2))
    table.add_row("  kind", *(Text(state, justify="right") for state in shown), style="dim")
    for kind, row in seen.kinds.items():
        table.add_row(f"  {kind}", *(Text(str(row.get(s, 0)), justify="right") for s in shown))
    return table


def _entry(state: str, key: str, said: str, width: int) -> list[Text]:
    style = {"running": "cyan", "failed": "red"}[state]
    whole = f"  {state:7}  {key}"
    if len(whole) + len(said) + 2 <= width:
        return [Text(f"{whole}  {said}".rstrip(), style=style)]
    lines = [Text(whole, style=style), Text(f"           {said}")] if said else [Text(whole)]
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return lines


def _more(count: int, state: str) -> list[Text]:
    return [Text(f"  and {count - SHOWN} more are {state}")] if count > SHOWN else []


def _slurm(seen: Standing) -> list[Text]:
    if not seen.jobs:
        return []
    source = "Slurm says" if seen.asked else "Slurm does not answer; the jobs wrote of themselves"
    lines = [Text(f"{len(seen.jobs)} jobs were submitted to Slurm; {source}:")]
    for state, count in Counter(seen.jobs.values()).most_common():
        names = [name for name, how in seen.jobs.items() if how == state][:3]
        lines.append(Text(f"  {count:>6} {state}: {', '.join(names)}{', ...' * (count > 3)}"))
    return lines


def _running(key: str, lease: Mapping[str, Any]) -> Running:
    owner = f"process {lease['pid']} on {lease['host']}" if {"pid", "host"} <= lease.keys() else ""
    told = lease.get("progress")
    return Running(key, owner, told if isinstance(told, Mapping) else {})


def _failed(plan: Plan, store: Store, named: Mapping[str, str]) -> tuple[Failed, ...]:
    blocks: Counter[str] = Counter()
    origins: dict[str, frozenset[str]] = {}
    for key, stage in plan.stages.items():  # inputs come first
        above = (origins.get(up, frozenset()) for up in stage.inputs.values())
        found = frozenset().union(*above)
        if named[key] == "blocked":
            blocks.update(found)
        origins[key] = found | {key} if named[key] == "failed" else found
    rows = []
    for key in _in(named, "failed"):
        failure = store.failure(key)
        if failure is not None:  # else another process has begun it again just now
            rows.append(
                Failed(key, failure.failure_class, failure.message, failure.when, failure.log,
                       blocks[key])
            )  # fmt: skip
    return tuple(rows)


def _in(named: Mapping[str, str], state: str) -> list[str]:
    return [key for key, one in named.items() if one == state]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
