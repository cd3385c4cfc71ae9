"""The study of the hub, made small: real repository names, answered by a hub on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hub import Hub, hub
from hubdata import NLI, PARAPHRASE, pairs, write_hub
from hubstudy import (
    LANGUAGES,
    LARGE,
    NOWHERE,
    PAWS,
    change_task,
    read,
    recounted,
    run,
    surroundings,
    write_study,
)

from compiler.check import check
from compiler.expand import expand
from compiler.plan import Plan
from runtime.data import fingerprint
from runtime.store import Store, status

FLIPPED = ("contradiction", "entailment", "neutral")
"""The label order of XNLI on our hub: not the one of our task."""


@dataclass(frozen=True)
class Finished:
    """A study that was run from the hub, and what it left."""

    study: Path
    root: Path
    cache: Path
    server: Hub
    plan: Plan
    store: Store


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    root = tmp_path_factory.mktemp("hub")
    return root, write_hub(root, xnli_names=FLIPPED)


@pytest.fixture(scope="module")
def finished(
    repositories: tuple[Path, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    root, sizes = repositories
    folder = tmp_path_factory.mktemp("finished")
    study = write_study(folder, sizes)
    # The first requests for a model's and for a data set's files fail: the hub is often busy.
    busy = {f"{LARGE}/resolve": 1, f"datasets/{PAWS}/resolve": 1}
    with hub(root, busy=busy) as server:
        code, text = run(study, folder / "build", folder / "cache", HF_ENDPOINT=server.url)
        assert code == 0, text
        assert set(server.busy.values()) == {0}
    plan = expand(check(study))
    return Finished(study, root, folder / "cache", server, plan, Store(folder / "build" / "store"))


def scores(store: Store, plan: Plan) -> dict[str, Any]:
    found = {}
    for cell in plan.cells():
        record = store.record(cell.stage, cell.language)
        assert record is not None
        found[f"{cell.stage}/{cell.language}"] = record.result["scores"]
    return found


def test_every_stage_has_its_records(finished: Finished) -> None:
    assert set(status(finished.store, finished.plan).values()) == {"done"}
    assert len(scores(finished.store, finished.plan)) == 2 * 2 * 2 * len(LANGUAGES)


def test_training_data_is_english(finished: Finished) -> None:
    parts = {p for s in finished.plan.stages.values() if s.kind == "prepare" for p in s.parts}
    assert {p for p in parts if not p.startswith("test.")} == {"train.en", "dev.en"}
    for key, stage in finished.plan.stages.items():
        if stage.kind == "prepare" and "train.en" in stage.parts:
            record = finished.store.record(key, "train.en")
            assert record is not None
            rows = [
                {"id": str(number), "text": first, "text_pair": second, "label": label}
                for number, (first, second, label) in enumerate(
                    pairs(stage.task.replace("_", "-"), "en", "train"),
                    start=int(stage.task == "paws_x"),  # whose ids are its own
                )
            ]
            assert record.result["text_sha256"] == fingerprint(rows)
    # The other languages have training sets too, by machine translation: nobody asked for them.
    for name in ("facebook/xnli", PAWS):
        fetched = {p for p in finished.server.fetched("datasets", name) if "/train-" in p}
        assert fetched == {"en/train-00000-of-00001.parquet"}


def test_labels_are_mapped_by_name(finished: Finished) -> None:
    labels = {"xnli": NLI, "paws_x": PARAPHRASE}
    for cell in finished.plan.cells():
        task = cell.target
        expected = [
            labels[task].index(label)
            for _, _, label in pairs(task.replace("_", "-"), cell.language, "test")
        ]
        folder = finished.store.folder(cell.stage, cell.language)
        assert pl.read_parquet(folder / "predictions.parquet")["gold"].to_list() == expected


def test_the_commits_that_were_loaded_are_recorded(finished: Finished) -> None:
    commits = {name: found.commit for (_, name), found in finished.server.repositories.items()}
    for key, stage in finished.plan.stages.items():
        for part in stage.parts:
            record = finished.store.record(key, part)
            assert record is not None
            checkpoint = finished.plan.models[stage.model]["checkpoint"]["hub"]
            if stage.kind == "prepare":
                source = finished.plan.tasks[stage.task]["source"]["hub"]
                assert record.result["source_commit"] == commits[source]
                assert record.result["tokenizer_commit"] == commits[checkpoint]
            elif stage.kind == "train":
                assert record.result["checkpoint_commit"] == commits[checkpoint]


ASK = """
import json, sys
from runtime import data, model
said = []
for address, config, split, revision in json.load(sys.stdin):
    try:
        if config is None:
            model.load_tokenizer({"checkpoint": {"hub": address, "revision": revision}})
            said.append("")
            continue
        task = {"task": "t", "kind": "sequence_classification", "labels": ["0", "1"],
                "source": {"hub": address, "config": config, "splits": {"test": split},
                           "columns": {"text": "sentence1"}, "revision": revision}}
        said.append(str(data.load(task, "test", "de")[1]))
    except data.DataInvalid as error:
        said.append(str(error))
