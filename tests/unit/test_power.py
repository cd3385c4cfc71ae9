"""The power of a design: reference values, and what must hold for every design."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from studies import SMALL, resolved

from compiler.power import Spread, design_of, detectable, smallest_margin, variance

SIZES = (270e6, 550e6, 3.5e9, 10.7e9)

# From simulations of such studies (sizes, targets, languages, seeds -> points per tenfold), with
# the default spreads: what is found in four of five.
FOUND = [
    (3, 5, 10, 1, 2.53), (3, 5, 10, 3, 2.04), (3, 5, 10, 10, 1.85), (3, 7, 10, 3, 1.56),
    (4, 5, 10, 3, 1.69), (4, 7, 10, 2, 1.34), (4, 7, 10, 3, 1.29), (4, 9, 15, 3, 1.08),
]  # fmt: skip


@pytest.mark.parametrize(("sizes", "targets", "languages", "seeds", "points"), FOUND)
def test_the_slope_that_is_found(
    sizes: int, targets: int, languages: int, seeds: int, points: float
) -> None:
    design = design_of([int(s) for s in SIZES[:sizes]], [languages] * targets, seeds)
    assert detectable(design) == pytest.approx(points, abs=0.005)


@pytest.mark.parametrize(
    ("targets", "languages", "points"), [(5, 10, 1.6), (7, 10, 1.3), (9, 15, 1.1)]
)
def test_the_smallest_margin(targets: int, languages: int, points: float) -> None:
    design = design_of([int(s) for s in SIZES], [languages] * targets, 3)
    assert smallest_margin(design) == pytest.approx(points, abs=0.06)


def test_the_variance_by_hand() -> None:
    """Two sizes a tenfold apart: the squared distances from the middle add up to a half."""
    only_seeds = Spread(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert variance(design_of([10, 100], [4, 4], 2), only_seeds) == pytest.approx((0.5, 0.5))
    only_tasks = Spread(0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0)
    assert variance(design_of([10, 100], [4, 4], 2), only_tasks) == pytest.approx((0.0, 0.5))


COUNTS = st.lists(st.integers(10**7, 10**11), min_size=2, max_size=6, unique=True)


@given(COUNTS, st.integers(2, 9), st.integers(1, 40), st.integers(1, 10))
def test_more_of_anything_never_hurts(
    counts: list[int], targets: int, languages: int, seeds: int
) -> None:
    before = design_of(counts, [languages] * targets, seeds)
    for more in (
        design_of(counts, [languages] * (targets + 1), seeds),
        design_of(counts, [languages + 1] * targets, seeds),
        design_of(counts, [languages] * targets, seeds + 1),
    ):
        assert variance(more)[1] <= variance(before)[1]
        assert smallest_margin(more) <= smallest_margin(before)


def test_nothing_is_within_reach_of_one_task_or_one_size() -> None:
    assert smallest_margin(design_of([10, 100], [4], 3)) == math.inf
    assert detectable(design_of([10, 10], [4, 4], 3)) == math.inf


MARGIN = {"margin_reason": "less than a test set's own noise"}
ALL = SMALL | {"targets": ["topics", "tags"]}


@pytest.mark.usefixtures("fixed_catalog")
@pytest.mark.parametrize(("margin", "said"), [(0.5, True), (100.0, False)])
def test_a_study_hears_of_a_margin_out_of_reach(margin: float, said: bool) -> None:
    checked = resolved(ALL, analysis={"margin": margin, **MARGIN})
    assert ("C230" in {d.code for d in checked.diagnostics}) is said


@pytest.mark.usefixtures("fixed_catalog")
def test_without_a_margin_or_a_second_target_nothing_is_said() -> None:
    assert "C230" not in {d.code for d in resolved(ALL).diagnostics}
    one = resolved(ALL, targets=["topics"], analysis={"margin": 0.5, **MARGIN})
    assert {"C207"} <= {d.code for d in one.diagnostics}
    assert "C230" not in {d.code for d in one.diagnostics}
