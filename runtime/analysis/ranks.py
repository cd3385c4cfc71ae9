"""Ranks: the places that an intermediate or a size may have, as intervals and with ties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from runtime.analysis.bootstrap import draws, quantile, studentise
from runtime.analysis.grid import Floats


@dataclass(frozen=True, slots=True)
class Rank:
    """The mean of an item over tasks and the places, 1 the highest, that it may have.

    ``reason`` says why nothing is told apart, when that is not the data's doing.
    """

    name: str
    mean: float | None
    best: int
    worst: int
    reason: str = ""


def rank_intervals(
    values: ArrayLike, names: Sequence[str], *, confidence: float = 0.95, seed: int = 0
) -> tuple[Rank, ...]:
    """Return joint intervals for the ranks of items by their mean over tasks.

    ``values`` is task x item; tasks with a missing item do not count. All pairs are compared at
    once by the studentised bootstrap of whole tasks: with c the quantile of the largest |t*| over
    pairs, an item is above another when their difference exceeds c standard errors. Its best place
    is then one more than the items above it, its worst the number of items less those below. All
    true ranks lie in their intervals together with the given confidence (Mogstad, Romano, Shaikh
    and Wilhelm 2024, Review of Economic Studies 91, 476-518). Items that share places are ties.
    """
    y = np.asarray(values, dtype=np.float64).reshape(-1, len(names))
    y = y[~np.isnan(y).any(axis=1)]
    tasks, items = y.shape
    means: list[float | None] = [None] * items if tasks == 0 else y.mean(axis=0).tolist()
    reason = ""
    above = np.zeros((items, items), dtype=np.bool_)
    if tasks < 2:
        reason = "one task says nothing about new tasks" if tasks else "no task has all items"
    elif items > 1:
        # The draws must not depend on the order of the tasks.
        pairs = list(combinations(range(items), 2))
        d = np.column_stack([y[:, i] - y[:, j] for i, j in pairs])
        sure, reason = _sure(d[np.lexsort(y.T)], confidence, seed)
        for (i, j), sign in zip(pairs, sure, strict=True):
            above[i, j], above[j, i] = sign > 0, sign < 0
    return tuple(
        Rank(name, means[i], 1 + int(above[:, i].sum()), items - int(above[i].sum()), reason)
        for i, name in enumerate(names)
    )


def _sure(d: Floats, confidence: float, seed: int) -> tuple[Floats, str]:
    """Return the sign of each mean of ``d`` (task x pair) that is certain, else zero."""
    mean = d.mean(axis=0)
    se = d.std(axis=0, ddof=1) / np.sqrt(len(d))
    varies = se > 1e-12 * np.maximum(np.abs(d).max(axis=0), 1e-300)
    if not varies.any():
        return np.zeros(d.shape[1]), "the tasks do not differ at all"
    counts, share = draws(len(d), seed)
    largest = np.abs(studentise(counts, (d - mean)[:, varies])).max(axis=1)
    order = np.argsort(largest, kind="stable")
    critical = quantile(largest[order], share[order], confidence)
    if not np.isfinite(critical):
        return np.zeros(d.shape[1]), f"{len(d)} tasks are too few to rank by a bootstrap"
    # Items that differ by the same amount in every task leave nothing to estimate an error from.
    return np.where(varies & (np.abs(mean) > critical * se), np.sign(mean), 0.0), ""
