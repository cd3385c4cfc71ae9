"""Groups of languages, comparisons, counts, collapses and cells: against doing them apart."""

from __future__ import annotations

import polars as pl
import pytest
import scipy.stats
from scoretables import PLAN, THREE, noisy, put, slope, table, where

from runtime.analysis.analyse import analyse
from runtime.analysis.estimate import Findings

FACTS = {
    "l0": {"script": "Latn", "family": "one", "seen": True, "share": 0.2},
    "l1": {"script": "Latn", "family": "one", "seen": True, "share": 0.1},
    "l2": {"script": "Latn", "family": "two", "seen": False},
    "l3": {"script": "Arab", "family": "two", "seen": True, "share": 0.05},
    "l4": {"script": "Arab", "family": "three", "seen": True, "share": 0.01},
}


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    return noisy(8, tasks=4, languages=6, seeds=3, arms=("mnli", "squad"))


@pytest.fixture(scope="module")
def found(frame: pl.DataFrame) -> Findings:
    return analyse(frame, PLAN, FACTS)


def test_a_group_is_the_study_of_its_languages(frame: pl.DataFrame, found: Findings) -> None:
    apart = analyse(frame.filter(pl.col("language").is_in(["l3", "l4"])), PLAN)
    for level in ("L1", "L2"):
        (e,) = found.select(estimand="group_slope", subset="script: Arab", level=level)
        other = slope(apart, level)
        assert (e.estimate, e.lo, e.hi) == pytest.approx((other.estimate, other.lo, other.hi))
    for e in found.select(estimand="group_gain", subset="script: Arab", level="L1"):
        (gain,) = apart.select(
            estimand="gain", arm="*", model=e.model, level="L1", scale="points",
            average="zero_shot", variant="primary",
        )  # fmt: skip
        assert e.estimate == pytest.approx(gain.estimate)


def test_groups_without_facts_do_not_appear(frame: pl.DataFrame) -> None:
    found = analyse(frame, PLAN, {"l0": {}, "l1": {"script": "Latn"}})
    subsets = {e.subset for e in found.select(estimand="group_slope")}
    assert subsets == {"script: Latn"}
    assert not found.select(estimand="moderator")
    assert not found.select(estimand="group_difference")


def test_differences_of_groups_recover_what_was_put_in() -> None:
    add = {"l0": 0.0, "l1": 0.0, "l3": 3.0, "l4": 3.0}
    order = {"s": 0, "m": 1, "l": 2}
    frame = table(
        lambda m, a, t, lang, k: 40 + (a != "none") * add[lang] * order[m] + 0.1 * k,
        sizes=THREE, targets=("A", "B", "C"), languages=list(add), seeds=(1, 2),
    )  # fmt: skip
    found = analyse(frame, PLAN, FACTS)
    (e,) = found.select(estimand="group_difference", subset="script: Arab - Latn")
    assert e.estimate == pytest.approx(3.0, abs=1e-9)


def test_moderators_are_said_to_be_few(found: Findings) -> None:
    rows = found.select(estimand="moderator")
    assert {e.subset for e in rows} == {"log10 share of pretraining", "Latin script", "seen"}
    assert all("asked for" in e.reason for e in rows if e.variant != "permuted")


def test_families_of_tests_are_adjusted(found: Findings) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    for estimand, method in (("language_slope", "fdr_bh"), ("size_difference", "holm")):
        rows = found.select(estimand=estimand, level="L2")
        theirs = multitest.multipletests([e.p for e in rows], method=method)[1]
        assert [e.adjusted for e in rows] == pytest.approx(theirs.tolist())
        assert {e.tests for e in rows} == {len(rows)}
    assert slope(found).adjusted is None


def test_two_arms_differ_by_their_slopes(found: Findings) -> None:
    (e,) = found.select(estimand="arm_difference", level="L2")
    one, other = (slope(found, arm=arm).estimate for arm in e.arm.split(" - "))
    assert one is not None
    assert other is not None
    assert e.estimate == pytest.approx(one - other)


def test_sizes_differ_by_their_gains(found: Findings) -> None:
    gains = {
        e.model: e.estimate
        for e in found.select(estimand="gain", arm="*", level="L2", scale="points",
                              average="zero_shot", variant="primary")
    }  # fmt: skip
    for e in found.select(estimand="size_difference", level="L2"):
        large, small = e.model.split(" - ")
        assert e.estimate == pytest.approx((gains[large] or 0) - (gains[small] or 0))


