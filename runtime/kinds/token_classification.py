"""One tag for each word.

Words are read as in running text with a space between them (`spacing: running_text` in the plan),
and tagged at their first piece or, in a model whose vectors are of the last token, at their last
one (`tag_at`).

Prepared: a row for each window of a sentence, those of one sentence together: ``id``,
``input_ids``, ``positions`` (of each word's token), ``tags`` (of the window's words: indices, or
names where the labels are those of the training set). Predictions: ``id``, ``gold`` and
``predicted`` (of each word, indices into the task's labels; -1 is a tag that the training set does
not have, None a word that data prepared by an earlier version has cut), ``scores`` (the
probability of each predicted tag).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import polars as pl
import torch
from numpy.random import Generator
from torch import Tensor, nn
from torch.nn import functional

from runtime import encode as encoding
from runtime import metrics
from runtime.batches import IGNORED, Batch, Examples, arrays, grouped, owners
from runtime.batches import present as present
from runtime.encode import CUT
from runtime.invalid import DataInvalid
from runtime.metrics import tagging
from runtime.model import Model, linear
from runtime.rows import Row

SPACING = "running_text"
"""The one way of putting words together that this module has."""

UNHEARD = -1
"""The index of a tag that is not among the labels."""


def encode(
    rows: Sequence[Row], task: Mapping[str, Any], tokenizer: Any, max_length: int
) -> pl.DataFrame:
    """Return the windows of the sentences, see ``runtime.encode.windows``."""
    protocol = task["protocol"]
    if protocol["spacing"] != SPACING:
        raise DataInvalid(f"the plan spaces words by another rule: {protocol['spacing']!r}")
    index = {label: number for number, label in enumerate(task["labels"])}
    columns: dict[str, list[Any]] = {"id": [], "input_ids": [], "positions": [], "tags": []}
    sentences = [row["tokens"] for row in rows]
    found = encoding.windows(tokenizer, sentences, max_length, str(protocol["tag_at"]))
    for row, windows in zip(rows, found, strict=True):
        start = 0
        for ids, positions in windows:
            tags = row["tags"][start : start + len(positions)]
            start += len(positions)
            values = (row["id"], ids, positions, [index[tag] for tag in tags] if index else tags)
            for column, value in zip(columns.values(), values, strict=True):
                column.append(value)
    tagged = encoding.IDS if index else pl.List(pl.String)
    return pl.DataFrame(
        columns,
        schema={
            "id": pl.String,
            "input_ids": encoding.IDS,
            "positions": encoding.IDS,
            "tags": tagged,
        },
    )


def examples(frame: pl.DataFrame, task: Mapping[str, Any], pad: int) -> Examples:
    """Read an encoded frame into memory."""
    tags = frame["tags"].to_list()
    if frame.schema["tags"] == pl.List(pl.String):
        index = {label: number for number, label in enumerate(task["labels"])}
        tags = [[index.get(tag, UNHEARD) for tag in window] for window in tags]
    whose = owners(frame["id"])
    windows = grouped(whose)
    starts = [0] * len(whose)
    for group in windows:
        for sequence, start in zip(group, accumulate(len(tags[s]) for s in group), strict=True):
            starts[sequence] = start - len(tags[sequence])
    return Examples(
        str(task["kind"]),
        arrays(frame["input_ids"]),
        [[tag for s in group for tag in tags[s]] for group in windows],
        frame["positions"].to_list(),
        pad,
        whose,
        more={"starts": starts},
    )


def head(backbone: nn.Module, task: Mapping[str, Any], model: Mapping[str, Any]) -> nn.Module:
    """Return a new head with an output for each tag."""
    return linear(backbone, len(task["labels"]))


def logits(
    model: Model, head: nn.Module, hidden: Tensor, mask: Tensor, chosen: Tensor | None
) -> Tensor:
    """Return logits of shape (sequences, length, tags)."""
    found: Tensor = head(model.dropout(hidden))
    return found


def collate(data: Examples, items: Sequence[int], draw: Generator) -> Batch:
    """Return a batch to train on; its labels, of shape (sequences, length), stand at the words."""
    batch = present(data, items)
    labels = torch.full(batch.input_ids.shape, IGNORED, dtype=torch.long)
    for line, item in enumerate(items):
        start = data.more["starts"][item]
        tags = data.labels[data.owner(item)][start : start + len(data.positions[item])]
        for position, tag in zip(data.positions[item], tags, strict=True):
            if position != CUT:
                labels[line, position] = tag
    return replace(batch, labels=labels)


def loss(logits: Tensor, batch: Batch, task: Mapping[str, Any]) -> Tensor:
    """Return the mean cross-entropy over words."""
    assert batch.labels is not None
    flat = logits.reshape(-1, logits.shape[-1])
    return functional.cross_entropy(flat, batch.labels.reshape(-1), ignore_index=IGNORED)


def decode(logits: Tensor, batch: Batch, data: Examples, task: Mapping[str, Any]) -> list[Any]:
    """Return the best tag of each word of each sequence, and its probability."""
    best = logits.argmax(dim=-1, keepdim=True)
    likely = logits.float().softmax(dim=-1).gather(-1, best).squeeze(-1).cpu()
    best = best.squeeze(-1).cpu()
    return [
        [
            (int(best[line, place]), float(likely[line, place])) if place != CUT else (None, 0.0)
            for place in data.positions[sequence]
        ]
        for line, sequence in enumerate(batch.rows)
    ]


def predictions(
    found: list[Any], data: Examples, task: Mapping[str, Any], pool: Any = None
) -> dict[str, list[Any]]:
    """Return the columns of the predictions: windows are joined again."""
    words: list[list[Any]] = [[] for _ in data.labels]
    for sequence, window in enumerate(found):
        words[data.owner(sequence)] += window
    return {
        "predicted": [[tag for tag, _ in row] for row in words],
        "scores": [[score for _, score in row] for row in words],
    }


def score(
    task: Mapping[str, Any], data: Examples, predicted: Mapping[str, list[Any]], language: str
) -> dict[str, float]:
    """Return the scores of the task's metric over all words."""
    names = dict(enumerate(task["labels"])) | {UNHEARD: "?", None: None}
    gold, found = (
        {str(row): [names[tag] for tag in tags] for row, tags in enumerate(values)}
        for values in (data.labels, predicted["predicted"])
    )
    return metrics.score(str(task["metric"]), gold, found)


def chance(task: Mapping[str, Any], data: Examples) -> float:
    """Return what a guesser reaches that has one tag for all words, the best one for the metric.

    For words that is the share of the commonest tag. Spans have no such guesser.
    """
    if task["metric"] == "xtreme_f1":
        names = dict(enumerate(task["labels"])) | {UNHEARD: "?"}
        gold = {str(row): [names[tag] for tag in tags] for row, tags in enumerate(data.labels)}
        return max(
            tagging.xtreme_f1(gold, {row: [tag] * len(tags) for row, tags in gold.items()})[
                "xtreme_f1"
            ]
            for tag in sorted({tag for tags in gold.values() for tag in tags})
        )
    if task["metric"] != "accuracy":
        return float(task.get("chance", 0.0))
    counted = Counter(tag for tags in data.labels for tag in tags)
    return 100.0 * counted.most_common(1)[0][1] / max(1, counted.total())


def shuffled(data: Examples, draw: random.Random) -> Examples:
    """Return the examples with the tags of each sentence in another order."""
    return replace(data, labels=[draw.sample(tags, len(tags)) for tags in data.labels])
