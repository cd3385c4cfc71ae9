"""Equivalence: is a slope within a margin that was declared beforehand?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runtime.analysis.intervals import Spread, t_interval, tost

LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Equivalence:
    """The 90 % interval held against (-margin, margin), and the p of the two one-sided tests.

    ``within`` is None, and ``reason`` says why, when there is nothing to hold or to hold against.
    ``reach`` is the larger end of the 90 % interval in size: margins declared beforehand that
    exceed it are met. It is a description, never a margin itself.
    """

    within: bool | None
    p: float | None
    lo90: float | None
    hi90: float | None
    reach: float | None
    margin: float | None
    reason: str = ""


def equivalence(
    estimate: float | None, spread: Spread, margin: float | None, floors: Sequence[Spread] = ()
) -> Equivalence:
    """Test both that a slope is above -margin and that it is below margin, each at 5 %.

    Schuirmann (1987, Journal of Pharmacokinetics and Biopharmaceutics 15, 657-680); the slope is
    within exactly when its 90 % interval is. ``floors`` are spreads that the interval must not be
    narrower than, as L2's under L3: p is the largest of all. There is no default margin. One that
    was derived from the data would be met by construction.
    """
    interval = None if estimate is None else t_interval(estimate, spread, floors)
    if estimate is None or interval is None:
        reason = spread.reason or "there is no estimate"
        return Equivalence(None, None, None, None, None, margin, reason)
    reach = max(abs(interval.lo90), abs(interval.hi90))
    if margin is None:
        reason = "no margin was declared, so equivalence cannot be concluded"
        return Equivalence(None, None, interval.lo90, interval.hi90, reach, None, reason)
    if margin <= 0.0:
        raise ValueError("a margin must be above zero")
    p = max(
        tost(estimate, each.variance**0.5, each.df, margin)
        for each in (spread, *floors)
        if each.variance is not None and each.df is not None
    )
    within = -margin < interval.lo90 and interval.hi90 < margin
    return Equivalence(within, p, interval.lo90, interval.hi90, reach, margin)
