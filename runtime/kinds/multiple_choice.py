"""One of several choices for a text; each choice is read with the text and gets one logit.

What is too long is cut at the beginning of the text (`cut: text_start` in the plan): a question
stands at its end, and choices stay whole. A choice that fills the length alone is read without the
text and cut at its own end; the preparation counts these as ``answer_cut``.

Prepared: a row for each choice, those of one example together: ``id``, ``input_ids``, ``label``
(index of the right choice), ``answer_cut``. Predictions: ``id``, ``gold`` and ``predicted``
(indices), ``scores`` (the logit of each choice).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import polars as pl
import torch
from numpy.random import Generator
from torch import Tensor, nn
from torch.nn import functional

from runtime import encode as encoding
from runtime.batches import Batch, Examples, arrays, grouped, owners, pad
from runtime.batches import present as present
from runtime.invalid import DataInvalid
from runtime.kinds.sequence_classification import chance as chance
from runtime.kinds.sequence_classification import score as score
from runtime.kinds.sequence_classification import shuffled as shuffled
from runtime.model import Model, linear, pool
from runtime.rows import Row

CUT = "text_start"
"""The one way of cutting that this module has."""


def encode(
    rows: Sequence[Row], task: Mapping[str, Any], tokenizer: Any, max_length: int
) -> pl.DataFrame:
    """Return the token ids of each choice after its text."""
    if task["protocol"]["cut"] != CUT:
        raise DataInvalid(f"the plan cuts texts by another rule: {task['protocol']['cut']!r}")
    end = encoding.seam(tokenizer)
    index = {label: number for number, label in enumerate(task["labels"])}
    room = max_length - tokenizer.num_special_tokens_to_add(pair=True)
    lengths: list[int] = []
    ids: list[list[int]] = []
    for start in range(0, len(rows), encoding.CHUNK):
        chunk = rows[start : start + encoding.CHUNK]
        texts = [row["text"] + end for row in chunk for _ in row["choices"]]
        choices = [choice for row in chunk for choice in row["choices"]]
        found = tokenizer(choices, add_special_tokens=False, return_attention_mask=False)
        lengths += (own := [len(i) for i in found["input_ids"]])
        ids += _cut(tokenizer, texts, choices, [length >= room for length in own], max_length)
    return pl.DataFrame(
        {
            "id": [row["id"] for row in rows for _ in row["choices"]],
            "input_ids": ids,
            "label": [index[row["label"]] for row in rows for _ in row["choices"]],
            "answer_cut": [length > room for length in lengths],
        },
        schema={
            "id": pl.String,
            "input_ids": encoding.IDS,
            "label": pl.Int32,
            "answer_cut": pl.Boolean,
        },
    )


def examples(frame: pl.DataFrame, task: Mapping[str, Any], pad: int) -> Examples:
    """Read an encoded frame into memory; the choices of an example are one item."""
    whose = owners(frame["id"])
    groups = grouped(whose)
    sizes = {len(group) for group in groups}
    if sizes - {task["choices"]}:
        raise DataInvalid(f"the task has {task['choices']} choices, and rows have {sorted(sizes)}")
    labels = frame["label"].to_list()
    return Examples(
        str(task["kind"]),
        arrays(frame["input_ids"]),
        [labels[group[0]] for group in groups],
        [],
        pad,
        whose,
        groups,
    )


def head(backbone: nn.Module, task: Mapping[str, Any], model: Mapping[str, Any]) -> nn.Module:
    """Return a new head with one output, whatever the number of choices."""
    return linear(backbone, 1)


def logits(
    model: Model, head: nn.Module, hidden: Tensor, mask: Tensor, chosen: Tensor | None
) -> Tensor:
    """Return logits of shape (sequences,)."""
    found: Tensor = head(model.dropout(pool(hidden, mask, model.pooling)))
    return found.squeeze(-1)


def collate(data: Examples, items: Sequence[int], draw: Generator) -> Batch:
    """Return a batch of all choices of the items; its labels are of shape (items,)."""
    sequences = data.sequences(items)
    ids, mask = pad([data.input_ids[s] for s in sequences], data.pad)
    return Batch(
        list(items), ids, mask, torch.tensor([data.labels[i] for i in items], dtype=torch.long)
    )


def loss(logits: Tensor, batch: Batch, task: Mapping[str, Any]) -> Tensor:
    """Return the mean cross-entropy over the choices of each item."""
    assert batch.labels is not None
    return functional.cross_entropy(logits.reshape(len(batch.labels), -1), batch.labels)


def decode(logits: Tensor, batch: Batch, data: Examples, task: Mapping[str, Any]) -> list[Any]:
    """Return the logit of each sequence."""
    found: list[Any] = logits.float().tolist()
    return found


def predictions(
    found: list[Any], data: Examples, task: Mapping[str, Any], pool: Any = None
) -> dict[str, list[Any]]:
    """Return the columns of the predictions; of equal choices the first is taken."""
    scores = [[found[sequence] for sequence in group] for group in data.items]
    return {"predicted": [row.index(max(row)) for row in scores], "scores": scores}


def _cut(
    tokenizer: Any, texts: list[str], choices: list[str], alone: list[bool], max_length: int
) -> list[list[int]]:
    """Return the ids of texts with their choices; ``alone`` says which choices fill the length."""
    ids: list[list[int]] = [[]] * len(choices)
    for cut, rule in ((False, "only_first"), (True, "only_second")):
        chosen = [place for place, long in enumerate(alone) if long is cut]
        if chosen:
            found = _pairs(
                tokenizer,
                ["" if cut else texts[place] for place in chosen],
                [choices[place] for place in chosen],
                rule,
                max_length,
            )
            for place, sequence in zip(chosen, found, strict=True):
                ids[place] = sequence
    return ids


@contextmanager
def _cutting(tokenizer: Any, side: str) -> Iterator[None]:
    before = tokenizer.truncation_side
    tokenizer.truncation_side = side
    try:
        yield
    finally:
        tokenizer.truncation_side = before


def _pairs(
    tokenizer: Any, texts: list[str], choices: list[str], rule: str, max_length: int
) -> list[list[int]]:
    side = "left" if rule == "only_first" else "right"
    with _cutting(tokenizer, side):
        found: list[list[int]] = tokenizer(
            texts, choices, truncation=rule, max_length=max_length, return_attention_mask=False
        )["input_ids"]
    return found
