"""Queries and candidates as vectors of one encoder; a query finds its candidates by cosine.

Training: each query of a batch is told apart its own candidate from those of the others, by a
softmax over cosines times the plan's ``scale``. A candidate of the same text as one's own is left
out, since it would be wrong to call it wrong. Scoring: the nearest ``top`` of the pool are ranked.
The English dev score searches among the dev candidates themselves, each distinct text once.

Prepared, train and dev: ``id``, ``query_ids``, ``candidate_ids``, ``candidate`` (number of the
distinct text); test: ``id``, ``query_ids``, ``relevant`` (ids of pool rows); pool: ``id``,
``input_ids``. Predictions: ``id``, ``gold`` and ``predicted`` (ids of pool rows, best first),
``scores`` (cosines).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from runtime import encode as encoding
from runtime import metrics
from runtime.batches import Batch, Examples, arrays, pad
from runtime.batches import present as present
from runtime.invalid import DataInvalid
from runtime.mining import nearest
from runtime.model import Model, pool
from runtime.rows import Row


class Pool(NamedTuple):
    """What queries search in: ids and vectors (candidates, width), and the device to search on."""

    ids: list[str]
    vectors: NDArray[np.floating]
    device: torch.device = torch.device("cpu")


def encode(
    rows: Sequence[Row], task: Mapping[str, Any], tokenizer: Any, max_length: int
) -> pl.DataFrame:
    """Return the token ids of pairs, of queries or of candidates, whichever the rows are."""

    def ids(column: str) -> list[list[int]]:
        return encoding.texts(tokenizer, [row[column] for row in rows], None, max_length)

    columns: dict[str, Any] = {"id": [row["id"] for row in rows]}
    schema: dict[str, Any] = {"id": pl.String}
    if "text" in rows[0]:
        columns["input_ids"] = ids("text")
        return pl.DataFrame(columns, schema=schema | {"input_ids": encoding.IDS})
    columns["query_ids"] = ids("query")
    schema["query_ids"] = encoding.IDS
    if "candidate" not in rows[0]:
        columns["relevant"] = [row["relevant"] for row in rows]
        return pl.DataFrame(columns, schema=schema | {"relevant": pl.List(pl.String)})
    numbers: dict[str, int] = {}
    columns["candidate_ids"] = ids("candidate")
    columns["candidate"] = [numbers.setdefault(row["candidate"], len(numbers)) for row in rows]
    return pl.DataFrame(
        columns, schema=schema | {"candidate_ids": encoding.IDS, "candidate": pl.Int32}
    )


def examples(frame: pl.DataFrame, task: Mapping[str, Any], pad: int) -> Examples:
    """Read an encoded frame into memory: pairs as items of two sequences, or single texts."""
    kind = str(task["kind"])
    if "input_ids" in frame.columns:
        return Examples(kind, arrays(frame["input_ids"]), frame["id"].to_list(), [], pad)
    queries = arrays(frame["query_ids"])
    if "relevant" in frame.columns:
        return Examples(kind, queries, frame["relevant"].to_list(), [], pad)
    both = [
        ids for pair in zip(queries, arrays(frame["candidate_ids"]), strict=True) for ids in pair
    ]
    numbers = frame["candidate"].to_list()
    return Examples(
        kind,
        both,
        [[str(number)] for number in numbers],
        [],
        pad,
        [place // 2 for place in range(len(both))],
        [(2 * item, 2 * item + 1) for item in range(len(queries))],
        {"candidate": numbers},
    )


def head(backbone: nn.Module, task: Mapping[str, Any], model: Mapping[str, Any]) -> nn.Module:
    """Return nothing that has weights: the encoder's own vectors are compared."""
    return nn.Identity()


def logits(
    model: Model, head: nn.Module, hidden: Tensor, mask: Tensor, chosen: Tensor | None
) -> Tensor:
    """Return vectors of length 1, of shape (sequences, width)."""
    return functional.normalize(pool(hidden, mask, model.pooling).float(), dim=-1)


def collate(data: Examples, items: Sequence[int], draw: Generator) -> Batch:
    """Return queries and candidates in turn; labels, of shape (items,), number the candidates."""
    ids, mask = pad([data.input_ids[s] for s in data.sequences(items)], data.pad)
    numbers = torch.tensor([data.more["candidate"][item] for item in items], dtype=torch.long)
    return Batch(list(items), ids, mask, numbers)


def loss(logits: Tensor, batch: Batch, task: Mapping[str, Any]) -> Tensor:
    """Return the mean cross-entropy of each query over the candidates of the batch."""
    assert batch.labels is not None
    similar = logits[0::2] @ logits[1::2].T * float(task["protocol"]["scale"])
    same = batch.labels[:, None] == batch.labels[None, :]
    own = torch.eye(len(same), dtype=torch.bool, device=same.device)
    similar = similar.masked_fill(same & ~own, -torch.inf)
    return functional.cross_entropy(similar, torch.arange(len(similar), device=similar.device))


def decode(logits: Tensor, batch: Batch, data: Examples, task: Mapping[str, Any]) -> list[Any]:
    """Return the vector of each sequence."""
    return list(logits.float().cpu().numpy())


def predictions(
    found: list[Any], data: Examples, task: Mapping[str, Any], pool: Any = None
) -> dict[str, list[Any]]:
    """Return the columns of the predictions; without a pool the data's own candidates are it."""
    if pool is None:
        if not data.items:
            raise DataInvalid("the task has no pool of candidates to search in")
        first = {number: item for item, number in reversed(list(enumerate(data.more["candidate"])))}
        places = sorted(first.items())
        vectors = np.stack([found[data.items[item][1]] for _, item in places])
        pool = Pool([str(number) for number, _ in places], vectors)
        found = [found[item[0]] for item in data.items]
    top = int(task["protocol"]["top"])
    near = nearest(np.stack(found), pool.vectors, top, device=pool.device)
    return {
        "predicted": [[pool.ids[place] for place in row] for row in near.rows.tolist()],
        "scores": near.similarities.tolist(),
    }


def score(
    task: Mapping[str, Any], data: Examples, predicted: Mapping[str, list[Any]], language: str
) -> dict[str, float]:
    """Return the task's metric over the ranked candidates."""
    gold, found = (
        {str(row): value for row, value in enumerate(values)}
        for values in (data.labels, predicted["predicted"])
    )
    return metrics.score(str(task["metric"]), gold, found)


def chance(task: Mapping[str, Any], data: Examples) -> float:
    """Return what candidates in any order score, one of which is right."""
    candidates = len({name for names in data.labels for name in names})
    top = int(task["protocol"]["top"])
    return 100.0 * sum(1 / rank for rank in range(1, min(top, candidates) + 1)) / candidates


def shuffled(data: Examples, draw: random.Random) -> Examples:
    """Return the examples with each other's candidates."""
    order = draw.sample(range(len(data.items)), len(data.items))
    return replace(
        data,
        labels=[data.labels[other] for other in order],
        items=[
            (item[0], data.items[other][1]) for item, other in zip(data.items, order, strict=True)
        ],
        more={"candidate": [data.more["candidate"][other] for other in order]},
    )
