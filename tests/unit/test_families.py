"""Slopes over families, and interactions, by hand, against SciPy and the three levels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scoretables import noisy

from runtime.analysis import contrasts, slopes
from runtime.analysis.estimands import View, look
from runtime.analysis.families import over_families
from runtime.analysis.grid import build, rescale
from runtime.analysis.interactions import between_arms, between_languages, between_tasks
from runtime.analysis.intervals import t_interval

NAN = math.nan

# --- families --------------------------------------------------------------------------------


def test_two_families_by_hand() -> None:
    # b_f = -1, -2; b_t = -1, -1.5, -2. V = .5 / 2 + .25 / 3; df by Welch on 1 and 2.
    found = over_families([[-0.5, -1.0, -1.5], [-1.5, -2.0, -2.5]], ("xlm-r", "mt5"))
    one, two = 0.25, 0.25 / 3
    assert found.mean.estimate == pytest.approx(-1.5)
    assert found.mean.spread.variance == pytest.approx(one + two)
    assert found.mean.spread.df == pytest.approx((one + two) ** 2 / (one**2 + two**2 / 2))
    assert [m.estimate for m in found.each] == pytest.approx([-1.0, -2.0])
    assert found.each[0].spread.variance == pytest.approx(0.25 / 3)
    (difference,) = found.differences
    assert difference.name == "xlm-r - mt5"
    assert difference.estimate == pytest.approx(1.0)
    assert difference.spread.variance == pytest.approx(0.0)


def test_families_are_paired_over_tasks() -> None:
    rng = np.random.default_rng(2)
    b = rng.normal(size=(3, 6))
    found = over_families(b, ("a", "b", "c"))
    assert [m.name for m in found.differences] == ["a - b", "a - c", "b - c"]
    for mean, (i, j) in zip(found.differences, [(0, 1), (0, 2), (1, 2)], strict=True):
        expected = stats.ttest_rel(b[i], b[j])
        interval = t_interval(mean.estimate or 0, mean.spread)
        assert interval is not None
        assert interval.p == pytest.approx(expected.pvalue)
        low, high = expected.confidence_interval()
        assert (interval.lo, interval.hi) == pytest.approx((low, high))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 10), st.floats(-5, 5))
def test_families_in_other_units_and_order(seed: int, by: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    b, f, t = rng.normal(size=(3, 5)), rng.permutation(3), rng.permutation(5)
    names = ("a", "b", "c")
    before = over_families(b, names).mean
    after = over_families(by * b[np.ix_(f, t)] + shift, [names[i] for i in f]).mean
    assert after.estimate == pytest.approx(by * (before.estimate or 0) + shift, abs=1e-9)
    assert after.spread.variance == pytest.approx(by**2 * (before.spread.variance or 0))
    assert after.spread.df == pytest.approx(before.spread.df)


def test_a_second_copy_of_a_family_is_no_narrower_than_its_tasks() -> None:
    row = [-0.5, -1.0, -1.8, 0.2]
    found = over_families([row, row], ("a", "a again"))
    assert found.mean.spread.variance == pytest.approx(np.var(row, ddof=1) / 4)


@pytest.mark.parametrize(
    ("b", "names", "reason"),
    [
        ([[1.0, 2.0]], ["a"], "one family says nothing about other families"),
        ([[1.0], [2.0]], ["a", "b"], "one task says nothing about new tasks"),
        ([[1.0, NAN], [NAN, 2.0]], ["a", "b"], "no task has a slope in every family"),
    ],
)
def test_families_that_cannot_be_averaged(
    b: list[list[float]], names: list[str], reason: str
) -> None:
    found = over_families(b, names)
    assert (found.mean.spread.variance, found.mean.spread.reason) == (None, reason)


def test_tasks_that_a_family_lacks_fall_out() -> None:
    found = over_families([[1.0, 2.0, 9.0], [1.5, 2.5, NAN]], ("a", "b"))
    assert found.tasks == 2
    assert found.mean.estimate == pytest.approx(1.75)
    assert found.each[0].estimate == pytest.approx(1.5)


@pytest.mark.slow
@pytest.mark.parametrize(("families", "least"), [(2, 0.90), (3, 0.93), (5, 0.93)])
def test_coverage_over_families(families: int, least: float) -> None:
    # Three sizes each, seven tasks: family slopes 0.4, checkpoints 0.4, tasks 0.8, size x task 0.5.
    rng = np.random.default_rng(families)
    x = np.log10([2.7e8, 5.5e8, 3.5e9])
    x = x - x.mean()
    names, runs, covered = [str(i) for i in range(families)], 3000, 0
    for _ in range(runs):
        slope = -0.6 + rng.normal(0, 0.4, (families, 1)) + rng.normal(0, 0.8, (1, 7))
        points = rng.normal(0, 0.4, (families, 1, 3)) + rng.normal(0, 0.7, (families, 7, 3))
        found = over_families(slope + points @ x / (x @ x), names).mean
        interval = t_interval(found.estimate or 0, found.spread)
        assert interval is not None
        covered += interval.lo <= -0.6 <= interval.hi
    assert least <= covered / runs <= 0.985


# --- interactions ----------------------------------------------------------------------------


def test_the_difference_of_two_arms_is_the_difference_of_their_slopes() -> None:
    frame = noisy(4, tasks=4, languages=5, sizes=3, seeds=3, arms=("mnli", "squad"))
    view = look(build(frame, shared_runs=False), "trained", "primary", "non_embedding", None)
    line = view.line
    assert line is not None
    spoken = contrasts.spoken(view.grid, "zero_shot")

    def measured(contrast: contrasts.Contrast, view: View = view) -> slopes.Measured:
        scaled = rescale(view.means.mean, view.grid, "points")
        return slopes.measure(
            contrast, line.weights, view.means, *scaled,
            shared_runs=False, line=line, levels=("L1", "L2", "L3"),
        )  # fmt: skip

    gains = [measured(contrasts.gain(contrasts.only(view.cases, i), spoken)) for i in (0, 1)]
    found = measured(between_arms(view.cases, 0, 1, spoken))
    assert found.value == pytest.approx((gains[0].value or 0) - (gains[1].value or 0))
    assert (found.tasks, found.languages, found.sizes) == (4, 4, 3)
    assert all(found.spreads[level].variance is not None for level in ("L1", "L2", "L3"))
    # The noise of the direct arm is in neither: other direct scores change nothing.
    rng = np.random.default_rng(0)
    scores = view.grid.scores.copy()
    scores[:, 0] += rng.normal(size=scores[:, 0].shape)
    other = look(replace(view.grid, scores=scores), "trained", "primary", "non_embedding", None)
    again = measured(between_arms(other.cases, 0, 1, spoken), other)
    assert again.value == pytest.approx(found.value)
    assert again.spreads["L1"].variance == pytest.approx(found.spreads["L1"].variance)
    assert again.spreads["L2"].variance == pytest.approx(found.spreads["L2"].variance)


def test_arms_without_common_cases_have_no_difference() -> None:
    cases = np.zeros((2, 2, 3), dtype=np.bool_)
    cases[0, 0], cases[1, 1] = True, True
    assert between_arms(cases, 0, 1, np.ones(3, dtype=np.bool_)).empty


def test_groups_of_tasks_by_hand() -> None:
    # Tasks 1 and 3 (mean 2) against 5 and 9 (mean 7), the same in both languages, so V_lang = 0
    # and V is at least V_task.
    cells = [[1.0, 1.0], [3.0, 3.0], [5.0, 5.0], [9.0, 9.0]]
    found = between_tasks(cells, [True, True, False, False])
    assert found.estimate == pytest.approx(-5.0)
    # V_task = 2 * (.5^2 + .5^2) + 2 * (1 + 1) = 1 + 4: the Welch variance 2/2 + 8/2.
    assert found.spread.variance == pytest.approx(5.0)
    assert found.spread.df == pytest.approx(stats.ttest_ind([1, 3], [5, 9], equal_var=False).df)
    assert (found.tasks, found.languages) == ((2, 2), (2, 2))


def test_groups_of_languages_by_hand() -> None:
    # In every task Latin is 1 and 3, the others 5 and 9: only languages differ.
    cells = [[1.0, 3.0, 5.0, 9.0]] * 3
    found = between_languages(cells, [True, True, False, False])
    assert found.estimate == pytest.approx(-5.0)
    assert found.spread.variance == pytest.approx(5.0)
    assert found.spread.df == pytest.approx(25 / 17)
    # One number for each task, the rest equal: the t over tasks.
    tasks = [[a, a, 0.0, 0.0] for a in (1.0, 2.0, 4.0)]
    found = between_languages(tasks, [True, True, False, False])
    assert found.spread.variance == pytest.approx(np.var([1, 2, 4], ddof=1) / 3)
    assert found.spread.df == pytest.approx(2.0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(-5, 5), st.floats(-5, 5))
def test_groups_turn_round_and_ignore_what_they_share(
    seed: int, first: float, second: float
) -> None:
    rng = np.random.default_rng(seed)
    c = rng.normal(size=(5, 6))
    c[rng.random(c.shape) < 0.15] = NAN
    by_task = [True, True, False, False, False]
    by_language = [True, False, True, False, True, False]
    for compare, group, shift in (
        (between_tasks, by_task, first),
        (between_languages, by_language, second + rng.normal(size=(5, 1))),
    ):
        before = compare(c, group)
        after = compare(-(c + shift), [not g for g in group])
        assert after.estimate == pytest.approx(before.estimate, abs=1e-9)
        if before.spread.variance is None:
            assert after.spread.variance is None
        else:
            assert after.spread.variance == pytest.approx(before.spread.variance, abs=1e-9)


def test_groups_that_are_too_small() -> None:
    cells = np.arange(12.0).reshape(3, 4)
    lone = between_tasks(cells, [True, False, False])
    assert lone.estimate == pytest.approx(1.5 - 7.5)
    assert lone.spread.reason == "one task says nothing about new tasks"
    assert between_tasks(cells, [False] * 3).estimate is None
    one = between_languages(cells, [True, False, False, False])
    assert one.spread.reason == "one language says nothing about new languages"
    single = between_languages(cells[:1], [True, True, False, False])
    assert single.spread.reason == "one task says nothing about new tasks"
    holes = np.where([[True, True, False, False]], cells, NAN)
    gone = between_languages(holes, [True, True, False, False])
    assert "no cells to compare" in gone.spread.reason


@pytest.mark.slow
@pytest.mark.parametrize("compare", [between_tasks, between_languages])
def test_coverage_of_a_group_difference(compare) -> None:  # type: ignore[no-untyped-def]
    # Slopes of eight tasks and ten languages: sd 0.8, 0.4 and 0.3, and 0.4 by task and group.
    rng = np.random.default_rng(11)
    group = [True] * 4 + [False] * (4 if compare is between_tasks else 6)
    runs, covered = 2000, 0
    for _ in range(runs):
        c = rng.normal(0, 0.8, (8, 1)) + rng.normal(0, 0.4, (1, 10)) + rng.normal(0, 0.3, (8, 10))
        if compare is between_languages:
            c[:, :4] += rng.normal(0, 0.4, (8, 1))
        found = compare(c, group)
        interval = t_interval(found.estimate or 0, found.spread)
        assert interval is not None
        covered += interval.lo <= 0.0 <= interval.hi
    assert 0.93 <= covered / runs <= 0.985
