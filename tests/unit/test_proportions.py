"""Wilson's and Newcombe's intervals against published tables and another program."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.analysis.proportions import Rate, collapse_rates, newcombe, wilson

counts = st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize(
    ("count", "n", "lo", "hi"),
    [
        # Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3.
        (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)  # fmt: skip
def test_newcombes_table_of_single_rates(count: int, n: int, lo: float, hi: float) -> None:
    found = wilson(count, n)
    assert (found.lo, found.hi) == pytest.approx((lo, hi), abs=5e-5)
    assert found.rate == count / n


@pytest.mark.parametrize(
    ("one", "other", "lo", "hi"),
    [
        # Newcombe 1998, Statistics in Medicine 17, 873-890, table II, method 10.
        ((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062), ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775), ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0000), ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)  # fmt: skip
def test_newcombes_table_of_differences(
    one: tuple[int, int], other: tuple[int, int], lo: float, hi: float
) -> None:
    found = newcombe(wilson(*one), wilson(*other))
    assert (found.lo, found.hi) == pytest.approx((lo, hi), abs=5e-5)


def test_statsmodels_agrees() -> None:
    other = pytest.importorskip("statsmodels.stats.proportion")
    for (a, m), (b, n) in (((3, 60), (1, 58)), ((0, 9), (5, 9)), ((12, 12), (4, 7))):
        for level in (0.95, 0.90):
            one, two = wilson(a, m, level), wilson(b, n, level)
            ends = other.proportion_confint(a, m, alpha=1 - level, method="wilson")
            assert (one.lo, one.hi) == pytest.approx(ends, abs=1e-12)
            between = other.confint_proportions_2indep(
                a, m, b, n, method="newcomb", compare="diff", alpha=1 - level
            )
            found = newcombe(one, two)
            assert (found.lo, found.hi) == pytest.approx(between, abs=1e-12)


@settings(deadline=None)
@given(counts)
def test_failures_mirror_successes(pair: tuple[int, int]) -> None:
    count, n = pair
    one, other = wilson(count, n), wilson(n - count, n)
    assert one.lo == pytest.approx(1 - other.hi, abs=1e-12)  # type: ignore[operator]
    assert 0.0 <= one.lo <= one.rate <= one.hi <= 1.0  # type: ignore[operator]


@settings(deadline=None)
@given(counts, counts)
def test_differences_turn_round_and_stay_within_bounds(
    one: tuple[int, int], other: tuple[int, int]
) -> None:
    a, b = newcombe(wilson(*one), wilson(*other)), newcombe(wilson(*other), wilson(*one))
    assert (a.lo, a.hi) == pytest.approx((-b.hi, -b.lo), abs=1e-12)  # type: ignore[operator]
    assert -1.0 <= a.lo <= a.difference <= a.hi <= 1.0  # type: ignore[operator]


def test_no_runs_have_no_rate() -> None:
    assert wilson(0, 0) == Rate(None, None, None, 0, 0, "there are no runs")
    found = newcombe(wilson(0, 0), wilson(1, 3))
    assert (found.difference, found.reason) == (None, "there are no runs")
    assert newcombe(wilson(1, 3), wilson(0, 0)).lo is None
    for wrong in ((3, 2), (-1, 2), (1, 0)):
        with pytest.raises(ValueError, match="no count"):
            wilson(*wrong)


def test_collapse_rates_stand_beside_direct() -> None:
    found = collapse_rates({("s", "none"): (9, 63), ("s", "mnli"): (1, 63), ("l", "mnli"): (0, 63)})
    rate, difference = found["s", "mnli"]
    assert rate == wilson(1, 63)
    assert difference == newcombe(wilson(1, 63), wilson(9, 63))
    assert difference is not None
    assert difference.hi is not None
    assert difference.hi < 0
    assert found["s", "none"][1] is None
    assert found["l", "mnli"] == (wilson(0, 63), None)
