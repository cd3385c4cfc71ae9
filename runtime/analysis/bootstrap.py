"""The studentised cluster bootstrap: whole tasks are drawn anew, and each draw has its own t."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from runtime.analysis.grid import Floats

ALL = 9
"""Clusters up to which every possible draw is listed with its probability: 24 310 for nine."""
DRAWS = 9999


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """A mean over clusters with its studentised 95 % and 90 % intervals and two-sided p.

    ``exact`` says that all draws were listed, so that no random number is in the result. Where the
    clusters are too few for a quantile the numbers are None and ``reason`` says so.
    """

    estimate: float | None
    se: float | None
    lo: float | None
    hi: float | None
    lo90: float | None
    hi90: float | None
    p: float | None
    n: int
    exact: bool
    reason: str = ""


def cluster_bootstrap(values: ArrayLike, *, seed: int = 0) -> Bootstrap:
    """Interval of the mean of one value per cluster, such as one slope for each task.

    With t* = (m* - m) / se* of a draw of as many clusters with replacement, the interval is
    m - t*_{0.975} se to m - t*_{0.025} se (Efron and Tibshirani 1993, An Introduction to the
    Bootstrap, chapter 12; Cameron, Gelbach and Miller 2008, Review of Economics and Statistics 90,
    414-427, for few clusters). Percentile intervals cannot work with five to nine clusters. A draw
    of one and the same cluster has no spread: its t* is infinite, on the side of its mean, so few
    clusters give no interval instead of a narrow one. Missing values are left out; beyond nine
    clusters ``seed`` decides the draws.
    """
    y = np.asarray(values, dtype=np.float64)
    y = np.sort(y[~np.isnan(y)])  # the draws must not depend on the order of the clusters
    n = len(y)
    exact = n <= ALL
    if n < 2:
        few = "one cluster says" if n else "no clusters say"
        return _none(n, exact, f"{few} nothing about new clusters")
    mean = float(y.mean())
    se = float(y.std(ddof=1)) / math.sqrt(n)
    if se <= 1e-12 * float(np.abs(y).max()):
        return _none(n, exact, "the clusters do not differ at all")
    counts, share = draws(n, seed)
    t = studentise(counts, (y - mean)[:, None])[:, 0]
    order = np.argsort(t, kind="stable")
    t, weight = t[order], share[order]
    quantiles = [quantile(t, weight, level) for level in (0.025, 0.05, 0.95, 0.975)]
    if not np.isfinite(quantiles).all():
        return _none(n, exact, f"{n} clusters are too few for the quantiles of a bootstrap")
    low, low90, high90, high = quantiles
    own, unseen = mean / se, 1.0 - float(weight.sum())
    tail = unseen + min(float(weight[t <= own].sum()), float(weight[t >= own].sum()))
    return Bootstrap(
        mean, se, mean - high * se, mean - low * se, mean - high90 * se, mean - low90 * se,
        min(1.0, 2.0 * tail), n, exact,
    )  # fmt: skip


def draws(clusters: int, seed: int) -> tuple[Floats, Floats]:
    """Return how often each cluster is in each draw (draw x cluster), and the draws' probabilities.

    All draws up to nine clusters, with their multinomial probabilities; else ``DRAWS`` random ones.
    """
    if clusters <= ALL:
        return _every(clusters)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(clusters, np.full(clusters, 1.0 / clusters), size=DRAWS)
    return counts.astype(np.float64), np.full(DRAWS, 1.0 / (DRAWS + 1))


@lru_cache(maxsize=ALL)
def _every(clusters: int) -> tuple[Floats, Floats]:
    """List the draws as the ways to put bars between stars."""
    places = itertools.combinations(range(2 * clusters - 1), clusters - 1)
    bars = np.asarray(list(places), dtype=np.int64).reshape(-1, clusters - 1)
    ends = np.full((len(bars), 1), 2 * clusters - 1)
    counts = np.diff(np.hstack([np.full((len(bars), 1), -1), bars, ends]), axis=1) - 1
    ways = np.asarray([math.factorial(i) for i in range(clusters + 1)], dtype=np.float64)
    share = ways[clusters] / ways[counts].prod(axis=1) / float(clusters) ** clusters
    found = counts.astype(np.float64), share
    for each in found:  # the cache hands the same arrays to everyone
        each.setflags(write=False)
    return found


def studentise(counts: Floats, centred: Floats) -> Floats:
    """Return t* of each draw for each column of ``centred`` (cluster x column, columns of mean 0).

    Infinite where a draw has no spread, zero where it has no mean either.
    """
    n = centred.shape[0]
    mean = counts @ centred / n
    square = np.maximum(counts @ centred**2 / n - mean**2, 0.0)
    scale = np.abs(centred).max(axis=0)
    flat = square <= 1e-14 * scale**2  # what rounding leaves of no spread
    mean = np.where(np.abs(mean) <= 1e-12 * scale, 0.0, mean)
    t = mean / np.sqrt(np.where(flat, 1.0, square) / (n - 1))
    return np.where(flat, np.where(mean == 0.0, 0.0, np.copysign(np.inf, mean)), t)


def quantile(ordered: Floats, weight: Floats, level: float) -> float:
    """Return the ``level`` quantile of a weighted sample, the one farther from the middle.

    Weights that sum to less than one, as those of random draws do, leave room for the unseen: the
    quantile of n draws is then the (n + 1) level-th (Davison and Hinkley 1997, Bootstrap Methods
    and their Application, chapter 2).
    """
    if level < 0.5:
        return -quantile(-ordered[::-1], weight[::-1], 1.0 - level)
    above = np.cumsum(weight)
    at = int(np.searchsorted(above, level - 1e-12))
    return float(ordered[at]) if at < len(ordered) else math.inf


def _none(n: int, exact: bool, reason: str) -> Bootstrap:
    return Bootstrap(None, None, None, None, None, None, None, n, exact, reason)
