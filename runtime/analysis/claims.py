"""Claims judged by scores: each gets an estimate of its own part of them, and a verdict word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import polars as pl

from runtime.analysis import contrasts, slopes
from runtime.analysis.contrasts import Contrast
from runtime.analysis.estimands import View, filled, label, look
from runtime.analysis.estimate import Average, Estimand, Estimate, Level
from runtime.analysis.grid import DIRECT, Bools, Floats, build, rescale
from runtime.analysis.languages import Facts, group_of
from runtime.analysis.series import one_series

Verdict = Literal["replicated", "contradicted", "inconclusive", "not testable here"]
REPLICATED: Verdict = "replicated"
CONTRADICTED: Verdict = "contradicted"
UNDECIDED: Verdict = "inconclusive"
UNTESTABLE: Verdict = "not testable here"
LEVELS: tuple[Level, ...] = ("L1", "L2", "L3")


@dataclass(frozen=True, slots=True)
class Subset:
    """The part of the scores that an estimate is about; an empty tuple takes all."""

    models: tuple[str, ...] = ()
    intermediates: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    languages: str | tuple[str, ...] = "all"
    against: tuple[str, ...] = ()
    average: Average = "zero_shot"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A claim as the study states it, the verdict, and the estimate that it rests on.

    ``covered`` says whether the 95 % interval holds the published value; None where either lacks.
    """

    claim: Mapping[str, Any]
    verdict: Verdict
    reason: str
    estimate: Estimate | None = None
    covered: bool | None = None


def judge_claims(
    scores: pl.DataFrame,
    claims: Sequence[Mapping[str, Any]],
    analysis: Mapping[str, Any],
    facts: Facts,
) -> tuple[Judgement, ...]:
    """Judge each claim by the scores, which are of one study or of one published series."""
    return tuple(_judged(scores, claim, analysis, facts) for claim in claims)


def verdict(direction: str, e: Estimate, margin: float | None) -> tuple[Verdict, str]:
    """Return the verdict on a claim, and why, from an estimate and its intervals.

    Of a claim with a sign: replicated when the whole 95 % interval has that sign, contradicted when
    it has the other one, else inconclusive. Of the claim that there is no difference: replicated
    when the 90 % interval lies within the margin (both one-sided tests at 5 %, Schuirmann 1987),
    contradicted when the 95 % interval lies outside the margin, else inconclusive. An interval that
    holds zero never replicates nor contradicts a sign: that would read noise as an answer. Whether
    the published value lies in the interval does not enter: it is another question.
    """
    if e.lo is None or e.hi is None or e.lo90 is None or e.hi90 is None:
        return UNTESTABLE, e.reason or f"there is no interval at {e.level}"
    if direction == "none":
        assert margin is not None  # the study's own check
        if -margin < e.lo90 and e.hi90 < margin:
            return REPLICATED, "the 90 % interval lies within the margin"
        if e.lo > margin or e.hi < -margin:
            return CONTRADICTED, "the 95 % interval lies outside the margin"
        return UNDECIDED, "the interval reaches beyond the margin"
    sign = 1.0 if direction == "positive" else -1.0
    low, high = sorted((sign * e.lo, sign * e.hi))
    if low > 0:
        return REPLICATED, "the whole 95 % interval has the claimed sign"
    if high < 0:
        return CONTRADICTED, "the whole 95 % interval has the opposite sign"
    return UNDECIDED, "the 95 % interval holds zero"


def estimates(
    scores: pl.DataFrame,
    subset: Subset,
    analysis: Mapping[str, Any],
    facts: Facts,
    wanted: Sequence[str],
) -> Iterator[Estimate]:
    """Yield estimates of a part of the scores, by the same contrasts as the study's own.

    ``gain`` is yielded for each size and, as the mean over sizes with model ``*``, for all;
    ``difference`` only of two sizes. All levels are yielded that an estimand can have.
    """
    one_series(scores)
    view = _view(scores, subset, analysis, facts)
    if view is None:
        return
    languages = contrasts.spoken(view.grid, subset.average)
    cases = _cases(view, subset.intermediates)
    gain = contrasts.gain(cases, languages)
    count = len(view.grid.models)
    line = view.line
    name = subset.intermediates[0] if len(subset.intermediates) == 1 else "*"
    for estimand in wanted:
        if estimand == "gain":
            for i, model in enumerate(view.grid.models):
                at = np.eye(count)[i]
                yield from _measured(view, gain, at, "gain", subset, name, model)
            yield from _measured(view, gain, np.full(count, 1.0 / count), "gain", subset, name)
        elif estimand == "arm_difference":
            contrast = between(view, subset, languages)
            words = " - ".join(
                " + ".join(names) for names in (subset.intermediates, subset.against)
            )
            weights = np.full(count, 1.0 / count)
            yield from _measured(view, contrast, weights, "arm_difference", subset, words)
        elif line is not None and (estimand == "slope" or count == 2):
            size = line.weights if estimand == "slope" else np.sign(line.weights)
            which: Estimand = "slope" if estimand == "slope" else "difference"
            yield from _measured(view, gain, size, which, subset, name, line=line)


