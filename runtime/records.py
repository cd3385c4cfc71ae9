"""The record types that the store holds: what a finished or a failed stage leaves behind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from compiler.errors import StoreDamaged

SCHEMA = "stiltscale/record/1"

FailureClass = Literal["oom", "timeout", "preempted", "diverged", "data", "disk", "code"]


@dataclass(frozen=True, slots=True)
class Record:
    """What one part of a stage left: its result, its files with checksums, and what really ran.

    ``result`` by kind, values on a 0-100 scale: ``tokenizer`` {vocabulary, rows, text_sha256,
    languages {language: {rows, characters_per_token, unknown_share}}}; ``prepare`` {rows, tokens,
    text_sha256, unknown_share}; ``pretrain`` {steps, tokens, tokens_per_second, losses {objective:
    {first, last}}, curve [{step, objective}], parameters, resumed_after, aligned {tokens, rows,
    columns}, alignment {before, after: {corpus: {pivot, rows, mean, chance, languages}}}};
    ``train`` {steps, loss_first, loss_last, english_dev {metric, value, chance, n}, parameters
    {total, non_embedding, trained}, tokens_per_second}, and of a mix or replay english_dev.tasks
    {name: {metric, value, chance, n}}, whose mean is its value, and sources {name: {head, steps,
    examples, loss_first, loss_last, languages}}; ``evaluate`` and ``retrieve`` {metric, value, n,
    scores {name: value}}. What came from the hub is named by its commit: source_commit,
    tokenizer_commit, checkpoint_commit.
    """

    stage: str
    part: str
    kind: str
    started: str
    finished: str
    seconds: float
    result: Mapping[str, Any]
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Write the record as indented JSON with its schema."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1, ensure_ascii=False) + "\n"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the latest attempt at a stage failed; replaced by the next attempt.

    ``log`` is the log of the job, seen from ``build/<study>/``; "" when nobody kept one.
    """

    stage: str
    failure_class: FailureClass
    message: str
    when: str
    log: str = ""
    trace: str = ""

    def to_json(self) -> str:
        """Write the failure as indented JSON with its schema."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1, ensure_ascii=False) + "\n"


def read_record(text: str, where: str) -> Record:
    """Read a record; raises StoreDamaged when it is not one of this schema."""
    record = Record(**_body(text, where, Record))
    for name, output in record.outputs.items():
        if not isinstance(output, dict) or not {"bytes", "sha256"} <= output.keys():
            raise StoreDamaged("R001", f"a record lacks the checksum of {name}", where=where)
    return record


def read_failure(text: str, where: str) -> Failure:
    """Read a failure; raises StoreDamaged when it is not one of this schema."""
    return Failure(**_body(text, where, Failure))


_TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "float": (int, float),
    "FailureClass": str,
}
"""What JSON gives for a field of a type; for all others, which are mappings, a dict."""


def _body(text: str, where: str, kind: type[Record] | type[Failure]) -> dict[str, Any]:
    try:
        body: dict[str, Any] = json.loads(text)
        if body.pop("schema") != SCHEMA:
            raise ValueError("another schema")
        made = kind(**body)
        for part in fields(kind):
            value = getattr(made, part.name)
            if not isinstance(value, _TYPES.get(str(part.type), dict)):
                raise ValueError(f"{part.name} is a {type(value).__name__}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreDamaged("R001", f"a record cannot be read: {error}", where=where) from error
    return body
