"""Every local file that a study will read is looked for, and those of pools and bitexts too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from compiler.catalog import specs_folder
from compiler.check import check
from compiler.errors import Diagnostic, StudyInvalid

MODEL = {
    "name": "tiny", "parameters": {"total": 10, "non_embedding": 5},
    "checkpoint": {"hub": "a/b", "revision": "a" * 40},
}  # fmt: skip
STUDY = {"study": "own", "models": [MODEL], "intermediate": ["mnli"], "seeds": [1],
         "recipe": "xtreme-r", "catalog": "own"}  # fmt: skip


def said(folder: Path, task: str | dict[str, Any], code: str, **study: Any) -> list[Diagnostic]:
    """Check a study of one target of an own catalog; return the findings of a code."""
    tasks = folder / "own" / "tasks"
    tasks.mkdir(parents=True, exist_ok=True)
    if isinstance(task, str):
        text = (specs_folder() / "tasks" / f"{task}.yaml").read_text(encoding="utf-8")
        task = dict(yaml.safe_load(text))
    (tasks / f"{task['task']}.yaml").write_text(yaml.safe_dump(task), encoding="utf-8")
    path = folder / "study.yaml"
    made = STUDY | {"targets": [task["task"]]} | study
    path.write_text(yaml.safe_dump(made), encoding="utf-8")
    try:
        found = check(path, installed=False).diagnostics
    except StudyInvalid as error:
        found = error.diagnostics
    return [one for one in found if one.code == code]


def test_a_bitext_needs_its_two_texts(tmp_path: Path) -> None:
    (one,) = said(tmp_path, "bucc2018", "C306", languages=["de"])
    first = "bucc2018/de-en/de-en.sample.gold"
    assert one.message == f"`bucc2018` needs files of your own: {first} and 5 more files"
    here = tmp_path / "own" / "tasks" / "bucc2018" / "de-en"
    here.mkdir(parents=True)
    for part in ("sample", "training"):
        for ending in ("gold", "de"):
            (here / f"de-en.{part}.{ending}").touch()
    (one,) = said(tmp_path, "bucc2018", "C306", languages=["de"])
    assert one.message.endswith("bucc2018/de-en/de-en.sample.en and 1 more files")
    for part in ("sample", "training"):
        (here / f"de-en.{part}.en").touch()
    assert not said(tmp_path, "bucc2018", "C306", languages=["de"])


def test_pools_of_all_languages_are_needed_for_one(tmp_path: Path) -> None:
    (one,) = said(tmp_path, "lareqa", "C306", languages=["th", "en"])
    assert one.message.endswith("lareqa/xquad-r/th.json and 10 more files")


def test_a_pool_of_its_own_is_a_file_like_others(tmp_path: Path) -> None:
    task: dict[str, Any] = {
        "task": "own", "title": "Own", "kind": "dual_encoder", "languages": ["de", "en"],
        "metric": "map_at_20", "train_on": ["squad_v1_pairs"],
        "source": {"pool": "each", "files": {"test": "test.{language}.jsonl"}},
    }  # fmt: skip
    assert [one.message for one in said(tmp_path, task, "C304")] == [
        "the task `own` has no `pool` file"
    ]
    task["source"]["files"]["pool"] = "pool.{language}.jsonl"
    missing = [one.message.rsplit("/", 1)[1] for one in said(tmp_path, task, "C303")]
    assert sorted(missing) == [
        "pool.de.jsonl", "pool.en.jsonl", "test.de.jsonl", "test.en.jsonl",
    ]  # fmt: skip
    task["source"] |= {"pool": "all"}
    missing = [one.message.rsplit("/", 1)[1] for one in said(tmp_path, task, "C303")]
    assert "pool.all.jsonl" in missing
