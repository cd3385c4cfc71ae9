"""Robustness: the headline slope by other estimators, and how far one item moves it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from runtime.analysis import contrasts, slopes
from runtime.analysis.bootstrap import cluster_bootstrap
from runtime.analysis.centre import centre
from runtime.analysis.contrasts import Contrast
from runtime.analysis.equivalence import equivalence
from runtime.analysis.estimands import View, by_cell, filled, label, of_task, pooled
from runtime.analysis.estimate import NOT_ESTIMABLE, Estimate, judge
from runtime.analysis.families import over_families
from runtime.analysis.grid import Bools, Floats
from runtime.analysis.heterogeneity import Method
from runtime.analysis.influence import Influence, leave_one_out
from runtime.analysis.intervals import Spread
from runtime.analysis.metaanalysis import pool, tau
from runtime.analysis.permutation import permute_sizes, sign_flip

METHODS: tuple[Method, ...] = ("REML", "PM", "DL")


@dataclass(frozen=True, slots=True)
class Task:
    """The slope of one task, and its variance over new seeds, None where there is one seed."""

    name: str
    slope: float
    variance: float | None


def alternatives(view: View) -> Iterator[Estimate]:
    """Yield the pooled slope of the zero-shot gain in points by every other estimator."""
    gain = contrasts.gain(view.counted, contrasts.spoken(view.grid, "zero_shot"))
    line = view.line
    if gain.empty or line is None:
        return
    tasks = task_slopes(view, gain, line)
    named = replace(
        label(view, "slope", "points", "zero_shot", "*"),
        level="L2",
        n_tasks=len(tasks),
        n_languages=int(gain.share.any(axis=0).sum()),
        n_sizes=int(np.any(line.families, axis=0).sum()),
    )
    b = [task.slope for task in tasks]
    yield _over_tasks(named, b, view.margin)
    yield from _random_effects(named, tasks, view.margin)
    yield _bootstrapped(named, b, view.margin)
    flipped = sign_flip(b)
    method = "exact sign flips of task slopes"
    yield _tested(named, "sign_flip", float(np.mean(b)), flipped.p, flipped.reason, method)
    at_sizes = np.einsum("atl,matl->m", gain.weights, view.means.mean, optimize=True)
    order = permute_sizes(at_sizes, line.x, view.grid.families)
    method = "permutation of the sizes within families"
    slope = float(line.weights @ at_sizes)
    yield _tested(
        replace(named, level="L3"), "permuted_sizes", slope, order.p, order.reason, method
    )
    cells = by_cell(view, gain, line.weights)
    middle = centre(cells, np.where(gain.share > 0, gain.share, 0.0))
    for variant, value in (("median_of_cells", middle.median), ("iqm_of_cells", middle.iqm)):
        gone = Spread(None, None, variant.replace("_", " "), "a centre has no interval here")
        yield filled(replace(named, variant=variant), value, gone, margin=view.margin)
    yield from _common_languages(view, gain)
    yield from _families(view, gain, line, named)
    yield from _influences(view, gain, line, named)


def task_slopes(view: View, gain: Contrast, line: slopes.Line) -> list[Task]:
    """Return the slope of every task with its variance at L1."""
    zero_shot = contrasts.spoken(view.grid, "zero_shot")
    found = []
    for i in np.flatnonzero(gain.share.any(axis=1)):
        one = contrasts.gain(of_task(view.counted, int(i)), zero_shot)
        measured = slopes.measure(
            one, line.weights, view.means, view.means.mean, np.ones_like(view.means.mean),
            shared_runs=view.grid.shared_runs, line=line, levels=("L1",),
        )  # fmt: skip
        if measured.value is not None:
            variance = measured.spreads["L1"].variance
            found.append(Task(view.grid.targets[i], measured.value, variance))
    return found


def influence_of(estimates: Sequence[Estimate], head: Estimate, kind: str) -> Estimate | None:
    """Return the range of the headline slope when one task, or one size, at a time is left out."""
    found = {
        e.variant.partition(":")[2]: e.estimate
        for e in estimates
        if e.variant.startswith(f"without_{kind}:") and e.level == head.level
        and e.panel == head.panel and e.estimand == "slope"
    }  # fmt: skip
    known = {name: value for name, value in found.items() if value is not None}
    if head.estimate is None or not known:
        return None
    low, high = (choose(known, key=lambda name: known[name]) for choose in (min, max))
    signs = {np.sign(value) for value in known.values()} == {np.sign(head.estimate)}
    return _range(head, kind, (known[low], low), (known[high], high), signs)


def equivalences(estimates: Sequence[Estimate], head: Estimate) -> Iterator[Estimate]:
    """Yield the two one-sided tests of the headline slope at each level that has an interval.

    The estimate is the reach: the larger end of the 90 % interval in size, which margins declared
    beforehand have to exceed. Without a margin there is no p.
    """
    same = ("estimand", "scale", "average", "panel", "arm", "model", "target", "axis", "variant")
    levels = {
        e.level: e for e in estimates
        if all(getattr(e, name) == getattr(head, name) for name in same)
    }  # fmt: skip
    for level, e in levels.items():
        if e.se is None or e.df is None:
            continue
        wider = levels.get("L2") if level == "L3" else None
        floors = [_spread(wider)] if wider is not None and wider.se is not None else []
        found = equivalence(e.estimate, _spread(e), head.margin, floors)
        yield replace(
            e, estimand="equivalence", estimate=found.reach, p=found.p, lo90=found.lo90,
            hi90=found.hi90, lo=None, hi=None, verdict="", reason=found.reason,
            method="two one-sided tests (Schuirmann 1987)",
        )  # fmt: skip


def _spread(e: Estimate) -> Spread:
    return Spread(None if e.se is None else e.se**2, e.df, e.method, e.reason)


def _over_tasks(named: Estimate, b: Sequence[float], margin: float | None) -> Estimate:
    method = "t over task slopes, t(T - 1)"
    spread = Spread(None, None, method, "one task says nothing about new tasks")
    if len(b) > 1:
        spread = Spread(float(np.var(b, ddof=1)) / len(b), len(b) - 1.0, method)
    return filled(replace(named, variant="t_over_tasks"), float(np.mean(b)), spread, margin=margin)


def _random_effects(
    named: Estimate, tasks: Sequence[Task], margin: float | None
) -> Iterator[Estimate]:
    """Yield the random-effects mean by each estimator of tau, tau itself, and the prediction."""
    b = [task.slope for task in tasks]
    v = [float("nan") if task.variance is None else task.variance for task in tasks]
    unknown = sum(task.variance is None for task in tasks)
    lack = f"{unknown} of {len(tasks)} task slopes have no variance over seeds" if unknown else ""
    for method in METHODS:
        found = pool(b, v, method)
        variant = f"meta_{method.lower()}"
        for name, spread in ((variant, found.spread), (f"{variant}_guarded", found.guarded)):
            spread = replace(spread, reason=lack or spread.reason)
            yield filled(replace(named, variant=name), found.estimate, spread, margin=margin)
        spread_of = replace(named, estimand="tau", variant=variant, verdict="")
        if found.heterogeneity is None:
            yield replace(spread_of, reason=lack or found.reason)
            continue
        sd, lo, hi = tau(found.heterogeneity)
        h = found.heterogeneity
        about = f"Q {h.q:.2f} on {h.df} df, p {h.p:.3f}; I2 {100 * h.i2:.0f} %"
        yield replace(
            spread_of, estimate=sd, lo=lo, hi=hi, df=float(h.df), p=h.p,
            method=f"{method}, Q-profile interval",
            reason="; ".join(filter(None, (about, h.reason))),
        )  # fmt: skip
        if method == "REML":
            ahead = found.prediction
            yield replace(
                named, estimand="prediction", variant=variant, estimate=found.estimate,
                lo=ahead.lo if ahead else None, hi=ahead.hi if ahead else None,
                df=ahead.df if ahead else None, method="REML, Hartung-Knapp, t(T - 2)",
                reason="" if ahead else found.reason,
            )  # fmt: skip


def _bootstrapped(named: Estimate, b: Sequence[float], margin: float | None) -> Estimate:
    found = cluster_bootstrap(b)
    named = replace(
        named, variant="bootstrap", estimate=float(np.mean(b)), margin=margin,
        method=f"studentised bootstrap of tasks, {'all' if found.exact else 'random'} draws",
        verdict=NOT_ESTIMABLE, reason=found.reason,
    )  # fmt: skip
    if found.lo is None or found.hi is None or found.lo90 is None or found.hi90 is None:
        return named
    verdict, about = judge((found.lo, found.hi), (found.lo90, found.hi90), margin)
    return replace(
        named, se=found.se, lo=found.lo, hi=found.hi, lo90=found.lo90, hi90=found.hi90,
        p=found.p, verdict=verdict, reason=about,
    )  # fmt: skip


def _tested(
    named: Estimate, variant: str, value: float, p: float | None, reason: str, method: str
) -> Estimate:
    """Return a slope that has a p and no interval: not a verdict, which needs one."""
    return replace(
        named, variant=variant, estimate=value, p=p, method=method, verdict=NOT_ESTIMABLE,
        reason=reason or "a permutation test has no interval",
    )  # fmt: skip


def _common_languages(view: View, gain: Contrast) -> Iterator[Estimate]:
    """Yield the slope over the languages that all tasks have, where some task has others too."""
    present = gain.share > 0
    tasks = present.any(axis=1)
    shared = present[tasks].all(axis=0)
    if not shared.any() or bool((present[tasks] == shared).all()):
        return
    cases = view.cases & shared
    yield from pooled(replace(view, variant="common_languages", cases=cases))


def _families(view: View, gain: Contrast, line: slopes.Line, named: Estimate) -> Iterator[Estimate]:
    """Yield the mean of the families' slopes, each family's own, and their differences."""
    if len(line.families) < 2:
        return
    names = [view.grid.families[int(np.flatnonzero(m)[0])] for m in line.families]
    tasks = np.flatnonzero(gain.share.any(axis=1))
    slopes_of = np.full((len(names), len(tasks)), np.nan)
    for f, member in enumerate(line.families):
        x = np.where(member, line.x, 0.0)
        centred = np.where(member, x - line.x[member].mean(), 0.0)
        cells = by_cell(view, gain, centred / (centred @ centred))
        slopes_of[f] = [float(np.nanmean(cells[t])) for t in tasks]
    found = over_families(slopes_of, names)
    named = replace(named, level="L3", n_tasks=found.tasks)
    yield filled(
        replace(named, variant="over_families"), found.mean.estimate, found.mean.spread,
        margin=view.margin,
    )  # fmt: skip
    for each in (*found.each, *found.differences):
        own = replace(named, estimand="family_slope", level="L2", subset=each.name, verdict="")
        yield filled(own, each.estimate, each.spread)


def _influences(
    view: View, gain: Contrast, line: slopes.Line, named: Estimate
) -> Iterator[Estimate]:
    """Yield how far one language, and one run, moves the slope."""
    zero_shot = contrasts.spoken(view.grid, "zero_shot")
    languages = [view.grid.languages[i] for i in np.flatnonzero(gain.share.any(axis=0))]
    head = replace(named, estimate=float(by_sum(view, gain, line.weights)))

    def without(keep: Bools) -> float | None:
        kept = {name for name, stays in zip(languages, keep, strict=True) if stays}
        spoken = zero_shot & np.asarray([name in kept for name in view.grid.languages])
        left = contrasts.gain(view.counted, spoken)
        return None if left.empty else by_sum(view, left, line.weights)

    found: Influence[str] = leave_one_out(languages, without)
    if found.lowest is not None and found.highest is not None:
        yield _range(
            head, "language", (found.lowest, str(found.lowest_without)),
            (found.highest, str(found.highest_without)), bool(found.sign_holds),
        )  # fmt: skip
    yield from _run_influence(view, gain, line, head)


def _run_influence(
    view: View, gain: Contrast, line: slopes.Line, head: Estimate
) -> Iterator[Estimate]:
    """Yield the range without any one run: a run's mean leaves its cells with those of the others.

    Taking run k of K out of a cell moves the cell's mean by -(y_k - mean) / (K - 1). Cells with one
    run alone would be lost, and the rest not compared with the same cells: they stay.
    """
    count = view.means.count
    spare = np.where(count > 1, count / np.maximum(count - 1, 1), 0.0)
    coefficient = line.weights[:, None, None, None] * gain.weights * spare
    moves = -np.einsum("matl,matlk->matk", coefficient, view.means.residual, optimize=True)
    ran = slopes.which_ran((gain.weights != 0)[None], view.means.present)
    if head.estimate is None or not ran.any() or not (spare > 0).any():
        return
    after = np.where(ran, head.estimate + moves, np.nan)
    low, high = (int(choose(after)) for choose in (np.nanargmin, np.nanargmax))
    ends = [(float(after.flat[i]), _run(view, i, after.shape)) for i in (low, high)]
    signs = bool((np.sign(after[ran]) == np.sign(head.estimate)).all())
    yield _range(head, "run", ends[0], ends[1], signs)


def _run(view: View, flat: int, shape: tuple[int, ...]) -> str:
    m, a, t, k = np.unravel_index(flat, shape)
    grid = view.grid
    return f"{grid.models[m]}, {grid.arms[a]}, {grid.targets[t]}, seed {grid.seeds[k]}"


def _range(
    head: Estimate, kind: str, low: tuple[float, str], high: tuple[float, str], holds: bool
) -> Estimate:
    sign = "the sign stays" if holds else "the sign depends on it"
    return replace(
        head, estimand="influence", variant=f"without_one_{kind}", lo=low[0], hi=high[0],
        se=None, df=None, p=None, lo90=None, hi90=None, verdict="", margin=None,
        method=f"leaving out one {kind} at a time",
        reason=f"lowest without {low[1]}, highest without {high[1]}; {sign}",
    )  # fmt: skip


def by_sum(view: View, contrast: Contrast, size: Floats) -> float:
    """Return a contrast in points, summed over its cells."""
    return float(contrasts.contributions(contrast, size, view.means.mean).sum())
