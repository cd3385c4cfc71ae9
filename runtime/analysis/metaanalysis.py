"""Meta-analysis: the mean of effects that differ, their spread, and where a new one would lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from runtime.analysis.heterogeneity import Heterogeneity, Method
from runtime.analysis.intervals import Spread, half_width
from runtime.analysis.metaregression import regress


@dataclass(frozen=True, slots=True)
class Prediction:
    """The 95 % interval for the true effect of one more task; ``df`` are those of its t."""

    lo: float
    hi: float
    df: float


@dataclass(frozen=True, slots=True)
class Pooled:
    """A random-effects mean with its Hartung-Knapp spreads and the spread of the true effects.

    ``shares`` are the weights, summing to one; ``q`` the Hartung-Knapp factor. When the mean is not
    estimable the numbers are None and ``reason`` says why.
    """

    estimate: float | None
    spread: Spread
    guarded: Spread
    heterogeneity: Heterogeneity | None
    prediction: Prediction | None
    q: float | None
    shares: tuple[float, ...]
    n: int
    reason: str = ""


def pool(
    effects: Sequence[float], variances: Sequence[float], method: Method = "REML", taken: int = 2
) -> Pooled:
    """Average effects, such as one slope for each task, with their variances over new seeds.

    tau^2, weights and the Hartung-Knapp variance are those of ``regress`` without moderators, on
    t(k - 1); with equal variances the interval is the t interval of the plain mean. The prediction
    interval is

        mean +- t(k - taken) sqrt(tau^2 + SE^2)

    with the two degrees of freedom taken by Higgins, Thompson and Spiegelhalter (2009, Journal of
    the Royal Statistical Society A 172, 137-159). Of five to nine new tasks it covers 89 to 95 %,
    where ``taken=1``, which other programs have with Hartung-Knapp, covers 88 to 94 %: the less,
    the larger the variances are beside tau^2. It needs three effects.
    """
    fit = regress(effects, variances, np.empty((len(effects), 0)), (), method)
    mean = fit.coefficients[0]
    predicted, reason = None, fit.reason
    if mean.estimate is not None and fit.heterogeneity is not None:
        if fit.n < 3:
            reason = "two effects do not show where a third would lie"
        elif mean.spread.variance is not None:
            df = float(fit.n - taken)
            wide = half_width(fit.heterogeneity.tau2 + mean.spread.variance, df, 0.95)
            predicted = Prediction(mean.estimate - wide, mean.estimate + wide, df)
    return Pooled(
        mean.estimate, mean.spread, mean.guarded, fit.heterogeneity, predicted, fit.q, fit.shares,
        fit.n, reason,
    )  # fmt: skip


def tau(found: Heterogeneity) -> tuple[float, float | None, float | None]:
    """Return the standard deviation of the true effects and its interval, in their own unit."""
    lo = None if found.lo is None else math.sqrt(found.lo)
    hi = None if found.hi is None else math.sqrt(found.hi)
    return math.sqrt(found.tau2), lo, hi
