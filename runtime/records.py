"""The record types that the store holds: what a finished or a failed stage leaves behind."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from compiler.errors import EnvironmentUnready, StoreDamaged

VERSION = 2
"""Raised whenever a record's form changes; `UPGRADES` then gets the step from the one before."""

FAMILY = "stiltscale/record/"
SCHEMA = f"{FAMILY}{VERSION}"

LARGEST = 64 * 2**20
"""Bytes of the largest record that is read; a layer sweep of a hundred languages takes 0.1 MB."""

_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,200}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")

FailureClass = Literal["oom", "timeout", "preempted", "diverged", "data", "disk", "code"]


@dataclass(frozen=True, slots=True)
class Record:
    """What one part of a stage left: its result, its files with checksums, and what really ran.

    ``result`` by kind, values on a 0-100 scale: ``tokenizer`` {vocabulary, rows, text_sha256,
    languages {language: {rows, characters_per_token, unknown_share}}}; ``prepare`` {rows, tokens,
    text_sha256, unknown_share}; ``pretrain`` {steps, tokens, tokens_per_second, flops_per_token,
    peak_flops, mfu, losses {objective: {first, last}}, curve [{step, objective}], parameters,
    resumed_after, aligned {tokens, rows, columns}, alignment {before, after: {corpus: {pivot,
    rows, mean, chance, languages}}}};
    ``train`` {steps, loss_first, loss_last, english_dev {metric, value, chance, n}, parameters
    {total, non_embedding, trained}, tokens_per_second}, and of a mix or replay english_dev.tasks
    {name: {metric, value, chance, n}}, whose mean is its value, of a pilot pilot {step_seconds,
    device_seconds, steps, pieces, standard_error, memory_bytes, memory, of}, and sources {name:
    {head, steps, examples, loss_first, loss_last, languages}}; ``evaluate`` and ``retrieve``
    {metric, value, n, scores {name: value}}. What came from the hub is named by its commit:
    source_commit, tokenizer_commit, checkpoint_commit. ``outputs`` has {bytes, sha256} of each file
    by its name. ``provenance`` has software, machine, git, accelerator and peak_memory_bytes; of
    what was made elsewhere, ``adopted`` {source, sha256, note, when} instead.
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
        """Write the record as indented JSON with its schema and its own checksum."""
        return _written(asdict(self))


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
        """Write the failure as indented JSON with its schema and its own checksum."""
        return _written(asdict(self))


def read_record(text: str, where: str) -> Record:
    """Read a record of this schema or an earlier one.

    Raises StoreDamaged when it is none, EnvironmentUnready when a newer version wrote it.
    """
    record = Record(**_body(text, where, Record))
    if not (math.isfinite(record.seconds) and record.seconds >= 0):
        raise StoreDamaged("R001", "a record took no possible time", where=where)
    for name, output in record.outputs.items():
        if not _FILE.match(name) or name == "record.json":
            raise StoreDamaged("R001", f"a record names no file: {name[:80]!r}", where=where)
        if not isinstance(output, dict) or not {"bytes", "sha256"} <= output.keys():
            raise StoreDamaged("R001", f"a record lacks the checksum of {name}", where=where)
        if not (type(output["bytes"]) is int and _SHA256.match(str(output["sha256"]))):
            raise StoreDamaged("R001", f"a record has no checksum of {name}", where=where)
    return record


def read_failure(text: str, where: str) -> Failure:
    """Read a failure; raises StoreDamaged when it is not one, or a newer version wrote it.

    What libraries and data put into its texts is shown in terminals: what these would obey is
    replaced.
    """
    try:
        found = Failure(**_body(text, where, Failure))
        return replace(
            found,
            message=printable(found.message),
            log=printable(found.log),
            trace=printable(found.trace),
        )
    except EnvironmentUnready as error:
        raise StoreDamaged("R001", error.what, where=where) from error


def printable(text: str) -> str:
    """Return a text with a mark for each character that a terminal would obey, as escapes."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )


UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: dict}
"""By version, the step that turns what JSON gives of it, without schema and checksum, into the
next one's. Records are upgraded as they are read, and stay on disk as they were written. From the
first to the second nothing has changed but that the second has a checksum of its own, which stays
as it is in all later ones: by it a newer record is told from a damaged one."""


def schema() -> dict[str, Any]:
    """Return the JSON Schema of ``record.json``."""
    text = {"type": "string"}
    output = {
        "type": "object",
        "required": ["bytes", "sha256"],
        "properties": {
            "bytes": {"type": "integer", "minimum": 0},
            "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        },
    }
    said: dict[str, tuple[dict[str, Any], str]] = {
        "schema": ({"const": SCHEMA}, "Name and version of this form."),
        "stage": (text, "Key of the stage: the name of the folder above the part's."),
        "part": (text, "The part: the name of the record's folder; `all` where there is one."),
        "kind": (
            {"enum": ["tokenizer", "prepare", "pretrain", "train", "evaluate", "retrieve"]},
            "Kind of the stage, which says what is in `result`.",
        ),
        "started": (text, "ISO 8601, UTC."),
        "finished": (text, "ISO 8601, UTC."),
        "seconds": ({"type": "number", "minimum": 0}, "How long the part took."),
        "result": ({"type": "object"}, "What was found, by kind; scores from 0 to 100."),
        "outputs": (
            {
                "type": "object",
                "propertyNames": {"pattern": "^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,200}$"},
                "additionalProperties": output,
            },
            "The files beside the record, by name.",
        ),
        "provenance": (
            {
                "type": "object",
                "properties": {
                    "adopted": {
                        "type": "object",
                        "description": "Where a part that was made elsewhere comes from.",
                        "required": ["source", "sha256", "note", "when"],
                        "additionalProperties": text,
                    }
                },
            },
            "Software, machine, git state, accelerator and memory that were really there.",
        ),
        "checksum": (
            {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            "SHA-256 of all but itself, as JSON with sorted keys, no spaces and only ASCII.",
        ),
    }
    described = {name: {**kind, "description": words} for name, (kind, words) in said.items()}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A record of Stiltscale",
        "description": "What one part of a stage left in the store, in `record.json`.",
        "type": "object",
        "additionalProperties": False,
        "required": list(said),
        "properties": described,
    }


_TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "float": (int, float),
    "FailureClass": str,
}
"""What JSON gives for a field of a type; for all others, which are mappings, a dict."""


def _written(body: dict[str, Any]) -> str:
    whole = {"schema": SCHEMA, **body}
    plain = json.loads(json.dumps(whole))  # as it will be read
    whole["checksum"] = _checksum(plain)
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _checksum(body: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a record says, whatever its order; a NaN may be in it."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _body(text: str, where: str, kind: type[Record] | type[Failure]) -> dict[str, Any]:
    try:
        body: dict[str, Any] = json.loads(text)
        version = _version(body["schema"])
        if version > 1 and body.pop("checksum") != _checksum(body):
            raise ValueError("it has changed since it was written")
        schema = body.pop("schema")
        if version > VERSION:
            raise EnvironmentUnready(
                "R006",
                f"a record was written by a newer version ({schema})",
                where=where,
                hint="use that version, or another store; nothing was changed",
            )
        for step in range(version, VERSION):
            body = UPGRADES[step](body)
        made = kind(**body)
        for part in fields(kind):
            value = getattr(made, part.name)
            if not isinstance(value, _TYPES.get(str(part.type), dict)):
                raise ValueError(f"{part.name} is a {type(value).__name__}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreDamaged("R001", f"a record cannot be read: {error}", where=where) from error
    return body


def _version(schema: object) -> int:
    number = str(schema).removeprefix(FAMILY)
    if not str(schema).startswith(FAMILY) or not re.fullmatch(r"[1-9][0-9]{0,3}", number):
        raise ValueError("another schema")
    return int(number)
