"""Holds the sharding probe against the same size trained whole: how far the scores lie apart."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from compiler.plan import Plan
from runtime.collect import Records, collect
from runtime.report.sections import Section
from runtime.report.tables import Cell, Table, figure, stage_title
from runtime.report.views import ENGLISH, Names
from runtime.report.wording import counted, number, score

ALL = "*"
"""Stands for the mean over the targets."""

_CELL = ("arm", "target", "language")

Scores = Mapping[tuple[str, str, str], Mapping[str, Any]]
"""Rows of a score frame by arm, target and language."""


@dataclass(frozen=True)
class Pair:
    """An arm and target scored both ways: means over languages, English apart, in points.

    ``whole``, ``divided`` and ``difference`` (divided minus whole) are means over the languages but
    English that have both scores, None where there are none; ``least`` and ``most`` are the ends of
    the differences by language. ``gain`` is by how much the gain over the direct arm differs.
    ``spread`` is the standard deviation of the whole model's mean over ``seeds`` seeds, None with
    one seed. The row of target ``*`` is the mean over the fine-tuned targets with scores both ways.
    """

    arm: str
    target: str
    whole: float | None
    divided: float | None
    difference: float | None
    least: float | None
    most: float | None
    english: float | None
    gain: float | None
    spread: float | None
    seeds: int
    languages: Mapping[str, float]
    stages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Compared:
    """A sharding probe beside the runs that it repeats; ``hours`` are those that were recorded."""

    model: str
    seed: int
    whole: str
    divided: str
    runs: int
    planned: int
    finished: int
    hours: float
    pairs: tuple[Pair, ...]


def compared(plan: Plan, scores: pl.DataFrame, store: Records) -> Compared | None:
    """Return what the sharding probe of a plan shows so far; None if it has none.

    ``scores`` are those of the study's own runs. A score counts that finished both ways, at the
    probe's model and seed; one of a degenerate run does where the analysis keeps these.
    """
    if not plan.probe:
        return None
    said = plan.execution["sharding_probe"]
    frame = collect(replace(plan, runs=plan.probe), store)
    own = scores.filter(pl.col("model") == said["model"])
    keep = ["finished"]
    keep += ["degenerate"] if plan.study["analysis"].get("degenerate") == "keep" else []
    seeds = plan.study["seeds"]
    by_seed = {seed: _counting(own.filter(pl.col("seed") == seed), keep) for seed in seeds}
    second = _counting(frame, keep)
    arms = list(dict.fromkeys(run.arm for run in plan.probe))
    tuned = set(frame.filter(pl.col("panel") == "trained")["target"])
    pairs: list[Pair] = []
    for arm in arms:
        found = []
        for run in (run for run in plan.probe if run.arm == arm):
            untuned = "untuned" in run.flags
            direct = next((p for p in pairs if (p.arm, p.target) == ("none", run.target)), None)
            base = 0.0 if untuned else direct.difference if direct else None
            pair = _pair(arm, run.target, by_seed, said["seed"], second, base)
            found.append(pair)
        trained = [pair for pair in found if pair.target in tuned]
        pairs += [*found, *_mean(arm, trained, by_seed)]
    return Compared(
        model=str(said["model"]),
        seed=int(said["seed"]),
        whole=_way(said["whole"]),
        divided=_way(said),
        runs=len(plan.probe),
        planned=frame.height,
        finished=len(second),
        hours=_hours(plan, store),
        pairs=tuple(pairs),
    )


def plain(found: Compared | None) -> dict[str, Any] | None:
    """Return the comparison as JSON has it."""
    if found is None:
        return None
    pairs = [{**vars(pair), "languages": dict(pair.languages)} for pair in found.pairs]
    return {**vars(found), "pairs": pairs}


def probe_table(found: Compared | None, names: Names) -> Table:
    """The scores of both ways and their differences; without rows where there is no probe."""
    caption = "Sharding probe: divided minus whole, points"
    head = ("Arm", "Target", "Whole", "Divided", "Difference", "By language", "English",
            "Difference of gains", "Standard deviation over seeds")  # fmt: skip
    rows = tuple(
        (
            Cell(names.arm(pair.arm)),
            Cell("mean of targets" if pair.target == ALL else names.tasks[pair.target]),
            Cell(score(pair.whole), numeric=True),
            Cell(score(pair.divided), numeric=True),
            figure(pair.difference, title=stage_title(pair.stages) if pair.stages else ""),
            Cell("" if pair.least is None else f"{number(pair.least)} to {number(pair.most)}",
                 numeric=True),
            figure(pair.english),
            figure(pair.gain),
            Cell(score(pair.spread), counted(pair.seeds, "seed") if pair.spread else "",
                 numeric=True),
        )
        for pair in (found.pairs if found else ())
    )  # fmt: skip
    return Table(caption, head, rows, stubs=2)


def notes(found: Compared | None, names: Names) -> list[str]:
    """Say what was compared, what came out, and what that can and cannot say."""
    if found is None:
        return []
    said = [
        f"{names.models[found.model]} on seed {found.seed} was trained a second time by "
        f"{found.divided}, beside {found.whole}: the same data, settings and seed, another way to "
        "compute. Sums are taken in another order, and with several processes or another cut of "
        "the batch dropout draws other numbers. Means are over the languages but English."
    ]
    lacking = found.planned - found.finished
    if lacking:
        said.append(
            f"{lacking} of {counted(found.planned, 'score')} of the probe did not finish, or are "
            "of a degenerate run."
        )
    whole = [p for p in found.pairs if p.target != ALL and p.difference is not None]
    if not whole:
        return [*said, "Nothing can be compared yet: no score finished both ways."]
    ends = [p.difference for p in whole if p.difference is not None]
    said.append(
        f"The differences go from {number(min(ends))} to {number(max(ends))} points over "
        f"{counted(len(ends), 'pair')} of arm and target."
    )
    spreads = [(p.difference, p.spread) for p in whole if p.spread is not None]
    if spreads:
        typical = statistics.median(spread for _, spread in spreads)
        within = sum(abs(d or 0.0) <= math.sqrt(2.0) * spread for d, spread in spreads)
        said.append(
            f"Between seeds the whole model's means have a standard deviation of {score(typical)} "
            f"points (median); two runs of other seeds differ by about {score(2**0.5 * typical)}. "
            f"{within} of {counted(len(spreads), 'difference')} "
            f"{'is' if within == 1 else 'are'} within that of the same arm and target."
        )
    else:
        said.append(
            "With one seed there is nothing to hold these differences against: how far two runs of "
            "other seeds lie apart is not known."
        )
    said.append(
        "This is one run each way at one size: a range, and no test. Differences as large as those "
        "between seeds do not show that the way of training matters; small ones do not show that "
        "it does not at a larger size. A size effect no larger than these differences could be one "
        "of how the sizes were trained. The probe is in no estimate, and corrects none."
    )
    return said


def step(found: Compared | None) -> list[dict[str, str]]:
    """Return the probe's line in the flow of runs."""
    if found is None:
        return []
    note = f"beside the study, in no estimate; {found.finished} finished"
    runs, scores = counted(found.runs, "run"), counted(found.planned, "score")
    return [{"name": "Sharding probe", "runs": runs, "scores": scores, "note": note}]


