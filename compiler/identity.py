"""Derives the key of a stage from the fields that determine its result, and from nothing else."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

SCHEME = 1
"""Raised whenever the way keys are made changes; it is hashed, and visible in every key."""

PROCEDURES = {
    "tokenizer": 1, "prepare": 1, "pretrain": 1, "train": 1, "evaluate": 1, "retrieve": 2,
}  # fmt: skip
"""Raised by us whenever a kind of stage would give another result from the same identity: another
initialisation, batching rule, alignment or metric. It is hashed, so old results are not mistaken
for new ones."""

_UNSAFE = re.compile(r"[^a-z0-9_]+")


def canonical(value: Any) -> str:
    """Write a value as JSON that is the same for equal values, whatever their order.

    Mappings are sorted by key; tuples and lists are the same thing. Anything without one obvious
    JSON form (a set, an object, a NaN) raises ``TypeError`` or ``ValueError``: a key that depended
    on ``repr`` would change from run to run.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def digest(value: Any) -> str:
    """Return the hex SHA-256 of the canonical form of ``value``."""
    return hashlib.sha256(canonical(value).encode("ascii")).hexdigest()


def slug(text: str) -> str:
    """Make a short readable word of a name, safe in file names, scripts and Slurm job names."""
    return _UNSAFE.sub("_", text.lower()).strip("_")[:40] or "x"


def stage_key(
    kind: str, words: tuple[str, ...], identity: Mapping[str, Any], inputs: Mapping[str, str]
) -> str:
    """Return ``kind-words-v<scheme>-<hash>``; the hash covers kind, procedure, identity, inputs."""
    payload = {
        "scheme": SCHEME,
        "kind": kind,
        "procedure": PROCEDURES[kind],
        "identity": identity,
        "inputs": inputs,
    }
    readable = "-".join((kind, *(slug(word) for word in words)))
    return f"{readable}-v{SCHEME}-{digest(payload)[:10]}"
