"""What an analysis leaves out or cannot estimate, and that it says so."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scoretables import PLAN, noisy, put, quick, slope, table, where

from compiler.errors import ReportImpossible
from runtime.analysis.analyse import analyse, headline_sentence


def test_a_table_given_twice_is_the_same_table_and_a_contradiction_is_refused() -> None:
    frame = noisy(1)
    once, twice = analyse(frame, PLAN), analyse(pl.concat([frame, frame]), PLAN)
    assert once.estimates == twice.estimates
    with pytest.raises(ReportImpossible, match="A002"):
        analyse(pl.concat([frame, frame.with_columns(pl.col("value") + 1)]), PLAN)


# --- what cannot be estimated ----------------------------------------------------------------


def test_two_sizes_give_a_difference_and_no_third_level() -> None:
    found = analyse(noisy(2, sizes=2), PLAN)
    three = slope(found, "L3")
    assert (three.verdict, three.lo) == ("not estimable", None)
    assert "two sizes" in three.reason
    step = slope(found, "L2", estimand="difference")
    ratio = math.log10(5.5 / 2.7)
    assert step.estimate == pytest.approx(ratio * (slope(found).estimate or 0))
    assert step.p == pytest.approx(slope(found).p)
    assert slope(found, "L3", estimand="difference").lo is None
    assert not analyse(noisy(2, sizes=3), PLAN).select(estimand="difference")


def test_one_task_says_nothing_about_new_tasks() -> None:
    found = analyse(noisy(2, tasks=1), PLAN)
    assert slope(found).verdict == "not estimable"
    assert "one task" in slope(found).reason
    assert slope(found, "L1").lo is not None
    assert slope(found, "L3").verdict == "not estimable"
    assert "one task" in headline_sentence(found)


def test_one_language_says_nothing_about_new_languages() -> None:
    found = analyse(noisy(2, languages=2), PLAN)
    assert "one language" in slope(found).reason
    assert slope(found, average="english").lo is not None  # English is fixed: tasks alone
    assert slope(found, average="english").df == 2


def test_one_seed_says_nothing_about_new_seeds() -> None:
    found = analyse(noisy(2, seeds=1), PLAN)
    assert slope(found, "L1").verdict == "not estimable"
    assert "one seed" in slope(found, "L1").reason
    assert slope(found).lo is not None


def test_one_size_has_gains_and_no_slope() -> None:
    found = analyse(noisy(2, sizes=1), PLAN)
    assert slope(found).verdict == "not estimable"
    assert found.select(estimand="gain", arm="*", level="L2")[0].lo is not None
    assert "not estimable" in headline_sentence(found)


def test_nothing_finished_and_missing_columns_are_refused() -> None:
    frame = noisy(1)
    with pytest.raises(ReportImpossible, match="A003"):
        analyse(
            frame.with_columns(
                pl.lit("failed").alias("status"), pl.lit(None, pl.Float64).alias("value")
            ),
            PLAN,
        )
    with pytest.raises(ReportImpossible, match="A001"):
        analyse(frame.drop("flags"), PLAN)
    with pytest.raises(ReportImpossible, match="A004"):
        analyse(frame.with_columns(pl.lit(0).alias("params_total")), PLAN)


# --- what is left out ------------------------------------------------------------------------


def test_a_missing_cell_leaves_every_size() -> None:
    frame = noisy(4, arms=("mnli", "squad"))
    gone = where(model="l", arm="mnli", target="T0", language="l0")
    holed = put(frame, gone, value=None, status="missing")
    found = analyse(holed, PLAN)
    keep = ~where(arm="mnli", target="T0", language="l0")
    assert slope(found).estimate == pytest.approx(slope(analyse(frame.filter(keep), PLAN)).estimate)
    rows = found.cells.filter(where(arm="mnli", target="T0", language="l0"))
    assert not rows["included"].any()
    assert set(rows["exclusion"]) == {
        "no run to count",
        "not scored in both arms at every size: l",
    }
    what = found.missing.select("what", "model", "language", "seed").rows()
    assert what == [("cell", "*", "l0", None), ("score", "l", "l0", 1), ("score", "l", "l0", 2)]
    per_arm = slope(found, arm="mnli"), slope(found, arm="squad")
    assert slope(found).estimate == pytest.approx(np.mean([e.estimate for e in per_arm]))


def test_a_task_without_runs_at_one_size_leaves_the_slope_but_not_the_other_arm() -> None:
    frame = noisy(4, arms=("mnli", "squad"))
    holed = put(frame, where(model="x", arm="mnli", target="T1"), value=None, status="failed")
    found = analyse(holed, PLAN)
    assert slope(found, arm="mnli").n_tasks == 2
    assert slope(found).n_tasks == 3
    assert slope(found, variant="without_size:x").estimate == pytest.approx(
        slope(analyse(frame.filter(pl.col("model") != "x"), PLAN)).estimate
    )
    assert ("run", "x") in found.missing.select("what", "model").rows()


def test_a_lost_seed_only_makes_its_group_smaller() -> None:
    frame = noisy(4, seeds=3)
    found = analyse(
        put(frame, where(model="s", arm="none", target="T0", seed=3), value=None, status="failed"),
        PLAN,
    )
    assert slope(found, "L1").lo is not None
    assert slope(found, "L1").n_runs == 4 * 2 * 3 * 3 - 1
    expected = frame.filter(~where(model="s", arm="none", target="T0", seed=3))
    assert slope(found, "L1").se == pytest.approx(quick(expected)["L1"].se)


def test_degenerate_runs_are_left_out_and_kept_in_all_runs() -> None:
    frame = noisy(4, seeds=3)
    run = where(model="x", arm="none", target="T2", seed=2)
    fallen = put(frame, run, value=33.0, status="degenerate", reason="English dev at chance")
    found = analyse(fallen, PLAN)
    assert slope(found).estimate == pytest.approx(slope(analyse(frame.filter(~run), PLAN)).estimate)
    everything = slope(found, variant="all_runs").estimate
    assert everything == pytest.approx(quick(fallen)["L2"].estimate)
    assert abs((everything or 0) - (slope(found).estimate or 0)) > 1
    kept = analyse(fallen, PLAN | {"degenerate": "keep"})
    assert slope(kept).estimate == pytest.approx(everything)
    assert slope(kept, variant="healthy_runs").estimate == pytest.approx(slope(found).estimate)
    assert found.missing["reason"].to_list() == ["degenerate: English dev at chance"]
    assert found.counts["runs_degenerate"] == 1


def test_self_pairs_and_shared_text_have_their_variants() -> None:
    frame = noisy(4, arms=("mnli", "squad"))
    pair, text = where(arm="mnli", target="T0"), where(arm="squad", target="T1")
    flagged = put(put(frame, pair, flags="self_pair;shared_text"), text, flags="shared_text")
    found = analyse(flagged, PLAN)
    plain = analyse(frame, PLAN)
    assert slope(found, arm="mnli").n_tasks == 2
    assert slope(found, variant="with_self_pairs").estimate == pytest.approx(slope(plain).estimate)
    assert slope(found).estimate == pytest.approx(
        slope(analyse(frame.filter(~pair), PLAN)).estimate
    )
    assert slope(found, variant="without_shared_text").estimate == pytest.approx(
        slope(analyse(frame.filter(~pair & ~text), PLAN)).estimate
    )
    assert slope(plain, variant="with_self_pairs").reason == "there are no self-pairs"
    excluded = found.cells.filter(~pl.col("included"))
    assert set(excluded.select("arm", "target").rows()) == {("mnli", "T0")}
    assert found.missing["what"].to_list() == ["pair"]


def test_an_arm_named_like_its_target_is_a_self_pair() -> None:
    found = analyse(noisy(4, arms=("T0",)), PLAN)
    assert slope(found).n_tasks == 2


def test_the_other_size_axis_is_a_variant() -> None:
    frame = noisy(4).with_columns((pl.col("params_nonembedding") + 10**9).alias("params_total"))
    found = analyse(frame, PLAN)
    other = analyse(frame, PLAN | {"size_axis": "total"})
    assert slope(found, variant="total_parameters").estimate == slope(other).estimate
    assert slope(other, variant="non_embedding_parameters").estimate == slope(found).estimate
    assert abs(slope(other).estimate or 0) > abs(slope(found).estimate or 0)


def test_families_are_never_joined_in_one_line() -> None:
    # Within each family the gain falls by 1 per tenfold; the larger family gains more.
    sizes = {"a1": 1e7, "a2": 1e8, "b1": 1e9, "b2": 1e10}
    level = {"a": 0.0, "b": 10.0}
    frame = table(
        lambda m, a, t, lang, k: (
            50 + (a != "none") * (level[m[0]] - math.log10(sizes[m]) + 0.001 * k)
        ),
        sizes=sizes,
        families={m: m[0] for m in sizes},
    )
    found = analyse(frame, PLAN)
    assert slope(found).estimate == pytest.approx(-1.0)
    assert slope(found, "L3").method == "L2 + variance of family slopes, Welch df"
    assert "2 families" in headline_sentence(found)


def test_the_english_gap_is_english_minus_the_mean_of_the_others() -> None:
    frame = noisy(7, tasks=2, sizes=3)
    found = analyse(frame, PLAN)
    gap = {
        (e.model, e.level): e
        for e in found.select(estimand="english_gap_change", scale="points", arm="*")
    }
    english = {
        e.model: e
        for e in found.select(
            estimand="gain", level="L1", scale="points", average="english", arm="*"
        )
    }
    others = {
        e.model: e
        for e in found.select(
            estimand="gain", level="L1", scale="points", average="zero_shot", arm="*"
        )
    }
    for m in ("s", "m", "l"):
        expected = (english[m].estimate or 0) - (others[m].estimate or 0)
        assert gap[m, "L1"].estimate == pytest.approx(expected)
        # Run noise is shared by English and the others, and cancels in the gap.
        assert (gap[m, "L1"].se or 0) < (others[m].se or 0)
    expected = (slope(found, average="english").estimate or 0) - (slope(found).estimate or 0)
    for each in ("L1", "L2", "L3"):
        assert gap["*", each].estimate == pytest.approx(expected)


def test_the_retrieval_panel_stands_apart_and_its_targets_share_runs() -> None:
    trained = noisy(1)
    # Both targets of a model, arm and seed are scored with one model: noise of the run is shared.
    off = {1: 0.5, 2: -0.5}
    found = analyse(
        pl.concat(
            [
                trained,
                table(
                    lambda m, a, t, lang, k: 40 + (a != "none") * (5 + off[k]),
                    sizes={"s": 2.7e8, "l": 3.5e9},
                    targets=("bucc", "tatoeba"),
                    panel="retrieval",
                ),
            ]
        ),
        PLAN,
    )
    (e,) = found.select(estimand="gain", panel="retrieval", model="s", arm="*", level="L1",
                        scale="points", average="zero_shot")  # fmt: skip
    assert e.estimate == pytest.approx(5.0)
    assert e.se == pytest.approx(math.sqrt(0.25))  # not 0.25 / 2 targets
    assert e.df == 1
    assert slope(found).estimate == slope(analyse(trained, PLAN)).estimate
    assert not found.select(panel="retrieval", average="english")


def test_seeds_across_tasks_allows_for_one_intermediate_checkpoint() -> None:
    found = analyse(noisy(2), PLAN)
    joined = slope(found, "L1", variant="seeds_across_tasks")
    assert joined.estimate == slope(found).estimate
    assert joined.df < slope(found, "L1").df  # type: ignore[operator]


def test_english_in_average_order_seeds_languages_tasks() -> None:
    # Task A has languages de, fr, task B de alone: B weighs as much as A.
    gain = {("A", "de"): 1.0, ("A", "fr"): 3.0, ("B", "de"): 10.0}
    frame = table(
        lambda m, a, t, lang, k: 50 + (a != "none") * gain.get((t, lang), 0.0), sizes={"s": 1e8}
    ).filter(~where(target="B", language="fr"))
    (e,) = analyse(frame, PLAN).select(
        estimand="gain", level="L1", scale="points", average="zero_shot", arm="*"
    )
    assert e.estimate == pytest.approx(6.0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 1.0), st.booleans())
def test_holes_anywhere_leave_numbers_that_agree(seed: int, kept: float, rows: bool) -> None:
    frame = noisy(seed, sizes=3, seeds=3, arms=("mnli", "squad"))
    rng = np.random.default_rng(seed)
    hole = pl.Series(rng.random(frame.height) > max(kept, 0.02) ** 0.2)
    frame = frame.filter(~hole) if rows else put(frame, pl.lit(hole), value=None, status="failed")
    found = analyse(frame, PLAN)
    plain = {"count", "noise", "detectable", "collapse_rate", "collapse_difference", "influence"}
    plain |= {"equivalence"}
    for e in found.estimates:
        if e.estimand in plain or e.variant.endswith(("_naive", "sign_flip", "permuted_sizes")):
            continue  # no intervals, or ranges that are none
        if e.lo is None:
            assert e.reason
            # Cochran's Q has its p even where no tau^2 agrees with it (an empty Q-profile).
            assert e.p is None or (e.estimand == "tau" and e.p > 0.975)
        else:
            assert e.estimate is not None
            assert e.hi is not None
            assert e.lo <= e.estimate <= e.hi
            assert math.isfinite(e.lo + e.hi + (e.se or 0) + (e.df or 0))
    levels = {"level": "L1", "average": "zero_shot", "scale": "points"}
    for gain in found.select(estimand="gain", arm="*", **levels):
        scores = {
            e.arm: e.estimate for e in found.select(estimand="score", model=gain.model, **levels)
        }
        if gain.estimate is not None:
            assert gain.estimate == pytest.approx((scores["*"] or 0) - (scores["none"] or 0))
    assert found.cells["included"].to_list() == [not x for x in found.cells["exclusion"]]
    assert headline_sentence(found)


def test_without_a_direct_arm_nothing_is_compared() -> None:
    frame = noisy(1)
    for only in (pl.col("arm") == "none", pl.col("arm") != "none"):
        found = analyse(frame.filter(only), PLAN)
        assert found.headline.verdict == "not estimable"
        assert not found.cells["included"].any()
        assert "not estimable" in headline_sentence(found)
    retrieval = frame.with_columns(pl.lit("retrieval").alias("panel"))
    assert analyse(retrieval, PLAN).headline.reason == "no target task was fine-tuned"
