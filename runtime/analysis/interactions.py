"""Interactions: does the slope differ between intermediates, groups of tasks, or of languages?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from runtime.analysis.contrasts import Contrast, shares
from runtime.analysis.grid import Bools, Floats
from runtime.analysis.intervals import Spread, satterthwaite

METHOD = "two-way task and language clusters within groups, Welch df"


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of one group of cells minus that of the rest, over ``tasks`` and ``languages``."""

    estimate: float | None
    spread: Spread
    tasks: tuple[int, ...] = ()
    languages: tuple[int, ...] = ()


def between_arms(cases: Bools, one: int, other: int, languages: Bools) -> Contrast:
    """Return the contrast of two intermediate arms over the cases that both have.

    The direct arm cancels, so its noise is not in the difference, and the tasks and languages are
    paired. ``measure`` in ``slopes`` turns it into the difference of two slopes at every level.
    ``cases`` is intermediate arm x target x language; ``one`` and ``other`` count those arms.
    """
    share = shares((cases[one] & cases[other] & languages)[None])[0]
    weights = np.zeros((len(cases) + 1, *share.shape))
    weights[1 + one] = share
    weights[1 + other] -= share
    return Contrast(weights, share)


def between_tasks(cells: ArrayLike, group: Sequence[bool]) -> Difference:
    """Compare the mean of the tasks in ``group`` with that of the others.

    ``cells`` are values such as slopes, task x language, missing where there is none. Every task
    has the same weight in its group. A result that is significant in one group and not in the other
    is no evidence that the groups differ; this difference is (Gelman and Stern 2006, The American
    Statistician 60, 328-331).
    """
    c = np.asarray(cells, dtype=np.float64)
    present: Bools = ~np.isnan(c)
    member = np.asarray(group, dtype=np.bool_)
    halves = [present & member[:, None], present & ~member[:, None]]
    return _difference(c, halves, "task")


def between_languages(cells: ArrayLike, group: Sequence[bool]) -> Difference:
    """Compare the mean over the languages in ``group`` with that over the others, within tasks.

    Only tasks with languages of both groups count: otherwise the mix of tasks would differ.
    """
    c = np.asarray(cells, dtype=np.float64)
    member = np.asarray(group, dtype=np.bool_)
    present: Bools = ~np.isnan(c)
    both = np.logical_and((present & member).any(axis=1), (present & ~member).any(axis=1))
    present &= both[:, None]
    halves = [present & member, present & ~member]
    return _difference(c, halves, "language")


def _difference(cells: Floats, halves: Sequence[Bools], grouped: str) -> Difference:
    """Return the difference of two halves with crossed clusters.

    With d what each cell adds around its own half's mean, V = V_task + V_lang - V_cell and at least
    either (Cameron, Gelbach and Miller 2011, Journal of Business and Economic Statistics 29,
    238-249). Clusters of the grouped kind get the small-sample factor G/(G-1) of their half, those
    of the other kind, which reach across both halves, that of all. What a reaching cluster adds to
    both halves alike cancels in the difference: it is taken off before the other two sums, or it
    would swell V_cell alone. The degrees of freedom are Satterthwaite's for the sums of reaching
    clusters and of either half, as in Welch's test.
    """
    counts = [(int(h.any(axis=1).sum()), int(h.any(axis=0).sum())) for h in halves]
    tasks, languages = zip(*counts, strict=True)
    if min(tasks) == 0:
        spread = Spread(None, None, METHOD, f"a group of {grouped}s has no cells to compare")
        return Difference(None, spread, tasks, languages)
    weights = [shares(h[None])[0] for h in halves]
    filled = np.where(np.isnan(cells), 0.0, cells)
    means = [float((w * filled).sum()) for w in weights]
    value = means[0] - means[1]
    filled = filled - sum(h * mean for h, mean in zip(halves, means, strict=True))
    over = 1 if grouped == "language" else 0  # the axis along which a reaching cluster lies
    reach = int((halves[0] | halves[1]).any(axis=over).sum())
    own = languages if grouped == "language" else tasks
    if min(*own, reach) < 2:
        few = grouped if min(own) < 2 else ("language", "task")[over]
        spread = Spread(None, None, METHOD, f"one {few} says nothing about new {few}s")
        return Difference(value, spread, tasks, languages)
    raw = [w * filled for w in weights]
    rest = filled - _common(filled, weights, over)
    net = [w * (rest - float((w * rest).sum())) for w in weights]
    v_reach = _clustered((raw[0] - raw[1]).sum(axis=over), reach)
    by_half = [_clustered(d.sum(axis=1 - over), n) for d, n in zip(net, own, strict=True)]
    v_own = sum(by_half)
    v_cell = sum(_clustered(d, int(h.sum())) for d, h in zip(net, halves, strict=True))
    variance = max(v_reach + v_own - v_cell, v_reach, v_own)
    df = satterthwaite([v_reach, *by_half], [reach - 1, *(n - 1 for n in own)])
    return Difference(value, Spread(variance, df, METHOD), tasks, languages)


def _common(filled: Floats, weights: Sequence[Floats], over: int) -> Floats:
    """Return the mean of both halves in each reaching cluster, zero where it is in one alone."""
    shares_of = [w.sum(axis=over, keepdims=True) for w in weights]
    both = (shares_of[0] > 0) & (shares_of[1] > 0)
    means = [
        (w * filled).sum(axis=over, keepdims=True) / np.where(both, share, 1.0)
        for w, share in zip(weights, shares_of, strict=True)
    ]
    return np.where(both, (means[0] + means[1]) / 2.0, 0.0)


def _clustered(sums: Floats, clusters: int) -> float:
    return float(clusters / (clusters - 1) * (sums**2).sum())
