"""What a study can say about arms, controls and targets, and the stages that it becomes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from studies import SMALL, plan_of, resolved

from compiler.check import check
from compiler.errors import StudyInvalid
from compiler.expand import expand
from compiler.plan import Plan, Stage

pytestmark = pytest.mark.usefixtures("fixed_catalog")

TWO: dict[str, Any] = SMALL | {"targets": ["topics", "tags"], "seeds": [1]}


def chain(plan: Plan, arm: str, target: str, model: str = "ladder-s") -> list[Stage]:
    """Return the trainings that lead to a run's scores, first to last."""
    run = next(r for r in plan.runs if (r.arm, r.target, r.model) == (arm, target, model))
    stages = []
    key = run.train
    while key is not None:
        stages.append(plan.stages[key])
        key = plan.stages[key].inputs.get("start")
    return stages[::-1]


def test_a_chain_trains_one_task_after_the_other() -> None:
    plan = plan_of(TWO, intermediate=[{"name": "both", "chain": ["pairs", "tags"]}])
    assert [s.task for s in chain(plan, "both", "topics")] == ["pairs", "tags", "topics"]
    alone = plan_of(TWO, intermediate=["pairs"])
    assert chain(plan, "both", "topics")[0].key == chain(alone, "pairs", "topics")[0].key


def test_a_mix_is_one_training_on_all_its_tasks() -> None:
    arm = {"name": "mixed", "mix": ["pairs", "tags"], "sampling": {"strategy": "uniform"}}
    plan = plan_of(TWO, intermediate=[arm])
    first, second = chain(plan, "mixed", "topics")
    assert [use["kind"] for use in first.identity["mix"]] == [
        "sequence_classification",
        "token_classification",
    ]
    assert set(first.inputs) == {"data:pairs", "data:tags"}
    assert first.identity["sampling"] == {"strategy": "uniform"}
    assert second.inputs["start"] == first.key
    capped = arm | {"sampling": {"strategy": "proportional", "cap": 100}}
    assert chain(plan_of(TWO, intermediate=[capped]), "mixed", "topics")[0].key != first.key


def test_replay_and_the_language_of_the_data_are_identity() -> None:
    keys = set()
    for extra in ({}, {"replay": {"corpus": "plain", "rate": 0.1}}, {"language": "de"}):
        plan = plan_of(
            TWO, intermediate=[{"name": "a", "task": "topics", **extra}], targets=["tags"]
        )
        first = chain(plan, "a", "tags")[0]
        keys.add(first.key)
        language = extra.get("language", "en")
        assert [p.split("@")[0] for p in first.identity["data"]] == [f"train.{language}", "dev.en"]
    assert len(keys) == 3


def test_controls_go_with_every_arm_and_stay_out_of_the_average() -> None:
    plan = plan_of(TWO, intermediate=["pairs", "tags"], controls=["placebo", "step_matched"])
    assert list(plan.arms) == [
        "none", "pairs", "tags", "pairs.placebo", "tags.placebo", "pairs.step_matched",
        "tags.step_matched",
    ]  # fmt: skip
    placebo = chain(plan, "pairs.placebo", "topics")[0]
    real = chain(plan, "pairs", "topics")[0]
    assert placebo.identity == real.identity | {"labels_shuffled": True}
    longer, own = chain(plan, "pairs.step_matched", "topics")
    direct = chain(plan, "none", "topics")[0]
    assert longer.identity["training"]["steps"] == real.identity["training"]["steps"]
    assert own.identity == direct.identity
    for run in plan.runs:
        assert ("control_arm" in run.flags) == ("." in run.arm)


def test_one_arm_can_be_controlled_alone() -> None:
    controls = [{"kind": "placebo", "of": "tags"}]
    plan = plan_of(TWO, intermediate=["pairs", "tags"], controls=controls)
    assert list(plan.arms) == ["none", "pairs", "tags", "tags.placebo"]


def test_exploratory_arms_are_flagged() -> None:
    analysis = {"exploratory": ["tags"]}
    plan = plan_of(TWO, intermediate=["pairs", "tags"], analysis=analysis)
    assert {r.arm for r in plan.runs if "exploratory" in r.flags} == {"tags"}


def test_a_benchmark_is_its_tasks() -> None:
    plan = plan_of(SMALL, targets={"benchmark": "duo"}, languages="all")
    languages = {run.target: run.languages for run in plan.runs}
    assert list(languages) == ["topics", "twins", "tags"]
    assert languages["topics"] == ("de", "en")
    assert "en" not in languages["twins"]
    assert [s.task for s in chain(plan, "none", "tags")] == ["pairs", "tags"]
    marked = {r.target for r in plan.runs if "direct_holds_intermediate" in r.flags}
    assert marked == {"tags"}
    fewer = plan_of(SMALL, targets={"benchmark": "duo", "without": ["twins", "tags"]})
    assert {run.target for run in fewer.runs} == {"topics"}


def test_an_arm_that_is_the_targets_first_training_is_a_self_pair() -> None:
    targets = [{"task": "tags", "train_on": ["pairs", "tags"]}]
    plan = plan_of(TWO, targets=targets, intermediate=["pairs"])
    assert {r.flags for r in plan.runs if r.arm == "pairs"} == {
        ("direct_holds_intermediate", "self_pair")
    }


