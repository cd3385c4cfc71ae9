"""Divides the batch of a step into micro-batches and among processes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from runtime.batches import IGNORED, Batch


def shares(
    batch: Batch, cut: int | None, rank: int, world: int, equal: bool = False
) -> Iterator[tuple[Batch, float]]:
    """Yield this process's parts of a batch, each with its share of the batch's labels.

    Items go to the processes in turn: like lengths stand together, so that all have like work. A
    process without an item gets one that does not count; so does one with fewer parts than others,
    where all must have ``equal`` numbers of them.
    """
    items = len(batch.rows)
    if world == 1 and (cut is None or cut >= items):
        yield batch, 1.0
    elif rank >= items:
        yield batch.part(slice(0, 1)), 0.0
    else:
        own, whole = batch.part(slice(rank, None, world)), max(1, labelled(batch))
        size = cut or items
        for start in range(0, len(own.rows), size):
            part = own.part(slice(start, start + size))
            yield part, labelled(part) / whole
        most, mine = (-(-count // size) for count in (-(-items // world), len(own.rows)))
        for _ in range(most - mine if equal else 0):
            yield own.part(slice(0, 1)), 0.0


def labelled(batch: Batch) -> int:
    """Count the labels of a batch that its loss is the mean over."""
    assert batch.labels is not None
    return int((batch.labels != IGNORED).sum())


def noise(seed: int, step: int, part: int) -> int:
    """Return what a part of a step draws its dropout from.

    Only the lower 32 bits of a seed count on a CPU, so parts are told apart by a hash.
    """
    if part == 0:
        return seed * 1_000_003 + step
    return int(np.random.SeedSequence([seed, step, part]).generate_state(1, np.uint64)[0])
