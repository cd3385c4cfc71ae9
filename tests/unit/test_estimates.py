"""Estimates against hand-worked numbers, slow independent formulas and properties."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scoretables import KEY, PLAN, THREE, noisy, quick, same, slope, table

from runtime.analysis import contrasts
from runtime.analysis.analyse import analyse, headline_sentence
from runtime.analysis.estimands import View, label, look, sizes
from runtime.analysis.estimate import Estimate, Findings
from runtime.analysis.grid import build, rescale
from runtime.analysis.slopes import cluster_spread

# --- one study by hand -----------------------------------------------------------------------
#
# Sizes 10M, 100M, 1000M: x = -1, 0, 1, Sxx = 2. Tasks A, B; languages de, fr; seeds 1, 2.
# Cell gains g (seed means), by size:        10M  100M  1000M     slope c = (g3 - g1) / 2
#                                   A de      4     3     1       -1.5
#                                   A fr      2     3     3       +0.5
#                                   B de      3     2     0       -1.5
#                                   B fr      3     2     1       -1.0
#                                   mean      3    2.5   1.25     b_A = -0.5, b_B = -1.25
# slope b = (-0.5 - 1.25) / 2 = -0.875
#
# L1: every run is off its mean by +d for seed 1, -d for seed 2, in both languages (and +-0.1 that
#   cancels between languages). d: direct A .4, B .2; mnli A .6, B .2. var_k = 2 d^2; / K: d^2.
#   Coefficient x_s / (Sxx T) = +-1/4 at the outer sizes, 0 at the middle one.
#   V1 = 2 sizes * (.16 + .04 + .36 + .04) / 16 = .075
#   terms .01 .0025 .0225 .0025, twice: df = .075^2 / (2 * (1e-4 + 2 * 6.25e-6 + 5.0625e-4)) = 50/11
# L2: d = (c + .875) / 4:  A de -.15625, A fr .34375, B de -.15625, B fr -.03125
#   V_task = 2 * 2 * .1875^2 = .140625      V_lang = 2 * 2 * .3125^2 = .390625
#   V_cell = 4/3 * (2 * .15625^2 + .34375^2 + .03125^2) = 4/3 * .16796875 = .22395833
#   sum .30729 is below V_lang, so V2 = .390625, df = min(2, 2) - 1 = 1
# L3: line 3.125, 2.25, 1.375; residuals -.125, .25, -.125; SS = .09375, one df; r = .09375 / 2
#   V3 = .390625 + .046875 = .4375; df = .4375^2 / (.390625^2 + .046875^2) = 1.23659306

GAINS = {
    ("A", "de"): (4, 3, 1),
    ("A", "fr"): (2, 3, 3),
    ("B", "de"): (3, 2, 0),
    ("B", "fr"): (3, 2, 1),
}
OFF = {("none", "A"): 0.4, ("none", "B"): 0.2, ("mnli", "A"): 0.6, ("mnli", "B"): 0.2}


def by_hand(m: str, a: str, t: str, lang: str, k: int) -> float:
    base = {"A": 50.0, "B": 70.0}[t] + {"de": 0.0, "fr": 4.0}[lang] + 5.0 * "sml".index(m)
    gain = GAINS[t, lang]["sml".index(m)] if a == "mnli" else 0
    sign = 1 if k == 1 else -1
    return base + gain + sign * (OFF[a, t] + (0.1 if lang == "de" else -0.1))


@pytest.fixture(scope="module")
def hand() -> Findings:
    return analyse(table(by_hand, sizes=THREE), PLAN)


def test_the_study_worked_by_hand(hand: Findings) -> None:
    one, two, three = (slope(hand, level) for level in ("L1", "L2", "L3"))
    for e in (one, two, three):
        assert e.estimate == pytest.approx(-0.875, abs=1e-12)
        assert (e.n_tasks, e.n_languages, e.n_sizes, e.n_seeds, e.n_runs) == (2, 2, 3, 2, 24)
    assert one.se == pytest.approx(math.sqrt(0.075))
    assert one.df == pytest.approx(50 / 11)
    assert two.se == pytest.approx(0.625)
    assert two.df == 1.0
    assert three.se == pytest.approx(math.sqrt(0.4375))
    assert three.df == pytest.approx(1.2365930599)
    # t.975(50/11) = 2.649857; t.975(1) = 12.706205, times 0.625 = 7.941378.
    assert one.lo == pytest.approx(-1.600693, abs=1e-5)
    assert one.hi == pytest.approx(-0.149307, abs=1e-5)
    assert two.lo == pytest.approx(-8.816378, abs=1e-5)
    assert two.hi == pytest.approx(7.066378, abs=1e-5)
    # Welch's df would make L3 narrower here than L2: it takes the width of L2.
    assert (three.lo, three.hi) == (two.lo, two.hi)
    assert (three.lo90, three.hi90) == (two.lo90, two.hi90)
    assert one.verdict == "smaller with size"
    assert two.verdict == three.verdict == "inconclusive"


def test_gains_scores_and_task_slopes_by_hand(hand: Findings) -> None:
    gains = hand.select(estimand="gain", level="L1", scale="points", average="zero_shot", arm="*")
    assert [e.model for e in gains] == ["s", "m", "l"]
    assert [e.estimate for e in gains] == pytest.approx([3.0, 2.5, 1.25])
    # At one size: (.16 + .04 + .36 + .04) / T^2.
    assert [e.se for e in gains] == pytest.approx([math.sqrt(0.15)] * 3)
    tasks = hand.select(estimand="task_slope", arm="mnli", scale="points")
    assert {e.target: e.estimate for e in tasks} == pytest.approx({"A": -0.5, "B": -1.25})
    # Task A: 2 sizes * (.16 + .36) / 4.
    assert tasks[0].se == pytest.approx(math.sqrt(0.26))
    score = {
        (e.arm, e.model): e.estimate
        for e in hand.select(estimand="score", level="L1", average="zero_shot")
    }
    assert score["none", "s"] == pytest.approx(62.0)
    assert score["mnli", "s"] == pytest.approx(65.0)
    assert score["*", "l"] == pytest.approx(73.25)


def test_cells_by_hand(hand: Findings) -> None:
    assert hand.cells.height == 12
    row = hand.cells.row(0, named=True)
    assert (row["model"], row["target"], row["language"]) == ("s", "A", "de")
    assert (row["direct"], row["value"], row["gain"]) == pytest.approx((50.0, 54.0, 4.0))
    # Seeds at +-.5 and +-.7: variances .5 and .98, over two seeds each.
    assert row["se"] == pytest.approx(math.sqrt(0.25 + 0.49))
    assert row["n_seeds"] == 2
    assert row["included"]
    assert row["stages"] == "s-none-A-1;s-none-A-2;s-mnli-A-1;s-mnli-A-2"
    assert hand.missing.is_empty()
    assert hand.counts["runs"] == hand.counts["runs_finished"] == 24


def test_the_headline_carries_its_level_numbers_and_reservations(hand: Findings) -> None:
    text = headline_sentence(hand)
    assert text == (
        "At L2 (these checkpoints, new tasks and languages), the zero-shot gain from English "
        "intermediate training: the study is inconclusive about a change with size; slope "
        "\N{MINUS SIGN}0.88 points per tenfold non-embedding parameters (95 % interval "
        "\N{MINUS SIGN}8.82 to +7.07, t with 1 df); the margin declared beforehand is 1. It rests "
        "on 3 sizes of 1 family, 1 intermediate, 2 tasks, 2 languages and 2 seeds."
    )


# --- a slow and independent reading of the formulas ------------------------------------------


def slowly(frame: pl.DataFrame, arm: str) -> dict[str, tuple[float, float, float]]:
    """(estimate, variance, df) per level in plain loops, for a complete table with one arm."""
    y = {tuple(r[n] for n in KEY): r["value"] for r in frame.to_dicts()}
    models = frame.unique("model").sort("params_nonembedding")
    sizes = models["model"].to_list()
    tasks, seeds = sorted({k[2] for k in y}), sorted({k[4] for k in y})
    languages = sorted({k[3] for k in y} - {"en"})
    x = [math.log10(p) for p in models["params_nonembedding"].to_list()]
    x = [v - sum(x) / len(x) for v in x]
    sxx = sum(v * v for v in x)
    n_task, n_lang, n_seed = len(tasks), len(languages), len(seeds)

    def gain(m: str, t: str, lang: str) -> float:
        return statistics.fmean(y[m, arm, t, lang, k] - y[m, "none", t, lang, k] for k in seeds)

    cell = {
        (t, lang): sum(v * gain(m, t, lang) for v, m in zip(x, sizes, strict=True)) / sxx
        for t in tasks
        for lang in languages
    }
    b = statistics.fmean(cell.values())
    terms = [
        (v / sxx / n_task) ** 2
        * statistics.variance(
            statistics.fmean(y[m, a, t, lang, k] for lang in languages) for k in seeds
        )
        / n_seed
        for v, m in zip(x, sizes, strict=True)
        for a in ("none", arm)
        for t in tasks
    ]
    v1 = sum(terms)
    df1 = v1**2 / sum(term**2 / (n_seed - 1) for term in terms)
    d = {key: (c - b) / (n_task * n_lang) for key, c in cell.items()}
    v_task = n_task / (n_task - 1) * sum(sum(d[t, g] for g in languages) ** 2 for t in tasks)
    v_lang = n_lang / (n_lang - 1) * sum(sum(d[t, g] for t in tasks) ** 2 for g in languages)
    v_cell = len(d) / (len(d) - 1) * sum(v * v for v in d.values())
    v2, df2 = max(v_task + v_lang - v_cell, v_task, v_lang), min(n_task, n_lang) - 1
    means = [statistics.fmean(gain(m, t, g) for t in tasks for g in languages) for m in sizes]
    centre = statistics.fmean(means)
    rest = sum((g - centre - b * v) ** 2 for g, v in zip(means, x, strict=True))
    r, dfr = rest / (len(x) - 2) / sxx, len(x) - 2
    df3 = (v2 + r) ** 2 / (v2**2 / df2 + r**2 / dfr)
    return {"L1": (b, v1, df1), "L2": (b, v2, df2), "L3": (b, v2 + r, df3)}


@pytest.mark.parametrize("seed", range(6))
def test_every_level_agrees_with_the_slow_formula(seed: int) -> None:
    frame = noisy(seed, tasks=3 + seed % 3, languages=4, sizes=3 + seed % 2, seeds=2 + seed % 2)
    found, expected = quick(frame), slowly(frame, "mnli")
    for level, (value, variance, df) in expected.items():
        e = found[level]
        assert e.estimate == pytest.approx(value, abs=1e-10)
        assert e.se == pytest.approx(math.sqrt(variance), rel=1e-9)
        assert e.df == pytest.approx(df, rel=1e-9)
        if level != "L3":
            assert e.p == pytest.approx(2 * stats.t.sf(abs(value) / math.sqrt(variance), df))


@pytest.mark.parametrize("truth", [-1.7, 0.0, 0.25])
def test_a_slope_without_noise_is_found_exactly(truth: float) -> None:
    sizes = {"s": 2.7e8, "m": 5.5e8, "l": 3.5e9}
    frame = table(
        lambda m, a, t, lang, k: 50 + (a != "none") * (3 + truth * math.log10(sizes[m])),
        sizes=sizes,
        arms=("mnli", "squad"),
    )
    for level, e in quick(frame).items():
        assert e.estimate == pytest.approx(truth, abs=1e-9)
        if level == "L1":  # seeds that do not differ say nothing about the noise of a run
            assert (e.lo, e.verdict) == (None, "not estimable")
        else:
            assert e.hi is not None
            assert e.lo is not None
            assert e.hi - e.lo < 1e-9


def test_a_constant_error_reduction_has_no_slope_in_the_log_error_ratio() -> None:
    # Ten per cent fewer errors at every size, from 50, 60, 70 points: 5, 4, 3 points of gain.
    base = {"s": 50.0, "m": 60.0, "l": 70.0}
    frame = table(
        lambda m, a, t, lang, k: 100 - (100 - base[m]) * (0.9 if a != "none" else 1.0),
        sizes=THREE,
    )
    found = analyse(frame, PLAN)
    assert slope(found).estimate == pytest.approx(-1.0)
    ratio = slope(found, scale="log_error_ratio")
    assert ratio.estimate == pytest.approx(0.0, abs=1e-12)
    gains = found.select(estimand="gain", scale="log_error_ratio", arm="*", level="L1")
    assert {round(e.estimate or 0, 9) for e in gains} == {round(-math.log(0.9), 9)}
    corrected = slope(found, scale="chance_corrected")
    assert corrected.estimate == pytest.approx(-1.0 * 100 / 80)


def test_the_sign_of_the_verdict_can_depend_on_the_scale() -> None:
    # Gains fall from 5 to 4 points while the error falls from 50 to 10: relatively, they grow.
    base, gain = {"s": 50.0, "m": 70.0, "l": 90.0}, {"s": 5.0, "m": 4.5, "l": 4.0}
    frame = table(
        lambda m, a, t, lang, k: base[m] + (a != "none") * gain[m] + 0.01 * k,
        sizes=THREE,
    )
    found = analyse(frame, PLAN)
    assert slope(found).verdict == "smaller with size"
    assert slope(found, scale="log_error_ratio").verdict == "larger with size"
    assert "scale-dependent" in headline_sentence(found)


def test_log_error_variance_is_the_delta_method_and_perfect_scores_are_guarded() -> None:
    # One task, one size: direct 80 +- .5 and arm 90 +- .5, so V = .25/20^2 + .25/10^2.
    frame = table(
        lambda m, a, t, lang, k: (90.0 if a == "mnli" else 80.0) + (0.5 if k == 1 else -0.5),
        sizes={"s": 1e8},
        targets=("A",),
        languages=("de",),
    )
    (e,) = analyse(frame, PLAN).select(
        estimand="gain", scale="log_error_ratio", level="L1", arm="*", average="zero_shot"
    )
    assert e.estimate == pytest.approx(math.log(2))
    assert e.se == pytest.approx(math.sqrt(0.25 / 400 + 0.25 / 100))
    grid = build(frame, shared_runs=False)
    value, _ = rescale(np.full((1, 2, 1, 1), 100.0), grid, "log_error_ratio")
    assert value == pytest.approx(-math.log(0.05))  # half of one example in 1000


def test_the_direct_arm_is_counted_once_under_several_intermediates() -> None:
    # mean over two arms of (arm - direct): Var = V_direct + (V_1 + V_2) / 4, not (..)/2 of pairs.
    frame = noisy(3, tasks=2, sizes=1, seeds=4, arms=("mnli", "squad"))
    (e,) = analyse(frame, PLAN).select(
        estimand="gain", scale="points", level="L1", arm="*", average="zero_shot"
    )
    runs = (
        frame.filter(pl.col("language") != "en")
        .group_by("arm", "target", "seed")
        .agg(pl.col("value").mean())
    )
    parts = runs.group_by("arm", "target").agg((pl.col("value").var() / 4).alias("v"))
    factor = pl.when(pl.col("arm") == "none").then(1.0).otherwise(0.25)
    assert e.se == pytest.approx(math.sqrt(parts.select((factor * pl.col("v")).sum()).item() / 4))


def test_the_pooled_variance_is_that_of_the_estimate_over_repeated_studies() -> None:
    # Monte Carlo: run noise of sd 1, two arms, one size, one task; truth 1 + 2/4 over K = 3.
    rng = np.random.default_rng(5)
    grid = build(noisy(1, tasks=1, sizes=1, seeds=3, arms=("a", "b")), shared_runs=False)
    estimates, variances = [], []
    for _ in range(600):
        noise = rng.normal(size=(1, 3, 1, 1, 3)) + np.zeros((1, 3, 1, 4, 1))
        view = look(replace(grid, scores=noise), "trained", "primary", "non_embedding", None)
        gain = next(e for e in _gains(view) if e.arm == "*")
        estimates.append(gain.estimate)
        variances.append((gain.se or 0) ** 2)
    assert np.mean(variances) == pytest.approx(0.5, rel=0.05)
    assert np.var(np.asarray(estimates, dtype=float)) == pytest.approx(0.5, rel=0.15)


def _gains(view: View) -> Iterator[Estimate]:
    gain = contrasts.gain(view.cases, contrasts.spoken(view.grid, "zero_shot"))
    scaled = rescale(view.means.mean, view.grid, "points")
    return sizes(view, gain, scaled, label(view, "gain", "points", "zero_shot", "*"))


# --- properties ------------------------------------------------------------------------------

studies = st.integers(0, 10_000).map(lambda seed: noisy(seed, tasks=3, languages=3, sizes=3))


@settings(max_examples=20, deadline=None)
@given(studies, st.floats(-20, 20))
def test_a_constant_added_to_both_arms_changes_nothing(frame: pl.DataFrame, by: float) -> None:
    shifted = frame.with_columns(pl.col("value") + by)
    same(quick(frame), quick(shifted))


@settings(max_examples=20, deadline=None)
@given(studies, st.floats(0.1, 1.0))
def test_scaled_scores_scale_the_slope_and_its_interval(frame: pl.DataFrame, by: float) -> None:
    before, after = quick(frame), quick(frame.with_columns(pl.col("value") * by))
    for level, e in before.items():
        for field in ("estimate", "se", "lo", "hi", "lo90", "hi90"):
            assert getattr(after[level], field) == pytest.approx(by * getattr(e, field), abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(studies, st.randoms(use_true_random=False))
def test_names_and_order_of_rows_do_not_matter(frame: pl.DataFrame, chance: random.Random) -> None:
    order = list(range(frame.height))
    chance.shuffle(order)
    shuffled = frame[order]
    for column in ("model", "target", "language", "arm"):
        old = sorted(set(frame[column]) - {"none", "en"})
        new = [f"{column}{i}" for i in range(len(old))]
        chance.shuffle(new)
        shuffled = shuffled.with_columns(pl.col(column).replace(dict(zip(old, new, strict=True))))
    same(quick(frame), quick(shuffled))


@settings(max_examples=20, deadline=None)
@given(studies)
def test_repeated_seeds_never_narrow_new_tasks_or_checkpoints(frame: pl.DataFrame) -> None:
    again = pl.concat([frame, frame.with_columns(pl.col("seed") + 100)])
    before, after = quick(frame), quick(again)
    for level in ("L2", "L3"):
        assert (after[level].lo, after[level].hi) == pytest.approx(
            (before[level].lo, before[level].hi)
        )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(3, 4))
def test_the_third_level_is_never_narrower_than_the_second(
    seed: int, tasks: int, sizes: int
) -> None:
    found = quick(noisy(seed, tasks=tasks, sizes=sizes))
    two, three = found["L2"], found["L3"]
    assert three.lo <= two.lo  # type: ignore[operator]
    assert two.hi <= three.hi  # type: ignore[operator]
    assert three.lo90 <= two.lo90  # type: ignore[operator]
    assert two.hi90 <= three.hi90  # type: ignore[operator]
    assert three.p >= two.p  # type: ignore[operator]


def test_statsmodels_agrees_on_two_way_clusters() -> None:
    """The second level of a balanced table is the two-way clustered error of its mean."""
    api = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(4)
    tasks, languages = 6, 9
    values = rng.normal(0, 1.0, (tasks, 1)) + rng.normal(0, 0.8, (1, languages))
    values = values + rng.normal(0, 0.3, (tasks, languages))
    share = np.full(values.shape, 1.0 / values.size)
    spread = cluster_spread(values * share, share, languages_vary=True)
    groups = np.indices(values.shape).reshape(2, -1).T
    theirs = api.OLS(values.ravel(), np.ones(values.size)).fit(
        cov_type="cluster", cov_kwds={"groups": groups}
    )
    assert spread.variance == pytest.approx(float(theirs.bse[0]) ** 2)
    assert spread.df == 5.0
