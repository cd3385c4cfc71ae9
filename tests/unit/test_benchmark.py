"""The benchmark's averages: as its own script gives them, and without English."""

from __future__ import annotations

import polars as pl
import pytest
from unit import synthetic

from runtime.analysis.analyse import analyse
from runtime.collect import degeneracy
from runtime.report import views
from runtime.report.benchmark import average, benchmark_table


def cells(rows: list[tuple[str, str, float]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["target", "language", "official"], orient="row")


def test_tasks_count_alike_whatever_their_languages() -> None:
    """XNLI has (90 + 60 + 30) / 3 = 60, Tatoeba 20: together 40; without English 45 and 20."""
    found = cells([("xnli", "en", 90.0), ("xnli", "de", 60.0), ("xnli", "sw", 30.0),
                   ("tatoeba", "de", 20.0)])  # fmt: skip
    assert average(found, english=True) == pytest.approx(40.0)
    assert average(found, english=False) == pytest.approx(32.5)


def test_a_task_of_english_alone_leaves_no_zero_shot_average() -> None:
    assert average(cells([("mnli", "en", 90.0), ("xnli", "de", 60.0)]), english=False) is None


def test_the_table_is_of_means_over_seeds_and_common_cells() -> None:
    plan = synthetic.plan()
    scores = synthetic.scores(plan).with_columns(official=pl.col("value") / 2)
    findings = analyse(scores, plan.study["analysis"])
    table = benchmark_table(findings, views.names(plan))
    assert len(table.rows) == len(plan.models) * (1 + len(views.names(plan).intermediates))
    model, arm = next(iter(plan.models)), views.names(plan).intermediates[0]
    finished = findings.scores.filter(
        (pl.col("model") == model) & pl.col("status").is_in(["finished", "degenerate"])
    )
    own = finished.filter(pl.col("arm") == arm)
    base = finished.filter(pl.col("arm") == "none")
    place = ["target", "language"]
    by_hand = {
        name: frame.group_by(place).agg(pl.col("value").mean() / 2)
        .join(own.select(place).unique(), on=place, how="semi")
        .group_by("target").agg(pl.col("value").mean())["value"].mean()
        for name, frame in (("own", own), ("base", base))
    }  # fmt: skip
    row = next(
        r for r in table.rows
        if (r[0].text, r[1].text) == (views.names(plan).arms[arm], views.names(plan).models[model])
    )  # fmt: skip
    assert float(row[2].text) == pytest.approx(by_hand["own"], abs=0.051)
    gain = float(row[3].text.replace("\N{MINUS SIGN}", "-"))
    assert gain == pytest.approx(by_hand["own"] - by_hand["base"], abs=0.0051)


@pytest.mark.parametrize(
    ("dev", "bad"),
    [
        ({"metric": "squad", "value": 0.9, "chance": 0.0, "n": 100}, True),
        ({"metric": "squad", "value": 1.1, "chance": 0.0, "n": 100}, False),
        # Half of the questions have no answer: saying so always scores 50, give or take 15.
        ({"metric": "squad", "value": 60.0, "chance": 50.0, "n": 100}, True),
        ({"metric": "squad", "value": 66.0, "chance": 50.0, "n": 100}, False),
        ({"metric": "mlqa", "value": 0.0, "chance": 0.0, "n": 100}, True),
        ({"metric": "map_at_20", "value": 0.0, "chance": 0.0, "n": 100}, True),
        ({"metric": "map_at_20", "value": 2.5, "chance": 0.5, "n": 100}, True),
        ({"metric": "map_at_20", "value": 3.0, "chance": 0.5, "n": 100}, False),
    ],
)
def test_a_run_that_learnt_no_answers_is_degenerate(dev: dict[str, object], bad: bool) -> None:
    assert bool(degeneracy(dev)) is bad
