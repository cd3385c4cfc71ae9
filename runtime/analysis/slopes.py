"""Slopes over size, and the variance of any contrast at the three levels of generalisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.analysis.contrasts import Contrast, contributions
from runtime.analysis.estimate import Level
from runtime.analysis.grid import Bools, Floats, Means
from runtime.analysis.intervals import Spread, satterthwaite

NO_CELLS = "no task and language has scores of both arms at every size"


@dataclass(frozen=True, slots=True)
class Measured:
    """A contrast's value, its spread at each level asked for, and what it rests on."""

    value: float | None
    spreads: Mapping[Level, Spread]
    tasks: int = 0
    languages: int = 0
    sizes: int = 0
    seeds: int = 0
    runs: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """Weights that make a slope of values at the sizes, and the families they were fitted in."""

    weights: Floats
    x: Floats
    families: tuple[Bools, ...]


def fit(x: Floats, families: tuple[str, ...]) -> Line | None:
    """Return the weights of the OLS slope on x, the mean of the slopes within families.

    Families are never joined in one line, for they differ in more than size; one with a single size
    has no slope and gets no weight. None when no family has two different sizes.
    """
    names = np.asarray(families, dtype=object)
    members = [names == family for family in dict.fromkeys(families)]
    lines = tuple(m for m in members if m.sum() > 1 and np.ptp(x[m]) > 1e-9)
    if not lines:
        return None
    weights = np.zeros_like(x)
    for member in lines:
        weights[member] = _ols(x[member]) / len(lines)
    weights[np.abs(weights) < 1e-12 * np.abs(weights).max()] = 0.0
    return Line(weights, x, lines)


def measure(
    contrast: Contrast,
    size: Floats,
    means: Means,
    values: Floats,
    derivative: Floats,
    *,
    shared_runs: bool,
    line: Line | None = None,
    levels: tuple[Level, ...] = ("L1", "L2"),
) -> Measured:
    """Return the value of sum_s size_s * contrast_s, and its spread at each level.

    ``values`` are the seed means on the scale of the answer, ``derivative`` their derivative by
    points. ``line`` is what ``size`` came from when it is a slope; L3 needs it.
    """
    if contrast.empty:
        gone = Spread(None, None, "", NO_CELLS)
        return Measured(None, dict.fromkeys(levels, gone))
    models = np.flatnonzero(np.any(line.families, axis=0) if line else size)
    arms = np.flatnonzero(contrast.weights.any(axis=(1, 2)))
    tasks = np.flatnonzero(contrast.share.any(axis=1))
    spoken = np.flatnonzero(contrast.weights.any(axis=(0, 1)) | contrast.share.any(axis=0))
    part = [_regular(places) for places in (models, arms, tasks, spoken)]
    weights, share = _part(contrast.weights, part[1:]), _part(contrast.share, part[2:])
    active = Contrast(weights, share, contrast.anchor, contrast.languages_vary)
    cells = contributions(active, size[models], _part(values, part))
    coefficient = size[models][:, None, None, None] * weights * _part(derivative, part)
    used = np.broadcast_to((weights != 0)[None], coefficient.shape)
    ran = which_ran(used, _part(means.present, part))
    spreads: dict[Level, Spread] = {}
    if "L1" in levels:
        alone = (used & (_part(means.count, part) < 2)).any(axis=3) & (size[models] != 0)[
            :, None, None
        ]
        spreads["L1"] = seed_spread(
            coefficient, _part(means.residual, part), ran, alone, (arms > 0) & shared_runs
        )
    if "L2" in levels or "L3" in levels:
        spreads["L2"] = cluster_spread(cells, active.share, active.languages_vary)
    if "L3" in levels:
        at_sizes = np.einsum("atl,matl->m", contrast.weights, values, optimize=True)
        spreads["L3"] = checkpoint_spread(at_sizes, line, spreads["L2"])
    return Measured(
        float(cells.sum()),
        {level: spreads[level] for level in levels},
        tasks=len(tasks),
        languages=int(contrast.share.any(axis=0).sum()) if contrast.languages_vary else 1,
        sizes=len(models),
        seeds=int(ran.any(axis=(0, 1, 2)).sum()),
        runs=int(ran.any(axis=2).sum() if shared_runs else ran.sum()),
    )


