"""Meta-regression: effects with known sampling variances on moderators."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from runtime.analysis.grid import Floats
from runtime.analysis.heterogeneity import (
    Heterogeneity,
    Method,
    heterogeneity,
    refusal,
    tau_squared,
    weigh,
)
from runtime.analysis.intervals import Spread
from runtime.analysis.permutation import Permuted, conclude

PER_MODERATOR = 10
"""Effects that one moderator asks for, by the usual rule of thumb."""

INTERCEPT = "intercept"
ALL_ORDERS = 720
"""Orders of the effects up to which a permutation test goes through all of them: six effects."""


@dataclass(frozen=True, slots=True)
class Coefficient:
    """One coefficient with its Hartung-Knapp spread, plain and guarded by max(1, q)."""

    name: str
    estimate: float | None
    spread: Spread
    guarded: Spread


@dataclass(frozen=True, slots=True)
class Regression:
    """A fitted meta-regression; ``q`` is the factor on the variances, ``shares`` the weights.

    When it is not estimable, the numbers are None and ``reason`` says why; else ``reason`` may
    hold a reservation.
    """

    coefficients: tuple[Coefficient, ...]
    heterogeneity: Heterogeneity | None
    q: float | None
    shares: tuple[float, ...]
    n: int
    reason: str = ""


def regress(
    effects: Sequence[float],
    variances: Sequence[float],
    moderators: Floats,
    names: Sequence[str],
    method: Method = "REML",
) -> Regression:
    """Regress effects on an intercept and the columns of ``moderators`` (effect x moderator).

    The coefficients are weighted by 1 / (v + tau^2). Their covariance is that of Hartung and Knapp,

        q (X'WX)^-1,   q = sum of w r^2 / (k - p),   t with k - p degrees of freedom

    (Hartung and Knapp 2001, Statistics in Medicine 20, 3875-3889; with moderators Knapp and Hartung
    2003, 22, 2693-2710; Sidik and Jonkman 2002, 21, 3153-3159). q can fall below one by chance
    where there are few effects of different precision: the guarded spread has max(1, q) (Roever,
    Knapp and Friede 2015, BMC Medical Research Methodology 15:99).
    """
    y, v = np.asarray(effects, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    columns = np.asarray(moderators, dtype=np.float64).reshape(len(y), len(names))
    x = np.column_stack([np.ones(len(y)), columns])
    labels = (INTERCEPT, *names)
    what = f"{method}, Hartung-Knapp t(k - p)"
    guard = f"{method}, Hartung-Knapp with max(1, q), t(k - p)"
    reason = refusal(y, v, x)
    if reason:
        gone = [Spread(None, None, text, reason) for text in (what, guard)]
        return Regression(
            tuple(Coefficient(name, None, *gone) for name in labels), None, None, (), len(y), reason
        )
    spread = heterogeneity(y, v, x, method)
    fit = weigh(y, v, x, spread.tau2)
    df = len(y) - x.shape[1]
    q = float(fit.q) / df
    found = []
    for i, name in enumerate(labels):
        wald = float(fit.covariance[i, i])
        plain = Spread(q * wald, float(df), what)
        guarded = Spread(max(1.0, q) * wald, float(df), guard)
        found.append(Coefficient(name, float(fit.coefficients[i]), plain, guarded))
    if names and len(y) < PER_MODERATOR * len(names):
        reason = f"{len(y)} effects are few for {len(names)} moderators"
    shares = fit.weights / fit.weights.sum()
    return Regression(tuple(found), spread, q, tuple(map(float, shares)), len(y), reason)


def permuted(
    effects: Sequence[float],
    variances: Sequence[float],
    moderators: Floats,
    *,
    method: Method = "REML",
    seed: int = 0,
    draws: int = 999,
) -> tuple[Permuted, ...]:
    """Return for each moderator the permutation p of its t, under "no moderator matters".

    The rows of the moderators are dealt out anew among the effects, which keep their variances, and
    tau^2 is estimated each time (Higgins and Thompson 2004, Statistics in Medicine 23, 1663-1682).
    Up to six effects go through every order; beyond that ``draws`` orders are drawn by ``seed``.
    """
    y, v = np.asarray(effects, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    columns = np.asarray(moderators, dtype=np.float64).reshape(len(y), -1)
    reason = refusal(y, v, np.column_stack([np.ones(len(y)), columns]))
    if reason:
        return (Permuted(None, None, 0, True, reason),) * columns.shape[1]
    # The outcome must not depend on the order in which the effects are given.
    order = np.lexsort((*columns.T, v, y))
    y, v, columns = y[order], v[order], columns[order]
    exact = math.factorial(len(y)) <= ALL_ORDERS
    if exact:
        orders = np.asarray(list(permutations(range(len(y)))))
    else:
        rng = np.random.default_rng(seed)
        drawn = np.asarray([rng.permutation(len(y)) for _ in range(draws)])
        orders = np.vstack([np.arange(len(y)), drawn])
    statistic = np.asarray([_studentised(y, v, columns[each], method) for each in orders])
    what = f"{len(y)} effects"
    return tuple(conclude(each, each[0], exact=exact, what=what) for each in statistic.T)


def _studentised(y: Floats, v: Floats, columns: Floats, method: Method) -> Floats:
    """Return |t| of every moderator: infinite where the effects lie on the line exactly."""
    x = np.column_stack([np.ones(len(y)), columns])
    fit = weigh(y, v, x, tau_squared(y, v, x, method))
    q = float(fit.q) / (len(y) - x.shape[1])
    slopes = np.abs(fit.coefficients[1:])
    se = np.sqrt(q * np.diagonal(fit.covariance)[1:])
    sure = np.where(slopes > 0.0, np.inf, 0.0)
    return np.where(se > 0.0, slopes / np.where(se > 0.0, se, 1.0), sure)
