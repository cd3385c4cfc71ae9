"""From the store to the report: facts of languages, and the hours of every arm."""

from __future__ import annotations

from dataclasses import replace

import pytest
from unit import synthetic

from compiler.catalog import load
from compiler.plan import Plan, Run, Stage
from runtime.publish import costs, facts


class Timed:
    """A store whose records have the seconds given, none for other keys."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds

    def record(self, key: str, part: str) -> object | None:
        if key not in self.seconds:
            return None
        return type("Record", (), {"seconds": self.seconds[key]})()


def stage(key: str, kind: str, **inputs: str) -> Stage:
    return Stage(key, kind, "m", "t", {}, inputs)  # type: ignore[arg-type]


def small() -> Plan:
    stages = [
        stage("inter", "train", data="p"), stage("a", "train", data="p"),
        stage("b", "train", data="p", start="inter"), stage("c", "train", data="p", start="inter"),
        stage("score-a", "evaluate", weights="a"), stage("score-b", "evaluate", weights="b"),
        stage("score-c", "evaluate", weights="c"),
    ]  # fmt: skip
    runs = (
        Run("m", "none", "t", 1, ("de",), "a", "score-a"),
        Run("m", "mnli", "t", 1, ("de",), "b", "score-b"),
        Run("m", "mnli", "u", 1, ("de",), "c", "score-c"),
    )
    return replace(synthetic.plan(), stages={s.key: s for s in stages}, runs=runs)


def test_hours_count_a_shared_stage_once() -> None:
    store = Timed({"inter": 3600.0, "a": 1800.0, "b": 1800.0, "c": 1800.0, "score-a": 360.0})
    rows = {row["arm"]: row for row in costs(small(), store)}  # type: ignore[arg-type]
    assert rows["none"]["hours"] == pytest.approx(0.6)
    assert rows["none"]["intermediate_hours"] == 0.0
    assert rows["mnli"]["hours"] == pytest.approx(2.0)
    assert rows["mnli"]["intermediate_hours"] == pytest.approx(1.0)
    assert rows["mnli"]["runs"] == 2


def test_arms_without_records_have_no_hours() -> None:
    assert costs(small(), Timed({})) == []  # type: ignore[arg-type]


def test_facts_come_from_the_catalog() -> None:
    plan = synthetic.plan()
    known = facts(plan, load())
    assert known["zh"]["script"] == "Hans"
    assert known["sw"]["family"] == "Niger-Congo"
    assert known["de"]["seen"] is None  # nobody has said what an invented family was trained on
    catalog = load()
    family = next(f for f in catalog.families.values() if "de" in f.languages)
    models = {name: {**model, "family": family.family} for name, model in plan.models.items()}
    seen = facts(replace(plan, models=models), catalog)
    assert seen["de"]["seen"] is True
    assert seen["de"]["share"] == family.languages["de"]


def test_families_that_differ_say_neither() -> None:
    catalog = load()
    plan = synthetic.plan()
    family = next(f for f in catalog.families.values() if "de" in f.languages)
    first = next(iter(plan.models))
    models = {
        name: {**model, "family": family.family if name == first else model["family"]}
        for name, model in plan.models.items()
    }
    fact = facts(replace(plan, models=models), catalog)["de"]
    assert "seen" not in fact
    assert "share" not in fact
