"""Collecting scores from a store: every status, each record read once, exact columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import polars as pl
import pytest

from compiler.plan import Kind, Plan, Run, Stage
from runtime.analysis.analyse import analyse
from runtime.collect import SCORES, collect, degeneracy
from runtime.records import Failure, Record

DEV = {"metric": "accuracy", "value": 80.0, "chance": 33.3, "n": 2000}


class Shelf:
    """A store in memory that counts how often each record is read."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], Record] = {}
        self.failures: dict[str, Failure] = {}
        self.reads: Counter[tuple[str, str]] = Counter()

    def put(self, key: str, part: str, **result: Any) -> None:
        self.records[key, part] = Record(key, part, "any", "t0", "t1", 1.0, result)

    def fail(self, key: str, kind: Any, message: str) -> None:
        self.failures[key] = Failure(key, kind, message, "t1")

    def record(self, key: str, part: str) -> Record | None:
        self.reads[key, part] += 1
        return self.records.get((key, part))

    def failure(self, key: str) -> Failure | None:
        return self.failures.get(key)


def stage(key: str, kind: Kind, parts: tuple[str, ...] = ("all",), **inputs: str) -> Stage:
    return Stage(
        key=key, kind=kind, model="tiny", task="xnli", identity={}, inputs=inputs, parts=parts
    )


def study(*runs: Run) -> Plan:
    stages: dict[str, Stage] = {"base": stage("base", "prepare", parts=("train", "dev"))}
    for run in runs:
        inputs: Mapping[str, str] = {"model": run.train} if run.train else {}
        stages[run.score] = stage(run.score, "evaluate", parts=run.languages, **inputs)
        if run.train:
            stages[run.train] = stage(run.train, "train", data="base")
    return Plan(
        study={"name": "s", "analysis": {}},
        models={"tiny": {"family": "f", "parameters": {"total": 20, "non_embedding": 10}}},
        arms={"none": {"title": "direct", "task": None}, "mnli": {"title": "MNLI", "task": "mnli"}},
        tasks={
            "xnli": {"kind": "classification", "metric": "accuracy", "chance": 33.3},
            "bucc": {"kind": "retrieval", "metric": "f1", "chance": None},
        },
        recipes={},
        stages=stages,
        jobs=(),
        runs=runs,
    )


def run(arm: str, seed: int, *, target: str = "xnli", flags: tuple[str, ...] = ()) -> Run:
    train = f"train-{arm}-{seed}"
    return Run("tiny", arm, target, seed, ("en", "de"), train, f"score-{arm}-{seed}", flags)


@pytest.fixture
def shelf() -> Shelf:
    shelf = Shelf()
    for part in ("train", "dev"):
        shelf.put("base", part)
    for arm in ("none", "mnli"):
        shelf.put(f"train-{arm}-1", "all", english_dev=DEV)
        for i, language in enumerate(("en", "de")):
            shelf.put(f"score-{arm}-1", language, metric="accuracy", value=80.0 - 10 * i, n=5010)
    return shelf


def test_a_finished_run(shelf: Shelf) -> None:
    found = collect(
        study(run("none", 1), run("mnli", 1, flags=("shared_text", "self_pair"))), shelf
    )
    assert dict(found.schema) == SCORES
    assert found["value"].to_list() == [80.0, 70.0, 80.0, 70.0]
    assert found.row(2, named=True) == {
        "model": "tiny", "family": "f", "params_total": 20, "params_nonembedding": 10,
        "arm": "mnli", "target": "xnli", "panel": "trained", "language": "en", "seed": 1,
        "metric": "accuracy", "value": 80.0, "official": 80.0, "n": 5010, "chance": 33.3,
        "status": "finished", "reason": "", "english_dev": 80.0, "english_dev_chance": 33.3,
        "english_dev_n": 2000, "flags": "self_pair;shared_text",
        "stage": "score-mnli-1", "train": "train-mnli-1",
    }  # fmt: skip


