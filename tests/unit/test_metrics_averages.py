"""XTREME's averages against values worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml

from runtime.metrics.averages import benchmark_average, task_average, xtreme_score

CASE = yaml.safe_load(
    (Path(__file__).parents[1] / "golden/metrics/averages.yaml").read_text(encoding="utf-8")
)
ENGLISH = {"english": True, "zero_shot": False}


@pytest.mark.parametrize("task", CASE["tasks"])
@pytest.mark.parametrize("way", ENGLISH)
def test_a_task(task: str, way: str) -> None:
    found = task_average(CASE["tasks"][task], english=ENGLISH[way])
    assert found == pytest.approx(CASE["expected"][task][way])


@pytest.mark.parametrize("way", ENGLISH)
def test_the_benchmark(way: str) -> None:
    found = benchmark_average(CASE["tasks"], english=ENGLISH[way])
    assert found == pytest.approx(CASE["benchmark"][way])


def test_english_is_included_unless_said() -> None:
    assert task_average(CASE["tasks"]["xnli"]) == pytest.approx(70)
    assert benchmark_average(CASE["tasks"]) == pytest.approx(68.125)


def test_the_mean_of_f1_and_match_is_that_of_their_means() -> None:
    # XTREME averages F1 and match over languages first; with the same languages it is the same.
    scores = CASE["tasks"]["xquad"]
    first = (sum(s["f1"] for s in scores.values()) + sum(s["em"] for s in scores.values())) / 4
    assert task_average(scores) == pytest.approx(first)


def test_span_f1_is_no_answer_f1() -> None:
    assert xtreme_score({"span_f1": 60.0, "precision": 50.0, "accuracy": 90.0}) == 60.0


def test_what_cannot_be_averaged() -> None:
    with pytest.raises(ValueError, match="no languages"):
        task_average({})
    with pytest.raises(ValueError, match="no languages"):
        benchmark_average({"a": {"en": {"accuracy": 1.0}}}, english=False)
    with pytest.raises(ValueError, match="no tasks"):
        benchmark_average({})
    with pytest.raises(ValueError, match="not finite"):
        task_average({"de": {"accuracy": math.nan}})