def test_several_families_are_one_ladder_each() -> None:
    models = [{"family": "ladder", "sizes": ["s", "m"]}, {"family": "packaged"}]
    families = Counter(m["family"] for m in plan_of(SMALL, models=models).models.values())
    assert families["ladder"] == 2
    assert len(families) == 2


def test_a_study_extends_another(tmp_path: Path) -> None:
    base = SMALL | {"hardware": {"threads": 2, "pack": "seed"}}
    (tmp_path / "base.yaml").write_text(json.dumps(base))
    child = {"extends": "base.yaml", "study": "child", "seeds": [7], "hardware": {"threads": 4}}
    (tmp_path / "child.yaml").write_text(json.dumps(child))
    plan = expand(check(tmp_path / "child.yaml", installed=False))
    assert plan.name == "child"
    assert plan.study["seeds"] == [7]
    assert (plan.execution["threads"], plan.execution["pack"]) == (4, "seed")


def test_a_mistake_in_the_parent_is_shown_there(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(json.dumps(SMALL | {"recipe": "shrot"}))
    (tmp_path / "child.yaml").write_text('{"extends": "base.yaml", "seeds": [7, 7]}')
    with pytest.raises(StudyInvalid) as caught:
        check(tmp_path / "child.yaml", installed=False)
    places = {(d.code, Path(d.span.file).name) for d in caught.value.diagnostics if d.span}
    assert places == {("C113", "base.yaml"), ("C104", "child.yaml")}


@pytest.mark.parametrize("text", ['{"extends": "a.yaml"}', '{"extends": "none.yaml"}'])
def test_a_circle_or_a_missing_parent_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(StudyInvalid) as caught:
        check(tmp_path / "a.yaml", installed=False)
    assert [d.code for d in caught.value.diagnostics] == ["S009"]


def test_a_warning_can_be_acknowledged_with_a_reason() -> None:
    known = [{"code": "C206", "reason": "a first look at the pipeline"}]
    found = {d.code: d for d in resolved(SMALL, seeds=[1], acknowledge=known).diagnostics}
    assert found["C206"].severity == "note"
    assert "a first look at the pipeline" in found["C206"].message
    assert {d.code for d in resolved(SMALL, acknowledge=known).diagnostics} >= {"C214"}
    with pytest.raises(StudyInvalid):
        resolved(SMALL, acknowledge=[{"code": "C101", "reason": "it is no warning"}])


def test_a_step_matched_control_needs_steps_that_can_be_counted() -> None:
    by_epochs = {"name": "endless", "defaults": {"epochs": 2}}
    plain = TWO | {"intermediate": ["pairs"], "recipe": by_epochs}
    assert plan_of(plain)
    with pytest.raises(StudyInvalid) as caught:
        resolved(plain, controls=["step_matched"])
    assert [d.code for d in caught.value.diagnostics] == ["C118"]


def test_a_recipe_changes_by_phase_task_and_size_together() -> None:
    """The last change counts: defaults, phase, task, size, model, then exceptions in order."""
    recipe = {
        "name": "short",
        "defaults": {"batch": 11},
        "phases": {"target": {"batch": 12}},
        "models": {"s": {"batch": 13}, "ladder-m": {"batch": 14}},
        "exceptions": [
            {"phase": "target", "task": "tags", "model": "s", "change": {"batch": 15}},
            {"task": "tags", "model": "ladder-m", "change": {"batch": 16}},
        ],
    }
    found = {key: training.batch for key, training in resolved(TWO, recipe=recipe).recipes.items()}
    assert found == {
        ("intermediate", "pairs", "ladder-s"): 13,
        ("intermediate", "pairs", "ladder-m"): 14,
        ("target", "topics", "ladder-s"): 13,
        ("target", "topics", "ladder-m"): 14,
        ("target", "tags", "ladder-s"): 15,
        ("target", "tags", "ladder-m"): 16,
    }


def test_trackers_are_in_the_plan_and_in_no_key() -> None:
    plain, tracked = plan_of(TWO), plan_of(TWO, tracking=["tensorboard"])
    assert tracked.execution["tracking"] == ["tensorboard"]
    assert list(tracked.stages) == list(plain.stages)


def test_the_plan_says_which_file_each_definition_came_from(tmp_path: Path) -> None:
    plan = plan_of(TWO)
    assert set(plan.catalog) == {
        "tasks/pairs", "tasks/tags", "tasks/topics", "models/ladder", "recipes/short"
    }  # fmt: skip
    assert plan.catalog["tasks/pairs"]["file"].endswith("tasks/pairs.yaml")
    own = tmp_path / "own" / "tasks"
    own.mkdir(parents=True)
    ours = (Path(__file__).parents[1] / "catalog" / "tasks" / "pairs.yaml").read_text("utf-8")
    (own / "pairs.yaml").write_text(ours.replace("title:", "title: my own"), encoding="utf-8")
    study = tmp_path / "study.yaml"
    study.write_text(json.dumps(TWO | {"catalog": "own"}), encoding="utf-8")
    checked = check(study, installed=False)
    entry = expand(checked).catalog["tasks/pairs"]
    assert entry["file"] == "own/tasks/pairs.yaml"
    assert entry["replaces"] == plan.catalog["tasks/pairs"]["file"]
    assert [d.message for d in checked.diagnostics if d.code == "C231"] == [
        f"`tasks/pairs` comes from own/tasks/pairs.yaml, in place of {entry['replaces']}"
    ]
