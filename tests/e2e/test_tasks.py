"""Every task of both benchmarks and every intermediate task, from its real repository id to scores.

The rows are made up and the models random: what is shown is that each data set is found, read in
its published form, trained on and scored in each of its languages; not what the scores are.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hub import Hub, hub
from hubstudy import NOWHERE, change_task, stiltscale, surroundings, write, write_sizes
from hubtasks import counts, languages, write_tasks
from supplied import write_supplied

from compiler.check import check
from compiler.expand import expand
from compiler.plan import Plan
from runtime.store import Store, status

TARGETS = ("xnli", "paws_x", "udpos", "udpos_treebanks", "pan_x", "xquad", "mlqa", "tydiqa_goldp",
           "bucc2018", "tatoeba", "xcopa", "mewsli_x", "lareqa")  # fmt: skip
INTERMEDIATE = ("anli", "mnli", "qqp", "squad_v1", "squad_v2", "hellaswag", "ccg", "cosmos_qa",
                "commonsense_qa", "siqa", "copa", "snli")  # fmt: skip
DECODED = ("xnli", "pan_x", "xquad", "xcopa", "tatoeba", "bucc2018", "lareqa")
"""A task of each kind."""

SUPPLIED = ("bucc2018", "ccg", "lareqa", "udpos_treebanks")
ALSO_TRAINED = ("squad_v1", "squad_v1_pairs", "siqa", "copa", "mewsli_x_pairs")
"""What some targets are trained on in the place of training data of their own."""


STUDIES: dict[str, dict[str, Any]] = {
    "targets": {
        "intermediate": ["mnli"], "targets": list(TARGETS),
        "counts": counts((*TARGETS, *ALSO_TRAINED, "mnli")),
    },
    "arms": {
        "intermediate": list(INTERMEDIATE), "targets": ["paws_x"], "languages": ["en", "zh"],
        "counts": counts((*INTERMEDIATE, "paws_x")),
    },
    "decoder": {
        "models": {"family": "qwen-2.5", "sizes": ["0.5b"]}, "intermediate": ["mnli"],
        "targets": list(DECODED), "languages": ["en", "zh", "th", "ru"],
        "counts": counts((*DECODED, "squad_v1", "squad_v1_pairs", "siqa", "copa", "mnli")),
    },
}  # fmt: skip

WORK = """
import json, sys
from runtime.worker import work
for words in json.load(sys.stdin):
    print(words[-1], work(words), flush=True)