def _regular(places: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """Return places as a slice if they lie at even distances: a slice is a view, not a copy."""
    first, last = int(places[0]), int(places[-1])
    step = int(places[1]) - first if len(places) > 1 else 1
    if len(places) > 2 and (np.diff(places) != step).any():
        return places
    return slice(first, last + 1, step)


def _part(values: NDArray[Any], which: Sequence[slice | NDArray[np.intp]]) -> NDArray[Any]:
    """Return the given places along the first axes: a view, unless the places are irregular.

    Copying what a contrast rests on would take most of the time of a study of a million scores.
    """
    values = values[tuple(each if isinstance(each, slice) else slice(None) for each in which)]
    for axis, each in enumerate(which):
        if not isinstance(each, slice):
            values = values.take(each, axis=axis)
    return values


def which_ran(used: Bools, present: Bools) -> Bools:
    """Return the runs (model x arm x task x seed) with a score in any language that is used.

    The matrix product of truth values is "any of both", and stops at the first: of a million scores
    it takes a three-hundredth of the time of ``(present & used).any()``.
    """
    return np.asarray(np.matmul(used[..., None, :], present)[..., 0, :])


def seed_spread(
    coefficient: Floats, residual: Floats, ran: Bools, alone: Bools, shared: Bools
) -> Spread:
    """Return L1: pooled run-level variance with Satterthwaite's degrees of freedom.

    A run is one training of (size, arm, task, seed) with all its languages, whose noise they share,
    so the run is the unit: with e_k = sum of coefficient * (y_k - mean) / K over the run's cells,

        V = sum over run groups of K/(K-1) sum_k e_k^2,

    which for whole runs is var_k(run average)/K. Scales other than points enter by their derivative
    at the seed mean (delta method). In the arms marked ``shared`` the targets share a run, and all
    of them are one group. ``ran`` is model x arm x task x seed; ``alone`` marks the groups with a
    cell that has fewer than two seeds.
    """
    method = "pooled run variance, Satterthwaite t"
    if alone.any():
        weighed = coefficient.any(axis=3)
        reason = (
            "one seed gives no run-to-run variance"
            if alone[weighed].all()
            else f"{alone.sum()} of {weighed.sum()} groups of runs have a cell with a single seed"
        )
        return Spread(None, None, method, reason)
    error = np.matmul(coefficient[..., None, :], residual)[..., 0, :]
    width = error.shape[-1]
    errors = [error[:, ~shared].reshape(-1, width), error[:, shared].sum(axis=2).reshape(-1, width)]
    runs = [ran[:, ~shared].reshape(-1, width), ran[:, shared].any(axis=2).reshape(-1, width)]
    seeds = np.concatenate(runs).sum(axis=-1)
    used = seeds > 1
    k = seeds[used].astype(np.float64)
    variances = k / (k - 1.0) * (np.concatenate(errors)[used] ** 2).sum(axis=-1)
    total = float(variances.sum())
    if total <= 0:  # a zero-width interval would give every slope a direction
        return Spread(None, None, method, "the seeds do not differ at all")
    reason = ""
    return Spread(total, satterthwaite(variances, k - 1.0), method, reason)


def cluster_spread(cells: Floats, share: Floats, languages_vary: bool) -> Spread:
    """Return L2: task and language as crossed clusters, equal task weights, t(min(T, L) - 1).

    With d_tl = c_tl - share_tl * estimate for what each cell adds,

        V = V_task + V_lang - V_cell,  V_task = T/(T-1) sum_t (sum_l d_tl)^2,  likewise the others,

    and V at least max(V_task, V_lang): two-way clustering of Cameron, Gelbach and Miller (2011).
    For an average over English alone the language is fixed: V_task with t(T - 1), which is the
    t interval over one number per task.
    """
    deviation = cells - share * cells.sum()
    by_task = deviation.sum(axis=1)[share.any(axis=1)]
    by_language = deviation.sum(axis=0)[share.any(axis=0)]
    tasks, languages = len(by_task), len(by_language)
    method = "two-way task and language clusters, t(min(T, L) - 1)"
    if not languages_vary:
        method = "task clusters, t(T - 1)"
    if tasks < 2:
        return Spread(None, None, method, "one task says nothing about new tasks")
    v_task = _clustered(by_task)
    if not languages_vary:
        return Spread(v_task, tasks - 1.0, method)
    if languages < 2:
        return Spread(None, None, method, "one language says nothing about new languages")
    v_language = _clustered(by_language)
    v_cell = _clustered(deviation[share > 0])
    variance = max(v_task + v_language - v_cell, v_task, v_language)
    return Spread(variance, min(tasks, languages) - 1.0, method)


def checkpoint_spread(at_sizes: Floats, line: Line | None, clusters: Spread) -> Spread:
    """Return L3: L2 plus the variance that the identity of the checkpoints adds, Welch df.

    In one family of S sizes this is r = [sum_s (g_s - line)^2 / (S - 2)] / Sxx with S - 2 degrees
    of freedom; it counts the size x task spread a second time, which is conservative on purpose.
    Over F >= 2 families it is the variance of their slopes over F, with F - 1. The caller keeps the
    interval at least as wide as that of L2.
    """
    method = "L2 + checkpoint variance, Welch df"
    if clusters.variance is None or clusters.df is None:
        return Spread(None, None, method, clusters.reason)
    if line is None:
        return Spread(None, None, method, "the sizes do not differ")
    if len(line.families) > 1:
        slopes = [float(_ols(line.x[m]) @ at_sizes[m]) for m in line.families]
        extra, df = float(np.var(slopes, ddof=1)) / len(slopes), len(slopes) - 1.0
        method = "L2 + variance of family slopes, Welch df"
    else:
        member = line.families[0]
        x, g = line.x[member], at_sizes[member]
        if len(x) < 3:
            reason = "two sizes fit a line exactly and show nothing about other checkpoints"
            return Spread(None, None, method, reason)
        centred = x - x.mean()
        rest = g - g.mean() - centred * float(_ols(x) @ g)
        df = len(x) - 2.0
        extra = float(rest @ rest) / df / float(centred @ centred)
    variance = clusters.variance + extra
    return Spread(variance, satterthwaite([clusters.variance, extra], [clusters.df, df]), method)


def _ols(x: Floats) -> Floats:
    centred = x - x.mean()
    return np.asarray(centred / (centred @ centred))


def _clustered(sums: Floats) -> float:
    return float(len(sums) / (len(sums) - 1) * (sums @ sums))


def no_line(levels: tuple[Level, ...]) -> Measured:
    """Return the slope where there is none to fit."""
    reason = "no model family has two different sizes with scores"
    return Measured(None, dict.fromkeys(levels, Spread(None, None, "", reason)))
