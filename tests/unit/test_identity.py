"""What is in a stage's key, what is not, and that keys stay as they are."""

from __future__ import annotations

import json
import math
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from studies import SMALL, plan_of, resolved

from compiler.entries import Task
from compiler.expand import expand
from compiler.identity import canonical, digest, slug, stage_key
from compiler.plan import Plan
from compiler.resolve import Resolved
from compiler.training import EXECUTION, Training

pytestmark = pytest.mark.usefixtures("fixed_catalog")

# A change here loses every score that anyone has stored: raise SCHEME and say so in the change log.
ONE_SIZE = {"family": "ladder", "sizes": ["s"]}
KEYS = """\
prepare-topics-v1-1af23e67b8
train-topics-ladder_s-s1-v1-01fb515891
evaluate-topics-ladder_s-s1-v1-78acd0addd
prepare-twins-v1-4bbd1e9169
retrieve-twins-ladder_s-v1-1415923958
prepare-pairs-v1-03e6efef9b
train-pairs-ladder_s-s1-v1-d140d296c8
train-topics-after_pairs-ladder_s-s1-v1-e7d3813f65
evaluate-topics-after_pairs-ladder_s-s1-v1-03c41d8e14
retrieve-twins-after_pairs-ladder_s-s1-v1-90141f085c
"""

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def shuffled(value: Any, draw: random.Random) -> Any:
    """Return an equal value with its mappings in another order, and tuples for lists."""
    if isinstance(value, dict):
        items = [(k, shuffled(v, draw)) for k, v in value.items()]
        draw.shuffle(items)
        return dict(items)
    return tuple(shuffled(v, draw) for v in value) if isinstance(value, list) else value


@settings(max_examples=60, deadline=None)
@given(values, st.randoms(use_true_random=False))
def test_canonical_is_blind_to_order_alone(value: Any, draw: random.Random) -> None:
    text = canonical(value)
    assert canonical(shuffled(value, draw)) == text
    assert json.loads(text) == value
    assert text.isascii()


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, {1, 2}, object(), b"x", Path("x"), {(1,): 2}]
)
def test_what_has_no_one_form_has_no_key(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        canonical({"x": value})


def test_canonical_keeps_apart() -> None:
    apart = [1, "1", True, None, [], {}, [1], [[1]], {"a": 1}, {"a": "1"}, 1.5, "", "é", "e\u0301"]
    assert len({canonical(value) for value in apart}) == len(apart)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_a_slug_is_a_word(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9_]{1,40}", slug(text))


def test_a_key_has_its_parts() -> None:
    key = stage_key("train", ("Some-Task", "m.1", "s3"), {"a": 1}, {"data": "x"})
    body = {
        "scheme": 1, "kind": "train", "procedure": 1, "identity": {"a": 1}, "inputs": {"data": "x"},
    }  # fmt: skip
    assert key == f"train-some_task-m_1-s3-v1-{digest(body)[:10]}"


def test_keys_are_what_they_were() -> None:
    assert "\n".join(plan_of(SMALL, models=ONE_SIZE, seeds=[1]).stages) + "\n" == KEYS


# What a key must not depend on


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False), st.booleans(), st.integers(2, 7))
def test_how_a_study_is_written_changes_nothing(draw: random.Random, flow: bool, by: int) -> None:
    items = list(SMALL.items())
    draw.shuffle(items)
    text = "# by hand\n"
    for key, value in items:
        text += f"{key}: {json.dumps(value)}\n" if flow else yaml.safe_dump({key: value}, indent=by)
        text += draw.choice(["", "\n", "   \n\n", "# why\n", "#\n\n"])
    assert plan_of(text).to_json() == plan_of(SMALL).to_json()


@pytest.mark.parametrize(
    "hardware",
    [
        {"device": "cuda"},
        {"parallel": 7},
        {"threads": 3},
        {"pack": "seed"},
        {"evaluation_batch": 1},
    ],
)
def test_hardware_is_in_no_key(hardware: dict[str, Any]) -> None:
    assert plan_of(SMALL, hardware=hardware).stages == plan_of(SMALL).stages


@pytest.mark.parametrize(
    "fields",
    [
        {"study": "other"},
        {"question": "Why?"},
        {"analysis": {"margin": 1, "margin_reason": "small"}},
    ],
)
def test_names_and_analysis_are_in_no_key(fields: dict[str, Any]) -> None:
    assert plan_of(SMALL, **fields).stages == plan_of(SMALL).stages


@settings(max_examples=25, deadline=None)
@given(
    st.permutations(["s", "m", "l"]), st.permutations([2, 1, 3]),
    st.permutations(["topics", "tags", "twins"]), st.permutations(["pairs", "tags"]),
)  # fmt: skip
def test_more_of_a_study_keeps_what_there_is(
    sizes: list[str], seeds: list[int], targets: list[str], arms: list[str]
) -> None:
    before = plan_of(SMALL).stages
    models = {"family": "ladder", "sizes": sizes}
    more = plan_of(SMALL, models=models, seeds=seeds, targets=targets, intermediate=arms).stages
    for key, stage in before.items():
        assert replace(stage, parts=()) == replace(more[key], parts=())
        assert set(stage.parts) <= set(more[key].parts)
    assert len(more) > len(before)