"""


@dataclass(frozen=True)
class Finished:
    """What the run of a study left: its plan, the store, and what was said."""

    study: Path
    plan: Plan
    store: Store
    fetched: subprocess.CompletedProcess[str]
    said: str
    server: Hub
    cache: Path


def write_study(folder: Path, sizes: dict[str, dict[str, int]], **fields: Any) -> Path:
    """Write a study with the catalog's own tasks, small recipes and models, and supplied files."""
    write_sizes(folder / "own", "xlm-r", {"base": sizes["base"]})
    write_sizes(folder / "own", "qwen-2.5", {"0.5b": sizes["0.5b"]})
    recipe = {"steps": 2, "batch": 4, "max_length": 48, "learning_rate": 0.001}
    write(folder / "own" / "recipes" / "two.yaml", {"recipe": "two", "defaults": recipe})
    study = {
        "study": folder.name, "models": {"family": "xlm-r", "sizes": ["base"]}, "seeds": [1],
        "recipe": "two", "catalog": "own",
        "hardware": {"device": "cpu", "threads": 1, "parallel": 1, "pack": "seed"},
    }  # fmt: skip
    path = folder / "study.yaml"
    write(path, study | fields)
    for name in SUPPLIED:
        change_task(path, name)
    write_supplied(folder / "own" / "tasks")
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finished]:
    """Fetch all studies, then run them without the hub, in one process and on one store."""
    folder = tmp_path_factory.mktemp("tasks")
    sizes = write_tasks(folder / "hub")
    store, plans, jobs = folder / "store", {}, []
    for name, fields in STUDIES.items():
        study = write_study(folder / name, sizes, **fields)
        plans[name] = study, expand(check(study))
        path = folder / name / "plan.json"
        path.write_text(plans[name][1].to_json(), encoding="utf-8")
        words = ["--plan", str(path), "--store", str(store), "--job"]
        jobs += [[*words, job.name] for job in plans[name][1].jobs]
    cache = folder / "cache"
    with hub(folder / "hub") as server:
        fetched = {
            name: stiltscale(
                "fetch", study, folder, cache, "--store", str(store), HF_ENDPOINT=server.url
            )
            for name, (study, _) in plans.items()
        }
    done = subprocess.run(
        [sys.executable, "-c", WORK], input=json.dumps(jobs), text=True, check=False,
        capture_output=True, timeout=600,
        env=surroundings(cache) | {"HF_ENDPOINT": NOWHERE, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    said = done.stdout[-3000:] + done.stderr[-3000:]
    return {
        name: Finished(study, plan, Store(store), fetched[name], said, server, cache)
        for name, (study, plan) in plans.items()
    }


def why(run: Finished, task: str) -> str:
    """Return what is known of the failures of a task's stages."""
    found = []
    for key, stage in run.plan.stages.items():
        failure = run.store.failure(key)
        if failure is not None and (stage.task == task or stage.kind == "prepare"):
            found.append(f"{key}: {failure.message}\n{failure.trace}")
    return "\n".join(found) or run.said[-3000:]


@pytest.mark.parametrize("task", TARGETS)
def test_target(finished: dict[str, Finished], task: str) -> None:
    """Each language of the task has its scores, from the rows that our hub has."""
    targets = finished["targets"]
    runs = [one for one in targets.plan.runs if one.target == task]
    assert {one.arm for one in runs} == {"none", "mnli"}
    (expected,) = counts([task])
    for one in runs:
        assert set(one.languages) == set(languages(task))
        for language in one.languages:
            part = targets.plan.part_of(one.score, language)
            record = targets.store.record(one.score, part)
            assert record is not None, why(targets, task)
            scores = record.result["scores"]
            assert record.result["value"] in scores.values()
            assert all(math.isfinite(value) for value in scores.values())
            assert 0 <= record.result["value"] <= 100
            wanted = expected["rows"]["test"][language]
            assert record.result["n"] == wanted, (task, language, record.result)


@pytest.mark.parametrize("task", INTERMEDIATE)
def test_intermediate(finished: dict[str, Finished], task: str) -> None:
    """Each task is trained on, and what follows it is scored."""
    arms = finished["arms"]
    (one,) = [one for one in arms.plan.runs if one.arm == task]
    assert one.train is not None
    start = arms.plan.stages[one.train].inputs["start"]
    assert arms.plan.stages[start].task == task
    record = arms.store.record(start)
    assert record is not None, why(arms, task)
    assert record.result["steps"] == 2
    more = {"anli": [f"accuracy.dev_r{n}" for n in (1, 2, 3)], "qqp": ["f1"]}.get(task)
    if more is not None:
        dev = record.result["english_dev"]
        assert list(dev["scores"]) == ["accuracy", *more]
        assert dev["scores"]["accuracy"] == dev["value"]
    for language in ("en", "zh"):
        assert arms.store.record(one.score, arms.plan.part_of(one.score, language)), why(arms, task)


@pytest.mark.parametrize("task", DECODED)
def test_decoder(finished: dict[str, Finished], task: str) -> None:
    """A decoder is trained and scored by the same task kinds as an encoder."""
    decoder = finished["decoder"]
    runs = [one for one in decoder.plan.runs if one.target == task]
    assert runs
    for one in runs:
        for language in one.languages:
            part = decoder.plan.part_of(one.score, language)
            assert decoder.store.record(one.score, part), why(decoder, task)


def test_rows_are_those_of_the_published_form(finished: dict[str, Finished]) -> None:
    """Splits are joined, pools divided, rows without a label left out."""
    expected = {
        ("anli", "train.en"): 3 * 16,
        ("snli", "train.en"): 16 - 2,  # undecided
        ("squad_v2", "train.en"): 16,
        ("mnli", "dev.en"): 8,
        ("tydiqa_goldp", "train.en"): 16,
        ("tydiqa_goldp", "test.ko"): 8,
        ("udpos", "test.th"): 8,
        ("mewsli_x", "pool.all"): 24,
        ("lareqa", "pool.th"): 9,
        ("mewsli_x_pairs", "train.en"): 16,
    }
    found = {}
    for done in (finished["targets"], finished["arms"]):
        for key, stage in done.plan.stages.items():
            for part in stage.parts if stage.kind == "prepare" else ():
                record = done.store.record(key, part)
                name = (stage.task, part.split("@")[0])
                if record is not None and name in expected:
                    found[name] = record.result["rows"]
    assert found == expected


def test_commits_are_those_of_the_revision_named(finished: dict[str, Finished]) -> None:
    """Cosmos QA is read from the branch of converted files, all else from the main branch."""
    seen = set()
    for done in (finished["targets"], finished["arms"]):
        for key, stage in done.plan.stages.items():
            source = done.plan.tasks[stage.task]["source"]
            if stage.kind != "prepare" or not source.get("hub"):
                continue
            repository = done.server.repositories["datasets", source["hub"]]
            revision = repository.at(source.get("revision") or "main")
            assert revision is not None
            for part in stage.parts:
                record = done.store.record(key, part)
                assert record is not None, why(done, stage.task)
                assert record.result["source_commit"] == revision.commit
                seen.add((stage.task, revision.ref))
    assert ("cosmos_qa", "refs/convert/parquet") in seen
    assert {ref for task, ref in seen if task != "cosmos_qa"} == {"main"}


@pytest.mark.parametrize("study", STUDIES)
def test_all_that_is_needed_was_fetched(finished: dict[str, Finished], study: str) -> None:
    """The stages ran without a hub; fetching named each repository with its commit."""
    done = finished[study]
    assert done.fetched.returncode == 0, done.fetched.stdout + done.fetched.stderr
    assert set(status(done.store, done.plan).values()) == {"done"}, done.said
    used = {done.plan.tasks[stage.task]["source"].get("hub") for stage in done.plan.stages.values()}
    for name in used - {None}:
        assert re.search(rf"dataset +{name}[ @].*[0-9a-f]{{40}}", done.fetched.stdout), name


def test_the_report_has_every_target(finished: dict[str, Finished], tmp_path: Path) -> None:
    """Scores of every kind of task go through collection, estimates and tables."""
    done = finished["targets"]
    store = ("--store", str(done.store.root))
    said = stiltscale("report", done.study, tmp_path, done.cache, *store)
    assert said.returncode == 0, said.stdout + said.stderr
    text = (tmp_path / "targets" / "report" / "report.html").read_text(encoding="utf-8")
    for task in TARGETS:
        assert done.plan.tasks[task]["title"] in text
