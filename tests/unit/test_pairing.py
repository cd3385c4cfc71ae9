"""Runs of one seed in both arms, and kinds of tasks."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scoretables import PLAN, noisy

from runtime.analysis.analyse import analyse
from runtime.analysis.pairing import correlation, limits


def test_one_group_is_pearsons_correlation_of_scipy() -> None:
    rng = np.random.default_rng(1)
    pair = rng.normal(size=(12, 2)) @ np.asarray([[1.0, 0.6], [0.0, 0.8]])
    r, df = correlation([pair])
    theirs = stats.pearsonr(pair[:, 0], pair[:, 1])
    assert r == pytest.approx(theirs.statistic)
    assert df == 11
    assert r is not None
    assert limits(r, df) == pytest.approx(tuple(theirs.confidence_interval(0.95)))


def test_levels_of_groups_do_not_correlate_runs() -> None:
    apart = [np.asarray([[x, x], [x + 1.0, x - 1.0]]) for x in (0.0, 50.0, 100.0)]
    assert correlation(apart) == (pytest.approx(-1.0), 3)


@given(by=st.floats(0.1, 10.0), shift=st.floats(-50.0, 50.0))
def test_units_and_levels(by: float, shift: float) -> None:
    pairs = [np.random.default_rng(i).normal(size=(3, 2)) for i in range(4)]
    r, df = correlation(pairs)
    moved = correlation([pair * [1.0, by] + [shift, 0.0] for pair in pairs][::-1])
    assert moved == (pytest.approx(r), df)


def test_runs_without_spread_or_a_second_seed() -> None:
    assert correlation([np.ones((3, 2)), np.ones((3, 2))]) == (None, 0)
    assert correlation([np.zeros((1, 2))]) == (None, 0)
    assert limits(0.5, 2) == (None, None)


def test_fishers_interval_covers() -> None:
    rng = np.random.default_rng(3)
    rho, groups, seeds, studies = 0.5, 12, 3, 2000
    both = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=(studies, groups, seeds))
    hits = 0
    for study in both:
        r, df = correlation(list(study))
        assert r is not None
        lo, hi = limits(r, df)
        assert lo is not None
        assert hi is not None
        hits += lo <= rho <= hi
    assert 0.93 <= hits / studies <= 0.97


def test_shared_noise_is_told_from_none() -> None:
    frame = noisy(5, tasks=4, seeds=4)
    rng = np.random.default_rng(9)
    lift = {key: float(rng.normal(0.0, 8.0)) for key in
            frame.select("model", "target", "seed").unique(maintain_order=True).rows()}  # fmt: skip
    shared = [lift[row] for row in frame.select("model", "target", "seed").rows()]
    paired = frame.with_columns(pl.col("value") + pl.Series(shared) / 4)
    (without,) = analyse(frame, PLAN).select(estimand="seed_correlation")
    (found,) = analyse(paired, PLAN).select(estimand="seed_correlation")
    assert found.lo is not None
    assert found.lo > 0.0
    assert found.reason.startswith("clearly positive")
    assert without.lo is not None
    assert without.lo < 0.0
    assert found.estimate is not None
    assert without.estimate is not None
    assert found.estimate > without.estimate


def test_kinds_of_tasks_recover_what_was_put_in() -> None:
    frame = noisy(2, tasks=4, languages=4)
    kinds = {"T0": "tagging", "T1": "tagging", "T2": "classification", "T3": "classification"}
    x = np.log10(frame["params_nonembedding"].to_numpy())
    steep = (frame["target"].is_in(["T2", "T3"]) & (frame["arm"] != "none")).to_numpy()
    lifted = pl.Series("value", frame["value"].to_numpy() + 2.0 * steep * (x - 9))
    before, after = (
        analyse(f, PLAN, None, kinds).select(estimand="group_difference", variant="kinds_of_tasks")
        for f in (frame, frame.with_columns(lifted))
    )
    assert [e.subset for e in after] == ["tasks: classification - tagging"]
    assert before[0].estimate is not None
    assert after[0].estimate == pytest.approx(before[0].estimate + 2.0)
    assert after[0].correction == "Benjamini-Hochberg"
    assert analyse(frame, PLAN, None, dict.fromkeys(kinds, "tagging")).select(
        estimand="group_difference") == ()  # fmt: skip
