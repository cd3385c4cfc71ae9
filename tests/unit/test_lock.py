"""Locks: what they freeze, how they pin keys, and what is said when a study moves away from one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hub import hub
from tiny import write_study

from compiler import lock as locks
from compiler.check import check
from compiler.errors import EnvironmentUnready, StudyInvalid
from compiler.expand import expand
from compiler.source import parse, read
from compiler.validate import validate

ROOT = Path(__file__).parents[2]
COMMIT = "12e34".ljust(40, "5")
"""A commit that a careless reader of YAML takes for a number."""

STUDY: dict[str, Any] = {
    "study": "locked",
    "models": {"family": "xlm-r", "sizes": ["base", "large"]},
    "intermediate": ["mnli"],
    "targets": ["paws_x"],
    "languages": ["en", "de"],
    "seeds": [1, 2, 3],
    "recipe": "xtreme",
    "analysis": {"margin": 2.0, "margin_reason": "smaller is of no use here"},
}
NEEDED = {
    "FacebookAI/xlm-roberta-base", "FacebookAI/xlm-roberta-large", "nyu-mll/glue",
    "google-research-datasets/paws-x",
}  # fmt: skip


def known(_kind: str, _name: str, _revision: str | None) -> str:
    return COMMIT


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "study.yaml"
    path.write_text(json.dumps(STUDY | changes, indent=1), encoding="utf-8")
    return path


def locked(folder: Path, **changes: Any) -> Path:
    """Write a study and its lock."""
    path = write(folder, **changes)
    made = locks.make(check(path, installed=False, locked=False), known)
    locks.lock_path(path).write_text(locks.as_yaml(made, path.name), encoding="utf-8")
    return path


def codes(path: Path) -> list[str]:
    return [d.code for d in check(path, installed=False).diagnostics]


def test_a_lock_pins_what_the_hub_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert "C208" in codes(path)
    before = expand(check(path, installed=False))
    locked(tmp_path)
    assert not {"C208", "C215", "C216"} & set(codes(path))
    after = expand(check(path, installed=False))
    assert not set(before.stages) & set(after.stages)
    for model in after.models.values():
        assert model["checkpoint"]["revision"] == COMMIT
    for task in after.tasks.values():
        assert task["source"]["revision"] == COMMIT
    assert "lock" not in before.study
    made = locks.find(path)
    assert made is not None
    assert after.study["lock"]["study"] == made.study_digest
    assert after.study["lock"]["analysis"] == made.analysis_digest


def test_what_a_lock_holds(tmp_path: Path) -> None:
    path = locked(tmp_path)
    made = locks.find(path)
    assert made is not None
    assert set(made.models) | set(made.datasets) == NEEDED
    assert set(made.models.values()) == {COMMIT}
    assert made.analysis["margin"] == 2.0
    assert {"torch", "transformers", "stiltscale"} <= set(made.packages)
    assert "specs/models/xlm-r.yaml" in made.catalog
    assert str(tmp_path) not in locks.lock_path(path).read_text(encoding="utf-8")


def test_a_lock_reads_as_it_was_written(tmp_path: Path) -> None:
    made = locks.find(locked(tmp_path))
    assert made is not None
    again = made.model_copy(update={"packages": {"a": "1", "b": "1e5", "c": "no", "d": "0x1F"}})
    assert validate(parse(locks.as_yaml(again, "study.yaml")), locks.Lock) == again


def test_locking_again_changes_nothing(tmp_path: Path) -> None:
    path = locked(tmp_path)
    text = locks.lock_path(path).read_text(encoding="utf-8")
    locked(tmp_path)
    assert locks.lock_path(path).read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, set()),
        ({"hardware": {"device": "cuda"}, "question": "Why?"}, set()),
        ({"seeds": [1, 2, 3, 4]}, {"C215"}),
        ({"languages": ["en", "de", "fr"]}, {"C215"}),
        ({"recipe": {"name": "xtreme", "defaults": {"batch": 16}}}, {"C215"}),
        ({"analysis": {"size_axis": "total"}}, {"C216"}),
        ({"analysis": {}, "seeds": [1, 2, 4]}, {"C215", "C216"}),
    ],
    ids=lambda value: str(sorted(value)),
)
def test_what_is_said_of_a_changed_study(
    tmp_path: Path, change: dict[str, Any], said: set[str]
) -> None:
    locked(tmp_path)
    path = write(tmp_path, **change)
    assert {"C215", "C216"} & set(codes(path)) == said


def test_a_deviation_names_the_fields(tmp_path: Path) -> None:
    locked(tmp_path)
    path = write(tmp_path, analysis={"margin": 1.0, "margin_reason": "smaller is of no use here"})
    plan = expand(check(path, installed=False))
    (note,) = [note for note in plan.notes if note["code"] == "C216"]
    assert note["message"].endswith(" in margin: locked 2.0, now 1.0")


def test_the_plan_lists_what_was_locked_and_what_is_now(tmp_path: Path) -> None:
    path = locked(tmp_path)
    assert "deviations" not in expand(check(path, installed=False)).study
    write(tmp_path, seeds=[1, 2], analysis={"margin": 1.5, "margin_reason": "after all"})
    found = {d["what"]: d for d in expand(check(path, installed=False)).study["deviations"]}
    assert (found["analysis: margin"]["locked"], found["analysis: margin"]["now"]) == ("2.0", "1.5")
    assert found["analysis: margin reason"]["now"] == "after all"
    assert any(what.startswith("what determines the results") for what in found)
    assert len(found) == 3


def test_claims_are_frozen_one_by_one(tmp_path: Path) -> None:
    claim = {
        "claim": "helps", "says": "English training helps on average", "estimand": "gain",
        "direction": "positive", "source": "made up here",
    }  # fmt: skip
    path = locked(tmp_path, claims=[claim])
    assert "C216" not in codes(path)
    assert "deviations" not in expand(check(path, installed=False)).study
    write(tmp_path, claims=[claim | {"direction": "negative"}, claim | {"claim": "later"}])
    assert "C216" in codes(path)
    found = {d["what"]: d for d in expand(check(path, installed=False)).study["deviations"]}
    assert set(found) == {"claim helps", "claim later"}
    assert found["claim helps"]["locked"] != found["claim helps"]["now"]
    assert found["claim later"]["locked"] == "not there"
    write(tmp_path)
    (gone,) = expand(check(path, installed=False)).study["deviations"]
    assert (gone["what"], gone["now"]) == ("claim helps", "not there")


def test_a_lock_from_before_claims_were_frozen_says_nothing_of_them(tmp_path: Path) -> None:
    claim = {
        "claim": "helps", "says": "English training helps on average", "estimand": "gain",
        "direction": "positive", "source": "made up here",
    }  # fmt: skip
    path = locked(tmp_path)
    lock = locks.lock_path(path)
    old = "".join(x for x in lock.read_text("utf-8").splitlines(True) if "claims" not in x)
    lock.write_text(old, encoding="utf-8")
    write(tmp_path, claims=[claim])
    assert "C216" not in codes(path)
    assert "deviations" not in expand(check(path, installed=False)).study


def test_own_revisions_stay(tmp_path: Path) -> None:
    own = {
        "name": "mine",
        "checkpoint": {"hub": "example/mine", "revision": "b" * 40},
        "tokenizer": {"hub": "example/words", "revision": "v1"},
        "parameters": {"total": 3, "non_embedding": 2},
    }
    path = locked(tmp_path, models=[own])
    made = locks.find(path)
    assert made is not None
    assert made.models == {
        "example/mine@" + "b" * 40: "b" * 40,
        "example/words@v1": COMMIT,
    }
    (model,) = check(path, installed=False).models
    assert model.checkpoint.revision == "b" * 40
    assert model.tokenizer is not None
    assert model.tokenizer.revision == COMMIT
    assert not {"C215", "C208"} & {
        d.code for d in check(path, installed=False).diagnostics if "mine" in d.message
    }


def test_what_cannot_be_found_is_named(tmp_path: Path) -> None:
    def some(kind: str, name: str, revision: str | None) -> str:
        if kind == "dataset":
            raise LookupError(f"the {kind} {name} is not in the cache")
        return COMMIT

    with pytest.raises(EnvironmentUnready) as caught:
        locks.make(check(write(tmp_path), installed=False, locked=False), some)
    assert caught.value.code == "E020"
    assert "2 of 4 repositories" in str(caught.value)
    assert "\n  the dataset nyu-mll/glue is not in the cache" in str(caught.value)


def test_a_broken_lock_is_an_error_at_its_line(tmp_path: Path) -> None:
    path = locked(tmp_path)
    at = locks.lock_path(path)
    at.write_text(at.read_text(encoding="utf-8").replace("lock/1", "lock/9"), encoding="utf-8")
    with pytest.raises(StudyInvalid) as caught:
        check(path, installed=False)
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert (found.span.file, found.span.line) == (str(at), 2)


@pytest.mark.slow
def test_commits_come_from_the_hub_then_from_the_cache(tmp_path: Path) -> None:
    """The real command, against a hub on this machine, then without one."""
    for name in NEEDED:
        kind = "models" if name.startswith("FacebookAI") else "datasets"
        (tmp_path / "hub" / kind / name).mkdir(parents=True)
        (tmp_path / "hub" / kind / name / "config.json").write_text("{}")
    path = write(tmp_path)
    kept = {k: v for k, v in os.environ.items() if not k.upper().startswith(("HF_", "HUGGING"))}
    nowhere = "http://127.0.0.1:9"
    kept |= {"HTTP_PROXY": nowhere, "HTTPS_PROXY": nowhere, "NO_PROXY": "127.0.0.1"}
    kept |= {"PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path / "cache")}

    def lock(**more: str) -> tuple[int, str]:
        ended = subprocess.run(
            [sys.executable, "-m", "runtime.cli", "lock", str(path)],
            cwd=ROOT, capture_output=True, text=True, timeout=120, env=kept | more,
        )  # fmt: skip
        return ended.returncode, ended.stdout + ended.stderr

    with hub(tmp_path / "hub") as server:
        code, text = lock(HF_ENDPOINT=server.url)
        assert code == 0, text
        commits = {name: found.commit for (_, name), found in server.repositories.items()}
    written = read(locks.lock_path(path)).value
    assert written["models"] | written["datasets"] == commits
    assert not {"C208", "C215", "C216"} & set(codes(path))
    locks.lock_path(path).unlink()
    code, text = lock(HF_HUB_OFFLINE="1")
    assert code == 2, text
    assert "E020" in text
    assert "model FacebookAI/xlm-roberta-base" in text
    assert "Traceback" not in text
    for name, commit in commits.items():
        kind = "models" if name.startswith("FacebookAI") else "datasets"
        refs = tmp_path / "cache" / "hub" / "--".join((kind, *name.split("/"))) / "refs"
        refs.mkdir(parents=True)
        (refs / "main").write_text(commit)
    code, text = lock(HF_HUB_OFFLINE="1")
    assert code == 0, text
    assert text.count("the hub did not answer") == 4
    assert read(locks.lock_path(path)).value == written


def test_local_data_is_frozen_too(tmp_path: Path) -> None:
    """Its hash is in the keys; the lock says that it is other data than was locked."""
    study = write_study(tmp_path)
    made = locks.make(check(study, locked=False), known)
    locks.lock_path(study).write_text(locks.as_yaml(made, study.name), encoding="utf-8")
    assert len(made.files) == 4 * 3 * 4, "tasks, splits and languages"
    assert "C215" not in codes(study)
    changed = tmp_path / "own" / "data" / "colours.test.de.jsonl"
    changed.write_text(changed.read_text("utf-8") + "\n", encoding="utf-8")
    (said,) = [d.message for d in check(study).diagnostics if d.code == "C215"]
    assert said == ("a data file is not as it was locked: tasks/../data/colours.test.de.jsonl")


def test_all_files_of_a_star_are_frozen(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    entry = tmp_path / "own" / "tasks" / "colours.yaml"
    text = entry.read_text("utf-8").replace("colours.test.", "colours*.test.")
    entry.write_text(text, encoding="utf-8")
    made = locks.make(check(study, locked=False), known)
    locks.lock_path(study).write_text(locks.as_yaml(made, study.name), encoding="utf-8")
    assert "C215" not in codes(study)
    data = tmp_path / "own" / "data"
    (data / "colours_more.test.de.jsonl").write_text("", encoding="utf-8")
    (said,) = [d.message for d in check(study).diagnostics if d.code == "C215"]
    assert said.endswith("tasks/../data/colours*.test.de.jsonl")
