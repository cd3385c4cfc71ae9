"""Records: their versions, their schema, and texts in them that are odd or hostile."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from compiler.errors import EnvironmentUnready, StoreDamaged
from runtime import records
from runtime.records import Failure, Record, read_failure, read_record
from runtime.store import Store

RECORD = Record(
    "train-a", "all", "train", "t0", "t1", 1.5, {"value": 71.25, "name": "é\u2028"},
    {"weights.safetensors": {"bytes": 7, "sha256": "a" * 64}}, {"machine": {"host": "x"}},
)  # fmt: skip


def test_what_is_written_is_read() -> None:
    assert read_record(RECORD.to_json(), "x") == RECORD
    odd = Record("a", "b", "train", "", "", 0.0, {"value": math.nan, "by": {1: (2.0, 1e-300)}})
    found = read_record(odd.to_json(), "x").result
    assert math.isnan(found["value"])
    assert found["by"] == {"1": [2.0, 1e-300]}


def test_the_schema_says_what_is_written() -> None:
    schema = records.schema()
    Draft7Validator.check_schema(schema)
    validator = Draft7Validator(schema)
    body = json.loads(RECORD.to_json())
    assert not list(validator.iter_errors(body))
    for name in body:
        assert list(validator.iter_errors({k: v for k, v in body.items() if k != name})), name
    assert list(validator.iter_errors(body | {"more": 1}))


def test_a_record_of_the_first_version_is_read() -> None:
    """As it was written before records had a checksum."""
    body = json.loads(RECORD.to_json()) | {"schema": "stiltscale/record/1"}
    del body["checksum"]
    assert read_record(json.dumps(body), "x") == RECORD


def test_every_earlier_version_has_its_step() -> None:
    assert sorted(records.UPGRADES) == list(range(1, records.VERSION))


def resealed(**changes: Any) -> str:
    """A record with other content and a right checksum, as a hostile writer makes it."""
    body = json.loads(RECORD.to_json()) | changes
    del body["checksum"]
    return json.dumps(body | {"checksum": records._checksum(json.loads(json.dumps(body)))})


def test_a_newer_record_is_not_damaged_and_a_flipped_version_is() -> None:
    with pytest.raises(EnvironmentUnready, match="R006"):
        read_record(resealed(schema="stiltscale/record/3"), "x")
    with pytest.raises(StoreDamaged, match="R001"):
        read_record(RECORD.to_json().replace("record/2", "record/3"), "x")


HASH = "a" * 64
ODD: dict[str, str] = {
    "negative time": resealed(seconds=-1.0),
    "endless time": resealed(seconds=math.inf),
    "no time": resealed(seconds=math.nan),
    "huge number": RECORD.to_json().replace("71.25", "9" * 5000),
    "deep": RECORD.to_json().replace("71.25", "[" * 100_000),
    "path up": resealed(outputs={"../../x": {"bytes": 1, "sha256": HASH}}),
    "absolute": resealed(outputs={"/etc/passwd": {"bytes": 1, "sha256": HASH}}),
    "itself": resealed(outputs={"record.json": {"bytes": 1, "sha256": HASH}}),
    "hidden": resealed(outputs={".x": {"bytes": 1, "sha256": HASH}}),
    "line break": resealed(outputs={"x\n": {"bytes": 1, "sha256": HASH}}),
    "bytes as text": resealed(outputs={"x": {"bytes": "1", "sha256": HASH}}),
    "true bytes": resealed(outputs={"x": {"bytes": True, "sha256": HASH}}),
    "odd checksum": resealed(outputs={"x": {"bytes": 1, "sha256": ["a"]}}),
    "list": "[]",
    "number": "1",
    "null schema": resealed(schema=None),
    "odd version": resealed(schema="stiltscale/record/1e9"),
    "version 0": resealed(schema="stiltscale/record/0"),
    "another's": resealed(schema="other/record/2"),
    "more": resealed(more=1),
    "changed": RECORD.to_json().replace("71.25", "91.25"),
}


@pytest.mark.parametrize("how", ODD)
def test_an_odd_record_counts_as_damaged(how: str, tmp_path: Path) -> None:
    with pytest.raises(StoreDamaged, match="R001"):
        read_record(ODD[how], "x")
    path = Store(tmp_path).folder("train-a") / "record.json"
    path.parent.mkdir(parents=True)
    path.write_text(ODD[how])
    assert Store(tmp_path).record("train-a") is None


def test_a_record_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Store(tmp_path).folder("train-a") / "record.json"
    path.parent.mkdir(parents=True)
    path.touch()
    with path.open("r+b") as stream:
        stream.truncate(records.LARGEST + 1)  # a hole: nothing on the disk
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: pytest.fail("it was read"))
    assert Store(tmp_path).record("train-a") is None


def test_a_terminal_obeys_nothing_that_a_failure_says() -> None:
    evil = "a\x1b[2J\x1b]0;title\x07\x9b31m\r\u202eb\nline\tend"
    found = read_failure(Failure("k", "code", evil, "t", evil, evil).to_json(), "x")
    for text in (found.message, found.log, found.trace):
        assert text == "a�[2J�]0;title��31m��b\nline\tend"
