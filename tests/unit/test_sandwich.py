"""CR2 regression against closed forms that hold in special designs, and as properties."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.analysis.sandwich import cluster_regression


def test_the_mean_of_equal_clusters_is_the_t_over_their_means() -> None:
    y = np.asarray([1.0, 3.0, 2.0, 5.0, 7.0, 4.0, 0.0, 1.5])
    (mean,) = cluster_regression(y, np.empty((8, 0)), (), "aabbccdd")
    means = y.reshape(4, 2).mean(axis=1)
    assert mean.estimate == pytest.approx(means.mean())
    assert mean.spread.variance == pytest.approx(means.var(ddof=1) / 4)
    assert mean.spread.df == pytest.approx(3.0)


def test_two_groups_of_single_units_are_welch_with_bell_and_mccaffreys_df() -> None:
    # Imbens and Kolesar 2016, Review of Economics and Statistics 98, 701-712: the Behrens-Fisher
    # problem. The variance is s1^2/n1 + s0^2/n0, the degrees of freedom those of equal errors.
    y, group = np.asarray([1.0, 4.0, 2.0, 8.0, 3.0, 3.5, 2.5]), np.asarray([1, 1, 1, 1, 0, 0, 0.0])
    _, slope = cluster_regression(y, group, ("latin",), range(7))
    one, other = y[:4], y[4:]
    assert slope.estimate == pytest.approx(one.mean() - other.mean())
    expected = one.var(ddof=1) / 4 + other.var(ddof=1) / 3
    assert slope.spread.variance == pytest.approx(expected)
    df = (1 / 4 + 1 / 3) ** 2 / (1 / (4**2 * 3) + 1 / (3**2 * 2))
    assert slope.spread.df == pytest.approx(df)


def test_single_units_are_hc2() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(9, 2))
    y = rng.normal(size=9)
    design = np.column_stack([np.ones(9), x])
    bread = np.linalg.inv(design.T @ design)
    leverage = np.diagonal(design @ bread @ design.T)
    e = y - design @ bread @ design.T @ y
    expected = np.diagonal(bread @ (design.T * (e**2 / (1 - leverage))) @ design @ bread)
    found = cluster_regression(y, x, ("a", "b"), range(9))
    assert [t.spread.variance for t in found] == pytest.approx(expected.tolist())


def test_statsmodels_agrees_on_hc2() -> None:
    api = pytest.importorskip("statsmodels.regression.linear_model")
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(12, 1)), rng.normal(size=12)
    fitted = api.OLS(y, np.column_stack([np.ones(12), x])).fit(cov_type="HC2")
    found = cluster_regression(y, x, ("x",), range(12))
    assert [t.estimate for t in found] == pytest.approx(fitted.params.tolist())
    assert [math.sqrt(t.spread.variance or 0) for t in found] == pytest.approx(fitted.bse.tolist())


def test_the_variance_is_unbiased_for_equal_errors() -> None:
    # E[V] = sum of p'p over clusters with unit errors must be (X'X)^-1: take it from unit vectors.
    rng = np.random.default_rng(8)
    x = rng.normal(size=(10, 1))
    clusters = "aaabbccccd"
    design = np.column_stack([np.ones(10), x])
    total = np.zeros(2)
    for unit in np.eye(10):  # V is quadratic in y, so E[V] is the sum over unit vectors
        found = cluster_regression(unit, x, ("x",), clusters)
        total += [t.spread.variance or 0 for t in found]
    assert total == pytest.approx(np.diagonal(np.linalg.inv(design.T @ design)))


tables = st.integers(0, 10_000).map(
    lambda seed: (
        np.random.default_rng(seed).normal(size=12),
        np.random.default_rng(seed + 1).normal(size=(12, 1)),
    )
)
FAMILIES = "aaaabbbccdde"


@settings(max_examples=30, deadline=None)
@given(tables, st.floats(0.1, 10), st.floats(-5, 5), st.randoms(use_true_random=False))
def test_units_names_and_order(
    table: tuple[np.ndarray, np.ndarray], by: float, shift: float, chance: random.Random
) -> None:
    y, x = table
    before = cluster_regression(y, x, ("x",), FAMILIES)[1]
    order = list(range(12))
    chance.shuffle(order)
    names = [FAMILIES[i].upper() for i in order]
    after = cluster_regression((by * y + shift)[order], x[order], ("x",), names)[1]
    assert after.estimate == pytest.approx(by * (before.estimate or 0), abs=1e-9)
    assert after.spread.variance == pytest.approx(by**2 * (before.spread.variance or 0))
    assert after.spread.df == pytest.approx(before.spread.df)


@settings(max_examples=30, deadline=None)
@given(tables)
def test_rows_given_twice_never_narrow(table: tuple[np.ndarray, np.ndarray]) -> None:
    y, x = table
    before = cluster_regression(y, x, ("x",), FAMILIES)
    after = cluster_regression(np.tile(y, 2), np.tile(x, (2, 1)), ("x",), FAMILIES * 2)
    for one, two in zip(before, after, strict=True):
        assert two.estimate == pytest.approx(one.estimate)
        assert (two.spread.variance or 0) >= (one.spread.variance or 0) * (1 - 1e-9)


@settings(deadline=None)
@given(st.floats(-5, 5), st.floats(-5, 5))
def test_a_line_without_noise_is_found_exactly(level: float, slope: float) -> None:
    x = np.arange(6.0)
    found = cluster_regression(level + slope * x, x, ("x",), "aabbcc")
    assert [t.estimate for t in found] == pytest.approx([level, slope], abs=1e-9)
    assert all(math.sqrt(t.spread.variance or 0) < 1e-9 for t in found)


@pytest.mark.parametrize(
    ("y", "x", "clusters", "reason"),
    [
        ([], [], "", "there are no values"),
        ([1.0, 2.0, 3.0], [1.0, 2.0, 4.0], "aaa", "one cluster says nothing"),
        ([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], "abc", "collinear"),
        ([1.0, 2.0], [1.0, 2.0], "ab", "cannot carry"),
        ([1.0, math.nan, 3.0], [1.0, 2.0, 5.0], "abc", "2 values cannot carry"),
        ([1.0, 2.0, 3.0], [1.0, math.nan, math.nan], "abc", "one cluster says nothing"),
    ],
)
def test_what_cannot_be_regressed(
    y: list[float], x: list[float], clusters: str, reason: str
) -> None:
    found = cluster_regression(y, x, ("x",), list(clusters))
    assert [t.estimate for t in found] == [None, None]
    assert all(reason in t.spread.reason for t in found)


def test_a_moderator_that_one_cluster_alone_has() -> None:
    # Only family c is not Latin: its effect cannot be told from that of the family.
    y, x = [1.0, 2.0, 3.0, 1.5, 9.0, 8.0], [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]
    _, slope = cluster_regression(y, x, ("latin",), "aabbcc")
    assert slope.estimate == pytest.approx(1.875 - 8.5)
    assert slope.spread.df is None or slope.spread.df < 2
