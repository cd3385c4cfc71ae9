"""Mixes and replay from the study to the records: what is trained, drawn and left behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from e2e.test_study import plan_of, scores, work
from safetensors.torch import load_file
from tiny import COLOURS, LANGUAGES, THINGS, VERBS, write_rows, write_study, write_yaml
from tiny import task as entry
from tiny import word as translated

from compiler.check import check
from compiler.errors import StudyInvalid
from compiler.plan import Plan, Stage
from runtime.abilities import refuse_unknown
from runtime.collect import collect
from runtime.store import Store

SIZES = {"en": 40, "de": 20, "fr": 5}

ARMS: list[dict[str, Any]] = [
    {"name": "mixed", "mix": ["things", "tags"], "sampling": {"strategy": "uniform"}},
    {"name": "alike", "mix": ["things", "objects", "things_de"], "heads": "shared"},
    {"name": "kept", "task": "things", "replay": {"corpus": "plain", "rate": 0.25}},
    {
        "name": "all", "mix": ["things", "tags"], "language": "de",
        "sampling": {"strategy": "temperature", "temperature": 2.0},
        "replay": {"corpus": "plain", "rate": 0.5, "exponent": 1.0},
    },
]  # fmt: skip


def write(folder: Path, **changes: Any) -> Path:
    """Write the study with a corpus, and two tasks of the same labels as one that is there."""
    fields: dict[str, Any] = {
        "intermediate": ARMS,
        "controls": [{"kind": "placebo", "of": "mixed"}, {"kind": "step_matched", "of": "all"}],
        "targets": ["colours", "pairs"],
        "languages": ["en", "fr"],
        "seeds": [1],
        "recipe": {"name": "tiny", "tasks": {"mixed": {"steps": 200}}},
    }
    study = write_study(folder, (1,), **(fields | changes))
    catalog = folder / "own"
    (catalog / "corpora").mkdir(exist_ok=True)
    for name in ("objects", "things_de"):
        write_yaml(
            catalog / "tasks" / f"{name}.yaml",
            entry(name, "sequence_classification", list(THINGS), "accuracy"),
        )
        for split, count in (("train", 64), ("dev", 32)):
            write_rows(catalog, "things", split, "en", count)
            text = (catalog / "data" / f"things.{split}.en.jsonl").read_text(encoding="utf-8")
            (catalog / "data" / f"{name}.{split}.en.jsonl").write_text(text, encoding="utf-8")
    write_yaml(
        catalog / "corpora" / "plain.yaml",
        {"corpus": "plain", "title": "made up", "languages": sorted(SIZES), "exponent": 0.5,
         "source": {"files": {"train": "../data/plain.{language}.jsonl"}}, "counts": SIZES},
    )  # fmt: skip
    for language, size in SIZES.items():
        assert language in LANGUAGES
        lines = []
        for n in range(size):
            words = (VERBS[n % 4], COLOURS[n % 3], THINGS[n % 6], VERBS[n % 3])
            text = " ".join(translated(w, language) for w in words)
            lines.append(json.dumps({"id": str(n), "text": text, "language": language}))
        path = catalog / "data" / f"plain.{language}.jsonl"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return study


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Store]:
    folder = tmp_path_factory.mktemp("mixes")
    plan = plan_of(write(folder))
    refuse_unknown(plan)
    store = Store(folder / "store")
    assert work(plan, store) == 0
    return plan, store


def trained(plan: Plan, store: Store, arm: str) -> tuple[Stage, dict[str, Any]]:
    """Return the intermediate training of an arm, and its result."""
    run = next(r for r in plan.runs if (r.arm, r.target) == (arm, "pairs"))
    assert run.train is not None
    record = store.record(run.train)
    assert record is not None
    return plan.stages[run.train], dict(record.result)


def heads(store: Store, stage: Stage) -> set[str]:
    weights = load_file(store.verified(stage.key) / "weights.safetensors")
    return {name.split(".")[0] for name in weights} - {"backbone"}


def test_every_cell_has_a_score(done: tuple[Plan, Store]) -> None:
    plan, store = done
    found = scores(store, plan)
    assert {name.split("/")[1] for name in found} == {
        "none", *(arm["name"] for arm in ARMS), "mixed.placebo", "all.step_matched"
    }  # fmt: skip
    assert set(collect(plan, store)["status"]) <= {"finished", "degenerate"}


def test_a_mix_draws_by_its_strategy_and_leaves_all_heads(done: tuple[Plan, Store]) -> None:
    plan, store = done
    stage, result = trained(plan, store, "mixed")
    assert {name: one["steps"] for name, one in result["sources"].items()} == {
        "things": 100, "tags": 100
    }  # fmt: skip
    assert {one["examples"] for one in result["sources"].values()} == {800}
    assert heads(store, stage) == {"head:things", "head:tags"}
    assert result["head"] == {"head:things": "new", "head:tags": "new"}
    tasks = result["english_dev"]["tasks"]
    assert set(tasks) == {"things", "tags"}
    assert result["english_dev"]["value"] == sum(one["value"] for one in tasks.values()) / 2
    for one in result["sources"].values():
        assert one["loss_last"] < one["loss_first"]


def test_tasks_of_equal_labels_share_one_head(done: tuple[Plan, Store]) -> None:
    plan, store = done
    stage, result = trained(plan, store, "alike")
    assert heads(store, stage) == {"head"}
    assert list(result["sources"]) == ["things", "objects", "things_de"]
    assert sum(one["steps"] for one in result["sources"].values()) == 40
    assert all(13 <= one["steps"] <= 14 for one in result["sources"].values())


def test_replay_takes_its_rate_and_says_its_languages(done: tuple[Plan, Store]) -> None:
    plan, store = done
    stage, result = trained(plan, store, "kept")
    assert result["sources"]["things"]["steps"] == 30
    replay = result["sources"]["replay:plain"]
    assert replay["steps"] == 10
    assert sum(replay["languages"].values()) == replay["examples"] > 65
    # An epoch of 65 rows has them by the roots of 40, 20 and 5: 31, 23 and 11.
    drawn = {name: count / replay["examples"] for name, count in replay["languages"].items()}
    assert drawn == pytest.approx({"de": 23 / 65, "en": 31 / 65, "fr": 11 / 65}, abs=0.15)
    assert heads(store, stage) == {"head", "head:replay:plain"}
    assert result["head"] == {"head": "new", "head:replay:plain": "new_tied"}
    assert result["english_dev"]["metric"] == "accuracy"
    assert "tasks" not in result["english_dev"], "the corpus is judged"
    prepared = plan.stages[stage.inputs["replay"]]
    assert {part.split("@")[0] for part in prepared.parts} == {f"train.{x}" for x in SIZES}
    for part in prepared.parts:
        record = store.record(prepared.key, part)
        assert record is not None
        assert record.result["rows"] == SIZES[part.split("@")[0].removeprefix("train.")]


def test_a_mix_in_another_language_with_replay(done: tuple[Plan, Store]) -> None:
    plan, store = done
    stage, result = trained(plan, store, "all")
    assert {one["steps"] for one in result["sources"].values()} == {10, 20}
    assert result["sources"]["replay:plain"]["steps"] == 20
    assert [use["data"][0].split("@")[0] for use in stage.identity["mix"]] == ["train.de"] * 2
    assert heads(store, stage) == {"head:things", "head:tags", "head:replay:plain"}
    after = [s for s in plan.stages.values() if s.inputs.get("start") == stage.key]
    assert [s.task for s in after] == ["colours"]
    assert heads(store, after[0]) == {"head"}
    matched = [s for s in plan.stages.values() if s.key.startswith("train-colours-step_matched")]
    assert [s.identity["training"]["steps"] for s in matched] == [40]


def test_the_placebo_of_a_mix_teaches_none_of_its_tasks(done: tuple[Plan, Store]) -> None:
    plan, store = done
    stage, result = trained(plan, store, "mixed.placebo")
    assert stage.identity["labels_shuffled"]
    _, real = trained(plan, store, "mixed")
    for name, one in real["english_dev"]["tasks"].items():
        assert one["value"] > result["english_dev"]["tasks"][name]["value"] + 20
    assert result["sources"]["things"]["examples"] == 800


def test_the_same_mix_again_is_the_same(done: tuple[Plan, Store], tmp_path: Path) -> None:
    plan, store = done
    arms = [arm for arm in ARMS if arm["name"] in ("mixed", "kept")]
    again = plan_of(write(tmp_path, intermediate=arms, controls=[], targets=["pairs"]))
    other = Store(tmp_path / "store")
    assert work(again, other) == 0
    assert set(again.stages) <= set(plan.stages)
    here, there = scores(store, plan), scores(other, again)
    assert there == {name: here[name] for name in there}


def test_a_task_twice_in_a_mix_is_refused(tmp_path: Path) -> None:
    arm = {"name": "twice", "mix": ["things", "things"]}
    recipe = {"name": "tiny"}
    with pytest.raises(StudyInvalid) as caught:
        check(write(tmp_path, intermediate=[arm], controls=[], recipe=recipe))
    (found,) = caught.value.diagnostics
    assert found.code == "C104"
    assert found.message == "`things` is listed twice in the mix `twice`"
