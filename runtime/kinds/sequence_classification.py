"""One label for a text or a pair of texts.

Prepared: ``id``, ``input_ids``, ``label`` (index). Predictions: ``id``, ``gold`` and ``predicted``
(indices into the task's labels), ``scores`` (the logit of each label).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import torch
from numpy.random import Generator
from torch import Tensor, nn
from torch.nn import functional

from runtime import encode as encoding
from runtime import metrics
from runtime.batches import Batch, Examples, arrays
from runtime.batches import present as present
from runtime.invalid import DataInvalid
from runtime.metrics import classification
from runtime.model import Model, linear, pool
from runtime.rows import Row


def encode(
    rows: Sequence[Row], task: Mapping[str, Any], tokenizer: Any, max_length: int
) -> pl.DataFrame:
    """Return the token ids of the texts; raises DataInvalid when only some rows are pairs."""
    have = {row.get("text_pair") is not None for row in rows}
    if len(have) > 1:
        raise DataInvalid("some rows have a `text_pair` and others have none")
    pairs = [row["text_pair"] for row in rows] if have == {True} else None
    index = {label: number for number, label in enumerate(task["labels"])}
    return pl.DataFrame(
        {
            "id": [row["id"] for row in rows],
            "input_ids": encoding.texts(tokenizer, [r["text"] for r in rows], pairs, max_length),
            "label": [index[row["label"]] for row in rows],
        },
        schema={"id": pl.String, "input_ids": encoding.IDS, "label": pl.Int32},
    )


def examples(frame: pl.DataFrame, task: Mapping[str, Any], pad: int) -> Examples:
    """Read an encoded frame into memory."""
    return Examples(
        str(task["kind"]), arrays(frame["input_ids"]), frame["label"].to_list(), [], pad
    )


def head(backbone: nn.Module, task: Mapping[str, Any], model: Mapping[str, Any]) -> nn.Module:
    """Return a new head with an output for each label."""
    return linear(backbone, len(task["labels"]))


def logits(
    model: Model, head: nn.Module, hidden: Tensor, mask: Tensor, chosen: Tensor | None
) -> Tensor:
    """Return logits of shape (sequences, labels)."""
    found: Tensor = head(model.dropout(pool(hidden, mask, model.pooling)))
    return found


def collate(data: Examples, items: Sequence[int], draw: Generator) -> Batch:
    """Return a batch to train on; its labels are of shape (sequences,)."""
    batch = present(data, items)
    return replace(batch, labels=torch.tensor([data.labels[i] for i in items], dtype=torch.long))


def loss(logits: Tensor, batch: Batch, task: Mapping[str, Any]) -> Tensor:
    """Return the mean cross-entropy."""
    assert batch.labels is not None
    return functional.cross_entropy(logits, batch.labels)


def decode(logits: Tensor, batch: Batch, data: Examples, task: Mapping[str, Any]) -> list[Any]:
    """Return the best label of each sequence, and the logits of all."""
    best = logits.argmax(dim=-1).tolist()
    return list(zip(best, logits.float().tolist(), strict=True))


def predictions(
    found: list[Any], data: Examples, task: Mapping[str, Any], pool: Any = None
) -> dict[str, list[Any]]:
    """Return the columns of the predictions."""
    return {"predicted": [best for best, _ in found], "scores": [scores for _, scores in found]}


def score(
    task: Mapping[str, Any], data: Examples, predicted: Mapping[str, list[Any]], language: str
) -> dict[str, float]:
    """Return the accuracy, and the F1 of a label that the task names for that."""
    gold, found = (
        {str(row): value for row, value in enumerate(values)}
        for values in (data.labels, predicted["predicted"])
    )
    scores = metrics.score(str(task["metric"]), gold, found)
    label = task.get("f1_of")
    if label is not None:
        scores |= classification.f1(gold, found, list(task["labels"]).index(label))
    return scores


def chance(task: Mapping[str, Any], data: Examples) -> float:
    """Return what a guesser reaches: the share of the most frequent label."""
    return 100.0 * Counter(data.labels).most_common(1)[0][1] / len(data)


def shuffled(data: Examples, draw: random.Random) -> Examples:
    """Return the examples with each other's labels."""
    return replace(data, labels=draw.sample(data.labels, len(data.labels)))
