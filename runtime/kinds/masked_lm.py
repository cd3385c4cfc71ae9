"""The tokens behind a mask: masked language modelling, for a corpus as an intermediate task.

Of each text ``mask_share`` of the tokens (at least one) are chosen; of these 80 % are masked, 10 %
replaced by a token drawn from the vocabulary, 10 % left as they are (arXiv:1810.04805). In training
they are drawn from the run's own stream, anew in every epoch; in scoring a text's tokens are always
the same ones, so that scores compare.

Prepared: ``id``, ``input_ids``, ``left`` and ``right`` (the positions between which no token is
special), ``mask`` and ``vocabulary`` (the tokenizer's mask token and size). Predictions: ``id``,
``gold`` and ``predicted`` (the ids of the chosen tokens).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.random import Generator
from torch import Tensor, nn
from torch.nn import functional

from runtime import encode as encoding
from runtime import metrics
from runtime.batches import IGNORED, Batch, Examples, arrays, pad
from runtime.invalid import DataInvalid
from runtime.language_head import language_head
from runtime.model import Model
from runtime.rows import Row

AT_ONCE = 512
"""Tokens that are predicted at a time in scoring: a vocabulary is large."""


def encode(
    rows: Sequence[Row], task: Mapping[str, Any], tokenizer: Any, max_length: int
) -> pl.DataFrame:
    """Return the token ids; texts without a token of their own are left out.

    Raises DataInvalid when the tokenizer has no mask token, as those of decoders, or no text is
    left.
    """
    if tokenizer.mask_token_id is None:
        raise DataInvalid("the tokenizer has no mask token: this model cannot learn a masked text")
    batch = tokenizer(
        [row["text"] for row in rows],
        truncation=True,
        max_length=max_length,
        return_attention_mask=False,
        return_special_tokens_mask=True,
    )
    kept = []
    for row, ids, special in zip(
        rows, batch["input_ids"], batch["special_tokens_mask"], strict=True
    ):
        if 0 in special:
            left, right = special.index(0), len(special) - special[::-1].index(0)
            kept.append((row["id"], ids, left, right, tokenizer.mask_token_id, len(tokenizer)))
    if not kept:
        raise DataInvalid("the tokenizer makes no token of any text")
    numbers = dict.fromkeys(("left", "right", "mask", "vocabulary"), pl.Int32)
    schema: dict[str, Any] = {"id": pl.String, "input_ids": encoding.IDS, **numbers}
    return pl.DataFrame(kept, schema=schema, orient="row")


def examples(frame: pl.DataFrame, task: Mapping[str, Any], pad: int) -> Examples:
    """Read an encoded frame into memory."""
    ids = arrays(frame["input_ids"])
    return Examples(
        str(task["kind"]),
        ids,
        [None] * len(ids),
        frame.select("left", "right").rows(),
        pad,
        more={
            "mask": frame["mask"].first(),
            "vocabulary": frame["vocabulary"].first(),
            "share": float(task["protocol"]["mask_share"]),
        },
    )


def head(backbone: nn.Module, task: Mapping[str, Any], model: Mapping[str, Any]) -> nn.Module:
    """Return the checkpoint's own head, or a new one tied to the embeddings."""
    return language_head(backbone, model)


def logits(
    model: Model, head: nn.Module, hidden: Tensor, mask: Tensor, chosen: Tensor | None
) -> Tensor:
    """Return logits of shape (chosen tokens, vocabulary); in scoring the best token of each."""
    assert chosen is not None
    wanted = hidden[chosen]
    if model.training:
        found: Tensor = head(wanted)
        return found
    return torch.cat([head(some).argmax(dim=-1) for some in torch.split(wanted, AT_ONCE)])


def collate(data: Examples, items: Sequence[int], draw: Generator) -> Batch:
    """Return a batch to train on; its labels, of shape (sequences, length), are the tokens."""
    return _masked(data, items, [draw] * len(items))


def present(data: Examples, sequences: Sequence[int]) -> Batch:
    """Return a batch to score; each text has always the same tokens masked."""
    return _masked(data, sequences, [np.random.default_rng([0, s]) for s in sequences])


def loss(logits: Tensor, batch: Batch, task: Mapping[str, Any]) -> Tensor:
    """Return the mean cross-entropy over the chosen tokens."""
    assert batch.labels is not None
    assert batch.chosen is not None
    return functional.cross_entropy(logits, batch.labels[batch.chosen])


def decode(logits: Tensor, batch: Batch, data: Examples, task: Mapping[str, Any]) -> list[Any]:
    """Return the chosen tokens of each sequence, and the best guess of each."""
    assert batch.labels is not None
    assert batch.chosen is not None
    sizes = batch.chosen.sum(dim=1).tolist()
    gold = torch.split(batch.labels[batch.chosen].cpu(), sizes)
    best = torch.split(logits.cpu(), sizes)
    return [(g.tolist(), b.tolist()) for g, b in zip(gold, best, strict=True)]


def predictions(
    found: list[Any], data: Examples, task: Mapping[str, Any], pool: Any = None
) -> dict[str, list[Any]]:
    """Return the columns of the predictions, with the tokens that were chosen as gold."""
    return {"gold": [gold for gold, _ in found], "predicted": [best for _, best in found]}


def score(
    task: Mapping[str, Any], data: Examples, predicted: Mapping[str, list[Any]], language: str
) -> dict[str, float]:
    """Return the share of chosen tokens that are guessed."""
    gold, found = (
        {f"{row}.{place}": token for row, tokens in enumerate(values) for place, token in
         enumerate(tokens)}
        for values in (predicted["gold"], predicted["predicted"])
    )  # fmt: skip
    return metrics.score(str(task["metric"]), gold, found)


def chance(task: Mapping[str, Any], data: Examples) -> float:
    """Return what always guessing the commonest token scores."""
    counts: Counter[int] = Counter()
    for ids, (left, right) in zip(data.input_ids, data.positions, strict=True):
        counts.update(int(token) for token in ids[left:right])
    return 100.0 * counts.most_common(1)[0][1] / counts.total()


def shuffled(data: Examples, draw: random.Random) -> Examples:
    """Return the examples with the tokens of each text in another order: words, no language."""
    mixed = []
    for ids, (left, right) in zip(data.input_ids, data.positions, strict=True):
        tokens = list(ids)
        tokens[left:right] = draw.sample(tokens[left:right], right - left)
        mixed.append(tokens)
    return Examples(data.kind, mixed, data.labels, data.positions, data.pad, more=data.more)


def _masked(data: Examples, sequences: Sequence[int], draws: Sequence[Generator]) -> Batch:
    ids, mask = pad([data.input_ids[s] for s in sequences], data.pad)
    labels = torch.full(ids.shape, IGNORED, dtype=torch.long)
    for line, (sequence, draw) in enumerate(zip(sequences, draws, strict=True)):
        left, right = data.positions[sequence]
        count = max(1, round(data.more["share"] * (right - left)))
        places = torch.from_numpy(left + draw.choice(right - left, count, replace=False))
        labels[line, places] = ids[line, places]
        fate = draw.random(count)
        others = draw.integers(data.more["vocabulary"], size=count)
        for place, share, other in zip(places.tolist(), fate, others, strict=True):
            if share < 0.9:
                ids[line, place] = data.more["mask"] if share < 0.8 else int(other)
    return Batch(list(sequences), ids, mask, labels, labels != IGNORED)
