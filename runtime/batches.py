"""Holds encoded examples in memory, and groups them into padded batches to train on or to score."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import polars as pl
import torch
from numpy.random import Generator
from torch import Tensor

IGNORED = -100
"""The label of positions that do not count in the loss."""

MORE = 8
"""Times as many short sequences are scored at once as there are long ones, at most."""


@dataclass(frozen=True)
class Batch:
    """Padded token ids of some sequences, of shape (sequences, longest), and what they teach.

    ``rows`` are the items in training, the sequences in scoring. The shape of ``labels`` is the
    kind's; ``chosen`` marks the positions that the head sees, where these are not all. ``source``
    numbers the source that a batch to train on was drawn from.
    """

    rows: list[int]
    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor | None = None
    chosen: Tensor | None = None
    source: int = 0

    def to(self, device: torch.device) -> Self:
        """Return the batch with its tensors on a device; to a GPU without waiting for it."""
        return self._mapped(lambda tensor: _moved(tensor, device))

    def part(self, items: slice) -> Self:
        """Return some of the items, with their sequences, padded to the longest of these."""
        each = len(self.input_ids) // len(self.rows)
        lines = torch.arange(len(self.input_ids)).reshape(-1, each)[items].reshape(-1)
        longest = int(self.attention_mask[lines].sum(dim=1).max())
        whole = self.input_ids.shape

        def cut(tensor: Tensor) -> Tensor:
            if len(tensor) == whole[0]:
                tensor = tensor[lines]
                return tensor[:, :longest] if tensor.shape[1:] == whole[1:] else tensor
            return tensor[items]

        return replace(self._mapped(cut), rows=self.rows[items])

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> Self:
        tensors = {
            name: change(tensor)
            for name in ("input_ids", "attention_mask", "labels", "chosen")
            if (tensor := getattr(self, name)) is not None
        }
        return replace(self, **tensors)  # type: ignore[arg-type]


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


@dataclass(frozen=True)
class Source:
    """What a training draws batches from: the examples of one task, and what is made of them.

    ``head`` is the name of its head in the model; its loss is multiplied by ``share``.
    """

    name: str
    kind: str
    data: Examples
    task: Mapping[str, Any]
    head: str = "head"
    share: float = 1.0


Order = Callable[[int, int], Iterator[tuple[int, Batch]]]
"""Steps of a training and the step to begin after in, (number of the source, batch) out."""

Collate = Callable[[Examples, Sequence[int], Generator], Batch]
Present = Callable[[Examples, Sequence[int]], Batch]


def training_batches(
    data: Examples, collate: Collate, batch: int, steps: int, seed: int, start_step: int = 0
) -> Iterator[Batch]:
    """Yield the batches of ``steps`` steps: every epoch in a new order, like lengths together.

    The order depends on the seed alone, and so does what ``collate`` draws. Within pools of 16
    batches items are sorted by length, which saves padding, and the batches of a pool come in
    random order. With ``start_step`` the batches of so many steps are left out; of their epoch the
    order is drawn, and nothing is sorted or collated.
    """
    items = len(data.items) or len(data.input_ids)
    made = start_step
    while made < steps:
        epoch, skipped = divmod(made, math.ceil(items / batch))
        random = np.random.default_rng([seed, epoch])
        order = random.permutation(items)
        for start in range(0, items, batch * 16):
            pool = order[start : start + batch * 16]
            places = random.permutation(math.ceil(len(pool) / batch))
            wanted, skipped = places[skipped:], max(0, skipped - len(places))
            chunk = sorted(pool.tolist(), key=data.length) if len(wanted) else []
            for place in wanted:
                if made == steps:
                    return
                group = chunk[place * batch : (place + 1) * batch]
                yield collate(data, group, np.random.default_rng([seed, made, 1]))
                made += 1


def token_batches(
    data: Examples, collate: Collate, tokens: int, steps: int, seed: int, start_step: int = 0
) -> Iterator[Batch]:
    """Yield batches of so many tokens, padding included, instead of so many items.

    As in ``training_batches``; an item that is longer than a batch is one of its own. With
    ``start_step`` the epochs before are grouped again, and not collated.
    """
    made = epoch = 0
    while made < steps:
        for group in _token_groups(data, tokens, seed, epoch):
            if made == steps:
                return
            if made >= start_step:
                yield collate(data, group, np.random.default_rng([seed, made, 1]))
            made += 1
        epoch += 1


def token_steps(data: Examples, tokens: int, epochs: float, seed: int) -> int:
    """Count the batches of some epochs; of the last one a share, rounded up."""
    whole, share = divmod(epochs, 1)
    sizes = [len(_token_groups(data, tokens, seed, epoch)) for epoch in range(math.ceil(epochs))]
    return sum(sizes[: int(whole)]) + (math.ceil(share * sizes[-1]) if share else 0)


def _token_groups(data: Examples, tokens: int, seed: int, epoch: int) -> list[list[int]]:
    """Return the items of every batch of an epoch: like lengths together, in random order."""
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(data.items) or len(data.input_ids))
    sizes = {item: len(data.sequences([item])) for item in order.tolist()}
    mean = sum(sizes[item] * data.length(item) for item in sizes) / max(1, len(sizes))
    pool = 16 * max(1, int(tokens / max(1.0, mean)))
    found: list[list[int]] = []
    for start in range(0, len(order), pool):
        groups: list[list[int]] = []
        held = 0
        for item in sorted(order[start : start + pool].tolist(), key=data.length):
            held += sizes[item]
            if not groups or held * data.length(item) > tokens:
                groups.append([])
                held = sizes[item]
            groups[-1].append(item)
        found += [groups[place] for place in random.permutation(len(groups))]
    return found


def scoring_batches(data: Examples, present: Present, batch: int) -> Iterator[Batch]:
    """Yield every sequence once, longest first.

    ``batch`` counts sequences of the greatest length. Of shorter ones there are more, up to the
    tokens that these have with padding, so that no batch is larger than the first.
    """
    order = sorted(range(len(data.input_ids)), key=lambda i: -len(data.input_ids[i]))
    room = batch * len(data.input_ids[order[0]]) if order else 0
    start = 0
    while start < len(order):
        longest = max(1, len(data.input_ids[order[start]]))
        size = min(max(batch, room // longest), MORE * batch)
        yield present(data, order[start : start + size])
        start += size


def joined(parts: Sequence[Examples]) -> Examples:
    """Return the examples of several splits of one task behind each other, as those of one.

    What is kept of each sequence, item or example is kept in lists, in that order.
    """
    if len(parts) == 1:
        return parts[0]
    numbers, rows, lines = [], 0, 0  # whose each sequence is, in all splits
    items: list[Sequence[int]] = []
    for data in parts:
        numbers += [rows + data.owner(line) for line in range(len(data.input_ids))]
        items += [[lines + line for line in item] for item in data.items]
        rows, lines = rows + len(data), lines + len(data.input_ids)
    shared = set.intersection(*(set(data.more) for data in parts))
    return Examples(
        parts[0].kind,
        [ids for data in parts for ids in data.input_ids],
        [label for data in parts for label in data.labels],
        [places for data in parts for places in data.positions],
        parts[0].pad,
        numbers,
        items,
        {name: [value for data in parts for value in data.more[name]] for name in shared},
    )


def present(data: Examples, sequences: Sequence[int]) -> Batch:
    """Pad some sequences to the longest of them, without labels."""
    ids, mask = pad([data.input_ids[s] for s in sequences], data.pad)
    return Batch(list(sequences), ids, mask)


def pad(sequences: Sequence[Sequence[int]], value: int) -> tuple[Tensor, Tensor]:
    """Return ids and mask of shape (examples, longest), filled up with ``value`` and 0."""
    lengths = np.array([len(sequence) for sequence in sequences])
    within = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(within.shape, value, dtype=np.int64)
    ids[within] = np.concatenate(sequences)
    return torch.from_numpy(ids), torch.from_numpy(within.astype(np.int64))


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def arrays(column: pl.Series) -> list[Any]:
    """Return the lists of a column as arrays that share its memory.

    Of a file that is mapped into memory they stay there until they are read.
    """
    found: list[Any] = []
    for chunk in column.get_chunks():  # the batches of a file: together they would be copied
        lengths = chunk.list.len()
        flat = (chunk if (lengths > 0).all() else chunk.filter(lengths > 0)).explode().to_numpy()
        found += np.split(flat, np.cumsum(lengths.to_numpy())[:-1]) if len(chunk) else []
    return found


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
