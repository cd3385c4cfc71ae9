"""The cross-fitted best intermediate by hand, in simulation, and where there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.analysis.crossfit import Chosen, choose_overall, choose_per_target

ARMS = ("mnli", "squad", "ccg")
NAN = math.nan


def test_the_choice_by_hand() -> None:
    # One target, seeds 1, 2, 3. Without seed 1 mnli is best (62 against 60) and has 58 on it;
    # without 2 squad (61 against 60.5), 60 on it; without 3 squad (61 against 59.5), 60 on it.
    scores = [[[58.0, 61.0, 63.0]], [[62.0, 60.0, 60.0]]]
    found = choose_per_target(scores, [[50.0, 49.0, 51.0]], ARMS[:2])
    assert found.estimate == pytest.approx((58 + 60 + 60) / 3 - 50)
    assert found.naive == pytest.approx(182 / 3 - 50)  # both arms sum to 182
    assert found.optimism == pytest.approx(182 / 3 - 178 / 3)
    assert found.votes == pytest.approx({"mnli": 1 / 3, "squad": 2 / 3})
    assert found.spread.reason == "one target says nothing about new targets"


def test_one_arm_for_all_targets_by_hand() -> None:
    # Without A: squad 2.5 against 2; without B: mnli 3 against 1.5; without C: mnli 4 against 1.
    gains = [[5.0, 3.0, 1.0], [0.0, 2.0, 3.0]]
    found = choose_overall(gains, ARMS[:2])
    assert found.values == (0.0, 3.0, 1.0)
    assert found.estimate == pytest.approx(4 / 3)
    assert found.naive == pytest.approx(3.0)
    assert found.votes == pytest.approx({"mnli": 2 / 3, "squad": 1 / 3})
    assert found.spread.variance == pytest.approx(np.var([0, 3, 1], ddof=1) / 3)
    assert found.spread.df == 2


def test_one_arm_leaves_nothing_to_choose() -> None:
    scores = np.asarray([[[60.0, 61.0, 62.0], [70.0, 71.0, 75.0]]])
    found = choose_per_target(scores, [[58.0] * 3, [69.0] * 3], ARMS[:1])
    assert found.estimate == found.naive == pytest.approx((61 - 58 + 72 - 69) / 2)
    assert found.optimism == pytest.approx(0.0)


@settings(deadline=None)
@given(st.floats(-20, 20), st.lists(st.floats(-5, 5), min_size=3, max_size=3))
def test_without_noise_the_best_arm_is_found_exactly(direct: float, gains: list[float]) -> None:
    truth = np.asarray(gains)[:, None, None] + direct + np.zeros((3, 4, 3))
    found = choose_per_target(truth, np.full((4, 3), direct), ARMS)
    assert found.estimate == pytest.approx(max(gains), abs=1e-9)
    overall = choose_overall(np.repeat(np.asarray(gains)[:, None], 4, axis=1), ARMS)
    assert overall.estimate == pytest.approx(max(gains), abs=1e-9)


def same(one: Chosen, other: Chosen, by: float = 1.0) -> None:
    assert other.estimate == pytest.approx(by * (one.estimate or 0), abs=1e-9)
    assert other.naive == pytest.approx(by * (one.naive or 0), abs=1e-9)
    assert other.votes == pytest.approx(one.votes)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 10), st.floats(-20, 20))
def test_units_shifts_and_order(seed: int, by: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    y, base = rng.normal(size=(3, 4, 3)), rng.normal(size=(4, 3))
    a, t, k = rng.permutation(3), rng.permutation(4), rng.permutation(3)
    names = tuple(ARMS[i] for i in a)
    moved = by * y[np.ix_(a, t, k)] + shift
    same(
        choose_per_target(y, base, ARMS),
        choose_per_target(moved, by * base[np.ix_(t, k)] + shift, names),
        by,
    )
    gains = y.mean(axis=2)
    same(choose_overall(gains, ARMS), choose_overall(by * gains[np.ix_(a, t)], names), by)


def test_arms_that_are_alike_share_the_vote() -> None:
    scores = np.asarray([[[60.0, 61.0, 62.0]], [[60.0, 61.0, 62.0]]])
    found = choose_per_target(scores, [[58.0, 58.0, 58.0]], ARMS[:2])
    assert found.votes == {"mnli": 0.5, "squad": 0.5}
    assert found.estimate == pytest.approx(3.0)


def test_missing_runs_and_arms() -> None:
    # squad is a self-pair at A; ccg has a single seed at B, so it cannot be held out there.
    scores = [
        [[60.0, 61.0, 62.0], [50.0, 51.0, 52.0]],
        [[NAN, NAN, NAN], [60.0, NAN, 62.0]],
        [[50.0, 50.0, 50.0], [NAN, 99.0, NAN]],
    ]
    found = choose_per_target(scores, [[58.0, NAN, 58.0], [48.0, 48.0, 48.0]], ARMS)
    assert found.values == pytest.approx((3.0, 13.0))
    assert found.votes["ccg"] == 0.0
    # C has no direct run, D no arm with two seeds.
    gaps = choose_per_target(
        [[[60.0, 61.0], [60.0, 61.0], [60.0, NAN]]],
        [[58.0, 58.0], [NAN, NAN], [58.0, 58.0]],
        ("mnli",),
    )
    assert gaps.values == (2.5, None, None)
    assert gaps.reason == "2 of 3 targets are left out"


def test_nothing_to_hold_out() -> None:
    found = choose_per_target([[[60.0]], [[61.0]]], [[58.0]], ARMS[:2])
    assert (found.estimate, found.naive, found.optimism) == (None, None, None)
    assert (
        found.reason == found.spread.reason == "nothing can be held out without two seeds of an arm"
    )
    single = choose_overall([[1.0, NAN], [2.0, 3.0]], ARMS[:2])
    assert single.estimate is None
    assert "two targets that all arms have" in single.reason
    assert choose_overall(np.empty((0, 0)), ()).estimate is None


@pytest.mark.slow
@pytest.mark.parametrize(("arms", "bias"), [(3, 0.29), (5, 0.40), (9, 0.52)])
def test_choosing_on_the_same_seeds_is_biased_and_cross_fitting_is_not(
    arms: int, bias: float
) -> None:
    # No arm gains anything: seed sd 0.6, three seeds; the maximum of the means is above zero.
    rng = np.random.default_rng(arms)
    names = tuple(map(str, range(arms)))
    found = [
        choose_per_target(rng.normal(0, 0.6, (arms, 6, 3)), rng.normal(0, 0.6, (6, 3)), names)
        for _ in range(600)
    ]
    naive = np.mean([f.naive for f in found])  # type: ignore[misc]
    fitted = [f.estimate or 0.0 for f in found]
    assert naive == pytest.approx(bias, abs=0.03)
    assert abs(np.mean(fitted)) < 3 * np.std(fitted) / math.sqrt(len(fitted))
