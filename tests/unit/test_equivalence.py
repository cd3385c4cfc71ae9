"""Two one-sided tests against SciPy, and what they say without a margin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from runtime.analysis.equivalence import equivalence
from runtime.analysis.estimate import EQUIVALENT, judge
from runtime.analysis.intervals import Spread

samples = st.lists(st.floats(-3, 3), min_size=3, max_size=9).filter(lambda x: np.ptp(x) > 1e-3)


def over(sample: list[float]) -> Spread:
    return Spread(float(np.var(sample, ddof=1)) / len(sample), len(sample) - 1.0, "t over tasks")


@settings(deadline=None)
@given(samples, st.floats(0.05, 3))
def test_scipy_agrees(sample: list[float], margin: float) -> None:
    found = equivalence(float(np.mean(sample)), over(sample), margin)
    above = stats.ttest_1samp(sample, -margin, alternative="greater")
    below = stats.ttest_1samp(sample, margin, alternative="less")
    assert found.p == pytest.approx(max(above.pvalue, below.pvalue), abs=1e-9)
    low, high = stats.ttest_1samp(sample, 0.0).confidence_interval(0.90)
    assert (found.lo90, found.hi90) == pytest.approx((low, high), abs=1e-9)
    assert found.reach == pytest.approx(max(-low, high))
    if abs((found.p or 0) - 0.05) > 1e-9:
        assert found.within == ((found.p or 0) < 0.05) == (margin > (found.reach or 0))


@settings(deadline=None)
@given(samples, st.floats(0.05, 3), st.floats(0.1, 10))
def test_other_units_change_nothing_but_the_numbers(
    sample: list[float], margin: float, by: float
) -> None:
    before = equivalence(float(np.mean(sample)), over(sample), margin)
    scaled = [-by * x for x in sample]
    after = equivalence(float(np.mean(scaled)), over(scaled), by * margin)
    assert after.p == pytest.approx(before.p, abs=1e-9)
    assert after.reach == pytest.approx(by * (before.reach or 0))


def test_a_floor_holds_the_third_level_back() -> None:
    two, three = Spread(0.09, 1.0, "L2"), Spread(0.10, 8.0, "L3")
    alone, held = (equivalence(0.1, three, 0.8, floors) for floors in ((), (two,)))
    assert alone.within is True
    assert held.within is False
    assert held.p == equivalence(0.1, two, 0.8).p
    assert held.reach == equivalence(0.1, two, 0.8).reach


def test_it_says_what_the_verdict_says() -> None:
    spread = Spread(0.04, 6.0, "")
    for margin in (0.3, 0.5, 0.7):
        found = equivalence(0.1, spread, margin)
        assert found.lo90 is not None
        assert found.hi90 is not None
        word, _ = judge((-1.0, 1.0), (found.lo90, found.hi90), margin)
        assert (word == EQUIVALENT) is found.within


def test_without_a_margin_or_an_error_nothing_is_concluded() -> None:
    free = equivalence(0.1, Spread(0.04, 6.0, ""), None)
    assert (free.within, free.p, free.margin) == (None, None, None)
    assert free.reach == pytest.approx(0.1 + 0.2 * stats.t.ppf(0.95, 6))
    assert "no margin was declared" in free.reason
    gone = equivalence(0.1, Spread(None, None, "", "one task says nothing about new tasks"), 1.0)
    assert (gone.within, gone.reach) == (None, None)
    assert gone.reason == "one task says nothing about new tasks"
    assert equivalence(None, Spread(0.04, 6.0, ""), 1.0).reason == "there is no estimate"
    exact = equivalence(0.1, Spread(0.0, 2.0, ""), 0.5)
    assert (exact.within, exact.p) == (True, 0.0)
    with pytest.raises(ValueError, match="above zero"):
        equivalence(0.1, Spread(0.04, 6.0, ""), 0.0)
