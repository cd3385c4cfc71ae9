"""The estimands: every gain, score, slope and gap of one view of a panel, as estimates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from runtime.analysis import contrasts, slopes
from runtime.analysis.contrasts import Contrast
from runtime.analysis.estimate import (
    NOT_ESTIMABLE,
    Average,
    Estimand,
    Estimate,
    Level,
    Scale,
    judge,
)
from runtime.analysis.grid import Bools, Floats, Grid, Means, average_seeds, rescale, take
from runtime.analysis.intervals import Spread, t_interval

SCALES: tuple[Scale, ...] = ("points", "log_error_ratio", "chance_corrected")
AVERAGES: tuple[Average, ...] = ("zero_shot", "xtreme", "english")


@dataclass(frozen=True, slots=True)
class View:
    """One way to look at a panel: which sizes, which cases, which axis, and the seed means."""

    panel: str
    variant: str
    axis: str
    margin: float | None
    grid: Grid
    means: Means
    cases: Bools
    note: str = ""

    @property
    def counted(self) -> Bools:
        """The cases of the arms that an average over arms includes."""
        aside = self.grid.aside
        return self.cases if aside is None else self.cases & ~aside[1:, :, None]

    @property
    def line(self) -> slopes.Line | None:
        """The weights of a slope over the sizes."""
        return slopes.fit(self.grid.size(self.axis), self.grid.families)


def look(
    grid: Grid,
    panel: str,
    variant: str,
    axis: str,
    margin: float | None,
    *,
    self_pairs: bool = False,
    shared_text: bool = True,
    note: str = "",
    like: View | None = None,
) -> View:
    """Return a view of a panel: its complete cases, without self-pairs unless they are wanted.

    ``like`` is another view, whose seed means are taken over where it is of the same scores.
    """
    allowed = np.ones_like(grid.self_pair)
    if not self_pairs:
        allowed &= ~grid.self_pair
    if not shared_text:
        allowed &= ~grid.shared_text
    active = take(grid, active_sizes(grid))
    known = like is not None and like.grid.scores is active.scores
    means = like.means if like is not None and known else average_seeds(active.scores)
    cases = contrasts.available(active, means, allowed)
    return View(panel, variant, axis, margin, active, means, cases, note)


def active_sizes(grid: Grid) -> Bools:
    """Return the sizes that have any score of the direct arm; the others cannot be compared."""
    return np.asarray((~np.isnan(grid.scores[:, 0])).any(axis=(1, 2, 3)), dtype=np.bool_)


def primary(view: View) -> Iterator[Estimate]:
    """Yield every declared estimand of a panel, per arm and over the arms."""
    everyone = view.counted
    arms = [("*", everyone)] + [
        (name, contrasts.only(view.cases, i)) for i, name in enumerate(view.grid.arms[1:])
    ]
    scaled = {scale: rescale(view.means.mean, view.grid, scale) for scale in SCALES}
    for average in AVERAGES:
        languages = contrasts.spoken(view.grid, average)
        if not languages.any():
            continue
        vary = average != "english"
        for arm, cases in arms:
            gain = contrasts.gain(cases, languages, languages_vary=vary)
            for scale in SCALES:
                named = label(view, "gain", scale, average, arm)
                yield from sizes(view, gain, scaled[scale], named)
                yield from _slopes(view, gain, scaled[scale], replace(named, estimand="slope"))
            score = contrasts.score(cases, languages, direct=False, languages_vary=vary)
            named = label(view, "score", "points", average, arm)
            yield from sizes(view, score, scaled["points"], named)
        score = contrasts.score(everyone, languages, direct=True, languages_vary=vary)
        named = label(view, "score", "points", average, "none")
        yield from sizes(view, score, scaled["points"], named)
    for arm, cases in arms:
        for i, target in enumerate(view.grid.targets):
            gain = contrasts.gain(of_task(cases, i), contrasts.spoken(view.grid, "zero_shot"))
            if gain.empty:
                continue
            for scale in SCALES:
                named = replace(label(view, "task_slope", scale, "zero_shot", arm), target=target)
                yield from _slopes(view, gain, scaled[scale], named, ("L1",))
        gap = contrasts.english_gap(cases, view.grid.languages)
        if gap is None:
            continue
        for scale in SCALES:
            named = label(view, "english_gap_change", scale, "zero_shot", arm)
            yield from sizes(view, gap, scaled[scale], named)
            yield from _slopes(view, gap, scaled[scale], named)


def sensitivity(view: View, grid: Grid, rest: Grid, rest_name: str) -> Iterator[Estimate]:
    """Yield the pooled zero-shot slope in points under every other choice that could be made."""
    axis, margin, panel = view.axis, view.margin, view.panel
    turned = "non_embedding" if axis == "total" else "total"
    pairs = "" if grid.self_pair[1:].any() else "there are no self-pairs"
    text = "" if grid.shared_text[1:].any() else "no pair shares text"
    views = [
        look(grid, panel, f"{turned}_parameters", turned, margin, like=view),
        look(grid, panel, "with_self_pairs", axis, margin, self_pairs=True, note=pairs, like=view),
        look(
            grid,
            panel,
            "without_shared_text",
            axis,
            margin,
            shared_text=False,
            note=text,
            like=view,
        ),
    ]
    for i, target in enumerate(grid.targets):
        if view.counted[:, i].any() and view.counted.any(axis=(0, 2)).sum() > 1:
            cases = view.cases.copy()
            cases[:, i] = False
            views.append(replace(view, variant=f"without_task:{target}", cases=cases))
    for i, model in enumerate(grid.models):
        if model in view.grid.models and len(view.grid.models) > 2:
            without = take(grid, np.arange(len(grid.models)) != i)
            views.append(look(without, panel, f"without_size:{model}", axis, margin))
    same = rest is grid or np.array_equal(grid.scores, rest.scores, equal_nan=True)
    note = "there are no degenerate runs" if same else ""
    every = grid if same else rest
    views.append(look(every, panel, rest_name, axis, margin, note=note, like=view))
    for each in views:
        yield from pooled(each)
    yield from average_gains(views[-1])
    if not grid.shared_runs:
        joined = replace(view.grid, shared_runs=True)
        note = "one intermediate checkpoint serves every target: runs of an arm and seed are one"
        each = replace(view, variant="seeds_across_tasks", grid=joined, note=note)
        yield from pooled(each, ("L1",))


def pooled(view: View, levels: tuple[Level, ...] = ("L1", "L2", "L3")) -> Iterator[Estimate]:
    """Yield the slope of the zero-shot gain in points, pooled over tasks and arms."""
    gain = contrasts.gain(view.counted, contrasts.spoken(view.grid, "zero_shot"))
    scaled = rescale(view.means.mean, view.grid, "points")
    named = label(view, "slope", "points", "zero_shot", "*")
    found = _slopes(view, gain, scaled, named, levels)
    yield from (e for e in found if e.estimand == "slope")


def average_gains(view: View) -> Iterator[Estimate]:
    """Yield the zero-shot gain in points at every size with other runs counted."""
    gain = contrasts.gain(view.counted, contrasts.spoken(view.grid, "zero_shot"))
    scaled = rescale(view.means.mean, view.grid, "points")
    yield from sizes(view, gain, scaled, label(view, "run_gain", "points", "zero_shot", "*"))


def sizes(
    view: View, contrast: Contrast, scaled: tuple[Floats, Floats], named: Estimate
) -> Iterator[Estimate]:
    """Yield a contrast at every size, at the levels that one size can have."""
    for i, model in enumerate(view.grid.models):
        at = np.zeros(len(view.grid.models))
        at[i] = 1.0
        found = slopes.measure(contrast, at, view.means, *scaled, shared_runs=view.grid.shared_runs)
        yield from _conclude(replace(named, model=model), found, None, view.note)


def _slopes(
    view: View,
    contrast: Contrast,
    scaled: tuple[Floats, Floats],
    named: Estimate,
    levels: tuple[Level, ...] = ("L1", "L2", "L3"),
) -> Iterator[Estimate]:
    """Yield the slope of a contrast over sizes, and the difference when there are just two."""
    line = view.line
    shared = view.grid.shared_runs
    margin = view.margin if named.scale == "points" and named.estimand == "slope" else None
    if line is None:
        found = slopes.no_line(levels)
    else:
        found = slopes.measure(
            contrast, line.weights, view.means, *scaled,
            shared_runs=shared, line=line, levels=levels,
        )  # fmt: skip
    if line and named.estimand == "slope" and len(view.grid.models) == 2:
        step = np.sign(line.weights)
        pair = slopes.measure(
            contrast, step, view.means, *scaled, shared_runs=shared, line=line, levels=levels
        )
        yield from _conclude(replace(named, estimand="difference"), pair, None, view.note)
    yield from _conclude(named, found, margin, view.note)


def _conclude(
    named: Estimate, found: slopes.Measured, margin: float | None, note: str
) -> Iterator[Estimate]:
    """Turn a measured contrast into one estimate per level."""
    for level, spread in found.spreads.items():
        wider = (found.spreads["L2"],) if level == "L3" else ()
        yield filled(
            replace(named, level=level, reason=note),
            found.value,
            spread,
            wider,
            margin=margin,
            n_tasks=found.tasks,
            n_languages=found.languages,
            n_sizes=found.sizes,
            n_seeds=found.seeds,
            n_runs=found.runs,
        )


def filled(
    named: Estimate,
    value: float | None,
    spread: Spread,
    floors: Sequence[Spread] = (),
    *,
    margin: float | None = None,
    **counts: Any,
) -> Estimate:
    """Put a value and its interval into an estimate that has its names; slopes get a verdict.

    ``floors`` are spreads that the interval is never narrower than; ``counts`` are other fields.
    The reason that the estimate has already comes first.
    """
    interval = None if value is None else t_interval(value, spread, floors)
    verdict, caveats = "", [named.reason, spread.reason]
    if named.estimand == "slope":
        verdict = NOT_ESTIMABLE
        if interval is not None:
            verdict, about = judge(
                (interval.lo, interval.hi), (interval.lo90, interval.hi90), margin
            )
            caveats += [about] if named.scale == "points" else []
    tested = interval is not None and named.estimand != "score"
    return replace(
        named,
        estimate=value,
        se=interval.se if interval else None,
        df=interval.df if interval else None,
        lo=interval.lo if interval else None,
        hi=interval.hi if interval else None,
        lo90=interval.lo90 if interval else None,
        hi90=interval.hi90 if interval else None,
        p=interval.p if interval and tested else None,
        verdict=verdict,
        reason="; ".join(x for x in caveats if x),
        method=spread.method,
        margin=margin,
        **counts,
    )


def of_task(cases: Bools, task: int) -> Bools:
    """Keep the cases of one task."""
    kept = np.zeros_like(cases)
    kept[:, task] = cases[:, task]
    return kept


def by_cell(view: View, contrast: Contrast, size: Floats) -> Floats:
    """Return a contrast in points cell by cell (target x language), NaN where there is none."""
    parts = contrasts.contributions(contrast, size, view.means.mean)
    share = contrast.share
    return np.where(share > 0.0, parts / np.where(share > 0.0, share, 1.0), np.nan)


def label(view: View, estimand: Estimand, scale: Scale, average: Average, arm: str) -> Estimate:
    """Return an estimate that has its names and no numbers yet; its level is set with them."""
    return Estimate(
        estimand, "L1", scale, average, view.panel, arm, "*", "*", view.axis, view.variant
    )