def test_a_language_adds_parts_and_no_key() -> None:
    before, after = plan_of(SMALL).stages, plan_of(SMALL, languages=["fr", "de", "en", "zh"]).stages
    assert list(before) == list(after)
    for key, stage in before.items():
        added = set(after[key].parts) - set(stage.parts)
        assert set(stage.parts) <= set(after[key].parts)
        wanted = {"evaluate": {"fr"}, "retrieve": {"fr"}, "train": set(), "prepare": {"test.fr"}}
        assert added == (set() if stage.task == "pairs" else wanted[stage.kind])


# What a key must depend on, and how far a change reaches

Change = Callable[[Resolved], Resolved]


def model(**fields: Any) -> Change:
    def change(study: Resolved) -> Resolved:
        first, *rest = study.models
        return replace(study, models=(first.model_copy(update=fields), *rest))

    return change


def task(name: str, **fields: Any) -> Change:
    def change(study: Resolved) -> Resolved:
        new = study.task(name).model_copy(update=fields)
        catalog = replace(study.catalog, tasks={**study.catalog.tasks, name: new})

        def swap(old: Task) -> Task:
            return new if old.task == name else old

        goals = tuple(
            replace(g, task=swap(g.task), trains=tuple(map(swap, g.trains))) for g in study.goals
        )
        arms = tuple(
            replace(
                arm,
                courses=tuple(replace(c, tasks=tuple(map(swap, c.tasks))) for c in arm.courses),
            )
            for arm in study.arms
        )
        return replace(study, catalog=catalog, goals=goals, arms=arms)

    return change


def source(name: str, **fields: Any) -> Change:
    def change(study: Resolved) -> Resolved:
        return task(name, source=study.task(name).source.model_copy(update=fields))(study)

    return change


def training(phase: str, name: str, **fields: Any) -> Change:
    def change(study: Resolved) -> Resolved:
        recipes = {
            place: value.model_copy(update=fields) if place[:2] == (phase, name) else value
            for place, value in study.recipes.items()
        }
        return replace(study, recipes=recipes)

    return change


def checkpoint(study: Resolved) -> Resolved:
    old = study.models[0].checkpoint
    return model(checkpoint=old.model_copy(update={"revision": "f" * 40}))(study)


def checkpoint_beside_tokenizer(study: Resolved) -> Resolved:
    return checkpoint(model(tokenizer=study.models[0].checkpoint)(study))


def names(plan: Plan) -> dict[str, str]:
    """Name each stage by what it does, without the hash; each name must be there once."""
    found = {f"{s.key.rpartition('-v1-')[0]} {s.model}": s.key for s in plan.stages.values()}
    assert len(found) == len(plan.stages)
    return found


NOTHING = "(?!)"
TOPICS = r"(prepare|train|evaluate)-topics\b"
PAIRS = r"(prepare|train)-pairs\b|after_pairs"
TRAINED = r"(train|evaluate)-topics\b"
AFTER = r"train-pairs\b|after_pairs"
CHANGES: list[tuple[str, Change, str]] = [
    ("checkpoint", checkpoint, "ladder-s$"),
    ("checkpoint without tokenizer", checkpoint_beside_tokenizer, "^(?!prepare).*ladder-s$"),
    ("layers", model(layers=2), "^(?!prepare).*ladder-s$"),
    ("pooling", model(pooling="first"), "^(?!prepare).*ladder-s$"),
    ("title of a model", model(title="Other"), NOTHING),
    ("size of a model", model(size="xs"), NOTHING),
    ("labels", task("topics", labels=("trade", "sport")), TOPICS),
    ("kind", task("topics", kind="token_classification"), TOPICS),
    ("metric", task("topics", metric="span_f1"), TRAINED),
    ("metric of retrieval", task("twins", metric="accuracy"), "retrieve-twins"),
    ("revision of data", source("topics", revision="other"), TOPICS),
    ("options of data", source("topics", options={"seed": 1}), TOPICS),
    ("columns of data", source("topics", columns={"text": "sentence"}), TOPICS),
    ("package of data", source("topics", packages={"some": "2"}), TOPICS),
    ("revision of retrieval", source("twins", revision="other"), "twins"),
    ("revision of intermediate data", source("pairs", revision="other"), PAIRS),
    ("labels of intermediate data", task("pairs", labels=("a", "b")), PAIRS),
    *(
        (f"{field} of a task", task("topics", **{field: value}), NOTHING)
        for field, value in {
            "title": "T", "description": "D", "chance": 7.0, "counts": {"test": {"de": 3}},
            "train_data": "x", "train_text": ("y",), "license": "L", "citation": "C",
            "limitations": "!",
        }.items()
    ),
]  # fmt: skip
SETTINGS: dict[str, Any] = {
    "steps": 11, "epochs": 3.0, "batch": 33, "learning_rate": 1.1e-4, "warmup": 0.2,
    "schedule": "constant", "weight_decay": 0.02, "clip": 2.0, "dropout": 0.3, "max_length": 33,
    "freeze": "embeddings", "precision": "bf16", "selection": "best_english_dev",
    "evaluate_every": 5, "batch_tokens": 900, "warmup_steps": 7, "decay": "all",
    "freeze_layers": 1, "freeze_backbone_steps": 3, "patience": 4, "average": 2, "chance_steps": 9,
    "micro_batch": 3, "gradient_checkpointing": True, "compile": True,
}  # fmt: skip
CHANGES += [
    *(
        (f"{f} of a target", training("target", "topics", **{f: v}),
         NOTHING if f in EXECUTION else TOPICS if f == "max_length" else TRAINED)
        for f, v in SETTINGS.items()
    ),
    *(
        (f"{f} of an arm", training("intermediate", "pairs", **{f: v}),
         NOTHING if f in EXECUTION else PAIRS if f == "max_length" else AFTER)
        for f, v in SETTINGS.items()
    ),
]  # fmt: skip


