"""Centres and leave-one-out ranges by hand, against SciPy, and as properties."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from runtime.analysis.centre import Centre, centre
from runtime.analysis.grid import Bools
from runtime.analysis.influence import leave_one_out

values = st.lists(st.floats(-100, 100), min_size=1, max_size=20)
weights = st.lists(st.integers(1, 4), min_size=20, max_size=20)


def parts(found: Centre) -> tuple[float, float, float]:
    assert found.mean is not None
    assert found.median is not None
    assert found.iqm is not None
    return found.mean, found.median, found.iqm


def test_centres_by_hand() -> None:
    # Six values: a quarter is one and a half of them, so 2 and 5 count by half.
    # (2 / 2 + 3 + 4 + 5 / 2) / 3 = 3.5; with an outlier nothing but the mean moves.
    assert parts(centre([1, 2, 3, 4, 5, 6])) == pytest.approx((3.5, 3.5, 3.5))
    assert parts(centre([100, 2, 3, 4, 5, 1])) == pytest.approx((115 / 6, 3.5, 3.5))
    # Five values: (3/4 * 2 + 3 + 3/4 * 4) / 2.5
    assert centre([1, 2, 3, 4, 9]).iqm == pytest.approx(7.5 / 2.5)
    # Four values: the middle two.
    assert parts(centre([3.0, 3.0, 3.0, 7.0])) == pytest.approx((4.0, 3.0, 3.0))


def test_weights_by_hand() -> None:
    # Weights 1, 1, 2: the median lies between the second value and the third.
    assert parts(centre([1.0, 2.0, 6.0], [1, 1, 2])) == pytest.approx((3.75, 4.0, 4.0))
    assert centre([1.0, 2.0, 6.0], [1, 0, 2]).n == 2


@settings(deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=4, max_size=20))
def test_scipy_and_numpy_agree(x: list[float]) -> None:
    found = centre(x)
    assert found.median == pytest.approx(float(np.median(x)))
    if len(x) % 4 == 0:
        assert found.iqm == pytest.approx(float(stats.trim_mean(x, 0.25)), abs=1e-9)


@settings(deadline=None)
@given(values, weights, st.floats(-10, 10), st.floats(0.1, 10), st.randoms(use_true_random=False))
def test_units_order_and_repetition(
    x: list[float], w: list[int], shift: float, by: float, chance: random.Random
) -> None:
    weight = w[: len(x)]
    before = parts(centre(x, weight))
    rows = list(zip(x, weight, strict=True))
    chance.shuffle(rows)
    moved = centre([by * v + shift for v, _ in rows], [a for _, a in rows])
    assert parts(moved) == pytest.approx([by * v + shift for v in before], abs=1e-6)
    # A weight of three is the same as three rows.
    repeated = [v for v, a in zip(x, weight, strict=True) for _ in range(a)]
    assert parts(centre(repeated)) == pytest.approx(before, abs=1e-9)
    assert parts(centre([*repeated, math.nan])) == parts(centre(repeated))
    assert min(x) - 1e-9 <= before[2] <= max(x) + 1e-9


def test_nothing_has_no_centre() -> None:
    assert centre([]) == centre([math.nan]) == centre([1.0], [0.0]) == Centre(None, None, None, 0)
    for wrong in ([1.0], [1.0, -1.0]):
        with pytest.raises(ValueError, match="one weight"):
            centre([1.0, 2.0], wrong)


# --- leaving one out -------------------------------------------------------------------------

TASKS = ("A", "A", "B", "C")
GAINS = np.asarray([1.0, 3.0, -4.0, 2.0])


def mean_of_tasks(keep: Bools) -> float | None:
    tasks = {t for t, k in zip(TASKS, keep, strict=True) if k}
    rows = {
        t: [g for g, k, u in zip(GAINS, keep, TASKS, strict=True) if k and u == t] for t in tasks
    }
    return sum(sum(r) / len(r) for r in rows.values()) / len(rows) if rows else None


def test_leave_one_task_out_by_hand() -> None:
    found = leave_one_out(TASKS, mean_of_tasks)
    assert found.estimate == pytest.approx(0.0)
    assert found.without == {"A": -1.0, "B": 2.0, "C": -1.0}
    assert (found.lowest, found.highest, found.highest_without) == (-1.0, 2.0, "B")
    assert found.lowest_without == "A"
    assert found.sign_holds is False
    rows = leave_one_out(range(4), mean_of_tasks)
    assert rows.without[1] == pytest.approx((1.0 - 4.0 + 2.0) / 3)


def test_a_sign_that_holds_and_items_that_cannot_go() -> None:
    found = leave_one_out(("s", "m", "l"), lambda keep: 2.0 if keep.sum() == 3 or keep[1] else None)
    assert found.sign_holds is True
    assert (found.lowest, found.highest) == (2.0, 2.0)
    assert found.without["m"] is None
    assert found.reason == "not estimable without 1 of 3 items"
    alone = leave_one_out(("s",), lambda keep: 1.0 if keep.any() else None)
    assert (alone.estimate, alone.lowest, alone.sign_holds) == (1.0, None, None)
    assert alone.reason == "no item can be left out"
    assert leave_one_out(("s", "m"), lambda _: None).reason == "there is no estimate"


@settings(deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=12))
def test_the_jackknife_of_a_mean(x: list[float]) -> None:
    y = np.asarray(x)
    found = leave_one_out(range(len(x)), lambda keep: float(y[keep].mean()))
    # The mean of the leave-one-out means is the mean, and the extremes are left out last.
    assert np.mean(list(found.without.values())) == pytest.approx(y.mean(), abs=1e-9)  # type: ignore[arg-type]
    assert found.lowest == pytest.approx((y.sum() - y.max()) / (len(x) - 1), abs=1e-9)
    assert found.highest == pytest.approx((y.sum() - y.min()) / (len(x) - 1), abs=1e-9)
