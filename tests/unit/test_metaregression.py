"""Meta-regression against published results, another program, least squares and properties."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trials import log_risk_ratios

from runtime.analysis.metaregression import permuted, regress


def test_the_bcg_trials_on_latitude_as_the_readme_of_metafor_prints_them() -> None:
    # rma(yi, vi, mods = ~ ablat, test="knha")
    y, v, latitude = log_risk_ratios()
    found = regress(y, v, latitude[:, None], ("latitude",))
    intercept, slope = found.coefficients
    assert (intercept.name, slope.name) == ("intercept", "latitude")
    assert (intercept.estimate, slope.estimate) == pytest.approx((0.2515, -0.0291), abs=1e-4)
    assert math.sqrt(intercept.spread.variance or 0) == pytest.approx(0.2839, abs=1e-4)
    assert math.sqrt(slope.spread.variance or 0) == pytest.approx(0.0082, abs=1e-4)
    assert slope.spread.df == 11
    t = (slope.estimate or 0) / math.sqrt(slope.spread.variance or 1)
    assert t == pytest.approx(-3.5483, abs=1e-3)
    assert found.heterogeneity is not None
    assert found.heterogeneity.tau2 == pytest.approx(0.0764, abs=1e-4)
    assert found.heterogeneity.i2 == pytest.approx(0.6839, abs=1e-4)
    assert found.heterogeneity.q == pytest.approx(30.7331, abs=1e-4)
    assert found.heterogeneity.p == pytest.approx(0.0012, abs=5e-5)
    assert found.reason == ""
    # Twenty effects would be wanted for two moderators.
    both = regress(y, v, np.column_stack([latitude, latitude**2]), ("latitude", "square"))
    assert both.reason == "13 effects are few for 2 moderators"


def test_pymare_agrees() -> None:
    estimators = pytest.importorskip("pymare.estimators")
    y, v, latitude = log_risk_ratios()
    x = np.column_stack([np.ones(len(y)), latitude])
    for method, other in (
        ("REML", estimators.VarianceBasedLikelihoodEstimator(method="REML")),
        ("DL", estimators.DerSimonianLaird()),
    ):
        fitted = other.fit(y[:, None], v[:, None], x).summary()
        found = regress(y, v, latitude[:, None], ("latitude",), method)  # type: ignore[arg-type]
        ours = [c.estimate for c in found.coefficients]
        assert found.heterogeneity is not None
        assert found.heterogeneity.tau2 == pytest.approx(np.ravel(fitted.tau2)[0], rel=1e-4)
        assert ours == pytest.approx(np.ravel(fitted.fe_params).tolist(), rel=1e-4)


def test_equal_variances_give_least_squares() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(12, 2))
    y = 1.0 + x @ [0.5, -2.0] + rng.normal(size=12)
    design = np.column_stack([np.ones(12), x])
    b, (rest,), *_ = np.linalg.lstsq(design, y, rcond=None)
    covariance = rest / 9 * np.linalg.inv(design.T @ design)
    found = regress(y, [0.1] * 12, x, ("a", "b"))
    for i, each in enumerate(found.coefficients):
        assert each.estimate == pytest.approx(b[i])
        assert each.spread.variance == pytest.approx(covariance[i, i])
        assert each.spread.df == 9
    assert found.heterogeneity is not None
    assert found.heterogeneity.tau2 == pytest.approx(rest / 9 - 0.1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 100), st.floats(-1e3, 1e3))
def test_a_moderator_in_other_units_changes_only_its_slope(
    seed: int, by: float, shift: float
) -> None:
    rng = np.random.default_rng(seed)
    x, v = rng.normal(size=10), rng.uniform(0.2, 2, 10)
    y = rng.normal(0.3 * x, np.sqrt(v + 0.5))
    before, after = (regress(y, v, each[:, None], ("x",)) for each in (x, by * x + shift))
    one, other = before.coefficients[1], after.coefficients[1]
    assert other.estimate == pytest.approx((one.estimate or 0) / by, rel=1e-6, abs=1e-9)
    assert other.spread.variance == pytest.approx((one.spread.variance or 0) / by**2, rel=1e-6)
    assert after.q == pytest.approx(before.q, rel=1e-6)


@settings(deadline=None)
@given(st.floats(-5, 5), st.floats(-5, 5))
def test_a_line_without_noise_is_found_exactly(level: float, slope: float) -> None:
    x = np.asarray([0.0, 1.0, 2.5, 4.0, 7.0])
    found = regress(level + slope * x, [0.1, 0.5, 0.2, 0.9, 0.3], x[:, None], ("x",))
    assert [c.estimate for c in found.coefficients] == pytest.approx([level, slope], abs=1e-9)
    assert all(math.sqrt(c.spread.variance or 0) < 1e-9 for c in found.coefficients)


@pytest.mark.parametrize(
    ("moderators", "variances", "reason"),
    [
        ([[1.0], [1.0], [1.0], [1.0]], [0.5] * 4, "collinear"),
        ([[0.0], [0.0], [0.0], [0.0]], [0.5] * 4, "collinear"),
        ([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0], [5.0, 10.0]], [0.5] * 4, "collinear"),
        ([[1.0], [2.0], [math.nan], [4.0]], [0.5] * 4, "not a number"),
        ([[1.0, 0.0, 3.0], [2.0, 1.0, 0.0], [3.0, 0.0, 0.0], [5.0, 1.0, 1.0]], [0.5] * 4,
         "4 effects cannot show"),
        ([[1.0], [2.0], [3.0], [4.0]], [0.5, 0.5, 0.0, 0.5], "no sampling variance"),
    ],
)  # fmt: skip
def test_what_cannot_be_regressed(
    moderators: list[list[float]], variances: list[float], reason: str
) -> None:
    names = [f"m{i}" for i in range(len(moderators[0]))]
    columns = np.asarray(moderators)
    found = regress([1.0, 2.0, 2.5, 3.0], variances, columns, names)
    assert reason in found.reason
    assert [c.estimate for c in found.coefficients] == [None] * (1 + len(names))
    assert all(reason in c.spread.reason for c in found.coefficients)
    gone = permuted([1.0, 2.0, 2.5, 3.0], variances, columns)
    assert [each.p for each in gone] == [None] * len(names)
    assert reason in gone[0].reason


# --- permutation -----------------------------------------------------------------------------


def test_every_order_of_six_effects() -> None:
    y = np.asarray([0.1, 0.5, 0.4, 1.2, 1.0, 2.2])
    v, x = np.full(6, 0.05), np.asarray([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    (found,) = permuted(y, v, x[:, None])

    def t(column: tuple[float, ...]) -> float:
        slope = regress(y, v, np.asarray(column)[:, None], ("x",)).coefficients[1]
        return abs(slope.estimate or 0) / math.sqrt(slope.spread.variance or 1)

    # By equal variances |t| rises with |correlation|: count the orders that reach it.
    own = abs(float(np.corrcoef(y, x)[0, 1]))
    reach = [abs(float(np.corrcoef(y, o)[0, 1])) >= own - 1e-9 for o in itertools.permutations(x)]
    assert found.exact
    assert found.arrangements == 720
    assert found.p == pytest.approx(sum(reach) / 720)
    assert t(tuple(x)) > t((0.0, 2.0, 1.0, 5.0, 4.0, 3.0))


def test_drawn_orders_repeat_and_do_not_depend_on_the_order_of_rows() -> None:
    rng = np.random.default_rng(1)
    x, v = rng.normal(size=10), rng.uniform(0.1, 0.5, 10)
    y = 3 * x + rng.normal(size=10)
    order = rng.permutation(10)
    one = permuted(y, v, x[:, None], draws=99, method="PM")
    assert one == permuted(y[order], v[order], x[order, None], draws=99, method="PM")
    assert not one[0].exact
    assert one[0].smallest == 0.01
    assert permuted(y, v, x[:, None], draws=9, method="PM")[0].p is None  # 0.1 at best
    other = permuted(y, v, rng.normal(size=(10, 1)), draws=99, method="DL")
    assert (one[0].p or 1) < (other[0].p or 1)


@pytest.mark.slow
def test_permutation_keeps_its_level() -> None:
    rng = np.random.default_rng(2)
    hits, runs = 0, 300
    for _ in range(runs):
        v = rng.uniform(0.1, 1.0, 8)
        y = rng.normal(0, np.sqrt(v + 0.3))
        (found,) = permuted(y, v, rng.normal(size=(8, 1)), draws=59, method="DL")
        hits += (found.p or 1) <= 0.05
    assert hits / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
