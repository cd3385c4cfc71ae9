"""The tokenised rows of all corpora of a pretraining, and which of them are kept from it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from runtime.batches import Examples
from runtime.corpora import Group
from runtime.invalid import DataInvalid
from runtime.kinds import masked_lm

Rows = NDArray[np.int64]

Pair = tuple[int, int]

Documents = Mapping[str, Mapping[str, int]]
"""Row id of a parallel corpus -> language -> place of the row among all."""


@dataclass(frozen=True)
class Texts:
    """Rows of all corpora in one list, and what is known of them by their place in it.

    ``groups`` are the rows to train on. ``documents`` (of each parallel corpus) has the same rows
    by what they say, and ``held`` those that no objective, count or batch sees. ``numbers`` is
    equal for rows of equal tokens, ``lengths`` counts tokens.
    """

    examples: Examples
    groups: Mapping[Group, Rows]
    lengths: Rows
    numbers: Rows
    documents: Mapping[int, Documents] = field(default_factory=dict)
    held: Mapping[int, Documents] = field(default_factory=dict)

    def inner(self, row: int) -> NDArray[np.int32]:
        """Return the tokens of a row between its special ones."""
        left, right = self.examples.positions[row]
        found: NDArray[np.int32] = self.examples.input_ids[row][left:right]  # type: ignore[assignment]
        return found


def gathered(
    frames: Mapping[Group, pl.DataFrame],
    parallel: Sequence[bool],
    masked: float,
    pad: int,
    probe: Mapping[str, Any] | None,
) -> Texts:
    """Bring prepared corpora together. ``parallel`` says of each whether its ids align rows.

    ``masked`` is the share of tokens to guess. ``probe`` says what is held out, as
    `compiler.stages.PROBE`; without it nothing is. Raises DataInvalid when no rows are left to
    train on.
    """
    whole = pl.concat([frame.drop("id", "language") for frame in frames.values()])
    task = {"kind": "masked_lm", "protocol": {"mask_share": masked}}
    examples = masked_lm.examples(whole, task, pad)
    documents: dict[int, dict[str, dict[str, int]]] = {}
    places: dict[Group, list[tuple[str, int]]] = {}
    start = 0
    for (corpus, language), frame in frames.items():
        named = enumerate(frame["id"].to_list(), start)
        places[corpus, language] = [(name, row) for row, name in named]
        for name, row in places[corpus, language] if parallel[corpus] else ():
            documents.setdefault(corpus, {}).setdefault(name, {})[language] = row
        start += len(frame)
    held = {corpus: _held(own, probe) for corpus, own in documents.items()} if probe else {}
    groups = {
        group: np.array([row for name, row in rows if name not in held.get(group[0], ())], np.int64)
        for group, rows in places.items()
    }
    if not any(len(rows) for rows in groups.values()):
        raise DataInvalid("the corpora have no rows to pretrain on")
    left = {
        corpus: {name: rows for name, rows in own.items() if name not in held.get(corpus, ())}
        for corpus, own in documents.items()
    }
    numbers: dict[bytes, int] = {}
    ids: Sequence[Any] = examples.input_ids
    return Texts(
        examples,
        groups,
        np.array([len(row) for row in ids], np.int64),
        np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in ids], np.int64),
        left,
        held,
    )


def translated(documents: Documents, one: str, other: str) -> list[Pair]:
    """Return the rows of two languages that say the same."""
    both = [rows for rows in documents.values() if one in rows and other in rows]
    return [(rows[one], rows[other]) for rows in both]


def _held(documents: Documents, probe: Mapping[str, Any]) -> Documents:
    """Choose rows with a translation by a hash of their id: the same for every size and seed."""
    able = [name for name, rows in documents.items() if len(rows) > 1]
    count = min(int(probe["rows"]), round(probe["share"] * len(able)))
    order = sorted(able, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    return {name: documents[name] for name in order[:count]}