print("SAID" + json.dumps(said))
"""


def ask(cache: Path, *questions: tuple[str | None, ...], **environment: str) -> list[str]:
    """Load tokenizers and data sets in a new process; return the commits, or what was wrong."""
    done = subprocess.run(
        [sys.executable, "-c", ASK], input=json.dumps(questions), capture_output=True, text=True,
        check=False, timeout=120, env=surroundings(cache) | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said: list[str] = json.loads(done.stdout.rpartition("SAID")[2])
    return said


def test_hub_trouble_is_told_in_a_sentence(finished: Finished, tmp_path: Path) -> None:
    other = "0" * 40
    with hub(finished.root, gated={LARGE, "facebook/xnli"}) as server:
        said = ask(
            tmp_path,
            (LARGE, None, None, None),
            ("facebook/xnli", "de", "test", None),
            ("FacebookAI/xlm-roberta-huge", None, None, None),
            ("google-research-datasets/paws-y", "de", "test", None),
            (PAWS, "xx", "test", None),
            (PAWS, "de", "testing", None),
            (PAWS, "de", "test", other),
            ("FacebookAI/xlm-roberta-base", None, None, other),
            HF_ENDPOINT=server.url,
        )
    token = "then set HF_TOKEN to your token"
    assert (
        said[0] == f"the model {LARGE} is gated: accept its terms at {server.url}/{LARGE}, {token}"
    )
    assert said[1].startswith("the dataset facebook/xnli is gated: accept its terms at ")
    missing = "is not on the hub, or private: check its name, or set HF_TOKEN"
    assert said[2] == f"the model FacebookAI/xlm-roberta-huge {missing}"
    assert said[3] == f"the dataset google-research-datasets/paws-y {missing}"
    assert said[4].startswith(f"the dataset {PAWS} (xx, test) cannot be read: ")
    assert said[5].startswith(f"the dataset {PAWS} (de, testing) cannot be read: ")
    assert said[6].startswith(f"the dataset {PAWS} has no revision {other} on the hub: ")
    assert said[7].startswith(f"the model FacebookAI/xlm-roberta-base has no revision {other} on")


def test_without_a_hub_only_the_cache_counts(finished: Finished) -> None:
    commit = finished.server.repositories["datasets", PAWS].commit
    said = ask(
        finished.cache,
        ("FacebookAI/xlm-roberta-base", None, None, None),
        ("FacebookAI/xlm-roberta-huge", None, None, None),
        (PAWS, "de", "test", commit),
        (PAWS, "de", "test", "0" * 40),
        (PAWS, "zh", "test", None),
        HF_HUB_OFFLINE="1",
    )
    lacking = "is not in the cache, and HF_HUB_OFFLINE is set: load it once with a network"
    assert said == [
        "",
        f"the model FacebookAI/xlm-roberta-huge {lacking}",
        commit,
        f"the dataset {PAWS}: expected revision {'0' * 40}, found {commit}",
        f"the dataset {PAWS} {lacking}",
    ]


@pytest.mark.slow
def test_a_hub_that_does_not_answer_is_named(tmp_path: Path) -> None:
    said = ask(tmp_path, (PAWS, "de", "test", None), HF_ENDPOINT=NOWHERE)
    assert f"is not in the cache, and the hub at {NOWHERE}/" in said[0]
    (tmp_path / "hub").mkdir()
    with hub(tmp_path / "hub", busy={"": 1000}) as server:
        said = ask(tmp_path, (LARGE, None, None, None), HF_ENDPOINT=server.url)
    assert said[0].startswith(f"the hub answered 503 for the model {LARGE}: "), said


@pytest.mark.slow
def test_a_filled_cache_gives_the_same_scores_without_a_hub(
    finished: Finished, tmp_path: Path
) -> None:
    code, text = run(finished.study, tmp_path, finished.cache, HF_HUB_OFFLINE="1")
    assert code == 0, text
    store = Store(tmp_path / "store")
    assert scores(store, finished.plan) == scores(finished.store, finished.plan)
    for key, stage in finished.plan.stages.items():
        for part in stage.parts:
            here, there = store.record(key, part), finished.store.record(key, part)
            assert here is not None
            assert there is not None
            for word in ("source_commit", "tokenizer_commit", "checkpoint_commit", "text_sha256"):
                assert here.result.get(word) == there.result.get(word)


@pytest.mark.slow
def test_what_fails_says_why_and_the_rest_goes_on(
    repositories: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    root, sizes = repositories
    counts = recounted(("mnli", "xnli", "paws_x"))
    counts[1]["rows"]["test"]["de"] = 5010
    study = write_study(tmp_path, sizes, counts=counts)
    change_task(study, "mnli", source=read("tasks/mnli.yaml")["source"] | {"hub": "nyu-mll/glut"})
    with hub(root, gated={LARGE}) as server:
        code, text = run(study, tmp_path / "build", tmp_path / "cache", HF_ENDPOINT=server.url)
    assert code == 3, text
    plan, store = expand(check(study)), Store(tmp_path / "build" / "store")
    states = status(store, plan)
    failures = {}
    for key, state in states.items():
        if state == "failed" and (failure := store.failure(key)):
            failures[plan.stages[key].model, plan.stages[key].task] = failure
    assert {failure.failure_class for failure in failures.values()} == {"data"}
    messages = {which: failure.message for which, failure in failures.items()}
    gated = messages["xlmr-large", "paws_x"]
    assert f"the model {LARGE} is gated" in gated
    assert "set HF_TOKEN" in gated
    assert "the dataset nyu-mll/glut is not on the hub" in messages["xlmr-base", "mnli"]
    assert "xnli, test split, de: expected 5010 rows, found 8" in messages["xlmr-base", "xnli"]
    done = {
        (r.model, r.arm, r.target): {
            p for p in plan.stages[r.score].parts if p not in store.missing(plan.stages[r.score])
        }
        for r in plan.runs
    }
    assert done["xlmr-base", "none", "paws_x"] == set(LANGUAGES)
    assert done["xlmr-base", "none", "xnli"] == {"en", "fr"}
    assert not any(found for (model, _, _), found in done.items() if model == "xlmr-large")
    assert not any(found for (_, arm, _), found in done.items() if arm == "mnli")
