"""Pairing: do the direct run and the intermediate's run of one seed move together?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from scipy import special

from runtime.analysis import contrasts
from runtime.analysis.estimands import View, label
from runtime.analysis.estimate import Estimate
from runtime.analysis.grid import Floats

METHOD = "pooled within size and task, Fisher's z"
HELPS = "clearly positive: unpaired variances, as used here, are too large rather than too small"


def seed_pairs(view: View) -> Iterator[Estimate]:
    """Yield the correlation over seeds of each intermediate's runs with the direct runs.

    A run is the mean of its zero-shot languages. Every run draws its order, its head and its
    dropout from its own key, so pairing by seed is bookkeeping unless this is clearly positive;
    the variances at L1 and of single cells are unpaired in any case.
    """
    zero_shot = contrasts.spoken(view.grid, "zero_shot")
    for arm, name in enumerate(view.grid.arms[1:], start=1):
        pairs = _pairs(view, arm, view.counted[arm - 1] & zero_shot)
        r, df = correlation(pairs)
        named = label(view, "seed_correlation", "points", "zero_shot", name)
        if r is None:
            reason = "no two seeds of both arms that differ"
            yield replace(named, method=METHOD, reason=reason)
            continue
        lo, hi = limits(r, df)
        sign = HELPS if lo is not None and lo > 0.0 else "pairing by seed shows no clear help"
        yield replace(
            named, estimate=r, df=float(df), lo=lo, hi=hi, method=METHOD, reason=sign,
            n_runs=sum(len(pair) for pair in pairs),
        )  # fmt: skip


def correlation(pairs: list[Floats]) -> tuple[float | None, int]:
    """Return the correlation within groups, and its degrees of freedom: pairs minus groups.

    Each group is seed x (direct, intermediate); its means are taken off, so that sizes and tasks
    that differ in level do not count as moving together.
    """
    rest = [pair - pair.mean(axis=0) for pair in pairs if len(pair) > 1]
    if not rest:
        return None, 0
    both = np.concatenate(rest)
    squares = (both**2).sum(axis=0)
    if (squares <= 1e-20).any():
        return None, 0
    r = float((both[:, 0] * both[:, 1]).sum() / math.sqrt(squares[0] * squares[1]))
    return max(-1.0, min(1.0, r)), len(both) - len(rest)


def limits(r: float, df: int) -> tuple[float | None, float | None]:
    """Return the 95 % interval by Fisher's z, whose variance is 1 / (n - 3) with n = df + 1.

    Fisher (1921, Metron 1, 3-32), who also gives the loss of one degree for each mean taken off.
    """
    if df < 3 or abs(r) >= 1.0:
        return None, None
    width = float(special.ndtri(0.975)) / math.sqrt(df - 2)
    return math.tanh(math.atanh(r) - width), math.tanh(math.atanh(r) + width)


def _pairs(view: View, arm: int, cases: np.ndarray) -> list[Floats]:
    """Return seed x (direct, arm) of each size and task, of the seeds that both have whole."""
    found = []
    for task in np.flatnonzero(cases.any(axis=1)):
        runs = view.grid.scores[:, [0, arm], task][:, :, cases[task]].mean(axis=2)
        whole = ~np.isnan(runs).any(axis=1)
        found += [runs[m][:, whole[m]].T for m in range(len(runs))]
    return [pair for pair in found if len(pair) > 1]
