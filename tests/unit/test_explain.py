"""Why a stage has its key, who needs it, and whether it will run again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from studies import SMALL, plan_of
from typer.testing import CliRunner

from compiler.diff import leaves, words_of
from compiler.errors import PlanInvalid
from compiler.explain import explain, find, reads, users
from compiler.plan import Plan
from runtime.cli import app
from runtime.records import Failure, Record
from runtime.states import seen
from runtime.store import Store

pytestmark = pytest.mark.usefixtures("fixed_catalog")

RUN = CliRunner()
FASTER = {"name": "short", "tasks": {"pairs": {"learning_rate": 3e-4}}}


@pytest.fixture(scope="module")
def plan(fixed_catalog: Path) -> Plan:
    return plan_of(SMALL)


def one(plan: Plan, *words: str) -> str:
    return next(key for key in plan.stages if all(word in key for word in words))


def finish(store: Store, plan: Plan, *keys: str) -> None:
    for key in keys:
        for part in plan.stages[key].parts:
            with store.writing(key, part) as folder:
                store.commit(Record(key, part, plan.stages[key].kind, "a", "b", 2.5, {}), folder)


# Which stage


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_words_find_one_stage_or_say_what_there_is(plan: Plan, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(plan.stages)))
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(key))] * 2)))
    for words in (key[:end], key[start:end], data.draw(st.text(max_size=30))):
        fitting = [key for key in plan.stages if words.strip() in key]
        if len(fitting) == 1:
            assert find(plan, words) == fitting[0]
            continue
        try:
            found = find(plan, words)
        except PlanInvalid as error:
            code = "P007" if fitting and words.strip() else "P008"
            assert (error.code, bool(error.hint)) == (code, True)  # noqa: PT017
        else:
            assert found in fitting


def test_words_that_fit_one_stage(plan: Plan) -> None:
    for key in plan.stages:
        assert find(plan, key) == key
        assert find(plan, key[-10:]) == key
        if len([other for other in plan.stages if words_of(other) == words_of(key)]) == 1:
            assert find(plan, words_of(key)) == key


def test_words_that_fit_several(plan: Plan) -> None:
    with pytest.raises(PlanInvalid) as caught:
        find(plan, "train-topics-after_pairs-ladder_s")
    fitting = [key for key in plan.stages if key.startswith("train-topics-after_pairs-ladder_s")]
    assert caught.value.code == "P007"
    assert all(key in caught.value.what for key in fitting)


@pytest.mark.parametrize("words", ["trian-topics-ladder_s-s1", "train-topics-ladder-s-s1"])
def test_words_that_fit_none(plan: Plan, words: str) -> None:
    with pytest.raises(PlanInvalid) as caught:
        find(plan, words)
    assert caught.value.code == "P008"
    assert f"`{one(plan, 'train-topics-ladder_s-s1')}`" in caught.value.hint


def test_a_former_key_leads_to_the_new_one(plan: Plan) -> None:
    former = one(plan_of(SMALL, recipe=FASTER), "train-pairs-ladder_m-s2")
    with pytest.raises(PlanInvalid, match="did you mean `train-pairs-ladder_m-s2"):
        find(plan, former)


# What it is


def test_every_field_of_the_identity_is_there(plan: Plan) -> None:
    for key, stage in plan.stages.items():
        text = explain(plan, key)
        for path in leaves(stage.identity):
            assert f" {path.rpartition('.')[2]}: " in text
        assert all(up in text for up in stage.inputs.values())


def test_a_training(plan: Plan) -> None:
    key = one(plan, "train-topics-after_pairs-ladder_s-s1")
    text = explain(plan, key)
    start = one(plan, "train-pairs-ladder_s-s1")
    for section in (
        "    training\n      steps: 10\n",
        "      checkpoint\n        hub: example/ladder-s\n",
        f"    start: ladder-s trained on pairs, seed 1\n      {start}\n",
        "  1 of 16 runs, 3 cells\n  model    ladder-s\n  arm      pairs\n  target   topics\n",
        "  job ladder_s-pairs-topics-s1, stage 1 of 2\n",
        "    evaluation_batch: 128 (the batches of scoring)\n",
    ):
        assert section in text


def test_a_mix_is_written_task_by_task() -> None:
    plan = plan_of(SMALL, intermediate=[{"name": "both", "mix": ["pairs", "tags"]}])
    text = explain(plan, one(plan, "train-both-ladder_s-s1"))
    assert "    mix[0]\n" in text
    assert "    mix[1]\n" in text
    assert "    data:tags: tokenised data of tags" in text


def test_who_needs_it(plan: Plan) -> None:
    for key in plan.stages:
        needed = [r for r in plan.runs if key == r.score or key in reads(plan, r.score)]
        assert list(users(plan, key)) == needed


# What the store says


def test_waiting_then_done(plan: Plan, tmp_path: Path) -> None:
    store, key = Store(tmp_path), one(plan, "train-pairs-ladder_s-s1")
    data = plan.stages[key].inputs["data"]
    text = explain(plan, key, seen(store, plan, key, None))
    assert "  parts  all  missing\n" in text
    assert f"First it waits for\n    {data} (waiting)\n" in text
    finish(store, plan, data)
    text = explain(plan, key, seen(store, plan, key, None))
    assert "will run at the next `run`: 1 of 1 parts have no record" in text
    finish(store, plan, key)
    text = explain(plan, key, seen(store, plan, key, None))
    assert "  parts  all  done in 2.5 s\n" in text
    assert "will not run again" in text


def test_failed_and_blocked(plan: Plan, tmp_path: Path) -> None:
    store, key = Store(tmp_path), one(plan, "train-pairs-ladder_s-s1")
    store.fail(Failure(key, "oom", "no memory\nleft", "2026-01-01", "logs/x.log"))
    text = explain(plan, key, seen(store, plan, key, None))
    assert "  failed: oom: no memory (2026-01-01)\n    log: logs/x.log\n" in text
    assert "will run again at the next `run`" in text
    after = one(plan, "evaluate-topics-after_pairs-ladder_s-s1")
    text = explain(plan, after, seen(store, plan, after, None))
    assert f"  blocked by {key}: oom: no memory (2026-01-01)\n" in text


def test_some_parts(plan: Plan, tmp_path: Path) -> None:
    store, key = Store(tmp_path), one(plan, "evaluate-topics-ladder_s-s1")
    few = replace(plan.stages[key], parts=("de",))
    finish(store, replace(plan, stages={**plan.stages, key: few}), key)
    text = explain(plan, key, seen(store, plan, key, None))
    assert "  parts  de  done in 2.5 s\n  parts  en  missing\n  parts  zh  missing\n" in text
    assert "2 of 3 parts have no record" in text


def test_another_stage_of_the_same_words(plan: Plan, tmp_path: Path) -> None:
    store, after = Store(tmp_path), plan_of(SMALL, recipe=FASTER)
    root, follower = "train-pairs-ladder_s-s1", "train-topics-after_pairs-ladder_s-s1"
    finish(store, plan, one(plan, root), one(plan, follower))
    key = one(after, root)
    text = explain(after, key, seen(store, after, key, plan))
    assert f"{one(plan, root)}\n  training.learning_rate: 0.0001 there, 0.0003 here\n" in text
    key = one(after, follower)
    text = explain(after, key, seen(store, after, key, plan))
    assert "    train of pairs, training.learning_rate: 0.0001 there, 0.0003 here\n" in text
    text = explain(after, key, seen(store, after, key, None))
    assert "which field differs is not known:\n" + f"  {one(plan, follower)}\n" in text


def test_the_verb(plan: Plan, tmp_path: Path) -> None:
    study, build = tmp_path / "study.yaml", tmp_path / "build"
    study.write_text(json.dumps(SMALL), encoding="utf-8")
    where = ["--build", str(build)]
    assert RUN.invoke(app, ["compile", str(study), *where]).exit_code == 0
    store = Store(build / "store")
    key = one(plan, "train-pairs-ladder_s-s1")
    finish(store, plan, key)
    ended = RUN.invoke(app, ["explain", str(study), "train-pairs-ladder_s-s1", *where])
    assert ended.exit_code == 0
    assert ended.stdout == explain(plan, key, seen(store, plan, key, plan))
    study.write_text(json.dumps(SMALL | {"recipe": FASTER}), encoding="utf-8")
    ended = RUN.invoke(app, ["explain", str(study), "train-pairs-ladder_s-s1", *where])
    assert "training.learning_rate: 0.0001 there, 0.0003 here" in ended.stdout
    ended = RUN.invoke(app, ["explain", str(study), "nothing-like-it", *where])
    assert (ended.exit_code, ended.stderr[:4]) == (1, "P008")
