"""The headline slope by other estimators: against other programs, and against doing it by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import scipy.stats
from scoretables import PLAN, noisy, slope, table

from runtime.analysis.analyse import analyse
from runtime.analysis.estimate import Estimate, Findings


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    return noisy(5, tasks=6, languages=5, seeds=3, arms=("mnli", "squad"))


@pytest.fixture(scope="module")
def found(frame: pl.DataFrame) -> Findings:
    return analyse(frame, PLAN)


def task_slopes(found: Findings) -> list[Estimate]:
    return list(found.select(estimand="task_slope", arm="*", scale="points", level="L1"))


def test_t_over_tasks_is_the_one_sample_t_test(found: Findings) -> None:
    b = [e.estimate for e in task_slopes(found)]
    test = scipy.stats.ttest_1samp(b, 0.0)
    interval = test.confidence_interval(0.95)
    e = slope(found, variant="t_over_tasks")
    assert (e.p, e.lo, e.hi) == pytest.approx((test.pvalue, interval.low, interval.high))
    assert e.estimate == pytest.approx(slope(found).estimate)


def test_random_effects_are_those_of_pymare(found: Findings) -> None:
    estimators = pytest.importorskip("pymare.estimators")
    core = pytest.importorskip("pymare.core")
    b = np.asarray([[e.estimate] for e in task_slopes(found)])
    v = np.asarray([[float(e.se or 0) ** 2] for e in task_slopes(found)])
    data = core.Dataset(y=b, v=v)
    theirs = estimators.VarianceBasedLikelihoodEstimator(method="REML").fit_dataset(data).summary()
    e = slope(found, variant="meta_reml")
    assert e.estimate == pytest.approx(theirs.get_fe_stats()["est"].item(), rel=1e-4)
    (tau,) = found.select(estimand="tau", variant="meta_reml")
    assert (tau.estimate or 0) ** 2 == pytest.approx(np.ravel(theirs.tau2).item(), rel=1e-3)
    laird = estimators.DerSimonianLaird().fit_dataset(data).summary()
    other = slope(found, variant="meta_dl")
    assert other.estimate == pytest.approx(laird.get_fe_stats()["est"].item(), rel=1e-6)


def test_equivalence_is_two_t_tests_and_goes_with_the_verdict(frame: pl.DataFrame) -> None:
    for margin in (0.4, 30.0):
        found = analyse(frame, PLAN | {"margin": margin})
        for level in ("L1", "L2", "L3"):
            (e,) = found.select(estimand="equivalence", level=level)
            head = slope(found, level)
            assert head.estimate is not None
            assert e.p is not None
            below = scipy.stats.t.sf((head.estimate + margin) / head.se, head.df)
            above = scipy.stats.t.cdf((head.estimate - margin) / head.se, head.df)
            if level != "L3":
                assert e.p == pytest.approx(max(below, above))
            inside = (head.lo90 or 0) > -margin and (head.hi90 or 0) < margin
            assert (e.p < 0.05) == inside
    (e,) = analyse(frame, PLAN | {"margin": None}).select(estimand="equivalence", level="L2")
    assert e.p is None
    assert "no margin" in e.reason


def test_the_guard_never_narrows(found: Findings) -> None:
    for name in ("meta_reml", "meta_pm", "meta_dl"):
        plain, guarded = slope(found, variant=name), slope(found, variant=f"{name}_guarded")
        assert (guarded.se or 0) >= (plain.se or 0)
    (ahead,) = found.select(estimand="prediction")
    pooled = slope(found, variant="meta_reml")
    assert ahead.lo is not None
    assert pooled.lo is not None
    assert ahead.lo < pooled.lo


def test_sign_flips_are_those_of_scipy(found: Findings) -> None:
    b = np.asarray([e.estimate for e in task_slopes(found)])
    theirs = scipy.stats.permutation_test(
        (b,), np.mean, permutation_type="samples", alternative="two-sided", n_resamples=np.inf
    )
    assert slope(found, variant="sign_flip").p == pytest.approx(theirs.pvalue)


def test_leaving_out_a_run_is_what_analysing_without_it_gives(
    frame: pl.DataFrame, found: Findings
) -> None:
    (e,) = found.select(estimand="influence", variant="without_one_run")
    runs = frame.select("model", "arm", "target", "seed").unique().to_dicts()
    values = []
    for run in runs[::7]:
        hit = pl.all_horizontal(pl.col(name) == value for name, value in run.items())
        rest = analyse_fast(frame.filter(~hit))
        values.append(rest)
        assert (e.lo or 0) - 1e-9 <= rest <= (e.hi or 0) + 1e-9
    name = e.reason.split("lowest without ")[1].split(", highest")[0]
    model, arm, target, seed = name.replace("seed ", "").split(", ")
    hit = (
        (pl.col("model") == model) & (pl.col("arm") == arm) & (pl.col("target") == target)
        & (pl.col("seed") == int(seed))
    )  # fmt: skip
    assert analyse_fast(frame.filter(~hit)) == pytest.approx(e.lo)


def analyse_fast(frame: pl.DataFrame) -> float:
    from scoretables import quick

    value = quick(frame)["L2"].estimate
    assert value is not None
    return value


def test_leaving_out_tasks_and_languages(frame: pl.DataFrame, found: Findings) -> None:
    for kind, column in (("task", "target"), ("language", "language")):
        (e,) = found.select(estimand="influence", variant=f"without_one_{kind}")
        names = [n for n in frame[column].unique().to_list() if n != "en"]
        values = [analyse_fast(frame.filter(pl.col(column) != name)) for name in names]
        assert (e.lo, e.hi) == pytest.approx((min(values), max(values)))


def test_centres_of_cells(frame: pl.DataFrame, found: Findings) -> None:
    slopes = []
    for (task, language), part in frame.group_by("target", "language"):
        if language != "en":
            one = table_of(part)
            slopes.append((task, one))
    values = sorted(value for _, value in slopes)
    e = slope(found, variant="median_of_cells")
    assert e.estimate == pytest.approx(float(np.median(values)))
    assert e.verdict == "not estimable"


def table_of(part: pl.DataFrame) -> float:
    means = (
        part.group_by("params_nonembedding", "arm").agg(pl.col("value").mean())
        .pivot("arm", index="params_nonembedding", values="value").sort("params_nonembedding")
    )  # fmt: skip
    gain = means.select((pl.col("mnli") + pl.col("squad")) / 2 - pl.col("none")).to_series()
    x = np.log10(means["params_nonembedding"].to_numpy())
    return float(np.polyfit(x, gain.to_numpy(), 1)[0])


def test_families_are_averaged_not_joined() -> None:
    sizes = {"a1": 1e7, "a2": 1e8, "b1": 1e9, "b2": 1e10}
    gain = {"a1": 0.0, "a2": 1.0, "b1": 50.0 / 10, "b2": 60.0 / 10}
    frame = table(
        lambda m, a, t, lang, k: 40 + (a != "none") * (gain[m] + 0.1 * (t == "A")) + 0.01 * k,
        sizes=sizes,
        families={"a1": "a", "a2": "a", "b1": "b", "b2": "b"},
        targets=("A", "B", "C"),
    )
    found = analyse(frame, PLAN)
    each = {e.subset: e.estimate for e in found.select(estimand="family_slope")}
    assert each == pytest.approx({"a": 1.0, "b": 1.0, "a - b": 0.0})
    assert slope(found, "L3", variant="over_families").estimate == pytest.approx(1.0)


@pytest.mark.parametrize("by", [0.5, 0.1])
def test_scaling_the_scores_scales_every_slope(frame: pl.DataFrame, by: float) -> None:
    scaled = frame.with_columns((50 + by * (pl.col("value") - 50)).alias("value"))
    one, other = (analyse(f, PLAN | {"margin": None}) for f in (frame, scaled))
    for a, b in zip(one.estimates, other.estimates, strict=True):
        kinds = ("slope", "language_slope", "group_slope", "arm_difference", "tau", "prediction")
        if a.estimand in kinds and a.scale == "points" and a.estimate is not None:
            assert b.estimate == pytest.approx(by * a.estimate, rel=1e-5, abs=1e-9), a
            if a.lo is None:
                assert b.lo is None
            else:
                assert b.lo == pytest.approx(by * a.lo, rel=1e-5, abs=1e-7), a


def test_row_order_and_names_of_rows_change_nothing(frame: pl.DataFrame, found: Findings) -> None:
    shuffled = analyse(frame.sample(fraction=1.0, shuffle=True, seed=3), PLAN)
    for a, b in zip(found.estimates, shuffled.estimates, strict=True):
        assert (a.estimand, a.subset, a.variant) == (b.estimand, b.subset, b.variant)
        for field in ("estimate", "lo", "hi", "p", "adjusted"):
            one, other = getattr(a, field), getattr(b, field)
            assert (one is None) == (other is None)
            assert one is None or other == pytest.approx(one, rel=1e-6, abs=1e-9), a
