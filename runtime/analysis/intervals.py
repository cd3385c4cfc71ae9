"""Student t intervals, effective degrees of freedom and the two one-sided tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special


@dataclass(frozen=True, slots=True)
class Spread:
    """The sampling variance of an estimate with its degrees of freedom.

    ``variance`` and ``df`` are None when the data cannot tell; ``reason`` then says why.
    """

    variance: float | None
    df: float | None
    method: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Interval:
    """A standard error, the 95 % and the 90 % interval, and the two-sided p of zero."""

    se: float
    df: float
    lo: float
    hi: float
    lo90: float
    hi90: float
    p: float


def satterthwaite(variances: ArrayLike, dfs: ArrayLike) -> float:
    """Return the degrees of freedom of a sum of independent variance estimates.

    df = (sum V)^2 / sum(V^2 / df): Satterthwaite (1946), Welch (1947). When all variances are zero
    the degrees of freedom are simply added.
    """
    v = np.asarray(variances, dtype=np.float64)
    d = np.asarray(dfs, dtype=np.float64)
    total = float(v.sum())
    if total <= 0.0:
        return float(d.sum())
    share = v / total
    return float(1.0 / np.sum(share**2 / d))


def half_width(variance: float, df: float, confidence: float) -> float:
    """Return the t quantile times the standard error."""
    return float(special.stdtrit(df, 0.5 + confidence / 2)) * float(np.sqrt(variance))


def two_sided_p(estimate: float, variance: float, df: float) -> float:
    """Return the p of the t test of zero; 0 or 1 when nothing varies."""
    if variance <= 0.0:
        return 1.0 if estimate == 0.0 else 0.0
    return float(2.0 * special.stdtr(df, -abs(estimate) / np.sqrt(variance)))


def t_interval(estimate: float, spread: Spread, floors: Sequence[Spread] = ()) -> Interval | None:
    """Return the interval of an estimate, never narrower than that of any of ``floors``.

    None when the spread is not known. The p is the largest of all, so that p < 0.05 exactly when
    the 95 % interval excludes zero.
    """
    known = [(s.variance, s.df) for s in (spread, *floors) if s.variance is not None]
    pairs = [(v, df) for v, df in known if df is not None]
    if spread.variance is None or spread.df is None:
        return None
    wide = max(half_width(v, df, 0.95) for v, df in pairs)
    narrow = max(half_width(v, df, 0.90) for v, df in pairs)
    return Interval(
        se=float(np.sqrt(spread.variance)),
        df=spread.df,
        lo=estimate - wide,
        hi=estimate + wide,
        lo90=estimate - narrow,
        hi90=estimate + narrow,
        p=max(two_sided_p(estimate, v, df) for v, df in pairs),
    )


def tost(estimate: float, se: float, df: float, margin: float) -> float:
    """Return the p of the two one-sided tests against (-margin, margin) (Schuirmann 1987).

    It is below 0.05 exactly when the 90 % t interval lies inside the margin.
    """
    if se <= 0.0:
        return 0.0 if abs(estimate) < margin else 1.0
    return float(special.stdtr(df, (abs(estimate) - margin) / se))
