"""What a stage rests on: its pretraining, its tokenizer, and what has to be there to load it."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.test_study import plan_of
from tiny import write_study
from tinyscratch import write_scratch

from compiler.plan import Plan
from runtime import lineage

SHORT = {"recipe": {"name": "tiny", "defaults": {"steps": 2}}, "languages": ["en", "de"]}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Two sizes, each pretrained once for each of two seeds."""
    folder = tmp_path_factory.mktemp("lineage")
    return plan_of(write_scratch(folder, pretrain={"seeds": "per_seed"}, seeds=[1, 2], **SHORT))


def test_every_stage_goes_back_to_the_pretraining_of_its_size_and_seed(plan: Plan) -> None:
    chained = 0
    for run in plan.runs:
        for key in filter(None, (run.train, run.score)):
            stage = plan.stages[key]
            found = lineage.pretraining(plan, stage)
            assert found is not None
            start = plan.stages[found]
            assert (start.kind, start.model, start.identity["seed"]) == (
                "pretrain", run.model, run.seed,
            )  # fmt: skip
            before = stage.inputs.get("weights", stage.inputs.get("start"))
            chained += before != found
    assert chained > 4, "no stage rests on another training"


def test_all_stages_have_the_one_tokenizer(plan: Plan) -> None:
    (made,) = (key for key, stage in plan.stages.items() if stage.kind == "tokenizer")
    assert {lineage.tokenizer(plan, stage) for stage in plan.stages.values()} == {made}


def test_a_pretraining_is_its_own(plan: Plan) -> None:
    for key, stage in plan.stages.items():
        if stage.kind == "pretrain":
            assert lineage.pretraining(plan, stage) == key
        if stage.kind in ("tokenizer", "prepare"):
            assert lineage.pretraining(plan, stage) is None


def test_what_is_read_to_load_a_stage_is_named_without_itself(plan: Plan) -> None:
    for stage in plan.stages.values():
        kinds = [plan.stages[key].kind for key, part in lineage.roots(plan, stage)]
        wanted = {
            "tokenizer": [], "prepare": ["tokenizer"], "pretrain": ["tokenizer"],
        }.get(stage.kind, ["pretrain", "tokenizer"])  # fmt: skip
        assert kinds == wanted, stage.key
        assert {part for _, part in lineage.roots(plan, stage)} <= {"all"}


def test_a_tokenizer_reads_the_parts_of_its_corpora_in_order(plan: Plan) -> None:
    stage = next(stage for stage in plan.stages.values() if stage.kind == "tokenizer")
    found = lineage.corpora(plan, stage)
    assert [name for name, _ in found] == ["parallel", "plain"]
    for name, parts in found:
        (prepared,) = (
            one for one in plan.stages.values() if (one.kind, one.task) == ("prepare", name)
        )
        assert parts == list(prepared.parts)


def test_of_a_checkpoint_there_is_nothing_beneath(tmp_path: Path) -> None:
    plan = plan_of(write_study(tmp_path, **SHORT))
    for stage in plan.stages.values():
        assert lineage.pretraining(plan, stage) is None
        assert lineage.tokenizer(plan, stage) is None
        assert lineage.roots(plan, stage) == []