def test_every_setting_is_tried() -> None:
    assert set(SETTINGS) == set(Training.model_fields)


@pytest.mark.parametrize(
    ("change", "reaches"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES]
)
def test_a_change_reaches_what_it_must_and_no_more(change: Change, reaches: str) -> None:
    study = resolved(SMALL)
    base = study
    if change is checkpoint_beside_tokenizer:
        base = model(tokenizer=study.models[0].checkpoint)(study)
    before, after = names(expand(base)), names(expand(change(study)))
    assert set(before) == set(after)
    moved = {name for name in before if before[name] != after[name]}
    assert moved == {name for name in before if re.search(reaches, name)}


def test_a_seed_is_in_the_key_of_what_is_trained_alone() -> None:
    one, two = plan_of(SMALL, seeds=[1]).stages, plan_of(SMALL, seeds=[2]).stages
    shared = set(one) & set(two)
    assert shared == {k for k, s in one.items() if s.kind == "prepare" or not re.search("-s1-v", k)}
    assert {one[k].kind for k in set(one) - shared} == {"train", "evaluate", "retrieve"}


# Files of the author's own


@pytest.fixture
def own(fixed_catalog: Path, tmp_path: Path) -> Path:
    return shutil.copytree(fixed_catalog, tmp_path / "own")


def local_plan(own: Path) -> Plan:
    local = {"family": "local"}
    return plan_of(SMALL, models=local, targets=["notes"], languages="all", catalog=str(own))


def test_where_files_lie_is_in_no_key(own: Path, tmp_path: Path) -> None:
    before = local_plan(own).stages
    assert local_plan(own.rename(tmp_path / "elsewhere")).stages == before


def test_a_test_file_is_in_its_part_alone(own: Path) -> None:
    before = local_plan(own).stages
    (own / "tasks/notes/test.de.jsonl").write_text('{"text": "new", "label": "bad"}\n')
    after = local_plan(own).stages
    assert list(before) == list(after)
    new = {p.split("@")[0] for k in after for p in set(after[k].parts) - set(before[k].parts)}
    assert new == {"test.de", "de"}


@pytest.mark.parametrize("split", ["train", "dev"])
def test_a_training_file_is_in_the_key_of_the_training(own: Path, split: str) -> None:
    before = local_plan(own).stages
    (own / f"tasks/notes/{split}.en.jsonl").write_text('{"text": "new", "label": "bad"}\n')
    after = local_plan(own).stages
    kept = {k for k in before if not re.match("(train|evaluate)-notes", k)}
    assert set(before) & set(after) == kept


def test_a_weight_file_is_in_the_key_and_a_note_is_not(own: Path) -> None:
    before = set(local_plan(own).stages)
    (own / "models/local/README.md").write_text("A note.")
    assert set(local_plan(own).stages) == before
    (own / "models/local/model.safetensors").write_bytes(b"weights")
    after = set(local_plan(own).stages)
    assert before & after == {k for k in before if k.startswith("prepare-")}
    (own / "models/local/tokenizer.json").write_text("{}")
    assert not after & set(local_plan(own).stages)


def test_all_files_of_a_star_are_in_the_key(own: Path) -> None:
    entry = own / "tasks/notes.yaml"
    text = entry.read_text(encoding="utf-8").replace(
        "notes/test.{language}", "notes/*test.{language}"
    )
    entry.write_text(text, encoding="utf-8")
    before = local_plan(own).stages
    (own / "tasks/notes/more_test.de.jsonl").write_text('{"text": "new", "label": "bad"}\n')
    after = local_plan(own).stages
    new = {p.split("@")[0] for k in after for p in set(after[k].parts) - set(before[k].parts)}
    assert new == {"test.de", "de"}
