"""Of a repository on the hub, what one split is made of is fetched, and nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import polars as pl
import pytest
import yaml
from huggingface_hub import constants, errors

from compiler.data import TaskSource
from runtime import data
from runtime.invalid import DataInvalid
from runtime.repository import Fetched, fetch

COMMIT = "c" * 40
OTHER = "d" * 40
LABEL = {"class_label": {"names": {"0": "yes", "1": "no"}}}
CARD: dict[str, Any] = {
    "configs": [
        {"config_name": "de", "data_files": [
            {"split": "train", "path": "de/train-*"}, {"split": "test", "path": "de/test.jsonl"},
            {"split": "r1", "path": ["r/1.jsonl"]}, {"split": "r2", "path": "r/2.jsonl"}]},
        {"config_name": "fr", "data_files": "fr/*"},
        {"config_name": "folder", "data_dir": "fr"},
    ],
    "dataset_info": [
        {"config_name": "de", "features": [
            {"name": "text", "dtype": "string"}, {"name": "gold", "dtype": LABEL},
            {"name": "tags", "sequence": LABEL}], "splits": []},
    ],
}  # fmt: skip
FILES = (
    "de/train-00000-of-00002.parquet", "de/train-00001-of-00002.parquet", "de/test.jsonl",
    "r/1.jsonl", "r/2.jsonl", "fr/deep/train.csv", "fr/train.csv", "fr/validation-x.csv",
    "fr/my_val.txt", "old.py",
)  # fmt: skip

Serve = Callable[..., list[str]]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Put a repository in the place of the hub; return the names of the files that are fetched."""
    cache = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    here = cache / "datasets--o--r"

    def make(card: dict[str, Any] | str | None = CARD, names: tuple[str, ...] = FILES) -> list[str]:
        folder = tmp_path / "repository"
        for number, name in enumerate(names):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".parquet":
                pl.DataFrame({"text": [name], "gold": [number % 2]}).write_parquet(path)
            else:
                path.write_text(json.dumps({"text": name, "gold": 1}) + "\n", encoding="utf-8")
        if card is not None:
            text = card if isinstance(card, str) else yaml.safe_dump(card)
            (folder / "README.md").write_text(f"---\n{text}\n---\n# x\n", encoding="utf-8")
            names = (*names, "README.md")
        fetched: list[str] = []

        def info(*_: Any, **__: Any) -> Any:
            files = [SimpleNamespace(rfilename=name) for name in names]
            return SimpleNamespace(sha=COMMIT, siblings=files)

        def download(_: str, name: str, *, revision: str | None, **__: Any) -> str:
            fetched.append(name)
            (here / "refs").mkdir(parents=True, exist_ok=True)
            if revision is None:
                (here / "refs" / "main").write_text(COMMIT, encoding="utf-8")
            target = here / "snapshots" / COMMIT / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, target)
            return str(target)

        monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", info)
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
        return fetched

    return make


def source(**more: Any) -> TaskSource:
    return TaskSource.model_validate({"hub": "o/r", **more})


def names(found: Fetched) -> list[str]:
    return [path.as_posix().split(f"{COMMIT}/")[1] for path in found.files]


@pytest.mark.parametrize(
    ("given", "split", "expected"),
    [
        ({"config": "{language}"}, "train", FILES[:2]),
        ({"config": "{language}"}, "test", FILES[2:3]),
        ({"config": "de", "splits": {"train": "r2+r1"}}, "train", (FILES[4], FILES[3])),
        ({"config": "de", "configs": {"train": "fr"}}, "train",
         ("fr/my_val.txt", "fr/train.csv", "fr/validation-x.csv")),
        ({"config": "folder"}, "dev", ("fr/validation-x.csv",)),
        ({"config": "folder"}, "train", ("fr/deep/train.csv", "fr/train.csv")),
        ({"paths": {"train": "{language}/**/t*.parquet"}}, "train", FILES[:2]),
        ({"paths": {"train": "{language}/*.csv"}, "names": {"de": "fr"}}, "train",
         ("fr/train.csv", "fr/validation-x.csv")),
    ],
)  # fmt: skip
def test_only_the_files_of_a_split_are_fetched(
    given: dict[str, Any], split: str, expected: tuple[str, ...], serve: Serve
) -> None:
    fetched = serve()
    found = fetch(source(**given), split, "de")
    assert names(found) == list(expected)
    assert fetched == ["README.md", *expected]
    assert found.commit == COMMIT


