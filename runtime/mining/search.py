"""Finds exact nearest neighbours by cosine in tiles, both ways from one product."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from runtime.mining.embeddings import Vectors, unit_rows

BLOCK = 2048
"""Rows of a tile on either side, unless told: 16 MiB of similarities, which caches still serve."""

_GROUP = 64
"""Similarities that are skipped together when their maximum is too small to matter."""


class Nearest(NamedTuple):
    """The nearest rows of the other side for each row of one side, both (rows, k), best first."""

    rows: NDArray[np.int64]
    similarities: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest targets of each source, and the nearest sources of each target.

    A pair that is found from both sides has the same similarity, bit for bit, in both.
    """

    forward: Nearest
    backward: Nearest


def neighbours(
    source: Vectors,
    target: Vectors,
    k: int = 4,
    *,
    block: int = BLOCK,
    device: torch.device | None = None,
) -> Neighbours:
    """Return the ``k`` nearest neighbours both ways; all there are when a side has fewer.

    Equal similarities are ordered by row, lowest first. The search is exact and computed in
    float32. Whatever the number of rows, it holds ``block`` rows of each side, the similarities
    between these and the results; the inputs are read block by block and may lie on disk. The
    similarities take 4 bytes each, and up to 70 for a moment where a collapsed model makes all
    alike. Raises DataInvalid for vectors that are not finite, ValueError for ones of two widths.
    """
    return Neighbours(*_search(source, target, k, True, block, device))


def nearest(
    queries: Vectors,
    pool: Vectors,
    k: int,
    *,
    block: int = BLOCK,
    device: torch.device | None = None,
) -> Nearest:
    """Return the ``k`` nearest of a pool for each query, as ``neighbours`` does, one way only."""
    return _search(queries, pool, k, False, block, device)[0]


def top_ids(
    queries: Vectors,
    pool: Vectors,
    k: int,
    *,
    block: int = BLOCK,
    device: torch.device | None = None,
) -> NDArray[np.int64]:
    """Return the rows of a pool that rank first for each query (queries, k), best first.

    It is what mean average precision and reciprocal rank are taken of.
    """
    return nearest(queries, pool, k, block=block, device=device).rows


class _Best:
    """The best so far of some rows, in two tensors (rows, k); not yet found is minus infinity."""

    def __init__(self, rows: int, k: int, device: torch.device | None) -> None:
        self.similarities = torch.full((rows, k), -math.inf, device=device)
        self.rows = torch.zeros((rows, k), dtype=torch.long, device=device)

    def take(self, first: int, groups: Tensor, peaks: Tensor, offset: int) -> None:
        """Merge in the similarities of rows from ``first`` on to candidates from ``offset`` on.

        ``groups`` is (rows, groups, _GROUP), where candidates count on from group to group, and
        ``peaks`` (rows, groups) has the maximum of each group. Candidates must come in ascending
        order over all calls: what came first wins a tie.

        A random candidate enters the best k of n seen with probability k/n, so after the first
        tiles the maxima show that nearly every group holds nothing new, and it is not read again.
        """
        k = self.similarities.shape[1]
        bar = self.similarities[first : first + len(groups), -1]
        rows, group = (peaks > bar[:, None]).nonzero(as_tuple=True)
        if len(rows) > k * len(groups):
            # Little is known of these rows yet. The k largest maxima are k candidates, so nothing
            # smaller than the least of them can stay; an equal one may, if its row is lower.
            least = peaks.topk(k).values[:, -1]
            bar = torch.maximum(bar, torch.nextafter(least, torch.full_like(least, -math.inf)))
            rows, group = (peaks > bar[:, None]).nonzero(as_tuple=True)
        if not len(rows):
            return
        values = groups[rows, group]
        better = values > bar[rows, None]
        hit, member = better.nonzero(as_tuple=True)
        touched, line, count = torch.unique_consecutive(
            rows[hit], return_inverse=True, return_counts=True
        )
        start = count.cumsum(0) - count
        slot = k + torch.arange(len(hit), device=hit.device) - start[line]
        # One line for each row that has something new: its best so far, then the new in order.
        shape = (len(touched), k + int(count.max()))
        similarities = values.new_full(shape, -math.inf)
        candidates = rows.new_zeros(shape)
        where = first + touched
        similarities[:, :k], candidates[:, :k] = self.similarities[where], self.rows[where]
        similarities[line, slot] = values[better]
        candidates[line, slot] = offset + group[hit] * _GROUP + member
        similarities, order = similarities.sort(dim=1, descending=True, stable=True)
        self.similarities[where] = similarities[:, :k]
        self.rows[where] = candidates.gather(1, order[:, :k])

    def result(self, rows: int) -> Nearest:
        """Return what was found for the first ``rows`` rows; the others were padding."""
        return Nearest(self.rows[:rows].cpu().numpy(), self.similarities[:rows].cpu().numpy())


@torch.no_grad()
def _search(
    left: Vectors, right: Vectors, k: int, both: bool, block: int, device: torch.device | None
) -> tuple[Nearest, Nearest]:
    """Return the nearest rows of ``right`` for each of ``left``, and the reverse if asked for.

    Every product has the same shape, the last ones filled up with zeros: the order of a float32
    sum depends on the shape, and equal vectors must have equal similarities wherever they stand.
    """
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[1]:
        raise ValueError(f"not rows of one width: {tuple(left.shape)} and {tuple(right.shape)}")
    if k < 1 or block < 1:
        raise ValueError(f"k and block must be at least 1, not {k} and {block}")
    device = device or (left.device if isinstance(left, Tensor) else torch.device("cpu"))
    here, there = len(left), len(right)
    height, width = _tile(here, block), _tile(there, block)
    forward = _Best(_up(here, height), min(k, there), device)
    backward = _Best(_up(there, width), min(k, here) if both else 0, device)
    if not here or not there:
        return forward.result(here), backward.result(there)
    tile = torch.empty((height, width), device=device)
    for first in range(0, here, height):
        rows = _filled(left, first, height, device)
        for second in range(0, there, width):
            torch.mm(rows, _filled(right, second, width, device).T, out=tile)
            tile[here - first :] = -math.inf
            tile[:, there - second :] = -math.inf
            lines = tile.view(height, -1, _GROUP)
            forward.take(first, lines, lines.amax(2), second)
            if both:
                columns = tile.view(-1, _GROUP, width)
                # Maxima first, then turned: torch takes ten times as long the other way round.
                peaks = columns.amax(1).T.contiguous()
                backward.take(second, columns.permute(2, 0, 1), peaks, first)
    return forward.result(here), backward.result(there)


def _up(number: int, step: int) -> int:
    return -(-number // step) * step


def _tile(rows: int, block: int) -> int:
    """Return the rows of a tile: ``block`` at most, if it can be, and all tiles about as full."""
    tiles = max(1, -(-rows // block))
    return max(_GROUP, _up(-(-rows // tiles), _GROUP))


def _filled(vectors: Vectors, first: int, rows: int, device: torch.device) -> Tensor:
    """Return unit rows from ``first`` on, with rows of zeros after the last."""
    found = unit_rows(vectors, first, first + rows, device)
    if len(found) == rows:
        return found
    return torch.cat([found, found.new_zeros((rows - len(found), found.shape[1]))])
