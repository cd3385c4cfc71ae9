"""A study's own counts reach the plan with their reason, and change no key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from studies import SMALL, plan_of

from compiler.plan import Plan
from runtime.data import DataInvalid, load

REASON = "the copy of May lost a row"


def counted(rows: dict[str, Any], **more: Any) -> Plan:
    entry = {"task": "topics", "rows": rows, "reason": REASON}
    return plan_of(SMALL, counts=[entry], **more)


def notes(plan: Plan, code: str) -> list[dict[str, str]]:
    return [dict(note) for note in plan.notes if note["code"] == code]


def test_counts_reach_the_plan_and_no_key(catalog: Path) -> None:
    plain, plan = plan_of(SMALL), counted({"test": {"de": 12, "en": None}, "train": {"en": 3000}})
    assert plan.tasks["topics"]["counts"] == {"test": {"de": 12}, "train": {"en": 3000}}
    assert plain.tasks["topics"]["counts"] == {}
    assert plan.stages == plain.stages
    (note,) = notes(plan, "C232")
    assert note == {
        "code": "C232",
        "severity": "warning",
        "message": "`topics` is to have 12 rows in test.de (catalog: no number); 3,000 rows in "
        f"train.en (catalog: no number): {REASON}",
    }
    assert not notes(plain, "C232")


def test_a_count_of_the_catalog_can_be_taken_back() -> None:
    study = SMALL | {"models": {"family": "xlm-r", "sizes": ["base"]}, "intermediate": ["mnli"],
                     "targets": ["xnli"], "recipe": "xtreme"}  # fmt: skip
    entry = {"task": "xnli", "rows": {"test": {"de": None, "zh": 5010}}, "reason": REASON}
    plan = plan_of(study, counts=[entry])
    expected = dict(plan_of(study).tasks["xnli"]["counts"]["test"])
    del expected["de"]
    assert plan.tasks["xnli"]["counts"]["test"] == expected
    (note,) = notes(plan, "C232")
    what = "any number of rows in test.de (catalog: 5,010)"
    assert note["message"] == f"`xnli` is to have {what}: {REASON}"


def test_an_acknowledged_count_is_a_note(catalog: Path) -> None:
    seen = [{"code": "C232", "reason": "seen and meant so"}]
    (note,) = notes(counted({"test": {"de": 12}}, acknowledge=seen), "C232")
    assert note["severity"] == "note"
    assert note["message"].endswith("(acknowledged: seen and meant so)")


def test_the_runtime_refuses_by_the_counts_of_the_plan(catalog: Path, tmp_path: Path) -> None:
    task = dict(counted({"test": {"de": 2}}).tasks["topics"])
    (tmp_path / "x.jsonl").write_text('{"text": "a", "label": "sport"}\n', encoding="utf-8")
    task["source"] = {"files": {"test": "x.jsonl"}, "folder": str(tmp_path)}
    with pytest.raises(DataInvalid, match="topics, test split, de: expected 2 rows, found 1"):
        load(task, "test", "de")
