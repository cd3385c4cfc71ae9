"""Holds encoded examples in memory, and groups them into padded batches to train on or to score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import polars as pl
import torch
from numpy.random import Generator
from torch import Tensor

IGNORED = -100
"""The label of positions that do not count in the loss."""


@dataclass(frozen=True)
class Batch:
    """Padded token ids of some sequences, of shape (sequences, longest), and what they teach.

    ``rows`` are the items in training, the sequences in scoring. The shape of ``labels`` is the
    kind's; ``chosen`` marks the positions that the head sees, where these are not all.
    """

    rows: list[int]
    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor | None = None
    chosen: Tensor | None = None

    def to(self, device: torch.device) -> Self:
        """Return the batch with its tensors on a device."""
        moved = [
            None if tensor is None else tensor.to(device)
            for tensor in (self.input_ids, self.attention_mask, self.labels, self.chosen)
        ]
        return type(self)(self.rows, *moved)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Examples:
    """An encoded split in memory.

    An example is a row of the data and has one entry in ``labels``, its gold value. It has one
    sequence of token ids or several (windows of a long text, choices, both texts of a pair), and
    ``owners`` says whose each sequence is. An item is what is trained on at once: the sequences
    that ``items`` lists for it. Without ``owners`` or ``items`` each sequence is an example or an
    item of its own. ``positions`` (of each sequence) and ``more`` are the kind's own.
    """

    kind: str
    input_ids: Sequence[Sequence[int]]
    labels: list[Any]
    positions: Sequence[Sequence[int]]
    pad: int
    owners: Sequence[int] = ()
    items: Sequence[Sequence[int]] = ()
    more: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def owner(self, sequence: int) -> int:
        """Return the example that a sequence belongs to."""
        return self.owners[sequence] if len(self.owners) else sequence

    def sequences(self, items: Sequence[int]) -> list[int]:
        """Return the sequences of some items, in order."""
        return [s for item in items for s in self.items[item]] if self.items else list(items)

    def length(self, item: int) -> int:
        """Return the number of tokens in the longest sequence of an item."""
        return max(len(self.input_ids[s]) for s in self.sequences([item]))


Collate = Callable[[Examples, Sequence[int], Generator], Batch]
Present = Callable[[Examples, Sequence[int]], Batch]


def training_batches(
    data: Examples, collate: Collate, batch: int, steps: int, seed: int
) -> Iterator[Batch]:
    """Yield ``steps`` batches: every epoch in a new order, items of like length together.

    The order depends on the seed alone, and so does what ``collate`` draws. Within pools of 16
    batches items are sorted by length, which saves padding, and the batches of a pool come in
    random order.
    """
    made = 0
    epoch = 0
    while made < steps:
        random = np.random.default_rng([seed, epoch])
        order = random.permutation(len(data.items) or len(data.input_ids))
        pool = batch * 16
        for start in range(0, len(order), pool):
            chunk = sorted(order[start : start + pool].tolist(), key=data.length)
            groups = [chunk[i : i + batch] for i in range(0, len(chunk), batch)]
            for index in random.permutation(len(groups)):
                if made == steps:
                    return
                yield collate(data, groups[index], np.random.default_rng([seed, made, 1]))
                made += 1
        epoch += 1


def scoring_batches(data: Examples, present: Present, batch: int) -> Iterator[Batch]:
    """Yield every sequence once, longest first."""
    order = sorted(range(len(data.input_ids)), key=lambda i: -len(data.input_ids[i]))
    for start in range(0, len(order), batch):
        yield present(data, order[start : start + batch])


def present(data: Examples, sequences: Sequence[int]) -> Batch:
    """Pad some sequences to the longest of them, without labels."""
    ids, mask = pad([data.input_ids[s] for s in sequences], data.pad)
    return Batch(list(sequences), ids, mask)


def pad(sequences: Sequence[Sequence[int]], value: int) -> tuple[Tensor, Tensor]:
    """Return ids and mask of shape (examples, longest), filled up with ``value`` and 0."""
    longest = max(len(sequence) for sequence in sequences)
    ids = torch.full((len(sequences), longest), value, dtype=torch.long)
    mask = torch.zeros((len(sequences), longest), dtype=torch.long)
    for line, sequence in enumerate(sequences):
        ids[line, : len(sequence)] = torch.tensor(sequence, dtype=torch.long)
        mask[line, : len(sequence)] = 1
    return ids, mask


def arrays(column: pl.Series) -> list[Any]:
    """Return the lists of a column as arrays: a tenth of the memory of lists of Python numbers."""
    lengths = column.list.len().to_numpy()
    flat = column.filter(column.list.len() > 0).explode().to_numpy()
    return np.split(flat, np.cumsum(lengths)[:-1]) if len(lengths) else []


def owners(ids: pl.Series) -> list[int]:
    """Number the runs of equal ids: the rows of one example stand together in a frame."""
    found: list[int] = ids.rle_id().to_list()
    return found


def grouped(owners: Sequence[int]) -> list[list[int]]:
    """Return the sequences of each example."""
    groups: list[list[int]] = [[] for _ in range(owners[-1] + 1)] if owners else []
    for sequence, owner in enumerate(owners):
        groups[owner].append(sequence)
    return groups
