"""Variance components of the gains of a study, from which the next study can be planned."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from compiler.planning import Noise
from compiler.power import Spread
from runtime.analysis.grid import Floats

NAMES = (
    "run", "language_noise", "task_slope", "language_slope", "task_language_slope", "size_task",
    "test_set", "checkpoint",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Components:
    """Standard deviations in points, per tenfold parameters for slopes; None where unknown.

    A component whose estimate is negative, as happens where it is small, is given as zero.
    ``checkpoint`` rests on as many degrees of freedom as there are sizes beyond two: one or two say
    next to nothing about it.
    """

    run: float | None
    language_noise: float | None
    task_slope: float | None
    language_slope: float | None
    task_language_slope: float | None
    size_task: float | None
    test_set: float | None
    checkpoint: float | None
    checkpoint_df: int

    def noise(self, assumed: Noise) -> Noise:
        """Return the noise to plan with: what was estimated, and the assumed for the rest."""
        found = {name: getattr(self, name) for name in vars(assumed.spread)}
        known = {name: value for name, value in found.items() if value is not None}
        checkpoint = assumed.checkpoint if self.checkpoint is None else self.checkpoint
        return Noise(Spread(**{**vars(assumed.spread), **known}), checkpoint, assumed.family)


def components(scores: ArrayLike, x: ArrayLike) -> Components:
    """Estimate the components from the scores of direct and one intermediate arm, of one family.

    ``scores`` is size x (direct, arm) x task x language x seed, missing where there is no run and
    without English; ``x`` is log10 of the parameters. The gain of size s, task t and language l is

        a_tl + (b + task_t + language_l + task_language_tl) x_s + checkpoint_s
            + size_task_st + test_set_stl + run_st / sqrt(K) + language_noise_stl / sqrt(K).

    All are estimated from mean squared differences of pairs: two seeds, two cells of one task, of
    one language, of neither. This is unbiased for any pattern of missing cells, and the analysis of
    variance where there is none (Koch 1967, Technometrics 9, 93-118). Only cells with both arms at
    every size count.
    """
    y, sizes = np.asarray(scores, dtype=np.float64), np.asarray(x, dtype=np.float64)
    run, noise = _runs(y)
    count = (~np.isnan(y)).sum(axis=-1)
    whole = (count > 0).all(axis=(0, 1))
    cells, y, count = np.argwhere(whole), y[:, :, whole], count[:, :, whole]
    centred = sizes - sizes.mean()
    sxx = float(centred @ centred)
    if len(cells) == 0 or sxx <= 1e-12:
        return _roots(run, noise, (None,) * 6, 0)
    gain = np.nanmean(y[:, 1], axis=-1) - np.nanmean(y[:, 0], axis=-1)  # size x cell
    each = float((1.0 / count).mean())  # what is left of a run's variance in a mean over seeds
    by_cell, by_task, shared = _around_the_line(gain, sizes, cells)
    task, language, both = _crossed(centred @ gain / sxx, cells)
    slopes = (_less(task, by_task, 1.0 / sxx), language, _less(both, by_cell, 1.0 / sxx))
    points = (_less(by_task, run, each), _less(by_cell, noise, each), shared)
    return _roots(run, noise, (*slopes, *points), max(0, len(sizes) - 2))


def _runs(y: Floats) -> tuple[float | None, float | None]:
    """Return the variances of a gain by run and by language within runs: twice those of one arm.

    Two seeds of one (size, arm, task) differ by run noise in all languages alike, which their
    products over different languages show, and by the noise of each language.
    """
    squares: list[Floats] = []
    products: list[Floats] = []
    runs = y.reshape(-1, *y.shape[-2:])  # (size, arm, task) x language x seed
    for one, other in itertools.combinations(range(y.shape[-1]), 2):
        difference = runs[..., one] - runs[..., other]
        n = (~np.isnan(difference)).sum(axis=1)
        difference = np.nan_to_num(difference[n > 1])
        n = n[n > 1]
        square = (difference**2).sum(axis=1)
        squares.append(square / n)
        products.append((difference.sum(axis=1) ** 2 - square) / (n * (n - 1)))
    within, between = (np.concatenate([np.empty(0), *each]) for each in (squares, products))
    if len(within) == 0:
        return None, None
    return float(between.mean()), float(within.mean() - between.mean())


def _around_the_line(
    gain: Floats, sizes: Floats, cells: NDArray[np.int64]
) -> tuple[float | None, float | None, float | None]:
    """Return the variances around the cells' lines: by cell, by task, and common to all cells.

    The S - 2 orthonormal contrasts that no line can reach hold nothing else.
    """
    if len(sizes) < 3:
        return None, None, None
    design = np.column_stack([np.ones(len(sizes)), sizes])
    z = np.linalg.qr(design, mode="complete")[0][:, 2:].T @ gain  # contrast x cell
    pairs, halves = _pairs(z, cells[:, 0])
    every, apart = _pairs(z, None)
    within = _over(halves, pairs)
    others = every - pairs
    sums = np.stack([np.bincount(cells[:, 0], weights=one) for one in z])
    products = (z.sum(axis=1) ** 2 - (sums**2).sum(axis=1)).mean()
    return within, _less(_over(apart - halves, others), within, 1.0), _over(products, others)


def _crossed(
    slopes: Floats, cells: NDArray[np.int64]
) -> tuple[float | None, float | None, float | None]:
    """Return the variances of slopes by task, by language, and by cell."""
    of_task, by_task = _pairs(slopes[None], cells[:, 0])
    of_language, by_language = _pairs(slopes[None], cells[:, 1])
    every, halves = _pairs(slopes[None], None)
    in_task, in_language = _over(by_task, of_task), _over(by_language, of_language)
    apart = _over(halves - by_task - by_language, every - of_task - of_language)
    if in_task is None or in_language is None or apart is None:
        return None, None, None
    return apart - in_task, apart - in_language, in_task + in_language - apart


def _pairs(values: Floats, group: NDArray[np.int64] | None) -> tuple[int, float]:
    """Return the number of ordered pairs of cells in one group, and their half squares in all.

    ``values`` is repetition x cell; the squares are averaged over repetitions. Over the pairs of n
    cells the halves of (v_i - v_j)^2 sum to n times the sum of squares around the group's mean, so
    that the pairs themselves, a million million of them at a million cells, are never made.
    """
    of = np.zeros(values.shape[1], dtype=np.int64) if group is None else group
    n = np.bincount(of)
    means = np.stack([np.bincount(of, weights=one) for one in values]) / np.maximum(n, 1)
    squares = ((values - means[:, of]) ** 2).mean(axis=0)
    return int((n * (n - 1)).sum()), float(n[of] @ squares)


def _over(total: float, pairs: int) -> float | None:
    return float(total) / pairs if pairs else None


def _less(whole: float | None, part: float | None, share: float) -> float | None:
    return None if whole is None or part is None else whole - share * part


def _roots(
    run: float | None, noise: float | None, rest: Sequence[float | None], spare: int
) -> Components:
    """Take the roots of the variances, after all differences of unrounded ones are made."""
    sds = [None if v is None else math.sqrt(max(0.0, v)) for v in (run, noise, *rest)]
    named = dict(zip(NAMES, sds, strict=True))
    return Components(checkpoint_df=spare if named["checkpoint"] is not None else 0, **named)