def costed(section: Section, found: Compared | None) -> Section:
    """Add to the section of costs what the probe took."""
    if found is None:
        return section
    said = f"The sharding probe took {found.hours:.3f} hours more, which are in no row."
    return replace(section, text=f"{section.text} {said}")


def _way(said: Mapping[str, Any]) -> str:
    return f"{said['strategy']} on {said['devices']}"


def _hours(plan: Plan, store: Records) -> float:
    records = (
        store.record(stage.key, part)
        for stage in plan.stages.values()
        if stage.probe
        for part in stage.parts
    )
    return sum(record.seconds for record in records if record is not None) / 3600


def _counting(frame: pl.DataFrame, keep: Sequence[str]) -> Scores:
    rows = frame.filter(pl.col("status").is_in(keep)).to_dicts()
    return {tuple(row[name] for name in _CELL): row for row in rows}


def _pair(
    arm: str,
    target: str,
    by_seed: Mapping[int, Scores],
    seed: int,
    second: Scores,
    base: float | None,
) -> Pair:
    """Compare one arm and target; ``base`` is the difference of the direct arm."""
    first = by_seed[seed]
    both = [k for k in second if k[:2] == (arm, target) and k in first]
    differences = {k[2]: second[k]["value"] - first[k]["value"] for k in both}
    foreign = [k for k in both if k[2] != ENGLISH]
    ends = [differences[k[2]] for k in foreign]
    whole, divided = (_average([rows[k]["value"] for k in foreign]) for rows in (first, second))
    difference = _average(ends)
    gain = None
    if arm != "none" and base is not None and difference is not None:
        gain = difference - base
    spread, seeds = _spread([_over(rows, arm, target) for rows in by_seed.values()])
    return Pair(
        arm, target, whole, divided, difference, min(ends, default=None), max(ends, default=None),
        differences.get(ENGLISH), gain, spread, seeds, differences,
        tuple(dict.fromkeys(rows[k]["stage"] for rows in (first, second) for k in both)),
    )  # fmt: skip


def _mean(arm: str, pairs: Sequence[Pair], by_seed: Mapping[int, Scores]) -> list[Pair]:
    """Return the mean over the fine-tuned targets of an arm, where there are several."""
    known = [pair for pair in pairs if pair.difference is not None]
    if len(known) < 2:
        return []
    each = [[_over(rows, arm, pair.target) for pair in known] for rows in by_seed.values()]
    means = [_average(values) for values in each]
    spread, seeds = _spread(means)
    gains = [pair.gain for pair in known]
    ends = [pair.difference for pair in known if pair.difference is not None]
    english = [pair.english for pair in known if pair.english is not None]
    return [
        Pair(
            arm, ALL, _average([p.whole for p in known]), _average([p.divided for p in known]),
            _average(ends), None, None, _average(english), _average(gains), spread, seeds, {},
        )
    ]  # fmt: skip


def _over(scores: Scores, arm: str, target: str) -> float | None:
    """Return the mean over the languages but English of an arm and target."""
    own = [r["value"] for k, r in scores.items() if k[:2] == (arm, target) and k[2] != ENGLISH]
    return _average(own)


def _average(values: Sequence[float | None]) -> float | None:
    """Return the mean; None where a value is missing, or there are none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _spread(means: Sequence[float | None]) -> tuple[float | None, int]:
    """Return the standard deviation of the seeds' means, and how many seeds have one."""
    known = [value for value in means if value is not None]
    return (statistics.stdev(known) if len(known) > 1 else None), len(known)
