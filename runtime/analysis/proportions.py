"""Proportions: score intervals of a rate, such as that of collapsed runs, and of a difference."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy import special

NO_RUNS = "there are no runs"


@dataclass(frozen=True, slots=True)
class Rate:
    """``count`` of ``n``, as a share from 0 to 1, with its interval; None when n is zero."""

    rate: float | None
    lo: float | None
    hi: float | None
    count: int
    n: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RateDifference:
    """One rate minus another with its interval; None when either has no runs."""

    difference: float | None
    lo: float | None
    hi: float | None
    reason: str = ""


def wilson(count: int, n: int, confidence: float = 0.95) -> Rate:
    """Return the score interval of a binomial share, which holds its level for few runs too.

    (2 n p + z^2 +- z sqrt(z^2 + 4 n p (1 - p))) / (2 (n + z^2)): Wilson (1927, Journal of the
    American Statistical Association 22, 209-212).
    """
    if not 0 <= count <= n:
        raise ValueError(f"{count} of {n} is no count")
    if n == 0:
        return Rate(None, None, None, 0, 0, NO_RUNS)
    z = float(special.ndtri(0.5 + confidence / 2))
    p = count / n
    root = z * math.sqrt(z * z + 4.0 * n * p * (1.0 - p))
    middle, width = 2.0 * n * p + z * z, 2.0 * (n + z * z)
    low = 0.0 if count == 0 else (middle - root) / width  # exact, without the rounding of a zero
    high = 1.0 if count == n else (middle + root) / width
    return Rate(p, low, high, count, n)


def newcombe(one: Rate, other: Rate) -> RateDifference:
    """Return ``one`` minus ``other`` with the interval that joins their Wilson intervals.

    Method 10 of Newcombe (1998, Statistics in Medicine 17, 873-890), for independent runs: the ends
    are d - sqrt((p1 - l1)^2 + (u2 - p2)^2) and d + sqrt((u1 - p1)^2 + (p2 - l2)^2). Both intervals
    must have the same confidence, which is then that of the difference.
    """
    if (
        one.rate is None or one.lo is None or one.hi is None
        or other.rate is None or other.lo is None or other.hi is None
    ):  # fmt: skip
        return RateDifference(None, None, None, one.reason or other.reason)
    d = one.rate - other.rate
    low = d - math.hypot(one.rate - one.lo, other.hi - other.rate)
    high = d + math.hypot(one.hi - one.rate, other.rate - other.lo)
    return RateDifference(d, low, high)


def collapse_rates(
    counts: Mapping[tuple[str, str], tuple[int, int]], direct: str = "none"
) -> dict[tuple[str, str], tuple[Rate, RateDifference | None]]:
    """Return the rate of collapsed runs at each (model, arm), and its difference from direct.

    ``counts`` has (collapsed, runs) for each. The direct arm, and an arm of a model without it, has
    no difference. Runs count as independent: collapse that clusters in a task makes the intervals
    too narrow.
    """
    rates = {place: wilson(*pair) for place, pair in counts.items()}
    return {
        (model, arm): (
            rate,
            newcombe(rate, rates[model, direct])
            if arm != direct and (model, direct) in rates
            else None,
        )
        for (model, arm), rate in rates.items()
    }