def test_the_best_of_equal_arms_gains_nothing() -> None:
    found = analyse(noisy_arms(), PLAN)
    naive = [e.estimate or 0 for e in found.select(variant="best_per_target_naive")]
    fitted = [e.estimate or 0 for e in found.select(variant="best_per_target")]
    assert sum(naive) / len(naive) > 0.4
    assert abs(sum(fitted) / len(fitted)) < 0.2


def noisy_arms() -> pl.DataFrame:
    import numpy as np

    rng = np.random.default_rng(4)
    noise: dict[tuple[object, ...], float] = {}

    def score(m: str, a: str, t: str, lang: str, k: int) -> float:
        return 50 + noise.setdefault((m, a, t, k), float(rng.normal(0, 0.6)))

    return table(
        score, sizes=THREE, arms=[f"a{i}" for i in range(9)], seeds=(1, 2, 3),
        targets=[f"T{i}" for i in range(30)], languages=("de",),
    )  # fmt: skip


def test_cells_have_welchs_t(frame: pl.DataFrame, found: Findings) -> None:
    row = found.cells.filter(pl.col("language") == "l2").row(3, named=True)
    place = {name: row[name] for name in ("model", "target", "language")}
    arm, base = (
        frame.filter(where(**place, arm=name))["value"].to_list() for name in (row["arm"], "none")
    )
    test = scipy.stats.ttest_ind(arm, base, equal_var=False)
    assert (row["p"], row["df"]) == pytest.approx((test.pvalue, test.df))
    included = found.cells.filter("included").drop_nulls("p")
    theirs = scipy.stats.false_discovery_control(included["p"].to_numpy())
    assert included["q"].to_list() == pytest.approx(theirs.tolist())


def test_counts_say_in_how_many_tasks_at_least() -> None:
    frame = table(
        lambda m, a, t, lang, k: 40 + (a != "none") * (5 if t in "AB" else 0) + 0.1 * ((k * 7) % 3),
        sizes=THREE, targets=("A", "B", "C"), seeds=(1, 2, 3),
    )  # fmt: skip
    found = analyse(frame, PLAN)
    above = {e.model: e.estimate for e in found.select(estimand="count", subset="tasks above zero")}
    assert above == {"s": 2.0, "m": 2.0, "l": 2.0, "*": 0.0}
    below = found.select(estimand="count", subset="tasks below zero")
    assert {e.estimate for e in below} == {0.0}


def test_collapses_are_counted_by_run_with_wilson(frame: pl.DataFrame) -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    bad = where(model="s", arm="none", target="T0", seed=1)
    found = analyse(put(frame, bad, status="degenerate", value=0.0), PLAN)
    (e,) = found.select(estimand="collapse_rate", model="s", arm="none")
    assert (e.reason, e.n_runs) == ("1 of 12 runs", 12)
    assert (e.lo, e.hi) == pytest.approx(proportion.proportion_confint(1, 12, method="wilson"))
    (gap,) = found.select(estimand="collapse_difference", model="s", arm="mnli")
    theirs = proportion.confint_proportions_2indep(0, 12, 1, 12, method="newcomb")
    assert (gap.lo, gap.hi) == pytest.approx(theirs)
    gains = found.select(estimand="run_gain", model="s", level="L1")
    assert [e.variant for e in gains] == ["all_runs"]


def test_planned_figures_do_not_depend_on_the_scores(frame: pl.DataFrame, found: Findings) -> None:
    other = analyse(frame.with_columns(pl.col("value") * 0.9), PLAN, FACTS)
    for variant in ("planned_low", "planned_base", "planned_high", "smallest_margin"):
        one, two = (f.select(estimand="detectable", variant=variant) for f in (found, other))
        assert [e.estimate for e in one] == [e.estimate for e in two]
        assert all(e.estimate for e in one)
    noise = {e.subset: e.estimate for e in found.select(estimand="noise")}
    # As `noisy` was made, in gains of one run.
    assert noise["run"] == pytest.approx(0.61 * 2**0.5, rel=0.4)
    assert noise["language_noise"] == pytest.approx(0.41 * 2**0.5, rel=0.3)