def test_joined_splits_are_told_apart(serve: Serve) -> None:
    serve()
    found = fetch(source(config="de", splits={"train": "r2+r1"}, group="split"), "train", "de")
    assert names(found) == [FILES[4], FILES[3]]
    assert found.splits == ("r2", "r1")


def test_without_a_card_names_say_the_split(serve: Serve) -> None:
    serve(None, ("data/train-00000-of-00001.parquet", "data/validation-00000-of-00001.parquet",
                 "en/test/0000.parquet", "training.jsonl", "latest.jsonl"))  # fmt: skip
    assert names(fetch(source(), "train", "de")) == ["data/train-00000-of-00001.parquet"]
    assert names(fetch(source(), "dev", "de")) == ["data/validation-00000-of-00001.parquet"]
    assert names(fetch(source(config="en"), "test", "de")) == ["en/test/0000.parquet"]
    with pytest.raises(DataInvalid, match="the repository has no such files"):
        fetch(source(config="fr"), "test", "de")


def test_labels_have_the_names_of_the_card(serve: Serve) -> None:
    serve()
    found = fetch(source(config="de"), "test", "de")
    assert found.labels == {"gold": ("yes", "no"), "tags": ("yes", "no")}
    task = {"task": "x", "kind": "sequence_classification", "labels": ["no", "yes"],
            "source": {"hub": "o/r", "config": "de", "columns": {"label": "gold"}}}  # fmt: skip
    rows, commit = data.load(task, "train", "de")
    assert [(row["text"], row["label"]) for row in rows] == [(FILES[0], "yes"), (FILES[1], "no")]
    assert commit == COMMIT


@pytest.mark.parametrize(
    ("given", "split", "what"),
    [
        ({"config": "xx"}, "test", r"o/r \(xx, test\) cannot be read: it has no config.*de, fold"),
        ({}, "test", r"it has several; give `config`; it has: de, folder, fr"),
        ({"config": "de"}, "dev", r"it has no split validation; it has: r1, r2, test, train"),
        ({"config": "de", "splits": {"test": "test"}}, "dev", "names no dev split of o/r"),
        ({"paths": {"test": "none/*"}}, "test", "has no such files"),
    ],
)
def test_what_is_not_there_is_named(
    given: dict[str, Any], split: str, what: str, serve: Serve
) -> None:
    serve()
    with pytest.raises(DataInvalid, match=what):
        fetch(source(**given), split, "de")


def test_a_card_that_is_none(serve: Serve) -> None:
    serve("configs: [{data_files: x}]")
    with pytest.raises(DataInvalid, match="README of the dataset o/r cannot be read"):
        fetch(source(config="de"), "test", "de")


def test_a_part_of_a_file_that_is_missing(serve: Serve) -> None:
    serve(CARD, FILES[1:])
    with pytest.raises(DataInvalid, match="the repository has 1 of its 2 files"):
        fetch(source(config="de"), "train", "de")


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise errors.OfflineModeIsEnabled("offline")

    monkeypatch.undo()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", refuse)


def test_a_filled_cache_serves_without_a_hub(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve()
    there = fetch(source(config="de"), "train", "de")
    offline(monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    for revision in (None, COMMIT):
        found = fetch(source(config="de", revision=revision), "train", "de")
        assert (names(found), found.commit, found.labels) == (
            names(there), COMMIT, there.labels,
        )  # fmt: skip
    lacking = "is not in the cache, and HF_HUB_OFFLINE is set: load it once with a network"
    with pytest.raises(DataInvalid, match=f"the dataset o/r {lacking}"):
        fetch(source(config="de"), "test", "de")
    with pytest.raises(DataInvalid, match=f"the dataset o/none {lacking}"):
        fetch(source(hub="o/none"), "test", "de")
    with pytest.raises(DataInvalid, match=f"o/r: expected revision {OTHER}, found {COMMIT}"):
        fetch(source(config="de", revision=OTHER), "train", "de")
    there.files[0].unlink()
    with pytest.raises(DataInvalid, match="the cache has 1 of its 2 files"):
        fetch(source(config="de"), "train", "de")
