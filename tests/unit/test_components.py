"""Variance components against the analysis of variance, and on studies with known ones."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.planning import Noise
from compiler.power import Spread
from runtime.analysis.components import NAMES, Components, components

X = np.log10([2.7e8, 5.5e8, 3.5e9, 1.07e10])
TRUTH = Noise(Spread(0.9, 0.7, 0.8, 0.5, 0.4, 0.5, 0.4), checkpoint=0.6)


def draw(rng: np.random.Generator, tasks: int, languages: int, seeds: int) -> np.ndarray:
    """Draw the scores of one study: size x (direct, arm) x task x language x seed."""
    sd, sizes = TRUTH.spread, len(X)

    def normal(by: float, *shape: int) -> np.ndarray:
        return rng.normal(0.0, by, shape)

    lines = (
        -0.6 + normal(sd.task_slope, tasks, 1) + normal(sd.language_slope, 1, languages)
        + normal(sd.task_language_slope, tasks, languages)
    )  # fmt: skip
    gain = (
        2.0 + normal(1.5, tasks, 1) + normal(0.5, tasks, languages) + lines * X[:, None, None]
        + normal(sd.size_task, sizes, tasks, 1) + normal(sd.test_set, sizes, tasks, languages)
        + normal(TRUTH.checkpoint, sizes, 1, 1)
    )  # fmt: skip
    level = 60.0 + normal(5.0, sizes, 1, tasks, languages, 1)
    scores = level + np.stack([np.zeros_like(gain), gain], axis=1)[..., None]
    arm = 1 / math.sqrt(2)
    scores = scores + normal(arm * sd.run, sizes, 2, tasks, 1, seeds)
    return scores + normal(arm * sd.language_noise, sizes, 2, tasks, languages, seeds)


def test_complete_studies_are_the_analysis_of_variance() -> None:
    tasks, languages, seeds = 5, 6, 3
    y = draw(np.random.default_rng(1), tasks, languages, seeds)
    gain = (y[:, 1] - y[:, 0]).mean(axis=-1)
    x = X - X.mean()
    sxx = float(x @ x)
    slope = np.einsum("s,stl->tl", x, gain) / sxx
    rows, columns = slope.mean(axis=1), slope.mean(axis=0)
    ms_task = languages * rows.var(ddof=1)
    ms_language = tasks * columns.var(ddof=1)
    rest = slope - rows[:, None] - columns + slope.mean()
    ms_rest = (rest**2).sum() / (tasks - 1) / (languages - 1)
    line = gain - gain.mean(axis=0) - slope * x[:, None, None]
    of_task = line.mean(axis=2)
    spare = len(X) - 2
    ms_cell = ((line - of_task[..., None]) ** 2).sum() / spare / tasks / (languages - 1)
    of_all = of_task.mean(axis=1)
    ms_by_task = languages * ((of_task - of_all[:, None]) ** 2).sum() / spare / (tasks - 1)
    ms_all = tasks * languages * (of_all**2).sum() / spare
    own = y - y.mean(axis=-1, keepdims=True)
    of_run = own.mean(axis=3)
    groups = len(X) * 2 * tasks * (seeds - 1)
    ms_run = languages * (of_run**2).sum() / groups
    ms_noise = ((own - of_run[:, :, :, None]) ** 2).sum() / groups / (languages - 1)
    by_task = (ms_by_task - ms_cell) / languages
    expected = (
        2 * (ms_run - ms_noise) / languages,
        2 * ms_noise,
        (ms_task - ms_rest) / languages - by_task / sxx,
        (ms_language - ms_rest) / tasks,
        ms_rest - ms_cell / sxx,
        by_task - 2 * (ms_run - ms_noise) / languages / seeds,
        ms_cell - 2 * ms_noise / seeds,
        (ms_all - ms_by_task) / tasks / languages,
    )
    found = components(y, X)
    for name, variance in zip(NAMES, expected, strict=True):
        assert getattr(found, name) == pytest.approx(math.sqrt(max(0.0, variance))), name
    assert found.checkpoint_df == 2


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_known_components_are_found_on_average(missing: float) -> None:
    rng = np.random.default_rng(3)
    squares = []
    for _ in range(60):
        y = draw(rng, 8, 10, 3)
        gone = rng.random((8, 10)) < missing
        y[:, :, gone] = np.nan
        y[0, 0, 0, :, 2] = np.nan  # and one run that failed
        found = components(y, X)
        squares.append([getattr(found, name) ** 2 for name in NAMES])
    truth = [*vars(TRUTH.spread).values(), TRUTH.checkpoint]
    order = [*vars(TRUTH.spread), "checkpoint"]
    means = dict(zip(NAMES, np.mean(squares, axis=0), strict=True))
    errors = dict(zip(NAMES, np.std(squares, axis=0) / math.sqrt(60), strict=True))
    for name, sd in zip(order, truth, strict=True):
        # Zero in place of the negative ones lifts a mean a little.
        assert means[name] == pytest.approx(sd**2, abs=3.5 * errors[name] + 0.02), name


def numbers(found: Components) -> list[float]:
    return [getattr(found, name) for name in NAMES]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 10), st.floats(-20, 20))
def test_units_levels_and_order(seed: int, by: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    y = draw(rng, 4, 5, 2)
    y[:, :, rng.random((4, 5)) < 0.1] = np.nan
    moved = (by * y + shift)[:, :, rng.permutation(4)][:, :, :, rng.permutation(5)]
    order = rng.permutation(len(X))
    after = components(moved[order][..., ::-1], X[order] + 3.0)
    expected = [by * sd for sd in numbers(components(y, X))]
    assert numbers(after) == pytest.approx(expected, abs=1e-5 * by)


def test_without_noise_nothing_is_left() -> None:
    y = np.zeros((4, 2, 3, 3, 2)) + 50.0
    y[:, 1] += 2.0 - 0.5 * X[:, None, None, None]
    assert numbers(components(y, X)) == pytest.approx([0.0] * 8, abs=1e-7)


def test_what_a_design_cannot_show() -> None:
    y = draw(np.random.default_rng(2), 4, 5, 2)
    one_seed = components(y[..., :1], X)
    assert (one_seed.run, one_seed.language_noise, one_seed.size_task) == (None, None, None)
    assert one_seed.task_slope is not None
    two_sizes = components(y[:2], X[:2])
    assert (two_sizes.checkpoint, two_sizes.checkpoint_df, two_sizes.task_slope) == (None, 0, None)
    assert two_sizes.run is not None
    assert two_sizes.language_slope is not None
    one_task = components(y[:, :, :1], X)
    assert (one_task.task_slope, one_task.checkpoint) == (None, None)
    one_size = components(y[:1], X[:1])
    assert one_size.language_slope is None
    gone = y.copy()
    gone[0, 0] = np.nan
    assert components(gone, X).language_slope is None
    assert components(gone, X).run is not None
    one_language = components(y[:, :, :, :1], X)
    assert numbers(one_language) == [None] * 7 + [one_language.checkpoint]


def test_what_is_unknown_is_assumed() -> None:
    found = components(draw(np.random.default_rng(2), 4, 5, 2)[:2], X[:2])
    noise = found.noise(TRUTH)
    assert noise.spread.run == found.run
    assert noise.spread.language_slope == found.language_slope
    assert noise.spread.task_slope == TRUTH.spread.task_slope
    assert (noise.checkpoint, noise.family) == (TRUTH.checkpoint, TRUTH.family)
    assert replace(found, checkpoint=0.1).noise(TRUTH).checkpoint == 0.1
