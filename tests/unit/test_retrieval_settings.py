"""How sentences become vectors where nothing is trained is the recipe's, in the key and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from studies import SMALL, plan_of, resolved

from compiler import lock as locks
from compiler.errors import StudyInvalid
from compiler.plan import Plan
from compiler.training import Retrieval

pytestmark = pytest.mark.usefixtures("catalog")


def recipe(**changes: Any) -> dict[str, Any]:
    return {"name": "short", **changes}


def retrieval(plan: Plan, model: str = "ladder-s") -> Any:
    (stage,) = [
        s
        for s in plan.stages.values()
        if s.kind == "retrieve" and s.model == model and "weights" not in s.inputs
    ]
    return stage


def length(plan: Plan) -> int:
    return int(plan.stages[retrieval(plan).inputs["data"]].identity["max_length"])


def test_by_default_it_is_the_mean_at_an_inner_layer() -> None:
    stage = retrieval(plan_of(SMALL))
    assert (stage.identity["pooling"], stage.identity["depth"]) == ("mean", 0.58)
    assert [round(0.58 * layers) for layers in (12, 24)] == [7, 14]
    assert Retrieval.model_validate({}).max_length == 512


def test_a_model_s_own_pooling_is_its_classifier_s() -> None:
    member = {
        "name": "own",
        "checkpoint": {"hub": "example/own", "revision": "1" * 40},
        "parameters": {"total": 10, "non_embedding": 5},
        "pooling": "last",
    }
    stage = retrieval(plan_of(SMALL, models=[member]), "own")
    assert stage.identity["pooling"] == "mean"


def test_a_recipe_sets_it_by_task_phase_and_size() -> None:
    plan = plan_of(
        SMALL,
        recipe=recipe(
            defaults={"sentence_depth": 0.2, "sentence_pooling": "first"},
            phases={"target": {"sentence_depth": 0.3}, "intermediate": {"sentence_depth": 0.9}},
            tasks={"twins": {"max_length": 48}},
            models={"m": {"sentence_depth": 1.0}},
            exceptions=[
                {"task": "twins", "model": "s", "change": {"sentence_pooling": "last"}},
            ],
        ),
    )
    small, middle = retrieval(plan), retrieval(plan, "ladder-m")
    assert (small.identity["pooling"], small.identity["depth"]) == ("last", 0.3)
    assert (middle.identity["pooling"], middle.identity["depth"]) == ("first", 1.0)
    assert length(plan) == 48
    shown = {"max_length": 48, "pooling": "last", "depth": 0.3}
    assert plan.recipes["target/twins/ladder-s"] == shown
    confounds = {entry["what"]: entry["detail"] for entry in plan.confounds}
    assert confounds["depth (twins)"] == "ladder-s 0.3, ladder-m 1.0"


@pytest.mark.parametrize(
    "change", [{"sentence_pooling": "first"}, {"sentence_depth": 0.5}, {"max_length": 40}]
)
def test_a_change_reaches_retrieval_alone(change: dict[str, Any]) -> None:
    before, after = plan_of(SMALL), plan_of(SMALL, recipe=recipe(tasks={"twins": change}))
    moved = {stage.task for key, stage in before.stages.items() if key not in after.stages}
    assert moved == {"twins"}
    kinds = {s.kind for key, s in before.stages.items() if key not in after.stages}
    assert ("prepare" in kinds) is ("max_length" in change)
    trained = [s for s in after.stages.values() if s.kind == "train"]
    assert not any("sentence_depth" in s.identity["training"] for s in trained)


def test_a_lock_holds_it(tmp_path: Path) -> None:
    made = [
        locks.study_digest(resolved(SMALL, recipe=recipe(tasks={"twins": {"sentence_depth": d}})))
        for d in (0.58, 0.6)
    ]
    assert made[0] != made[1]
    assert made[0] == locks.study_digest(resolved(SMALL))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tasks": {"twins": {"learning_rate": 1e-3}}},
         "the recipe sets `learning_rate` for `twins`, which nothing is trained for"),
        ({"tasks": {"topics": {"sentence_depth": 0.5}}},
         "the recipe sets `sentence_depth` for `topics`, which is trained and has a head"),
        ({"exceptions": [{"task": "twins", "phase": "target", "change": {"batch": 8}}]},
         "the recipe sets `batch` for `twins`, which nothing is trained for"),
    ],
)  # fmt: skip
def test_a_setting_without_a_use_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyInvalid) as caught:
        plan_of(SMALL, recipe=recipe(**fields))
    assert [(d.code, d.message) for d in caught.value.diagnostics] == [("C114", message)]


def test_a_depth_without_retrieval_is_refused() -> None:
    with pytest.raises(StudyInvalid) as caught:
        plan_of(SMALL, targets=["topics"], recipe=recipe(defaults={"sentence_depth": 0.5}))
    (said,) = caught.value.diagnostics
    assert said.code == "C114"
    assert said.message.endswith("no target has a use for it")


def test_decoders_are_tagged_at_the_last_piece() -> None:
    member = {
        "checkpoint": {"hub": "example/own", "revision": "1" * 40},
        "parameters": {"total": 10, "non_embedding": 5},
    }
    members = [
        member | {"name": name, "pooling": pooling}
        for name, pooling in (("one", "first"), ("two", "mean"), ("three", "last"))
    ]
    plan = plan_of(SMALL, models=members, targets=["tags"])
    found = {}
    for stage in plan.stages.values():
        if stage.kind == "evaluate":
            found[stage.model] = plan.stages[stage.inputs["data"]].identity["protocol"]
    assert {model: one["tag_at"] for model, one in found.items()} == {
        "one": "first_piece", "two": "first_piece", "three": "last_piece",
    }  # fmt: skip
    assert {one["spacing"] for one in found.values()} == {"running_text"}
