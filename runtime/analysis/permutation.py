"""Permutation tests: exact sign flips over tasks, and sizes dealt out anew within families."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from runtime.analysis.grid import Floats

LEVEL = 0.05
SIGNS = 20
"""Tasks up to which all sign patterns are gone through: a million."""
ALONE = 7
"""Sizes of one family up to which all their orders are listed: 5040."""
ORDERS = 1_000_000
"""Orders of the sizes, over all families, up to which all are gone through."""
TOLERANCE = 1e-9
"""Statistics that differ by less, relative to the largest, are taken for ties."""


@dataclass(frozen=True, slots=True)
class Permuted:
    """The two-sided p of a permutation test, and the smallest p that it could have given.

    ``p`` is None when even the most extreme arrangement could not have been below 0.05, or when
    there is nothing to test: ``reason`` says which. ``arrangements`` is how many were looked at;
    ``exact`` says that these are all there are, so that no random number is in the result.
    """

    p: float | None
    smallest: float | None
    arrangements: int
    exact: bool
    reason: str = ""


def sign_flip(values: ArrayLike) -> Permuted:
    """Test that values, one for each task, are spread evenly around zero.

    Every pattern of signs is equally likely then, and p is the share of the patterns whose mean is
    as far from zero as the observed one (Fisher 1935, The Design of Experiments, section 21). T
    tasks cannot give less than 2 / 2^T: five cannot reach 0.05. Missing values are left out.
    """
    d = np.asarray(values, dtype=np.float64)
    d = d[~np.isnan(d)]
    if len(d) == 0:
        return Permuted(None, None, 0, True, "there are no tasks")
    if len(d) > SIGNS:
        return Permuted(None, None, 0, True, f"{len(d)} tasks have too many sign patterns")
    sums = np.zeros(1)
    for value in np.sort(np.abs(d)):
        sums = np.concatenate([sums + value, sums - value])
    what = f"{len(d)} task{'s' if len(d) > 1 else ''}"
    return conclude(np.abs(sums), abs(float(d.sum())), exact=True, what=what)


def permute_sizes(at_sizes: ArrayLike, x: ArrayLike, families: Sequence[str]) -> Permuted:
    """Test that the gains at the sizes of each family could stand in any order.

    The statistic is the mean over families of the least-squares slope on ``x``; within each family
    the gains ``at_sizes`` are dealt out anew, never between families, which differ in more than
    size. The checkpoints are the units, as at L3, so p speaks of these tasks and languages alone.
    Three sizes have six orders, so a single family of three can never reach 0.05; four have 24.
    """
    g, sizes = np.asarray(at_sizes, dtype=np.float64), np.asarray(x, dtype=np.float64)
    names = np.asarray(families, dtype=object)
    slopes: list[Floats] = []
    counts: list[int] = []
    for family in dict.fromkeys(families):
        member = (names == family) & ~np.isnan(g)
        if member.sum() < 2 or float(np.ptp(sizes[member])) <= 1e-9:
            continue
        if member.sum() > ALONE:
            return Permuted(None, None, 0, True, f"{member.sum()} sizes have too many orders")
        centred = sizes[member] - sizes[member].mean()
        orders = np.asarray(list(itertools.permutations(g[member])))
        slopes.append(orders @ centred / float(centred @ centred))
        counts.append(int(member.sum()))
    if not slopes:
        return Permuted(None, None, 0, True, "no model family has two different sizes")
    if math.prod(len(each) for each in slopes) > ORDERS:
        return Permuted(None, None, 0, True, "the families have too many orders of sizes")
    sums = np.zeros(1)
    for each in slopes:  # the order that was observed stays the first
        sums = (sums[:, None] + each).ravel()
    what = f"{' + '.join(map(str, counts))} sizes"
    return conclude(np.abs(sums), abs(float(sums[0])), exact=True, what=what)


def conclude(statistic: Floats, observed: float, *, exact: bool, what: str) -> Permuted:
    """Return p from the statistics of all arrangements, the observed one among them.

    Counting the observed arrangement keeps a p from drawn arrangements valid (Phipson and Smyth
    2010, Statistical Applications in Genetics and Molecular Biology 9, article 39). ``what`` names
    the units for the case that they are too few to reach 0.05.
    """
    n, top = len(statistic), float(statistic.max())
    slack = TOLERANCE * top if math.isfinite(top) else 0.0
    # Among drawn arrangements the most extreme of all is not known: p can fall to 1 / n at best.
    smallest = float((statistic >= top - slack).mean()) if exact else 1.0 / n
    if smallest > LEVEL:
        reason = f"{what} cannot reach p < {LEVEL:g}: the smallest is {smallest:.2g}"
        return Permuted(None, smallest, n, exact, reason)
    return Permuted(float((statistic >= observed - slack).mean()), smallest, n, exact)
