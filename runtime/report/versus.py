"""Sets two reports side by side: estimates, verdicts, and the scores and stages that differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from compiler.diff import Change, Difference, compare, differing
from compiler.plan import Plan
from runtime.analysis.analyse import headline_sentence
from runtime.analysis.estimate import LEVELS, NOT_ESTIMABLE, Estimate, Findings
from runtime.analysis.steps import PLACE, Step, steps
from runtime.coding import spelled
from runtime.report.tables import CAP, Cell, Table, figure, short, words
from runtime.report.views import Names, names, pooled_slope
from runtime.report.wording import counted, number, parameters, score

SCHEMA = "stiltscale/comparison/1"
KEY = (
    "estimand", "level", "scale", "average", "panel", "arm", "model", "target", "axis", "variant",
    "subset",
)  # fmt: skip
"""What makes two estimates of two studies the same estimate."""

SHOWN = ("slope", "difference", "gain", "task_slope", "english_gap_change")


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: what it is called, its plan, and what it found."""

    label: str
    plan: Plan
    findings: Findings


@dataclass(frozen=True, slots=True)
class Versus:
    """All that a comparison says; ``why`` are sentences, ``scores`` has a row for each place."""

    sides: tuple[Side, Side]
    steps: tuple[Step, ...]
    why: tuple[str, ...]
    scores: pl.DataFrame
    stages: Difference

    def counts(self) -> dict[str, int]:
        """Count the scores that both have, alike or not, and those of one only."""
        which = Counter(self.scores["how"].to_list())
        return {how: which[how] for how in HOW}


HOW = ("same", "changed", "only first", "only second", "neither")


def versus(first: Side, second: Side) -> Versus:
    """Compare two findings; the same inputs give the same result."""
    plans = (first.plan.study["analysis"], second.plan.study["analysis"])
    way = tuple(steps(first.findings.scores, second.findings.scores, plans))
    scores = _scores(spelled(first.findings.scores), spelled(second.findings.scores))
    changes = differing(*plans)
    why = tuple(_why(first, second, way, scores, changes))
    return Versus((first, second), way, why, scores, compare(first.plan, second.plan))


def context(found: Versus) -> dict[str, Any]:
    """Return what the page shows: titles, sentences and tables."""
    first, second = found.sides
    return {
        "title": f"{first.label} against {second.label}",
        "sides": [
            {"label": s.label, "question": str(s.plan.study.get("question", "")),
             "sentence": headline_sentence(s.findings)} for s in found.sides
        ],
        "why": found.why,
        "levels": _levels(found),
        "steps": _steps(found),
        "estimates": _estimates(found),
        "design": _design(found),
        "settings": _settings(found),
        "counts": _counted(found),
        "statuses": _statuses(found),
        "changed": _changed(found),
        "stages": _stages(found),
        "causes": _causes(found),
    }  # fmt: skip


def pairs(found: Versus) -> Iterator[tuple[Estimate | None, Estimate | None]]:
    """Yield every estimate with its twin of the other study, or None; in the order of the first."""
    first, second = (
        {tuple(getattr(e, n) for n in KEY): e for e in s.findings.estimates} for s in found.sides
    )
    for key in dict.fromkeys((*first, *second)):
        yield first.get(key), second.get(key)


def change(one: Estimate | None, other: Estimate | None) -> float | None:
    """Return the second estimate minus the first, where there are both."""
    if one is None or other is None or one.estimate is None or other.estimate is None:
        return None
    return other.estimate - one.estimate


def _why(
    first: Side, second: Side, way: Sequence[Step], scores: pl.DataFrame, plan: Sequence[Change]
) -> Iterator[str]:
    """Yield why the slope and its verdict differ, in sentences."""
    for level in LEVELS:
        one, other = (pooled_slope(s.findings, level) for s in (first, second))
        before, after = (e.verdict if e else NOT_ESTIMABLE for e in (one, other))
        if before == after:
            yield f"At {level} both say the same: {before}."
        else:
            yield f"At {level} the verdict is {before} in the first and {after} in the second."
    counts = Counter(scores["how"].to_list())
    if counts["same"] == scores.height - counts["neither"] and not plan:
        yield "Both rest on the same scores, value by value, and on the same analysis plan."
        return
    yield (
        f"{counted(counts['same'], 'score')} of both have the same value, {counts['changed']} have "
        f"another; {counts['only first']} are in the first only and {counts['only second']} in the "
        "second only."
    )
    told = (
        "leaving out the scores that only the first has",
        "taking the values of the second" + (" and analysis plan" if plan else ""),
        "adding the scores that only the second has",
    )
    head = first.findings.headline.level
    slopes = [step.levels.get(head) for step in way]
    if any(e is None or e.estimate is None for e in slopes):
        reason = next((e.reason for e in slopes if e and e.estimate is None), "no scores")
        yield f"The difference cannot be taken apart: on the way there is no slope ({reason})."
        return
    for what, one, other in zip(told, slopes, slopes[1:], strict=False):
        if one is not None and other is not None:
            turned = "" if one.verdict == other.verdict else f", and the verdict: {other.verdict}"
            yield f"At {head}, {what} changes the slope by {number(change(one, other))}{turned}."


