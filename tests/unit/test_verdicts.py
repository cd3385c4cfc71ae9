"""Verdict words, t intervals, degrees of freedom and equivalence tests."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scoretables import PLAN, noisy, slope

from runtime.analysis.analyse import analyse, headline_sentence
from runtime.analysis.estimate import judge
from runtime.analysis.grid import average_seeds
from runtime.analysis.intervals import Spread, satterthwaite, t_interval, tost

# --- verdicts and intervals ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "narrow", "margin", "word", "note"),
    [
        ((0.1, 2.0), (0.2, 1.9), 1.0, "larger with size", ""),
        ((-2.0, -0.1), (-1.9, -0.2), None, "smaller with size", ""),
        ((0.1, 0.7), (0.2, 0.6), 1.0, "larger with size", "within the margin"),
        ((-0.9, 0.5), (-0.8, 0.4), 1.0, "equivalent within the margin", ""),
        ((-1.1, 0.5), (-0.9, 0.4), 1.0, "equivalent within the margin", ""),
        ((-1.1, 0.5), (-1.0, 0.4), 1.0, "inconclusive", ""),
        ((-2.0, 2.0), (-1.8, 1.8), 1.0, "inconclusive", ""),
        ((-0.1, 0.1), (0.0, 0.1), None, "inconclusive",
         "no margin was declared, so equivalence cannot be concluded"),
    ],
)  # fmt: skip
def test_verdict_words(
    interval: tuple[float, float],
    narrow: tuple[float, float],
    margin: float | None,
    word: str,
    note: str,
) -> None:
    assert judge(interval, narrow, margin) == (word, note)


def test_the_margin_applies_to_points_alone() -> None:
    found = analyse(noisy(1), PLAN)
    assert slope(found).margin == 1.0
    assert slope(found, scale="log_error_ratio").margin is None
    assert slope(found, scale="log_error_ratio").reason == ""
    assert "no margin was declared" in headline_sentence(analyse(noisy(1), {"margin": None}))


@settings(max_examples=50, deadline=None)
@given(st.floats(-3, 3), st.floats(0.05, 2), st.floats(1, 60), st.floats(0.1, 3))
def test_equivalence_by_interval_is_two_one_sided_tests(
    estimate: float, se: float, df: float, margin: float
) -> None:
    found = t_interval(estimate, Spread(se**2, df, ""))
    assert found is not None
    p = max(stats.t.sf((estimate + margin) / se, df), stats.t.cdf((estimate - margin) / se, df))
    assert tost(estimate, se, df, margin) == pytest.approx(p, abs=1e-9)
    if abs(p - 0.05) > 1e-6:
        assert (p < 0.05) == (-margin < found.lo90 and found.hi90 < margin)
        assert (found.p < 0.05) == (found.lo > 0 or found.hi < 0)


def test_satterthwaite_against_welch() -> None:
    # Welch's t test of two samples, by SciPy.
    a, b = [1.0, 4.0, 2.0, 8.0], [3.0, 3.5, 2.5]
    expected = stats.ttest_ind(a, b, equal_var=False).df
    parts = [statistics.variance(a) / 4, statistics.variance(b) / 3]
    assert satterthwaite(parts, [3, 2]) == pytest.approx(expected)
    assert satterthwaite([0.0, 0.0], [2, 2]) == 4.0


def test_seed_means_leave_absent_runs_out() -> None:
    found = average_seeds(np.asarray([[1.0, 3.0, np.nan], [np.nan] * 3]))
    assert found.mean.tolist() == [2.0, 0.0]
    assert found.count.tolist() == [2, 0]
    assert found.residual.tolist() == [[-0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]
