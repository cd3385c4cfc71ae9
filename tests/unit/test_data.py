"""Rows are what their task says, labels go by name, and pairs stay pairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runtime.data import DataInvalid, load
from runtime.encode import encode


def task(folder: Path, rows: list[dict[str, Any]], labels: list[str], **more: Any) -> dict[str, Any]:
    (folder / "x.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    source = {"files": {"test": "x.jsonl"}, "folder": str(folder)}
    kind = "sequence_classification"
    return {"task": "x", "kind": kind, "labels": labels, "source": source, **more}


@pytest.mark.parametrize(
    ("labels", "given", "expected"),
    [
        (["1", "2", "3"], [1, 2, 3], ["1", "2", "3"]),
        (["1", "2", "3"], ["3", "1"], ["3", "1"]),
        (["0", "1"], [0, 1], ["0", "1"]),
        (["no", "yes"], [0, 1], ["no", "yes"]),
        (["no", "yes"], ["yes", "no"], ["yes", "no"]),
    ],
)
def test_labels_go_by_name_before_position(
    tmp_path: Path, labels: list[str], given: list[Any], expected: list[str]
) -> None:
    rows = [{"text": "a", "label": label} for label in given]
    found, _ = load(task(tmp_path, rows, labels), "test", "en")
    assert [row["label"] for row in found] == expected


@pytest.mark.parametrize("label", [4, -1, "maybe", None, True, 0])
def test_a_label_that_is_none_is_refused(tmp_path: Path, label: Any) -> None:
    made = task(tmp_path, [{"text": "a", "label": label}], ["1", "2", "3"])
    with pytest.raises(DataInvalid, match="expected one of: 1, 2, 3"):
        load(made, "test", "en")


def test_counts_and_columns_are_asserted(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": "no"}]
    counted = task(tmp_path, rows, ["no", "yes"], counts={"test": {"en": 2}})
    with pytest.raises(DataInvalid, match="expected 2 rows, found 1"):
        load(counted, "test", "en")
    with pytest.raises(DataInvalid, match="lacks label; it has: text"):
        load(task(tmp_path, [{"text": "a"}], ["no", "yes"]), "test", "en")


class Words:
    """A tokenizer that keeps what it is given."""

    def __call__(self, texts: list[str], pairs: list[str] | None, **_: Any) -> dict[str, Any]:
        both = zip(texts, pairs or [""] * len(texts), strict=True)
        return {"input_ids": [[len(a), *([len(b)] if pairs else [])] for a, b in both]}


def test_an_empty_second_text_is_still_a_pair() -> None:
    rows = [
        {"id": "0", "text": "ab", "text_pair": "", "label": "no"},
        {"id": "1", "text": "ab", "text_pair": "abc", "label": "no"},
    ]
    made = {"kind": "sequence_classification", "labels": ["no", "yes"]}
    assert encode(rows, made, Words(), 8)["input_ids"].to_list() == [[2, 0], [2, 3]]
    with pytest.raises(DataInvalid):
        encode([rows[0], {"id": "2", "text": "a", "label": "no"}], made, Words(), 8)
