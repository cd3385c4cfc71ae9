"""The plan's JSON: the same bytes each time, and a clear error for anything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from studies import SMALL, plan_of

from compiler.errors import PlanInvalid
from compiler.plan import Plan, from_json, load

pytestmark = pytest.mark.usefixtures("fixed_catalog")


@pytest.fixture(scope="module")
def plan(fixed_catalog: Path) -> Plan:
    return plan_of(
        SMALL, question="Größe?\n“大” $(touch X)", analysis={"margin": 0.1, "margin_reason": "r"}
    )


def test_two_expansions_give_the_same_bytes(plan: Plan) -> None:
    assert plan_of(SMALL).to_json() == plan_of(SMALL).to_json()


def test_round_trip(plan: Plan) -> None:
    text = plan.to_json()
    again = from_json(text)
    assert again.to_json() == text
    assert (again.stages, again.jobs, again.runs) == (plan.stages, plan.jobs, plan.runs)
    assert list(again.cells()) == list(plan.cells())


def test_from_disk(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(plan.to_json(), encoding="utf-8")
    assert load(path) == from_json(plan.to_json())


def broken(change: Callable[[dict[str, Any]], object]) -> Callable[[str], str]:
    def apply(text: str) -> str:
        body = json.loads(text)
        change(body)
        return json.dumps(body)

    return apply


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda text: text[: len(text) // 2], "P001"),
        (lambda text: "", "P001"),
        (lambda text: "[]", "P001"),
        (lambda text: "5", "P001"),
        (lambda text: "{}", "P001"),
        (broken(lambda b: b.update(schema="stiltscale/plan/0")), "P002"),
        (broken(lambda b: b.pop("jobs")), "P001"),
        (broken(lambda b: b.update(more=1)), "P001"),
        (broken(lambda b: b["stages"][0].pop("key")), "P001"),
        (broken(lambda b: b["runs"].append(3)), "P001"),
    ],
)
def test_what_is_no_plan(plan: Plan, damage: Callable[[str], str], code: str) -> None:
    with pytest.raises(PlanInvalid) as caught:
        from_json(damage(plan.to_json()), "build/x/plan.json")
    assert caught.value.code == code
    assert "build/x/plan.json" in str(caught.value)
    assert "to do: compile the study again" in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "plan.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PlanInvalid) as caught:
        load(path)
    assert caught.value.code == "P003"
