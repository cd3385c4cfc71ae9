"""The centre of many cells by mean, median and interquartile mean, with weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from runtime.analysis.grid import Floats

SLACK = 1e-12


@dataclass(frozen=True, slots=True)
class Centre:
    """Three centres of the same values; None when there are none."""

    mean: float | None
    median: float | None
    iqm: float | None
    n: int


def centre(values: ArrayLike, weights: ArrayLike | None = None) -> Centre:
    """Return mean, median and interquartile mean of all values that are not missing.

    The interquartile mean leaves out a quarter of the weight at either end: far less moved by one
    task than the mean, and it uses more of the data than the median (as a summary over tasks:
    Agarwal et al. 2021, Deep Reinforcement Learning at the Edge of the Statistical Precipice,
    NeurIPS). A value on the border of a quarter counts in part, so that repeating all values
    changes nothing; cutting whole values, as ``scipy.stats.trim_mean`` does, differs where their
    number is not a multiple of four. ``weights`` are equal unless given; those of an average of
    tasks give every task the same.
    """
    v = np.asarray(values, dtype=np.float64).ravel()
    w = np.ones_like(v) if weights is None else np.asarray(weights, dtype=np.float64).ravel()
    if v.shape != w.shape or (w < 0.0).any():
        raise ValueError("every value needs one weight that is not negative")
    keep = ~np.isnan(v) & (w > 0.0)
    v, w = v[keep], w[keep]
    if len(v) == 0:
        return Centre(None, None, None, 0)
    order = np.argsort(v, kind="stable")
    v, w = v[order], w[order] / w.sum()
    return Centre(float(v @ w), _median(v, w), _trimmed(v, w, 0.25), len(v))


def _trimmed(v: Floats, w: Floats, cut: float) -> float:
    ends = np.clip(np.cumsum(w), cut, 1.0 - cut)
    inside = np.diff(ends, prepend=cut)
    return float(v @ inside / inside.sum())


def _median(v: Floats, w: Floats) -> float:
    """Return the middle value, or between two middle ones their mean."""
    below = np.cumsum(w)
    low = int(np.searchsorted(below, 0.5 - SLACK))
    high = int(np.searchsorted(below, 0.5 + SLACK))
    return float((v[low] + v[min(high, len(v) - 1)]) / 2.0)
