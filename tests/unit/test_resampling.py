"""Bootstrap, permutation tests and rank intervals against full listings and published counts."""

from __future__ import annotations

import itertools
import math
import random
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from runtime.analysis import bootstrap as module
from runtime.analysis.bootstrap import cluster_bootstrap, draws
from runtime.analysis.permutation import permute_sizes, sign_flip
from runtime.analysis.ranks import rank_intervals

values = st.lists(
    st.floats(-10, 10).map(lambda x: round(x, 3)), min_size=6, max_size=8, unique=True
)

# --- sign flips ------------------------------------------------------------------------------

# Heights of crossed minus self-fertilised maize, in eighths of an inch: Darwin 1876, The Effects of
# Cross and Self Fertilisation in the Vegetable Kingdom.
MAIZE = (49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48)


def test_fishers_count_of_darwins_maize() -> None:
    # Fisher 1935, section 21: 1726 of the 32768 totals are as large as the observed one.
    found = sign_flip(MAIZE)
    assert found.arrangements == 32768
    assert found.p == 1726 / 32768
    assert found.smallest == 2 / 32768
    assert found.exact


def test_scipy_agrees_on_sign_flips() -> None:
    d = [0.3, -1.2, 2.2, 0.7, 1.1, 0.4, 2.0]
    expected = stats.permutation_test(
        (d,), np.mean, permutation_type="samples", alternative="two-sided", n_resamples=np.inf
    )
    assert sign_flip(d).p == pytest.approx(expected.pvalue)


