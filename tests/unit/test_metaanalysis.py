"""Random-effects means against published results, other programs, slow formulas and properties."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import minimize_scalar
from trials import log_odds_ratios, log_risk_ratios

from runtime.analysis.heterogeneity import Method, heterogeneity
from runtime.analysis.intervals import t_interval
from runtime.analysis.metaanalysis import Pooled, pool, tau

METHODS: tuple[Method, ...] = ("REML", "PM", "DL")

# --- published results -----------------------------------------------------------------------


def test_the_bcg_trials_as_the_manual_of_metafor_prints_them() -> None:
    # rma(yi, vi, test="knha") and predict() in metafor's readme, confint() in its manual.
    found = pool(*log_risk_ratios()[:2], taken=1)
    assert found.estimate == pytest.approx(-0.7145, abs=1e-4)
    interval = t_interval(found.estimate, found.spread)
    assert interval is not None
    assert interval.se == pytest.approx(0.1808, abs=1e-4)
    assert interval.df == 12
    assert interval.p == pytest.approx(0.0019, abs=5e-5)
    # Three decimals: metafor stops its search for tau^2 a little before the maximum.
    assert (interval.lo, interval.hi) == pytest.approx((-1.1084, -0.3206), abs=1e-3)
    assert found.prediction is not None
    assert math.exp(found.prediction.lo) == pytest.approx(0.14, abs=0.005)
    assert math.exp(found.prediction.hi) == pytest.approx(1.76, abs=0.005)
    spread = found.heterogeneity
    assert spread is not None
    assert spread.tau2 == pytest.approx(0.3132, abs=1e-4)
    assert spread.i2 == pytest.approx(0.9222, abs=1e-4)
    assert (spread.q, spread.df) == (pytest.approx(152.2330, abs=1e-4), 12)
    assert (spread.lo, spread.hi) == pytest.approx((0.1197, 1.1115), abs=1e-4)
    assert tau(spread)[0] == pytest.approx(0.5597, abs=1e-4)


@pytest.mark.parametrize(("method", "tau2"), [("REML", 0.3132), ("DL", 0.3088), ("PM", 0.3181)])
def test_three_estimates_of_tau_squared(method: Method, tau2: float) -> None:
    found = pool(*log_risk_ratios()[:2], method).heterogeneity
    assert found is not None
    assert found.tau2 == pytest.approx(tau2, abs=1e-4)


def test_the_trials_of_diuretics() -> None:
    # Viechtbauer 2007, Statistics in Medicine 26, 37-52, table II.
    found = {method: pool(*log_odds_ratios(), method).heterogeneity for method in METHODS}
    dl, reml = found["DL"], found["REML"]
    assert dl is not None
    assert reml is not None
    assert dl.tau2 == pytest.approx(0.230, abs=5e-4)
    assert reml.tau2 == pytest.approx(0.301, abs=5e-4)
    assert (dl.lo, dl.hi) == pytest.approx((0.072, 2.203), abs=5e-4)


# --- other programs --------------------------------------------------------------------------


def test_pymare_agrees() -> None:
    estimators = pytest.importorskip("pymare.estimators")
    data = pytest.importorskip("pymare.core")
    for effects, variances in (log_risk_ratios()[:2], log_odds_ratios()):
        table = data.Dataset(y=effects, v=variances)
        for method, other in (
            ("REML", estimators.VarianceBasedLikelihoodEstimator(method="REML")),
            ("DL", estimators.DerSimonianLaird()),
        ):
            fitted = other.fit_dataset(table).summary()
            found = pool(effects, variances, method)  # type: ignore[arg-type]
            assert found.heterogeneity is not None
            close = 1e-4 if method == "REML" else 1e-9
            assert found.heterogeneity.tau2 == pytest.approx(np.ravel(fitted.tau2)[0], rel=close)
            assert found.estimate == pytest.approx(np.ravel(fitted.fe_params)[0], rel=close)
            interval = fitted.get_re_stats()
            ours = (found.heterogeneity.lo, found.heterogeneity.hi)
            theirs = tuple(np.ravel(interval[end])[0] for end in ("ci_l", "ci_u"))
            assert ours == pytest.approx(theirs, rel=1e-3)


def test_statsmodels_agrees() -> None:
    other = pytest.importorskip("statsmodels.stats.meta_analysis")
    for effects, variances in (log_risk_ratios()[:2], log_odds_ratios()):
        for method, name in (("DL", "chi2"), ("PM", "iterated")):
            fitted = other.combine_effects(
                effects, variances, method_re=name, use_t=True, atol=1e-12
            )
            found = pool(effects, variances, method)  # type: ignore[arg-type]
            assert found.heterogeneity is not None
            assert found.heterogeneity.tau2 == pytest.approx(fitted.tau2, rel=1e-6)
            assert found.estimate == pytest.approx(fitted.mean_effect_re, rel=1e-6)
            assert found.spread.variance == pytest.approx(fitted.var_hksj_re, rel=1e-6)
            assert found.q == pytest.approx(fitted.scale_hksj_re, rel=1e-6)


# --- slow formulas ---------------------------------------------------------------------------


def drawn(seed: int, k: int) -> tuple[list[float], list[float]]:
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.1, 2.0, k)
    return rng.normal(0.4, np.sqrt(rng.uniform(0.0, 2.0) + v)).tolist(), v.tolist()


def restricted(tau2: float, y: list[float], v: list[float]) -> float:
    """Minus twice the restricted likelihood of a common mean, in plain sums."""
    w = [1.0 / (x + tau2) for x in v]
    mean = sum(a * b for a, b in zip(w, y, strict=True)) / sum(w)
    rest = sum(a * (b - mean) ** 2 for a, b in zip(w, y, strict=True))
    return -sum(map(math.log, w)) + math.log(sum(w)) + rest


@pytest.mark.parametrize("seed", range(12))
def test_reml_is_the_maximum_of_its_likelihood(seed: int) -> None:
    y, v = drawn(seed, 3 + seed % 5)
    found = pool(y, v).heterogeneity
    assert found is not None
    best = minimize_scalar(
        restricted, args=(y, v), bounds=(0.0, 50.0), method="bounded", options={"xatol": 1e-10}
    )
    assert restricted(found.tau2, y, v) <= min(best.fun, restricted(0.0, y, v)) + 1e-9


def test_reml_takes_the_higher_of_two_maxima() -> None:
    # Two precise effects agree and three coarse ones lie apart: a maximum at 0 and one inside.
    y, v = [0.0, 0.02, 4.0, -4.0, 5.0], [0.001, 0.001, 4.0, 4.0, 4.0]
    found = pool(y, v).heterogeneity
    assert found is not None
    grid = np.concatenate([[0.0], np.geomspace(1e-6, 50, 20_000)])
    likelihoods = [restricted(t, y, v) for t in grid]
    turns = np.diff(np.sign(np.diff(likelihoods)))
    assert (turns > 0).sum() + (likelihoods[1] > likelihoods[0]) >= 2  # there are two indeed
    assert restricted(found.tau2, y, v) <= min(likelihoods) + 1e-6


@pytest.mark.parametrize("seed", range(6))
def test_the_moment_estimators_solve_their_equations(seed: int) -> None:
    y, v = drawn(seed, 5)
    pm, dl = (pool(y, v, method).heterogeneity for method in ("PM", "DL"))
    assert pm is not None
    assert dl is not None

    def q(tau2: float) -> float:
        w = [1.0 / (x + tau2) for x in v]
        mean = sum(a * b for a, b in zip(w, y, strict=True)) / sum(w)
        return sum(a * (b - mean) ** 2 for a, b in zip(w, y, strict=True))

    assert q(pm.tau2) == pytest.approx(4.0) if q(0.0) > 4.0 else pm.tau2 == 0.0
    w = [1.0 / x for x in v]
    moment = (q(0.0) - 4.0) / (sum(w) - sum(a * a for a in w) / sum(w))
    assert dl.tau2 == pytest.approx(max(0.0, moment))
    for end, tail in ((pm.lo, 0.975), (pm.hi, 0.025)):
        if end:
            assert stats.chi2.cdf(q(end), 4) == pytest.approx(tail)


def test_equal_variances_give_the_t_interval_of_the_mean() -> None:
    y = [1.0, 4.0, 2.0, 8.0, 3.0]
    for method in METHODS:
        found = pool(y, [0.5] * 5, method)
        assert found.spread.variance == pytest.approx(np.var(y, ddof=1) / 5)
        assert found.spread.df == 4
        assert found.heterogeneity is not None
        assert found.heterogeneity.tau2 == pytest.approx(np.var(y, ddof=1) - 0.5)
        assert found.shares == pytest.approx((0.2,) * 5)
        assert found.estimate == pytest.approx(3.6)
        assert found.prediction is not None
        assert found.prediction.df == 3
        half = stats.t.ppf(0.975, 3) * math.sqrt(np.var(y, ddof=1) * 1.2 - 0.5)
        assert found.prediction.hi == pytest.approx(3.6 + half)


# --- what must always hold -------------------------------------------------------------------

studies = st.integers(0, 10_000).map(lambda seed: drawn(seed, 3 + seed % 6))
methods = st.sampled_from(METHODS)


def numbers(found: Pooled) -> list[float]:
    """All numbers that are in the unit of the effects."""
    spread, prediction = found.heterogeneity, found.prediction
    assert found.estimate is not None
    assert found.spread.variance is not None
    assert found.guarded.variance is not None
    assert spread is not None
    assert prediction is not None
    ends = [math.sqrt(end) for end in (spread.lo, spread.hi) if end is not None]
    sds = [math.sqrt(x) for x in (found.spread.variance, found.guarded.variance, spread.tau2)]
    return [found.estimate, prediction.lo, prediction.hi, *sds, *ends]


@settings(max_examples=40, deadline=None)
@given(studies, methods, st.floats(1e-3, 1e3))
def test_scaled_effects_scale_everything(
    study: tuple[list[float], list[float]], method: Method, by: float
) -> None:
    y, v = study
    before, after = pool(y, v, method), pool([by * e for e in y], [by * by * e for e in v], method)
    assert numbers(after) == pytest.approx([by * e for e in numbers(before)], rel=1e-6, abs=1e-6)
    assert after.q == pytest.approx(before.q, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(studies, methods, st.floats(-50, 50), st.randoms(use_true_random=False))
def test_shifts_move_and_order_does_not_matter(
    study: tuple[list[float], list[float]], method: Method, by: float, chance: random.Random
) -> None:
    rows = list(zip(*study, strict=True))
    chance.shuffle(rows)
    before = pool(*study, method)
    after = pool([e + by for e, _ in rows], [v for _, v in rows], method)
    moved = numbers(before)
    moved[:3] = [e + by for e in moved[:3]]
    assert numbers(after) == pytest.approx(moved, rel=1e-5, abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(studies, methods)
def test_the_guard_and_the_prediction_never_narrow(
    study: tuple[list[float], list[float]], method: Method
) -> None:
    found = pool(*study, method)
    plain, guarded = found.spread, found.guarded
    interval = t_interval(found.estimate, plain)  # type: ignore[arg-type]
    assert interval is not None
    assert found.prediction is not None
    assert plain.variance <= guarded.variance  # type: ignore[operator]
    assert found.prediction.lo <= interval.lo + 1e-12
    assert interval.hi <= found.prediction.hi + 1e-12
    if found.q is not None and found.q >= 1.0:
        assert plain.variance == guarded.variance


@settings(deadline=None)
@given(st.floats(-100, 100), st.lists(st.floats(0.01, 10), min_size=3, max_size=9))
def test_effects_without_noise_are_found_exactly(truth: float, v: list[float]) -> None:
    found = pool([truth] * len(v), v)
    assert found.estimate == pytest.approx(truth, abs=1e-9)
    assert found.heterogeneity is not None
    assert found.heterogeneity.tau2 == 0.0
    assert found.spread.variance == pytest.approx(0.0, abs=1e-18 * (1 + truth**2))
    # The seeds said that the effects should differ more: the guard keeps their variance.
    assert found.guarded.variance == pytest.approx(1 / sum(1 / each for each in v))


# --- where there is no answer ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("effects", "variances", "reason"),
    [
        ([], [], "there are no effects"),
        ([1.0], [0.5], "one effect cannot show"),
        ([1.0, 2.0, 3.0], [0.5, 0.0, 0.5], "1 of 3 effects have no sampling variance"),
        ([1.0, 1.0, 1.0], [0.0, 0.0, 0.0], "3 of 3 effects have no sampling variance"),
        ([1.0, math.nan, 1.0], [0.5, 0.5, 0.5], "not a number"),
        ([1.0, 2.0, 1.0], [0.5, math.inf, 0.5], "not a number"),
    ],
)
def test_what_cannot_be_pooled(effects: list[float], variances: list[float], reason: str) -> None:
    found = pool(effects, variances)
    assert found.estimate is None
    assert found.heterogeneity is None
    assert found.prediction is None
    assert found.spread.variance is None
    assert reason in found.reason
    assert reason in found.spread.reason


def test_two_effects_have_a_mean_but_predict_nothing() -> None:
    found = pool([1.0, 3.0], [0.5, 0.5])
    assert found.estimate == pytest.approx(2.0)
    assert found.spread.df == 1.0
    assert found.prediction is None
    assert "a third" in found.reason


def test_effects_too_close_have_no_interval_of_tau() -> None:
    found = heterogeneity(np.asarray([1.0, 1.01, 1.0]), np.full(3, 4.0), np.ones((3, 1)))
    assert (found.tau2, found.lo, found.hi) == (0.0, None, None)
    assert "differ less" in found.reason
    assert tau(found) == (0.0, None, None)


@pytest.mark.slow
def test_coverage_of_the_mean_and_of_a_new_task() -> None:
    # Six tasks, tau 0.8, seed variances between 0.05 and 0.5, as of slopes in points per tenfold.
    rng = np.random.default_rng(7)
    runs, covered = 1500, np.zeros(2)
    for _ in range(runs):
        v = rng.uniform(0.05, 0.5, 6)
        found = pool(rng.normal(rng.normal(-0.6, 0.8, 6), np.sqrt(v)), v)
        interval = t_interval(found.estimate, found.spread)  # type: ignore[arg-type]
        assert interval is not None
        assert found.prediction is not None
        new = rng.normal(-0.6, 0.8)
        covered += [
            interval.lo <= -0.6 <= interval.hi,
            found.prediction.lo <= new <= found.prediction.hi,
        ]
    # Three Monte Carlo errors are 1.7 points. The prediction interval takes tau for known, and
    # falls short of its 95 % by it.
    assert 0.93 <= covered[0] / runs <= 0.97
    assert 0.87 <= covered[1] / runs <= 0.95
