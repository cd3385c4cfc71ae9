"""Partial conjunction: in how many tasks, at least, is there an effect of a given sign?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from runtime.analysis.intervals import Spread

LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class AtLeast:
    """At least ``count`` of ``total`` have the effect, at ``level``.

    ``p`` has the p-value of "fewer than u have it" for u = 1 to total. ``unknown`` of them were
    not estimable, which counts against the claim.
    """

    count: int
    total: int
    p: tuple[float, ...]
    level: float
    unknown: int


def at_least(p: Sequence[float | None], level: float = LEVEL) -> AtLeast:
    """Count the tests that reject for certain, by partial conjunction with Bonferroni.

    The null "fewer than u of T have the effect" has the p-value (T - u + 1) p_(u) with the u-th
    smallest p (Benjamini and Heller 2008, Biometrics 64, 1215-1222), made to rise with u, and the
    count is the largest u at which it is within the level (Dror et al. 2017, Transactions of the
    ACL 5, 471-486). Bonferroni's needs no independence: the languages and tasks of one study share
    their models. The p-values must be one-sided, all to the same side. None counts as 1.
    """
    given = np.asarray([1.0 if each is None else each for each in p], dtype=np.float64)
    if not ((given >= 0.0) & (given <= 1.0)).all():
        raise ValueError("a p-value lies outside 0 to 1")
    total = len(given)
    partial = (total - np.arange(total)) * np.sort(given)
    rising = np.minimum(np.maximum.accumulate(partial), 1.0)
    unknown = sum(each is None for each in p)
    count = int((rising <= level).sum())
    return AtLeast(count, total, tuple(map(float, rising)), level, unknown)


def one_sided(estimate: float | None, spread: Spread, *, above: bool) -> float | None:
    """Return the p of "not above zero", or of "not below zero", by t; None when not estimable."""
    if estimate is None or spread.variance is None or spread.df is None:
        return None
    towards = estimate if above else -estimate
    if spread.variance <= 0.0:
        return 0.0 if towards > 0.0 else 1.0
    return float(special.stdtr(spread.df, -towards / np.sqrt(spread.variance)))


def both_ways(
    estimates: Sequence[float | None], spreads: Sequence[Spread], level: float = LEVEL
) -> tuple[AtLeast, AtLeast]:
    """Count the effects above and below zero, each at half the level, so that both hold at it."""
    pairs = list(zip(estimates, spreads, strict=True))
    up, down = (
        at_least([one_sided(value, spread, above=above) for value, spread in pairs], level / 2)
        for above in (True, False)
    )
    return up, down
