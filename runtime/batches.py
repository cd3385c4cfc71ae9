"""Groups encoded examples into padded batches, for training and for scoring."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

IGNORED = -100
"""The label of positions that do not count in the loss."""


@dataclass(frozen=True)
class Batch:
    """Padded tensors of some examples; ``rows`` are their places in the frame."""

    rows: list[int]
    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor | None


@dataclass(frozen=True)
class Examples:
    """An encoded split in memory: token ids and labels as plain lists."""

    kind: str
    input_ids: list[list[int]]
    labels: list[Any]
    positions: list[list[int]]
    pad: int

    def __len__(self) -> int:
        return len(self.input_ids)


def examples(frame: pl.DataFrame, kind: str, pad: int) -> Examples:
    """Read an encoded frame (see ``encode``) into memory."""
    tagging = kind == "token_classification"
    return Examples(
        kind,
        frame["input_ids"].to_list(),
        frame["tags" if tagging else "label"].to_list(),
        frame["positions"].to_list() if tagging else [],
        pad,
    )


def training_batches(data: Examples, batch: int, steps: int, seed: int) -> Iterator[Batch]:
    """Yield ``steps`` batches: every epoch in a new order, examples of like length together.

    The order depends on the seed alone. Within pools of 16 batches examples are sorted by length,
    which saves padding, and the batches of a pool come in random order.
    """
    made = 0
    epoch = 0
    while made < steps:
        random = np.random.default_rng([seed, epoch])
        order = random.permutation(len(data))
        pool = batch * 16
        for start in range(0, len(order), pool):
            chunk = sorted(
                order[start : start + pool].tolist(), key=lambda i: len(data.input_ids[i])
            )
            groups = [chunk[i : i + batch] for i in range(0, len(chunk), batch)]
            for index in random.permutation(len(groups)):
                if made == steps:
                    return
                yield collate(data, groups[index], with_labels=True)
                made += 1
        epoch += 1


def scoring_batches(data: Examples, batch: int) -> Iterator[Batch]:
    """Yield every example once, longest first, without labels."""
    order = sorted(range(len(data)), key=lambda i: -len(data.input_ids[i]))
    for start in range(0, len(order), batch):
        yield collate(data, order[start : start + batch], with_labels=False)


def collate(data: Examples, rows: Sequence[int], *, with_labels: bool) -> Batch:
    """Pad some examples to the longest of them."""
    chosen = [data.input_ids[row] for row in rows]
    input_ids, mask = pad(chosen, data.pad)
    labels = None
    if with_labels and data.kind == "sequence_classification":
        labels = torch.tensor([data.labels[row] for row in rows], dtype=torch.long)
    elif with_labels:
        labels = torch.full(input_ids.shape, IGNORED, dtype=torch.long)
        for line, row in enumerate(rows):
            for position, tag in zip(data.positions[row], data.labels[row], strict=True):
                if position >= 0:
                    labels[line, position] = tag
    return Batch(list(rows), input_ids, mask, labels)


def pad(sequences: Sequence[Sequence[int]], value: int) -> tuple[Tensor, Tensor]:
    """Return ids and mask of shape (examples, longest), filled up with ``value`` and 0."""
    longest = max(len(sequence) for sequence in sequences)
    ids = torch.full((len(sequences), longest), value, dtype=torch.long)
    mask = torch.zeros((len(sequences), longest), dtype=torch.long)
    for line, sequence in enumerate(sequences):
        ids[line, : len(sequence)] = torch.tensor(sequence, dtype=torch.long)
        mask[line, : len(sequence)] = 1
    return ids, mask