def _scores(one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """Return every place of both with its values, states and stages, and how they compare."""
    kept = (*PLACE, "value", "status", "reason", "stage")
    joined = one.select(kept).join(
        other.select(kept), on=PLACE, how="full", coalesce=True, suffix="_second",
        maintain_order="left_right",
    )  # fmt: skip
    mine, theirs = pl.col("value").is_not_null(), pl.col("value_second").is_not_null()
    alike = (pl.col("value") == pl.col("value_second")) & (
        pl.col("status") == pl.col("status_second")
    )
    how = (
        pl.when(mine & theirs & alike).then(pl.lit("same"))
        .when(mine & theirs).then(pl.lit("changed"))
        .when(mine).then(pl.lit("only first"))
        .when(theirs).then(pl.lit("only second"))
        .otherwise(pl.lit("neither"))
    )  # fmt: skip
    return joined.with_columns(how.alias("how"))


def _levels(found: Versus) -> Table:
    rows = []
    for level, meaning in LEVELS.items():
        one, other = (pooled_slope(s.findings, level) for s in found.sides)
        rows.append(
            (
                Cell(level, meaning),
                *_slope(one), Cell(one.verdict if one else NOT_ESTIMABLE),
                *_slope(other), Cell(other.verdict if other else NOT_ESTIMABLE),
                figure(change(one, other)),
            )
        )  # fmt: skip
    head = (
        "Level: generalises to", "First: slope", "95 % interval, df", "Verdict",
        "Second: slope", "95 % interval, df", "Verdict", "Second minus first",
    )  # fmt: skip
    return Table("Slope of the gain, points per tenfold parameters", head, tuple(rows))


def _slope(e: Estimate | None) -> tuple[Cell, Cell]:
    return figure(e.estimate if e else None), short(e)


def _steps(found: Versus) -> Table:
    head = found.sides[0].findings.headline.level
    rows, last = [], None
    for step in found.steps:
        e = step.levels.get(head)
        moved = change(last, e)
        rows.append(
            (
                Cell(step.what), *_slope(e), Cell(e.verdict if e else NOT_ESTIMABLE),
                Cell("" if moved is None else number(moved), numeric=True),
                Cell(f"{counted(e.n_sizes, 'size')}, {counted(e.n_tasks, 'task')}" if e else ""),
            )
        )  # fmt: skip
        last = e
    names = ("Step", "Slope", "95 % interval, df", "Verdict", "Change", "Rests on")
    return Table(f"From the first slope to the second, level {head}", names, tuple(rows))


def _estimates(found: Versus) -> Table:
    called = [names(s.plan) for s in found.sides]
    rows = []
    for one, other in pairs(found):
        e = one or other
        if e is None or e.estimand not in SHOWN or e.scale != "points" or e.variant != "primary":
            continue
        if all(x is None or x.estimate is None for x in (one, other)):
            continue
        if e.panel != "trained" or e.average != "zero_shot" or e.level == "L3":
            continue
        rows.append(
            (
                Cell(e.estimand.replace("_", " ").capitalize(), e.level),
                Cell(*_subject(e, called)),
                *_slope(one), *_slope(other), figure(change(one, other)),
            )
        )  # fmt: skip
    head = (
        "Estimate", "Of", "First", "95 % interval, df", "Second", "95 % interval, df",
        "Second minus first",
    )  # fmt: skip
    return Table(
        "Estimates side by side, points, zero-shot", head, tuple(rows[:CAP]), stubs=2,
        whole=len(rows), file="comparison.json",
    )  # fmt: skip


def _subject(e: Estimate, called: Sequence[Names]) -> tuple[str, str]:
    arm = next((n.arm(e.arm) for n in called if e.arm in n.arms), called[0].arm(e.arm))
    parts = [
        next((n.tasks[e.target] for n in called if e.target in n.tasks), ""),
        next(
            (f"{n.models[e.model]}, {parameters(n.sizes[e.model])}"
             for n in called if e.model in n.models), "",
        ),
    ]  # fmt: skip
    return arm, "; ".join(filter(None, parts))


def _design(found: Versus) -> Table:
    rows = [
        words(what, ", ".join(map(str, sides["dropped"])), ", ".join(map(str, sides["added"])))
        for what, sides in found.stages.design.items()
        if sides["dropped"] or sides["added"]
    ]
    return Table("What only one of the two studies has", ("What", "First only", "Second only"),
                 tuple(rows))  # fmt: skip


def _settings(found: Versus) -> Table:
    changes = found.stages.settings
    rows = tuple(words(c.field, _said(c.old), _said(c.new)) for c in changes[:CAP])
    return Table("Settings that differ", ("Setting", "First", "Second"), rows, whole=len(changes),
                 file="comparison.json")  # fmt: skip


def _counted(found: Versus) -> Table:
    meaning = {
        "same": "in both, with the same value and status",
        "changed": "in both, with another value or status",
        "only first": "only the first has a value",
        "only second": "only the second has a value",
        "neither": "planned, without a value in either",
    }
    counts = found.counts()
    rows = tuple(
        (Cell(meaning[how]), Cell(f"{counts[how]:,}", numeric=True)) for how in HOW if counts[how]
    )
    return Table("Scores, place by place", ("Scores", "Number"), rows)


def _statuses(found: Versus) -> Table:
    gaps = (
        found.scores.filter(pl.col("status").fill_null("") != pl.col("status_second").fill_null(""))
        .with_columns(pl.col("status", "status_second").fill_null("not planned"))
        .group_by("status", "status_second", "reason", "reason_second", maintain_order=True)
        .agg(pl.len(), pl.col("target").unique(maintain_order=True))
    )
    rows = tuple(
        (
            Cell(r["status"], r["reason"] or ""),
            Cell(r["status_second"], r["reason_second"] or ""),
            Cell(str(r["len"]), numeric=True), Cell(", ".join(r["target"])),
        )
        for r in gaps.head(CAP).to_dicts()
    )  # fmt: skip
    head = ("First", "Second", "Scores", "Targets")
    return Table("Scores whose status differs, and why", head, rows, stubs=2, whole=gaps.height,
                 file="comparison-scores.parquet")  # fmt: skip


def _changed(found: Versus) -> Table:
    changed = found.scores.filter(pl.col("how") == "changed")
    moved = (pl.col("value_second") - pl.col("value")).alias("moved")
    changed = changed.with_columns(moved).sort(
        pl.col("moved").abs(), descending=True, maintain_order=True
    )
    rows = tuple(
        (
            *words(r["model"], r["arm"], r["target"], r["language"], str(r["seed"])),
            Cell(score(r["value"]), title=r["stage"], numeric=True),
            Cell(score(r["value_second"]), title=r["stage_second"], numeric=True),
            figure(r["moved"]),
            Cell("the same" if r["stage"] == r["stage_second"] else "another"),
        )
        for r in changed.head(CAP).to_dicts()
    )
    head = ("Size", "Arm", "Target", "Lang.", "Seed", "First", "Second", "Change", "Stage")
    return Table("Scores that differ, the largest change first", head, rows, stubs=5,
                 whole=changed.height, file="comparison-scores.parquet")  # fmt: skip


def _stages(found: Versus) -> Table:
    sides = [s.plan.stages for s in found.sides]
    kinds = dict.fromkeys(stage.kind for stages in sides for stage in stages.values())
    diff = found.stages
    former = [pair.old for pair in diff.rekeyed]
    tally = {
        name: Counter(stages[key].kind for key in keys)
        for name, stages, keys in (
            ("both", sides[1], diff.kept), ("first", sides[0], diff.dropped),
            ("second", sides[1], diff.added), ("another", sides[0], former),
        )
    }  # fmt: skip
    rows = tuple(
        (Cell(kind), *(Cell(str(count[kind]), numeric=True) for count in tally.values()))
        for kind in kinds
    )
    head = ("Stages", "In both", "First only", "Second only", "Of another key")
    return Table("Stages of the two plans", head, rows)


def _causes(found: Versus) -> Table:
    rows = tuple(
        (
            Cell(cause.kind, cause.task),
            Cell("; ".join(f"{c.field}: {_said(c.old)} → {_said(c.new)}" for c in cause.changes)),
            Cell(str(cause.stages), numeric=True), Cell(str(cause.followers), numeric=True),
        )
        for cause in found.stages.causes
    )  # fmt: skip
    head = ("Stages", "What differs", "Stages", "Stages that read those")
    return Table("Why stages have another key", head, rows)


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_said(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_said(v) for v in value)
    return "none" if value is None else str(value)