def test_five_tasks_cannot_reject_and_say_so() -> None:
    found = sign_flip([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.p is None
    assert found.smallest == 0.0625
    assert found.reason == "5 tasks cannot reach p < 0.05: the smallest is 0.062"
    assert sign_flip([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).p == 2 / 64
    # A slope of exactly zero has no sign to flip: six tasks count as five.
    assert sign_flip([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).smallest == 0.0625


def test_sign_flips_without_data() -> None:
    assert sign_flip([]).reason == "there are no tasks"
    assert sign_flip([math.nan]).reason == "there are no tasks"
    assert sign_flip([0.0] * 6).p is None
    assert sign_flip(list(range(21))).p is None
    assert "too many" in sign_flip(list(range(21))).reason
    assert sign_flip([math.nan, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).p == 2 / 64


@settings(deadline=None)
@given(values, st.floats(0.01, 100), st.randoms(use_true_random=False))
def test_sign_flips_ignore_units_side_and_order(
    d: list[float], by: float, chance: random.Random
) -> None:
    other = [-by * x for x in d]
    chance.shuffle(other)
    assert sign_flip(other).p == sign_flip(d).p


# --- orders of sizes -------------------------------------------------------------------------


def test_orders_of_four_sizes_by_listing() -> None:
    x, g = [8.4, 8.7, 9.5, 10.0], [4.0, 3.8, 2.0, 2.5]
    slopes = [abs(float(np.polyfit(x, o, 1)[0])) for o in itertools.permutations(g)]
    own = abs(float(np.polyfit(x, g, 1)[0]))
    found = permute_sizes(g, x, ["a"] * 4)
    assert found.p == sum(s >= own - 1e-9 for s in slopes) / 24
    assert found.smallest == sum(s >= max(slopes) - 1e-9 for s in slopes) / 24
    assert found.arrangements == 24


def test_families_are_dealt_out_apart() -> None:
    x, g = [8.0, 8.5, 9.6, 8.2, 9.0, 9.9], [3.0, 2.0, 1.0, 5.0, 4.5, 2.5]
    one, other = x[:3], x[3:]
    slopes = [
        abs(float(np.polyfit(one, a, 1)[0] + np.polyfit(other, b, 1)[0])) / 2
        for a in itertools.permutations(g[:3])
        for b in itertools.permutations(g[3:])
    ]
    found = permute_sizes(g, x, ["a"] * 3 + ["b"] * 3)
    assert found.arrangements == 36
    assert found.p == pytest.approx(sum(s >= slopes[0] - 1e-9 for s in slopes) / 36)
    order = [5, 0, 3, 1, 4, 2]
    names = ["a" if i < 3 else "b" for i in order]
    again = permute_sizes([g[i] for i in order], [x[i] for i in order], names)
    assert again == found


def test_sizes_that_cannot_tell() -> None:
    # Evenly spaced gains: falling is as extreme as rising.
    assert permute_sizes([3.0, 2.0, 1.0], [8.0, 8.5, 9.6], ["a"] * 3).smallest == 1 / 3
    three = permute_sizes([3.0, 2.0, 1.5], [8.0, 8.5, 9.6], ["a"] * 3)
    assert three.p is None
    assert three.smallest == pytest.approx(1 / 6)
    assert "3 sizes cannot reach" in three.reason
    assert permute_sizes([3.0], [8.0], ["a"]).reason == "no model family has two different sizes"
    assert permute_sizes([3.0, 1.0], [8.0, 8.0], ["a", "a"]).p is None
    assert permute_sizes([math.nan, 1.0], [8.0, 9.0], ["a", "a"]).p is None
    assert "too many" in permute_sizes(range(8), range(8), ["a"] * 8).reason
    many = permute_sizes([*range(7), *range(7)], [*range(7), *range(7)], ["a"] * 7 + ["b"] * 7)
    assert "too many" in many.reason
    level = permute_sizes([1.0] * 4, [8.0, 8.5, 9.0, 9.9], ["a"] * 4)
    assert (level.p, level.smallest) == (None, 1.0)


# --- the studentised bootstrap ---------------------------------------------------------------


def slowly(y: list[float], level: float) -> tuple[float, float]:
    """The studentised interval from every one of the n^n draws, one by one."""
    n, mean = len(y), statistics.fmean(y)
    se = statistics.stdev(y) / math.sqrt(n)
    ts = []
    for draw in itertools.product(y, repeat=n):
        off = statistics.fmean(draw) - mean
        sd = statistics.stdev(draw)
        ts.append(off / (sd / math.sqrt(n)) if sd > 1e-12 else math.copysign(math.inf, off))
    ts.sort()
    high = ts[math.ceil(len(ts) * (0.5 + level / 2) - 1e-9) - 1]
    low = ts[len(ts) - math.ceil(len(ts) * (0.5 + level / 2) - 1e-9)]
    return mean - high * se, mean - low * se


@pytest.mark.parametrize("y", [[0.3, -1.2, 2.2, 0.7, 1.1], [5.0, 1.0, 4.0, -2.0, 0.5]])
def test_every_draw_is_counted(y: list[float]) -> None:
    found = cluster_bootstrap(y)
    assert found.exact
    assert found.estimate == pytest.approx(statistics.fmean(y))
    assert (found.lo, found.hi) == pytest.approx(slowly(y, 0.95))
    assert (found.lo90, found.hi90) == pytest.approx(slowly(y, 0.90))


@pytest.mark.parametrize("clusters", range(2, 10))
def test_the_draws_and_their_probabilities(clusters: int) -> None:
    counts, share = draws(clusters, 0)
    assert len(counts) == math.comb(2 * clusters - 1, clusters)
    assert (counts.sum(axis=1) == clusters).all()
    assert len({tuple(row) for row in counts}) == len(counts)
    assert share.sum() == pytest.approx(1.0)
    # Each cluster is drawn once on average, with the variance of a binomial.
    assert share @ counts == pytest.approx(np.ones(clusters))
    assert share @ counts**2 == pytest.approx(np.full(clusters, 2 - 1 / clusters))


def test_random_draws_come_close_to_all_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    y = [0.3, -1.2, 2.2, 0.7, 1.1, 0.1, -0.4, 1.9]
    exact = cluster_bootstrap(y)
    monkeypatch.setattr(module, "ALL", 5)
    one, other = cluster_bootstrap(y, seed=1), cluster_bootstrap(y, seed=2)
    assert not one.exact
    assert one == cluster_bootstrap(y[::-1], seed=1)
    assert one != other
    for found in (one, other):
        assert (found.lo, found.hi) == pytest.approx((exact.lo, exact.hi), abs=0.08)
        assert found.p == pytest.approx(exact.p, abs=0.02)


@settings(max_examples=30, deadline=None)
@given(values, st.floats(0.01, 100), st.floats(-100, 100), st.randoms(use_true_random=False))
def test_units_shifts_and_order_of_the_bootstrap(
    y: list[float], by: float, shift: float, chance: random.Random
) -> None:
    before = cluster_bootstrap(y)
    moved = [by * x + shift for x in y]
    chance.shuffle(moved)
    after = cluster_bootstrap(moved)
    if before.lo is None:
        assert after.lo is None
    else:
        ends = [by * (x or 0) + shift for x in (before.lo, before.hi, before.lo90, before.hi90)]
        found = [after.lo, after.hi, after.lo90, after.hi90]
        assert found == pytest.approx(ends, rel=1e-6, abs=1e-6 * by)


@settings(max_examples=50, deadline=None)
@given(values)
def test_the_p_and_the_intervals_agree(y: list[float]) -> None:
    found = cluster_bootstrap(y)
    if found.p is None or found.lo is None or found.hi is None:
        return
    assert found.lo <= found.lo90 <= found.hi90 <= found.hi  # type: ignore[operator]
    if found.lo > 1e-9 or found.hi < -1e-9:
        assert found.p <= 0.05 + 1e-9
    if found.p <= 0.05 - 1e-9:
        assert found.lo >= -1e-9 or found.hi <= 1e-9


@pytest.mark.parametrize(
    ("y", "reason"),
    [
        ([], "no clusters say nothing"),
        ([1.0], "one cluster says nothing"),
        ([math.nan, 2.0], "one cluster says nothing"),
        ([2.0, 2.0, 2.0], "do not differ at all"),
        ([1.0, 2.0], "2 clusters are too few"),
        ([1.0, 2.0, 4.0], "3 clusters are too few"),
        ([0.1, 0.1, 0.1, 0.1, 5.0], "5 clusters are too few"),
    ],
)
def test_what_cannot_be_bootstrapped(y: list[float], reason: str) -> None:
    found = cluster_bootstrap(y)
    assert reason in found.reason
    assert (found.estimate, found.lo, found.hi, found.p) == (None, None, None, None)


@pytest.mark.slow
def test_coverage_of_the_bootstrap_over_seven_tasks() -> None:
    rng = np.random.default_rng(5)
    runs = 1500
    found = [cluster_bootstrap(rng.normal(-0.6, 0.8, 7)) for _ in range(runs)]
    covered = sum(f.lo <= -0.6 <= f.hi for f in found) / runs  # type: ignore[operator]
    assert 0.92 <= covered <= 0.97


# --- ranks -----------------------------------------------------------------------------------

NAMES = ("mnli", "squad", "ccg")


def test_clear_ranks_and_ties() -> None:
    rng = np.random.default_rng(0)
    tasks = rng.normal(size=(8, 1))
    y = tasks + [[5.0, 1.0, 1.0]] + 0.3 * rng.normal(size=(8, 3))
    first, second, third = rank_intervals(y, NAMES)
    assert (first.name, first.best, first.worst) == ("mnli", 1, 1)
    assert first.mean == pytest.approx(y[:, 0].mean())
    assert (second.best, second.worst) == (third.best, third.worst) == (2, 3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_ranks_do_not_depend_on_order_or_on_the_level_of_a_task(
    seed: int, chance: random.Random
) -> None:
    rng = np.random.default_rng(seed)
    y = rng.normal(np.arange(4.0), 1.0, size=(6, 4))
    names = ("a", "b", "c", "d")
    before = {r.name: (r.best, r.worst) for r in rank_intervals(y, names)}
    rows, columns = list(range(6)), list(range(4))
    chance.shuffle(rows)
    chance.shuffle(columns)
    moved = 3.0 * (y + rng.normal(size=(6, 1)))[rows][:, columns]
    after = rank_intervals(moved, [names[c] for c in columns])
    assert {r.name: (r.best, r.worst) for r in after} == before
    assert all(1 <= best <= worst <= 4 for best, worst in before.values())


@pytest.mark.parametrize(
    ("y", "reason"),
    [
        ([[1.0, 2.0, 3.0]], "one task says nothing about new tasks"),
        ([[1.0, 2.0, math.nan]], "no task has all items"),
        ([[1.0, 2.0, 3.0], [2.0, 2.5, 3.0]], "2 tasks are too few to rank by a bootstrap"),
        ([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]], "the tasks do not differ at all"),
    ],
)
def test_ranks_that_cannot_be_told(y: list[list[float]], reason: str) -> None:
    found = rank_intervals(y, NAMES)
    assert {(r.best, r.worst, r.reason) for r in found} == {(1, 3, reason)}


def test_ranks_of_one_item_and_of_complete_tasks() -> None:
    (alone,) = rank_intervals([[1.0], [2.0]], ["mnli"])
    assert (alone.mean, alone.best, alone.worst, alone.reason) == (1.5, 1, 1, "")
    whole = [[5.0, 1.0], [5.5, 1.2], [4.8, 0.9], [5.1, 1.5], [5.0, 0.7], [5.2, 1.1]]
    assert rank_intervals([*whole, [math.nan, 9.0]], NAMES[:2]) == rank_intervals(whole, NAMES[:2])


@pytest.mark.slow
def test_alike_items_are_rarely_ranked_apart() -> None:
    rng = np.random.default_rng(9)
    runs = 600
    apart = sum(
        any((r.best, r.worst) != (1, 4) for r in rank_intervals(rng.normal(size=(7, 4)), "abcd"))
        for _ in range(runs)
    )
    assert apart / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