def between(view: View, subset: Subset, languages: Bools) -> Contrast:
    """Return the mean score of some arms minus that of others, over tasks that all of them have.

    Tasks that are missing after one arm, as its self-pairs are, are left out after all: otherwise
    arms would be compared on different tasks.
    """
    arms = view.grid.arms[1:]
    groups = [
        np.asarray([name in names for name in arms])
        for names in (subset.intermediates, subset.against)
    ]
    either = groups[0] | groups[1]
    common = view.cases[either].all(axis=0) & languages
    halves = [contrasts.shares(np.where(g[:, None, None], common[None], False)) for g in groups]
    weights = halves[0] - halves[1]
    return Contrast(np.concatenate([np.zeros_like(weights[:1]), weights]), halves[0].sum(axis=0))


def _judged(
    scores: pl.DataFrame, claim: Mapping[str, Any], analysis: Mapping[str, Any], facts: Facts
) -> Judgement:
    if claim["untestable"]:
        return Judgement(claim, UNTESTABLE, str(claim["untestable"]))
    of = claim["of"]
    languages = of["languages"]
    subset = Subset(
        tuple(of["models"]), tuple(of["intermediates"]), tuple(of["targets"]),
        languages if isinstance(languages, str) else tuple(languages),
        tuple(claim["against"]), claim["average"],
    )  # fmt: skip
    absent = _absent(scores, subset)
    if absent:
        return Judgement(claim, UNTESTABLE, absent)
    found = [
        e
        for e in estimates(scores, subset, analysis, facts, (claim["estimand"],))
        if e.level == claim["level"] and e.model == "*"
    ]
    if not found:
        return Judgement(claim, UNTESTABLE, _lacking(claim["estimand"], claim["level"]))
    (e,) = found
    word, reason = verdict(claim["direction"], e, claim["margin"])
    published = claim["value"]
    covered = None
    if published is not None and e.lo is not None and e.hi is not None:
        covered = bool(e.lo <= published <= e.hi)
    return Judgement(claim, word, reason, e, covered)


def _lacking(estimand: str, level: str) -> str:
    if estimand in ("gain", "arm_difference") and level == "L3":
        return "L3 needs a line over sizes, which this estimand has none of"
    two = estimand == "difference"
    return f"no scores of both arms at {'exactly two sizes' if two else 'the sizes it is about'}"


def _absent(scores: pl.DataFrame, subset: Subset) -> str:
    """Say what a claim names that the scores do not have; '' when nothing."""
    parts = (
        ("model", "model", subset.models),
        ("arm", "intermediate", (*subset.intermediates, *subset.against)),
        ("target", "target", subset.targets),
    )
    lacking = [
        f"{word} {name}"
        for column, word, names in parts
        for name in names
        if name not in set(scores[column].unique().to_list())
    ]
    return f"the study has no {', no '.join(lacking)}" if lacking else ""


def _view(
    scores: pl.DataFrame, subset: Subset, analysis: Mapping[str, Any], facts: Facts
) -> View | None:
    """Return the view of a part of the scores; None when nothing is left of it."""
    good = ["finished"] + ([] if analysis.get("degenerate") == "exclude" else ["degenerate"])
    frame = scores.filter(pl.col("status").is_in(good) & pl.col("value").is_finite())
    arms = (*subset.intermediates, *subset.against)
    for column, names in (
        ("model", subset.models), ("target", subset.targets),
        ("arm", (DIRECT, *arms) if arms else ()),
    ):  # fmt: skip
        if names:
            frame = frame.filter(pl.col(column).is_in(list(names)))
    if subset.languages != "all":
        codes = frame["language"].unique().to_list()
        kept = (
            [code for code in codes if group_of(facts, code, "seen") == subset.languages]
            if isinstance(subset.languages, str)
            else list(subset.languages)
        )
        frame = frame.filter(pl.col("language").is_in(kept))
    if frame.is_empty() or DIRECT not in frame["arm"].unique().to_list():
        return None
    shared = bool((frame["panel"] == "retrieval").any())
    grid = build(frame, shared_runs=shared)
    if len(grid.arms) < 2:
        return None
    axis = str(analysis.get("size_axis", "non_embedding"))
    view = look(grid, "trained", "claim", axis, None)
    return view if view.grid.models and view.cases.any() else None


def _cases(view: View, intermediates: tuple[str, ...]) -> Bools:
    """Return the cases of the arms that are named, or of those of the primary estimate."""
    if not intermediates:
        return view.counted
    named = np.asarray([arm in intermediates for arm in view.grid.arms[1:]])
    return np.asarray(view.cases & named[:, None, None])


def _measured(
    view: View,
    contrast: Contrast,
    size: Floats,
    estimand: Estimand,
    subset: Subset,
    arm: str,
    model: str = "*",
    line: slopes.Line | None = None,
) -> Iterator[Estimate]:
    levels = LEVELS if line is not None else LEVELS[:2]
    found = slopes.measure(
        contrast, size, view.means, *rescale(view.means.mean, view.grid, "points"),
        shared_runs=view.grid.shared_runs, line=line, levels=levels,
    )  # fmt: skip
    named = replace(label(view, estimand, "points", subset.average, arm), model=model)
    for level, spread in found.spreads.items():
        floors = (found.spreads["L2"],) if level == "L3" else ()
        yield filled(
            replace(named, level=level), found.value, spread, floors, n_tasks=found.tasks,
            n_languages=found.languages, n_sizes=found.sizes, n_seeds=found.seeds,
            n_runs=found.runs,
        )  # fmt: skip
