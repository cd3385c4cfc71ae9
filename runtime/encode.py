"""Turns the rows of a task into token ids, once for every model with the same tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from runtime.data import DataInvalid, Row

LONE = "▁"
"""A piece that SentencePiece puts alone before a character it keeps apart (Chinese, Thai)."""

CUT = -1
"""The position of a word that did not fit; it is predicted as the first label (``O``)."""


def encode(
    rows: Sequence[Row], task: Mapping[str, Any], tokenizer: Any, max_length: int
) -> pl.DataFrame:
    """Return a frame of token ids, one row per example.

    Columns: ``id``; for sequences ``input_ids``, ``label`` (index); for tagging ``input_ids``,
    ``positions`` (of each word's piece, ``CUT`` where truncated), ``tags`` (indices); for retrieval
    ``source_ids``, ``target_ids``. A word's piece is its first one that is not a lone ``▁``.
    """
    ids = [row["id"] for row in rows]
    kind = task["kind"]
    if kind == "retrieval":
        source = _texts(tokenizer, [row["source"] for row in rows], None, max_length)
        target = _texts(tokenizer, [row["target"] for row in rows], None, max_length)
        return pl.DataFrame(
            {"id": ids, "source_ids": source, "target_ids": target}, schema=_schema(kind)
        )
    index = {label: number for number, label in enumerate(task["labels"])}
    if kind == "sequence_classification":
        pairs = [row["text_pair"] for row in rows] if _are_pairs(rows) else None
        input_ids = _texts(tokenizer, [row["text"] for row in rows], pairs, max_length)
        labels = [index[row["label"]] for row in rows]
        return pl.DataFrame(
            {"id": ids, "input_ids": input_ids, "label": labels}, schema=_schema(kind)
        )
    batch = tokenizer(
        [row["tokens"] for row in rows],
        is_split_into_words=True,
        truncation=True,
        max_length=max_length,
        return_attention_mask=False,
    )
    positions = [
        _positions(
            batch.word_ids(number), tokenizer.convert_ids_to_tokens(found), len(row["tokens"])
        )
        for number, (row, found) in enumerate(zip(rows, batch["input_ids"], strict=True))
    ]
    tags = [[index[tag] for tag in row["tags"]] for row in rows]
    return pl.DataFrame(
        {"id": ids, "input_ids": batch["input_ids"], "positions": positions, "tags": tags},
        schema=_schema(kind),
    )


def _are_pairs(rows: Sequence[Row]) -> bool:
    """Tell pairs of texts from single ones; raises DataInvalid when a split has both."""
    have = {row.get("text_pair") is not None for row in rows}
    if len(have) > 1:
        raise DataInvalid("some rows have a `text_pair` and others have none")
    return have == {True}


def unknown_share(frame: pl.DataFrame, unknown: int | None) -> float:
    """Return the share of unknown tokens: a tokenizer that cannot read a language shows here."""
    column = "input_ids" if "input_ids" in frame.columns else "source_ids"
    tokens = frame[column].explode()
    return float((tokens == unknown).mean() or 0.0) if unknown is not None else 0.0  # type: ignore[arg-type]


def _texts(
    tokenizer: Any, texts: list[str], pairs: list[str] | None, max_length: int
) -> list[list[int]]:
    found: list[list[int]] = tokenizer(
        texts, pairs, truncation=True, max_length=max_length, return_attention_mask=False
    )["input_ids"]
    return found


def _positions(word_ids: list[int | None], pieces: list[str], words: int) -> list[int]:
    positions = [CUT] * words
    for place, word in enumerate(word_ids):
        if word is None:
            continue
        first = positions[word]
        if first == CUT or (place == first + 1 and pieces[first] == LONE):
            positions[word] = place
    return positions


def _schema(kind: str) -> dict[str, Any]:
    ids = pl.List(pl.Int32)
    return {
        "sequence_classification": {"id": pl.String, "input_ids": ids, "label": pl.Int32},
        "token_classification": {
            "id": pl.String,
            "input_ids": ids,
            "positions": ids,
            "tags": ids,
        },
        "retrieval": {"id": pl.String, "source_ids": ids, "target_ids": ids},
    }[kind]
