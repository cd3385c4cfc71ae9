"""Adjusted p-values and partial conjunction against published examples, programs and listings."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from runtime.analysis.conjunction import at_least, both_ways, one_sided
from runtime.analysis.intervals import Spread
from runtime.analysis.multiplicity import benjamini_hochberg, holm

# Benjamini and Hochberg 1995: fifteen comparisons of a trial of thrombolysis.
TRIAL = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
    0.6528, 0.7590, 1.0000,
]  # fmt: skip
probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_the_trial_of_benjamini_and_hochberg() -> None:
    # They reject four at a false discovery rate of 5 %, where Bonferroni's rejects three.
    found = benjamini_hochberg(TRIAL)
    assert found.family == 15
    assert sum((q or 0) <= 0.05 for q in found.p) == 4
    assert found.p[3] == pytest.approx(15 * 0.0095 / 4)
    assert sum((p or 0) <= 0.05 for p in holm(TRIAL).p) == 3


def test_holm_by_hand() -> None:
    # 4 * .01 = .04, 3 * .02 = .06, 2 * .03 = .06, .04 -> .06; in the order given.
    assert holm([0.03, 0.01, 0.04, 0.02]).p == pytest.approx((0.06, 0.04, 0.06, 0.06))


@settings(deadline=None)
@given(probabilities)
def test_scipy_agrees_on_q_values(p: list[float]) -> None:
    assert benjamini_hochberg(p).p == pytest.approx(stats.false_discovery_control(p), abs=1e-12)


@pytest.mark.parametrize(("ours", "theirs"), [(holm, "holm"), (benjamini_hochberg, "fdr_bh")])
def test_statsmodels_agrees(ours, theirs: str) -> None:  # type: ignore[no-untyped-def]
    other = pytest.importorskip("statsmodels.stats.multitest")
    rng = np.random.default_rng(4)
    for size in (1, 2, 7, 30):
        p = rng.uniform(0, 0.2, size)
        assert ours(p.tolist()).p == pytest.approx(other.multipletests(p, method=theirs)[1])


@settings(deadline=None)
@given(probabilities, st.randoms(use_true_random=False))
def test_adjusting_never_lowers_keeps_order_and_does_not_ask_for_it(
    p: list[float], chance: random.Random
) -> None:
    order = list(range(len(p)))
    chance.shuffle(order)
    for adjust in (holm, benjamini_hochberg):
        found = adjust(p).p
        assert all((a or 0) >= b - 1e-15 for a, b in zip(found, p, strict=True))
        assert adjust([p[i] for i in order]).p == tuple(found[i] for i in order)
        ranked = sorted(zip(p, found, strict=True))
        assert all((a or 0) <= (b or 0) for (_, a), (_, b) in itertools.pairwise(ranked))
    pairs = zip(holm(p).p, benjamini_hochberg(p).p, strict=True)
    assert all((a or 0) >= (b or 0) - 1e-15 for a, b in pairs)


def test_tests_that_were_not_estimable_and_larger_families() -> None:
    found = holm([0.01, None, 0.03])
    assert found.family == 2
    assert found.p == (0.02, None, 0.03)
    assert holm([0.01, None, 0.03], 3).p == (0.03, None, 0.06)
    assert benjamini_hochberg([0.01, 0.04], 10).p == pytest.approx((0.1, 0.2))
    assert holm([]).p == ()
    assert benjamini_hochberg([None]).p == (None,)
    with pytest.raises(ValueError, match="cannot hold"):
        holm([0.1, 0.2], 1)
    for wrong in ([1.2], [-0.1], [math.nan]):
        with pytest.raises(ValueError, match="outside"):
            holm(wrong)


# --- partial conjunction ---------------------------------------------------------------------


def test_partial_conjunction_by_hand() -> None:
    # Five tasks: 5 * .001, 4 * .004, 3 * .02, 2 * .3, .5
    found = at_least([0.3, 0.001, 0.02, 0.5, 0.004])
    assert found.p == pytest.approx((0.005, 0.016, 0.06, 0.6, 0.6))
    assert (found.count, found.total, found.unknown) == (2, 5, 0)
    # The value for u = 4 falls back below the level, and the count does not follow it.
    assert at_least([0.012, 0.012, 0.012, 0.012]).p == pytest.approx((0.048,) * 4)
    assert at_least([0.02, 0.02, 0.02]).count == 0


@settings(deadline=None)
@given(probabilities)
def test_partial_conjunction_from_the_worst_subset(p: list[float]) -> None:
    # "Fewer than u" holds if some T - u + 1 of them are null: Bonferroni's test of each such set,
    # and the largest of their p-values.
    found, total = at_least(p), len(p)
    largest = 0.0
    for u in range(1, total + 1):
        size = total - u + 1
        worst = max(min(1.0, size * min(s)) for s in itertools.combinations(p, size))
        largest = max(largest, worst)
        assert found.p[u - 1] == pytest.approx(largest)


def test_what_is_not_estimable_counts_against_the_claim() -> None:
    assert at_least([0.001, 0.001, None]).count == 2
    assert at_least([0.001, None, None]).unknown == 2
    assert at_least([None, None]).count == 0
    assert at_least([]).count == 0
    assert at_least([0.02, None, None]).count == 0  # 3 * .02, not .02
    with pytest.raises(ValueError, match="outside"):
        at_least([1.5])


def test_one_sided_p_by_scipy() -> None:
    sample = [0.3, 1.2, -0.4, 0.8, 1.5]
    spread = Spread(float(np.var(sample, ddof=1)) / 5, 4.0, "")
    for above, side in ((True, "greater"), (False, "less")):
        expected = stats.ttest_1samp(sample, 0.0, alternative=side).pvalue
        assert one_sided(float(np.mean(sample)), spread, above=above) == pytest.approx(expected)
    assert one_sided(None, spread, above=True) is None
    assert one_sided(1.0, Spread(None, None, ""), above=True) is None
    flat = Spread(0.0, 3.0, "")
    assert [one_sided(x, flat, above=True) for x in (1.0, 0.0, -1.0)] == [0.0, 1.0, 1.0]


def test_both_directions_share_the_level() -> None:
    spread = Spread(0.04, 60.0, "")
    up, down = both_ways([2.0, 2.0, 2.0, -2.0, None], [spread] * 4 + [Spread(None, None, "")])
    assert (up.count, down.count) == (3, 1)
    assert up.level == down.level == 0.025
    assert up.unknown == 1


@pytest.mark.slow
def test_too_many_are_rarely_claimed_under_dependence() -> None:
    # Three of seven tasks have an effect, and all share half of their noise.
    rng = np.random.default_rng(3)
    runs = 4000
    z = rng.normal(size=(runs, 7)) * math.sqrt(0.5) + rng.normal(size=(runs, 1)) * math.sqrt(0.5)
    z[:, :3] += 6.0
    over = sum(at_least(row.tolist()).count > 3 for row in stats.norm.sf(z))
    assert over / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
