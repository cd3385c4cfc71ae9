"""Loads the rows of a task from its source, and refuses data that is not what the task says."""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from runtime import hub

Row = dict[str, Any]

_COLUMNS = {
    "sequence_classification": ("text", "label"),
    "token_classification": ("tokens", "tags"),
    "retrieval": ("source", "target"),
}


class DataInvalid(ValueError):
    """Data or weights that are not there, or not what the catalog promises; says what is wrong."""


def load(task: Mapping[str, Any], split: str, language: str) -> tuple[list[Row], str | None]:
    """Return the checked rows of a split in a language, and the commit that the hub gave them from.

    A row has an ``id``, and by kind: ``sequence_classification`` text, text_pair (may be absent),
    label; ``token_classification`` tokens, tags; ``retrieval`` source, target. Labels and tags are
    names. Raises DataInvalid when counts, columns or labels differ from the task's definition.
    """
    source = task["source"]
    commit = None
    if source.get("reader"):
        rows = _from_reader(source, split, language)
    elif source.get("files"):
        rows = _from_file(source, split, language)
    else:
        rows, commit = _from_hub(source, split, language)
    rows = [_normal(row, task, index) for index, row in enumerate(rows)]
    _check(rows, task, split, language)
    return rows, commit


def fingerprint(rows: Iterable[Row]) -> str:
    """Return the SHA-256 over all rows, in order: equal data has equal fingerprints."""
    total = hashlib.sha256()
    for row in rows:
        total.update(repr(sorted(row.items())).encode("utf-8", "surrogatepass"))
    return total.hexdigest()


def _from_reader(source: Mapping[str, Any], split: str, language: str) -> list[Row]:
    name = str(source["reader"])
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise DataInvalid(f"not the name of a reader: {name!r}")
    module = importlib.import_module(f"runtime.sources.{name}")
    rows: list[Row] = module.rows(source.get("options", {}), language, split)
    return rows


def _from_file(source: Mapping[str, Any], split: str, language: str) -> list[Row]:
    import polars as pl

    pattern = source["files"].get(split)
    if pattern is None:
        raise DataInvalid(f"the task names no file for its {split} split")
    path = Path(source["folder"]) / str(pattern).replace("{language}", language)
    try:
        if path.suffix in (".jsonl", ".ndjson"):
            frame = pl.read_ndjson(path)
        elif path.suffix in (".csv", ".tsv"):
            separator = "\t" if path.suffix == ".tsv" else ","
            frame = pl.read_csv(path, separator=separator, infer_schema=False)
        elif path.suffix == ".parquet":
            frame = pl.read_parquet(path)
        else:
            raise DataInvalid(f"{path.name}: only .jsonl, .csv, .tsv and .parquet are read")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataInvalid(f"{path} cannot be read: {error}") from error
    return _renamed(frame.to_dicts(), source.get("columns", {}))


def _from_hub(source: Mapping[str, Any], split: str, language: str) -> tuple[list[Row], str | None]:
    import datasets

    datasets.disable_progress_bars()  # a log is not a terminal
    config = str(source["config"]).replace("{language}", language) if source.get("config") else None
    splits = source.get("splits", {})
    if splits and split not in splits:
        raise DataInvalid(f"the task names no {split} split of {source['hub']}")
    name = str(splits.get(split, {"dev": "validation"}.get(split, split)))
    address, revision = str(source["hub"]), source.get("revision")
    try:
        loaded = datasets.load_dataset(address, config, split=name, revision=revision)
    except Exception as error:
        why = hub.trouble("dataset", address, revision, error)
        odd = (ValueError, datasets.exceptions.SplitsVerificationError)
        if why is None and isinstance(error, odd):  # say, no such configuration or split
            why = f"the dataset {address} ({config}, {name}) cannot be read: {error}"
        if why is None:
            raise
        raise DataInvalid(why) from error
    commit = hub.commit_in(loaded.cache_files[0]["filename"]) if loaded.cache_files else None
    if hub.is_commit(revision) and commit != revision:
        # Without an answer from the hub the library takes whatever the cache holds.
        raise DataInvalid(f"the dataset {address}: expected revision {revision}, found {commit}")
    columns = source.get("columns", {})
    rows = _renamed(loaded.to_list(), columns)
    for ours in ("label", "tags"):
        feature = loaded.features.get(columns.get(ours, ours))
        inner = getattr(feature, "feature", feature)
        if isinstance(inner, datasets.ClassLabel):
            # Labels are mapped by name: the order of a source is not the order of our head.
            for row in rows:
                row[ours] = _named(row[ours], inner.names)
    return rows, commit


def _named(value: Any, names: list[str]) -> Any:
    if isinstance(value, list):
        return [_named(one, names) for one in value]
    return names[value] if value is not None and value >= 0 else None


def _renamed(rows: list[Row], columns: Mapping[str, str]) -> list[Row]:
    theirs = {source: ours for ours, source in columns.items()}
    return [{theirs.get(key, key): value for key, value in row.items()} for row in rows]


def _normal(row: Row, task: Mapping[str, Any], index: int) -> Row:
    kind = str(task["kind"])
    wanted = _COLUMNS[kind]
    absent = [column for column in wanted if column not in row]
    if absent:
        raise DataInvalid(
            f"row {index} lacks {', '.join(absent)}; it has: {', '.join(sorted(map(str, row)))}; "
            "name the source's columns under `source.columns`"
        )
    result: Row = {"id": str(row.get("id", index))}
    for column in (*wanted, "text_pair"):
        if column in row:
            result[column] = row[column]
    labels = list(task.get("labels", ()))
    if kind == "sequence_classification":
        result["label"] = _label(result["label"], labels, index)
    elif kind == "token_classification":
        result["tags"] = [_label(tag, labels, index) for tag in result["tags"]]
        if len(result["tags"]) != len(result["tokens"]):
            raise DataInvalid(
                f"row {index} has {len(result['tokens'])} tokens and another "
                f"number of tags: {len(result['tags'])}"
            )
    return result


def _label(value: Any, labels: list[str], index: int) -> str:
    if str(value) in labels:
        return str(value)
    # A number is a position only where no label is itself a number: 1 of (1, 2, 3) is the first.
    numbers = any(label.lstrip("-").isdigit() for label in labels)
    if isinstance(value, int) and not isinstance(value, bool) and not numbers:
        if 0 <= value < len(labels):
            return labels[value]
    raise DataInvalid(f"row {index} has the label {value!r}; expected one of: {', '.join(labels)}")


def _check(rows: list[Row], task: Mapping[str, Any], split: str, language: str) -> None:
    expected = task.get("counts", {}).get(split, {}).get(language)
    where = f"{task['task']}, {split} split, {language}"
    if expected is not None and len(rows) != expected:
        raise DataInvalid(f"{where}: expected {expected} rows, found {len(rows)}")
    if not rows:
        raise DataInvalid(f"{where}: there are no rows")
