"""Heterogeneity: how far true effects differ beyond their sampling variances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special
from scipy.optimize import brentq

from runtime.analysis.grid import Floats

Method = Literal["REML", "PM", "DL"]

STEPS = 64
"""Points at which the slope of the restricted likelihood is looked at, to find all its maxima."""


@dataclass(frozen=True, slots=True)
class Heterogeneity:
    """The variance tau^2 of true effects, its 95 % interval, and Cochran's test that it is zero.

    ``lo`` and ``hi`` are the Q-profile interval; both are None, and ``reason`` says why, when the
    effects are closer to each other than their sampling variances make likely. ``i2`` is the share
    of tau^2 in the variance of a typical effect, 0 to 1: it grows with the precision of the effects
    and says nothing about how large tau is.
    """

    tau2: float
    lo: float | None
    hi: float | None
    q: float
    df: int
    p: float
    i2: float
    method: Method
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Weighted:
    """Weighted least squares at one or many values of tau^2, on the leading axis.

    ``weights`` and ``residual`` have one column for each effect; ``leverage`` is the diagonal of
    the hat matrix; ``covariance`` is (X'WX)^-1.
    """

    coefficients: Floats
    covariance: Floats
    weights: Floats
    residual: Floats
    leverage: Floats

    @property
    def q(self) -> Floats:
        """The generalised Q statistic, sum of w r^2."""
        return np.asarray((self.weights * self.residual**2).sum(axis=-1))

    @property
    def trace(self) -> Floats:
        """Trace of P = W - WX (X'WX)^-1 X'W."""
        return np.asarray((self.weights * (1.0 - self.leverage)).sum(axis=-1))


def refusal(y: Floats, v: Floats, x: Floats) -> str:
    """Say why effects with these variances and design cannot be weighted, or return nothing."""
    if not (np.isfinite(y).all() and np.isfinite(v).all() and np.isfinite(x).all()):
        return "an effect, a variance or a moderator is not a number"
    if len(y) == 0:
        return "there are no effects"
    if (v <= 0.0).any():
        return f"{int((v <= 0.0).sum())} of {len(v)} effects have no sampling variance"
    if len(y) <= x.shape[1]:
        few = "one effect" if len(y) == 1 else f"{len(y)} effects"
        return f"{few} cannot show how effects differ around {x.shape[1]} coefficients"
    norms = np.linalg.norm(x, axis=0)
    if (norms == 0.0).any() or np.linalg.matrix_rank(x / norms, tol=1e-9) < x.shape[1]:
        return "the moderators are collinear"
    return ""


def weigh(y: Floats, v: Floats, x: Floats, tau2: Floats | float) -> Weighted:
    """Fit y = X b by weights 1 / (v + tau^2), at every given tau^2.

    ``y`` and ``v`` have length k, ``x`` is k x p of full rank.
    """
    w = 1.0 / (v + np.asarray(tau2, dtype=np.float64)[..., None])
    root = np.sqrt(w)
    q, r = np.linalg.qr(root[..., None] * x)
    inverse = np.linalg.solve(r, np.broadcast_to(np.eye(x.shape[1]), r.shape))
    b = np.einsum("...pq,...kq,...k->...p", inverse, q, root * y)
    return Weighted(
        coefficients=b,
        covariance=np.einsum("...pr,...qr->...pq", inverse, inverse),
        weights=w,
        residual=y - np.einsum("kp,...p->...k", x, b),
        leverage=(q**2).sum(axis=-1),
    )


def tau_squared(y: Floats, v: Floats, x: Floats, method: Method = "REML") -> float:
    """Return tau^2 of y_i ~ N(x_i b, v_i + tau^2), for effects that ``refusal`` lets pass.

    - ``REML`` maximises the restricted likelihood over tau^2 >= 0 (Viechtbauer 2005, Journal of
      Educational and Behavioral Statistics 30, 261-293), the highest of its maxima if it has
      several;
    - ``PM`` solves Q(tau^2) = k - p (Paule and Mandel 1982, Journal of Research of the National
      Bureau of Standards 87, 377-385; DerSimonian and Kacker 2007, Contemporary Clinical Trials 28,
      105-114);
    - ``DL`` is the moment estimator (DerSimonian and Laird 1986, Controlled Clinical Trials 7,
      177-188), with moderators by the trace of P.
    """
    y, v, unit = _in_units(y, v)
    df = len(y) - x.shape[1]
    if method == "DL":
        at_zero = weigh(y, v, x, 0.0)
        return unit * max(0.0, float((at_zero.q - df) / at_zero.trace))
    if method == "PM":
        return unit * (_solve_q(y, v, x, df) or 0.0)
    return unit * _restricted(y, v, x)


def heterogeneity(y: Floats, v: Floats, x: Floats, method: Method = "REML") -> Heterogeneity:
    """Return tau^2 with its interval, Cochran's Q test and I^2.

    I^2 is tau^2 / (tau^2 + typical v) with the typical v of Higgins and Thompson (2002, Statistics
    in Medicine 21, 1539-1558), (k - p) / tr P. The interval is by Q-profile, whatever the method.
    """
    tau2 = tau_squared(y, v, x, method)
    y, v, unit = _in_units(y, v)
    at_zero = weigh(y, v, x, 0.0)
    q, df = float(at_zero.q), len(y) - x.shape[1]
    lo, hi = (_solve_q(y, v, x, float(special.chdtri(df, tail))) for tail in (0.025, 0.975))
    reason = ""
    if hi is None:
        reason = "the effects differ less than their sampling variances make likely"
    return Heterogeneity(
        tau2=tau2,
        lo=None if hi is None else (lo or 0.0) * unit,
        hi=None if hi is None else hi * unit,
        q=q,
        df=df,
        p=float(special.chdtrc(df, q)),
        i2=tau2 / (tau2 + unit * df / float(at_zero.trace)),
        method=method,
        reason=reason,
    )


def _in_units(y: Floats, v: Floats) -> tuple[Floats, Floats, float]:
    """Measure in units of the mean sampling variance, so that tolerances fit every scale."""
    unit = float(v.mean())
    return y / np.sqrt(unit), v / unit, unit


def _solve_q(y: Floats, v: Floats, x: Floats, target: float) -> float | None:
    """Return the tau^2 where the falling Q(tau^2) is ``target``; None where it starts below.

    With the 97.5 and the 2.5 % point of chi-squared on k - p degrees of freedom this gives the
    Q-profile interval (Viechtbauer 2007, Statistics in Medicine 26, 37-52).
    """

    def excess(tau2: float) -> float:
        return float(weigh(y, v, x, tau2).q) - target

    if excess(0.0) < 0.0:
        return None
    rest = float((_plain(y, x) ** 2).sum())  # Q(tau^2) is at most this over tau^2
    return _root(excess, 0.0, rest / target)


def _restricted(y: Floats, v: Floats, x: Floats) -> float:
    """Return the tau^2 >= 0 with the highest restricted likelihood.

    Its slope, (y'PPy - tr P) / 2, is negative beyond the residual variance of plain least squares
    plus the largest v: no maximum lies there.
    """

    def slope(tau2: Floats | float) -> Floats:
        fit = weigh(y, v, x, tau2)
        return np.asarray(((fit.weights * fit.residual) ** 2).sum(axis=-1) - fit.trace)

    df = len(y) - x.shape[1]
    end = float((_plain(y, x) ** 2).sum()) / df + float(v.max())
    grid = np.concatenate([[0.0], np.geomspace(1e-4 * float(v.min()), end, STEPS)])
    rising = slope(grid) > 0.0
    peaks = [0.0] if not rising[0] else []
    for left in np.flatnonzero(rising[:-1] & ~rising[1:]):
        peaks.append(_root(lambda t: float(slope(t)), grid[left], grid[left + 1]))
    fit = weigh(y, v, x, np.asarray(peaks))
    # log |X'WX| is minus that of the covariance.
    likelihood = np.log(fit.weights).sum(axis=-1) + np.linalg.slogdet(fit.covariance)[1] - fit.q
    return float(peaks[int(np.argmax(likelihood))])


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    if function(high) >= 0.0:  # an end that rounding has put on the root itself
        return high
    return float(brentq(function, low, high, xtol=1e-13, rtol=1e-12))


def _plain(y: Floats, x: Floats) -> Floats:
    return np.asarray(y - x @ np.linalg.lstsq(x, y, rcond=None)[0])
