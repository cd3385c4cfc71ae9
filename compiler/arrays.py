"""Groups the jobs of a plan into the arrays of a cluster: one for each level, shape and need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from compiler.plan import Job, Plan
from compiler.shape import Shape, class_of, shape
from compiler.site import Site

Kind = Literal["afterok", "afterany"]

FEW = 8
"""Arrays of one level and shape with needs of their own; more of them are made one that waits for
the needs of all: a thousand small jobs shall not be a thousand submissions."""


@dataclass(frozen=True, slots=True)
class Need:
    """A job that another one waits for.

    ``afterok`` where nothing of a job could run once a stage of the other has failed;
    ``afterany`` where a part of it still might: then the job itself finds out what it can do.
    """

    kind: Kind
    job: str


@dataclass(frozen=True, slots=True)
class Array:
    """Jobs of one shape that are submitted together; ``jobs`` are by their index.

    With ``paired``, the job of each index waits for the one of the same index of that array
    (``aftercorr``); else all wait for the same ``needs``.
    """

    name: str
    level: int
    shape: Shape
    jobs: Mapping[int, str]
    needs: tuple[Need, ...]
    paired: str | None = None


@dataclass(frozen=True, slots=True)
class Arrays:
    """The arrays in an order in which they can be submitted, and what each job waits for.

    ``every`` has all that a job needs; ``needs`` leaves out what another need waits for already.
    """

    made: tuple[Array, ...]
    every: Mapping[str, tuple[Need, ...]]
    needs: Mapping[str, tuple[Need, ...]]
    places: Mapping[str, tuple[str, int]]


def arrays(plan: Plan, site: Site | None = None) -> Arrays:
    """Return the arrays of a plan: few, and none that lets a failure stop what it need not.

    Jobs with one and the same need share an array. Where each job of an array is waited for by as
    many others, these form arrays of the same indices, one for each of the others, if these are
    fewer: of a thousand trainings and nine targets, nine arrays and not a thousand.
    """
    site = site or Site()
    jobs = {job.name: job for job in plan.jobs}
    every = {job.name: _needs(plan, job, jobs) for job in plan.jobs}
    needs = {name: reduced(found, jobs) for name, found in every.items()}
    levels: dict[str, int] = {}

    def level(name: str) -> int:
        """Return how many jobs stand before one on the longest way to it."""
        open_ = [name]
        while open_:
            lacking = [up for up in jobs[open_[-1]].after if up not in levels]
            if lacking:
                open_ += lacking
                continue
            done = open_.pop()
            levels[done] = 1 + max((levels[up] for up in jobs[done].after), default=-1)
        return levels[name]

    waiting: dict[tuple[int, Shape], list[str]] = {}
    limits: dict[str, int] = {}
    for job in plan.jobs:
        form = shape(plan, job, site)
        limits[job.name] = form.minutes
        form = replace(form, minutes=class_of(form.minutes))
        waiting.setdefault((level(job.name), form), []).append(job.name)
    made: list[Array] = []
    places: dict[str, tuple[str, int]] = {}
    names: Counter[str] = Counter()

    def add(
        at: int,
        form: Shape,
        members: Mapping[int, str],
        common: tuple[Need, ...],
        paired: str | None = None,
    ) -> None:
        label = f"{at}-{_label(list(members.values()))}-{form.words}"
        names[label] += 1
        name = label if names[label] == 1 else f"{label}-{names[label]}"
        limit = max(limits[job] for job in members.values())
        made.append(Array(name, at, replace(form, minutes=limit), members, common, paired))
        places.update({job: (name, index) for index, job in members.items()})

    for (at, form), members in sorted(waiting.items()):
        alike: dict[tuple[Need, ...], list[str]] = {}
        ranks: dict[tuple[str, int], dict[int, str]] = {}
        for source, group in _by_source(members, needs, places).items():
            rounds = Counter(needs[job] for job in group)
            if source is None or len(rounds) <= min(FEW, max(rounds.values())):
                for name in group:
                    alike.setdefault(needs[name], []).append(name)
                continue
            turn: Counter[str] = Counter()
            for name in group:
                up = needs[name][0].job
                ranks.setdefault((source, turn[up]), {})[places[up][1]] = name
                turn[up] += 1
        if len(alike) > FEW:
            union = dict.fromkeys(Need("afterany", n.job) for common in alike for n in common)
            alike = {tuple(union): [job for job in members if needs[job] in alike]}
        for common, alike_jobs in alike.items():
            for first in range(0, len(alike_jobs), site.array):
                some = alike_jobs[first : first + site.array]
                add(at, form, dict(enumerate(some)), common)
        for (source, _), indexed in ranks.items():
            add(at, form, dict(sorted(indexed.items())), (), source)
    return Arrays(tuple(made), every, needs, places)


def indices(numbers: Iterable[int]) -> str:
    """Write indices as `sbatch --array` reads them: 0-3,7."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)


def reduced(needs: Iterable[Need], jobs: Mapping[str, Job]) -> tuple[Need, ...]:
    """Leave out what another need waits for already."""
    needs = tuple(needs)
    covered = {up for need in needs for up in jobs[need.job].after}
    return tuple(n for n in needs if n.job not in covered or n.kind == "afterok")


def _by_source(
    members: Sequence[str],
    needs: Mapping[str, tuple[Need, ...]],
    places: Mapping[str, tuple[str, int]],
) -> dict[str | None, list[str]]:
    """Sort jobs by the array of the only job that they wait for, None where there is not one."""
    found: dict[str | None, list[str]] = {}
    for job in members:
        need = needs[job]
        one = len(need) == 1 and need[0].kind == "afterok"
        found.setdefault(places[need[0].job][0] if one else None, []).append(job)
    return found


def _needs(plan: Plan, job: Job, jobs: Mapping[str, Job]) -> tuple[Need, ...]:
    """Return what a job waits for, and whether a failure there leaves it anything to do."""
    common: set[str] | None = None
    for key in job.stages:
        above, open_ = {key}, [key]
        while open_:
            for up in plan.stages[open_.pop()].inputs.values():
                if up not in above:
                    above.add(up)
                    open_.append(up)
        common = above if common is None else common & above
    found: list[Need] = []
    for name in job.after:
        stages = jobs[name].stages
        whole = all(plan.stages[key].parts == ("all",) for key in stages)
        needed = whole and set(stages) <= (common or set())
        found.append(Need("afterok" if needed else "afterany", name))
    return tuple(found)


def _label(names: Sequence[str]) -> str:
    """Name an array by the words that all its jobs share."""
    first = names[0].split("-")
    shared = set(first).intersection(*(name.split("-") for name in names[1:]))
    return "-".join(word for word in first if word in shared)[:60] or "jobs"
