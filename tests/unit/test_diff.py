"""What changes between two plans, and which field did it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from studies import SMALL, plan_of
from typer.testing import CliRunner

from compiler.diff import OTHER_VERSION, Difference, compare, differing, leaves, words_of
from compiler.formats import diff_view, duration
from compiler.identity import stage_key
from compiler.plan import Plan, from_json
from runtime.cli import app
from runtime.records import Record
from runtime.states import seconds
from runtime.store import Store

pytestmark = pytest.mark.usefixtures("fixed_catalog")

RUN = CliRunner()
PAIRS = {"name": "short", "tasks": {"pairs": {"learning_rate": 3e-4}}}
FASTER = {"name": "short", "phases": {"target": {"learning_rate": 3e-4}}}

some_names = st.lists(
    st.sampled_from(["pairs", "topics", "tags"]), min_size=1, max_size=2, unique=True
)
some_studies = st.fixed_dictionaries(
    {
        "intermediate": some_names,
        "targets": st.lists(st.sampled_from(["topics", "twins", "tags"]), min_size=1, unique=True),
        "seeds": st.lists(st.integers(1, 4), min_size=1, max_size=2, unique=True),
        "models": st.lists(st.sampled_from("sml"), min_size=1, max_size=2, unique=True).map(
            lambda sizes: {"family": "ladder", "sizes": sizes}
        ),
        "recipe": st.sampled_from(["short", "phased", FASTER]),
        "languages": st.sampled_from([["de", "en"], ["de", "en", "zh"], "all"]),
    }
)  # fmt: skip


def shown(found: Difference, width: int = 100) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(diff_view(found))
    return capture.get()


def test_words_and_hash() -> None:
    assert words_of(stage_key("train", ("a-v1-b", "m", "s1"), {}, {})) == "train-a_v1_b-m-s1"
    assert words_of("no hash") == "no hash"


def test_leaves_and_what_differs() -> None:
    nested = {"a": {"b": 1, "c": [1, (2,)]}, "m": [{"x": 1}, {"x": 2}], "e": {}}
    assert leaves(nested) == {"a.b": 1, "a.c": [1, [2]], "m[0].x": 1, "m[1].x": 2, "e": {}}
    found = differing({"a": 1, "l": (1, 2), "g": None}, {"a": True, "l": [1, 2], "n": 0})
    assert [(c.field, c.old, c.new) for c in found] == [
        ("a", 1, True),
        ("g", None, None),
        ("n", None, 0),
    ]


@settings(max_examples=15, deadline=None)
@given(some_studies)
def test_a_plan_and_itself(fields: dict[str, Any]) -> None:
    plan = plan_of(SMALL, **fields)
    for other in (plan, from_json(plan.to_json())):
        found = compare(plan, other)
        assert found.kept == tuple(plan.stages)
        assert found.runs == {"kept": len(plan.runs), "added": 0, "dropped": 0}
        assert found.cells == {"kept": len(list(plan.cells())), "added": 0, "dropped": 0}
        assert not any(change["added"] or change["dropped"] for change in found.design.values())
        nothing = (found.added, found.dropped, found.rekeyed, found.causes, found.settings)
        assert not any(nothing)
        assert not found.parts_added
        assert not found.parts_dropped
        assert not found.costs


@settings(max_examples=25, deadline=None)
@given(some_studies, some_studies)
def test_the_reverse_swaps(one: dict[str, Any], two: dict[str, Any]) -> None:
    a, b = plan_of(SMALL, **one), plan_of(SMALL, **two)
    there, back = compare(a, b), compare(b, a)
    assert set(there.added) == set(back.dropped)
    assert set(there.dropped) == set(back.added)
    assert set(there.kept) == set(back.kept)
    assert {(r.old, r.new) for r in there.rekeyed} == {(r.new, r.old) for r in back.rekeyed}
    assert there.parts_added == {k: back.parts_dropped[k] for k in there.parts_added}
    assert there.design == {
        k: {"added": v["dropped"], "dropped": v["added"]} for k, v in back.design.items()
    }
    for counts in ("runs", "cells"):
        one_way, other_way = getattr(there, counts), getattr(back, counts)
        assert one_way == {
            **other_way,
            "added": other_way["dropped"],
            "dropped": other_way["added"],
        }
    # Every stage stands in exactly one place.
    new = [*there.kept, *there.added, *(r.new for r in there.rekeyed)]
    old = [*there.kept, *there.dropped, *(r.old for r in there.rekeyed)]
    assert sorted(new) == sorted(b.stages)
    assert sorted(old) == sorted(a.stages)
    for item in there.rekeyed:
        assert item.causes  # nothing is re-keyed for no reason
    assert json.loads(json.dumps(there.body()))["kept"] == len(there.kept)
    shown(there)


def test_a_learning_rate() -> None:
    before = plan_of(SMALL, targets=["topics", "twins", "tags"])
    after = plan_of(SMALL, targets=["topics", "twins", "tags"], recipe=PAIRS)
    found = compare(before, after)
    roots = {r.new for r in found.rekeyed if r.changes}
    assert roots == {k for k, s in after.stages.items() if s.kind == "train" and s.task == "pairs"}
    assert {c.field for r in found.rekeyed for c in r.changes} == {"training.learning_rate"}
    followers = {r.new for r in found.rekeyed if not r.changes}
    assert followers == {k for k in after.stages if "-after_pairs-" in k}
    assert (found.added, found.dropped) == ((), ())
    (cause,) = found.causes
    assert (cause.kind, cause.task, cause.stages, cause.followers) == (
        "train", "pairs", 4, len(followers),
    )  # fmt: skip
    assert [(c.old, c.new) for c in cause.changes] == [(1e-4, 3e-4)]
    assert "learning_rate: 0.0001 -> 0.0003" in shown(found)


@pytest.mark.parametrize(
    ("change", "field"),
    [({"pooling": "first"}, "model.pooling"), ({"layers": 3}, "model.layers")],
)
def test_a_digest_is_opened(change: dict[str, Any], field: str) -> None:
    own = {"name": "mine", "checkpoint": {"hub": "example/mine", "revision": "1"},
           "parameters": {"total": 2, "non_embedding": 1}}  # fmt: skip
    plans = [plan_of(SMALL, models=[own | more]) for more in ({}, change)]
    found = compare(*plans)
    assert {c.field for cause in found.causes for c in cause.changes} >= {field}
    assert not any("model (" in c.field for cause in found.causes for c in cause.changes)


def test_what_is_read_is_named() -> None:
    """A length changes the prepared data too; a scoring that reads other data says what differs."""
    recipe = {"name": "short", "tasks": {"topics": {"max_length": 64}}}
    found = compare(plan_of(SMALL), plan_of(SMALL, recipe=recipe))
    fields = {(cause.kind, c.field) for cause in found.causes for c in cause.changes}
    assert fields == {("prepare", "max_length"), ("train", "training.max_length")}
    by_kind = {r.new.split("-")[0] for r in found.rekeyed if not r.changes}
    assert "evaluate" in by_kind


def test_a_renamed_arm() -> None:
    """Same identity, other words: the author learns that a name costs a run."""
    arms = [[{"name": name, "mix": ["pairs", "tags"]}] for name in ("both", "mixed")]
    found = compare(*(plan_of(SMALL, intermediate=arm) for arm in arms))
    assert (found.added, found.dropped) == ((), ())
    changes = {(c.field, c.old, c.new) for cause in found.causes for c in cause.changes}
    assert changes == {
        ("words of the key", "both", "mixed"),
        ("words of the key", "after_both", "after_mixed"),
    }
    assert found.design["arms"] == {"added": ("mixed",), "dropped": ("both",)}


def test_keys_of_another_version() -> None:
    plan = plan_of(SMALL)
    text = re.sub(r"-v1-(.{10})", lambda m: f"-v2-{m[1][::-1]}", plan.to_json())
    found = compare(from_json(text), plan)
    assert len(found.rekeyed) == len(plan.stages)
    assert {c.changes for c in found.causes} == {(OTHER_VERSION,)}
    assert {c.kind for c in found.causes} == {"prepare"}
    assert all(item.causes for item in found.rekeyed)


def test_languages_are_parts() -> None:
    found = compare(plan_of(SMALL, languages=["de", "en"]), plan_of(SMALL))
    assert (found.added, found.dropped, found.rekeyed) == ((), (), ())
    assert set(found.parts_added.values()) == {("zh",), ("test.zh",)}
    assert found.design["languages"] == {"added": ("zh",), "dropped": ()}
    assert found.runs["added"] == 0
    assert found.cells["added"] == 16


def test_settings_that_are_in_no_key() -> None:
    found = compare(plan_of(SMALL), plan_of(SMALL, question="Why?", hardware={"threads": 3}))
    assert found.kept == tuple(plan_of(SMALL).stages)
    assert {c.field for c in found.settings} >= {"study.question", "execution.threads"}
    assert "execution.threads" in shown(found)


# What it costs


def stored(store: Store, plan: Plan, kind: str, took: float) -> None:
    for stage in plan.stages.values():
        if stage.kind == kind:
            for part in stage.parts:
                with store.writing(stage.key, part) as folder:
                    record = Record(stage.key, part, kind, "t0", "t1", took, {})
                    store.commit(record, folder)


def test_the_cost_of_what_is_new(tmp_path: Path) -> None:
    before, after = plan_of(SMALL, seeds=[1]), plan_of(SMALL, seeds=[1, 2])
    store = Store(tmp_path)
    stored(store, before, "train", 90.0)
    found = compare(before, after, seconds(store, (before, after)))
    train = [cost for cost in found.costs if cost.kind == "train"]
    assert [(c.model, c.parts, c.mean_seconds, c.records) for c in train] == [
        ("ladder-s", 3, 90.0, 3),
        ("ladder-m", 3, 90.0, 3),
    ]
    assert {c.mean_seconds for c in found.costs if c.kind != "train"} == {None}
    text = shown(found)
    assert "9.0 min for 6 of them, by the mean of 6 records" in text
    assert "cost unknown" in text
    stored(store, after, "train", 30.0)
    again = compare(before, after, seconds(store, (before, after)))
    assert not [cost for cost in again.costs if cost.kind == "train"]
    assert again.stored == 6


def test_durations() -> None:
    spans = (0.04, 59, 60, 7200, 200_000)
    assert [duration(x) for x in spans] == ["0.0 s", "59.0 s", "1.0 min", "2.0 h", "2.3 d"]


def test_keys_are_folded_not_cut() -> None:
    before = plan_of(SMALL)
    found = compare(before, replace(before, stages={}, runs=(), jobs=()))
    text = shown(found, width=40).replace("\n", "").replace(" ", "")
    for key in found.dropped[:12]:
        assert key in text


# The verb


def test_the_verb(tmp_path: Path) -> None:
    plain, changed = tmp_path / "a.yaml", tmp_path / "b.yaml"
    plain.write_text(json.dumps(SMALL), encoding="utf-8")
    changed.write_text(json.dumps(SMALL | {"recipe": PAIRS}), encoding="utf-8")
    compiled = tmp_path / "plan.json"
    compiled.write_text(plan_of(SMALL).to_json(), encoding="utf-8")
    where = ["--build", str(tmp_path)]
    texts = []
    for old in (plain, compiled):
        ended = RUN.invoke(app, ["diff", str(old), str(changed), "--format", "json", *where])
        assert ended.exit_code == 0
        texts.append(json.loads(ended.stdout))
    assert texts[0] == texts[1]
    assert texts[0]["schema"] == "stiltscale/diff/1"
    assert [c["changes"][0]["field"] for c in texts[0]["causes"]] == ["training.learning_rate"]
    table = RUN.invoke(app, ["diff", str(plain), str(changed), *where])
    assert (table.exit_code, "training.learning_rate" in table.stdout) == (0, True)


def test_a_plan_is_not_compared_with_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(json.dumps(SMALL), encoding="utf-8")
    ended = RUN.invoke(app, ["diff", str(path), str(tmp_path / "." / "a.yaml")])
    assert ended.exit_code == 1
    assert "P005: a plan is compared with itself" in ended.stderr