def test_a_record_that_runs_share_is_read_once(shelf: Shelf) -> None:
    raw = [Run("tiny", "none", "bucc", k, ("de",), None, "score-raw", ("untuned",)) for k in (1, 2)]
    shelf.put("score-raw", "de", metric="f1", value=50.0, n=100)
    found = collect(study(*raw, run("none", 1), run("none", 1, target="xnli")), shelf)
    assert found.filter(panel="retrieval")["value"].to_list() == [50.0, 50.0]
    assert found.filter(panel="retrieval")["train"].to_list() == [None, None]
    assert found.filter(panel="retrieval")["chance"].to_list() == [0.0, 0.0]
    assert max(shelf.reads.values()) == 1


def test_what_is_not_there_is_failed_or_missing(shelf: Shelf) -> None:
    plan = study(run("none", 1), *(run("mnli", seed) for seed in (1, 2, 3, 4)))
    del shelf.records["score-none-1", "de"]
    shelf.fail("score-none-1", "oom", "out of memory")
    shelf.fail("train-mnli-2", "diverged", "loss is NaN (step 7)")
    shelf.put("score-mnli-3", "en", value=float("nan"), n=1)
    found = collect(plan, shelf)
    by = {
        (r["arm"], r["seed"], r["language"]): (r["status"], r["reason"]) for r in found.to_dicts()
    }
    assert by["none", 1, "en"] == ("finished", "")
    assert by["none", 1, "de"] == ("failed", "oom: out of memory")
    assert by["mnli", 2, "de"] == ("failed", "diverged: loss is NaN (step 7) (train-mnli-2)")
    assert by["mnli", 3, "en"] == ("failed", "data: the record holds no finite value")
    assert by["mnli", 4, "en"] == ("missing", "")
    assert found["value"].null_count() == 7


def test_a_failure_further_up_is_named(shelf: Shelf) -> None:
    del shelf.records["base", "dev"]
    shelf.fail("base", "disk", "no space left")
    found = collect(study(run("mnli", 2)), shelf)
    assert set(found["reason"]) == {"disk: no space left (base)"}


def test_a_degenerate_run_keeps_its_score(shelf: Shelf) -> None:
    shelf.put("train-mnli-1", "all", english_dev=DEV | {"value": 35.0})
    found = collect(study(run("none", 1), run("mnli", 1)), shelf)
    assert found["status"].to_list() == ["finished"] * 2 + ["degenerate"] * 2
    assert found["value"].null_count() == 0
    assert "not above chance" in found["reason"][2]


@pytest.mark.parametrize(
    ("metric", "value", "degenerate"),
    [
        # Three standard errors at chance 50 and n 400: 50 + 3 * 2.5 = 57.5.
        ("accuracy", 57.4, True),
        ("accuracy", 57.5, True),
        ("accuracy", 57.6, False),
        ("accuracy", 20.0, True),
        ("span_f1", 1.0, True),
        ("span_f1", 1.1, False),
        ("f1", 0.0, False),
        ("xtreme_f1", 57.4, True),
        ("xtreme_f1", 57.6, False),
        ("map_at_20", 57.4, True),
        ("map_at_20", 57.6, False),
        ("mrr_at_20", 57.4, True),
        ("mrr_at_20", 57.6, False),
    ],
)
def test_the_degenerate_rule(metric: str, value: float, degenerate: bool) -> None:
    dev = {"metric": metric, "value": value, "chance": 50.0, "n": 400}
    assert bool(degeneracy(dev)) is degenerate
    assert degeneracy({}) == ""


@pytest.mark.parametrize(("value", "degenerate"), [(0.9, True), (1.0, True), (1.1, False)])
def test_an_f1_of_parts_of_speech_must_exceed_a_point(value: float, degenerate: bool) -> None:
    dev = {"metric": "xtreme_f1", "value": value, "chance": 0.0, "n": 400}
    assert bool(degeneracy(dev)) is degenerate


def test_collected_scores_can_be_analysed(shelf: Shelf) -> None:
    found = analyse(collect(study(run("none", 1), run("mnli", 1), run("mnli", 2)), shelf), {})
    assert found.cells["included"].all()
    assert found.missing.select("what", "arm", "seed", "reason").rows() == [
        ("run", "mnli", 2, "missing")
    ]
    assert isinstance(found.scores, pl.DataFrame)
