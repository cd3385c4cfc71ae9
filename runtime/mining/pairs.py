"""Chooses pairs that are translations: margins over neighbours, then greedy one-to-one matching."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from runtime.mining.search import Nearest, Neighbours

Margin = Literal["ratio", "distance", "absolute"]

_PART = 65536


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of a source row and a target row with their score; pairs with high scores first."""

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    score: NDArray[np.float64]


def margins(
    found: Neighbours, kind: Margin = "ratio"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the margin of each neighbour, forward and backward, in the shape of the neighbours.

    With a the similarity of a pair and b the mean of the mean similarities of both sides to their
    k neighbours: ``ratio`` is a / b, ``distance`` a - b, ``absolute`` a (Artetxe and Schwenk, 2019,
    Margin-based Parallel Corpus Mining with Multilingual Sentence Embeddings). A raw similarity
    is no measure across sentences, since some are near to everything. Where b is 0 the ratio does
    not exist and is taken as 0.
    """
    return (
        _margin(kind, found.forward, found.backward),
        _margin(kind, found.backward, found.forward),
    )


def _margin(kind: Margin, side: Nearest, other: Nearest) -> NDArray[np.float64]:
    pair: NDArray[np.float64] = side.similarities.astype(np.float64)
    if kind == "absolute" or not pair.size:
        return pair
    usual: NDArray[np.float64] = (
        pair.mean(axis=1)[:, None] + other.similarities.mean(axis=1, dtype=np.float64)[side.rows]
    ) / 2
    if kind == "distance":
        return pair - usual
    ratio: NDArray[np.float64] = np.divide(pair, usual, out=np.zeros_like(pair), where=usual != 0)
    return ratio


def mine(found: Neighbours, kind: Margin = "ratio", floor: float | None = None) -> Pairs:
    """Return pairs in which no row of either side comes twice, those above ``floor`` if given.

    The ``max`` retrieval of Artetxe and Schwenk: the best neighbour of every row of both sides by
    margin is a candidate; candidates are accepted by falling score while both rows are unused.
    """
    forward, backward = margins(found, kind)
    if not forward.size:
        nothing = np.empty(0, dtype=np.int64)
        return Pairs(nothing, nothing, np.empty(0))
    sources, targets = np.arange(len(forward)), np.arange(len(backward))
    best, back = forward.argmax(axis=1), backward.argmax(axis=1)
    return match(
        np.concatenate([sources, found.backward.rows[targets, back]]),
        np.concatenate([found.forward.rows[sources, best], targets]),
        np.concatenate([forward[sources, best], backward[targets, back]]),
        floor,
    )


def match(
    source: NDArray[np.int64],
    target: NDArray[np.int64],
    score: NDArray[np.float64],
    floor: float | None = None,
) -> Pairs:
    """Return the candidates, by falling score, whose rows no accepted candidate has used.

    Equal scores go by source row, then by target row. Only scores above ``floor`` count.
    """
    if floor is not None:
        enough = score > floor
        source, target, score = source[enough], target[enough], score[enough]
    order = np.lexsort((target, source, -score))
    used = bytearray(int(source.max(initial=-1)) + 1)
    taken = bytearray(int(target.max(initial=-1)) + 1)
    kept = bytearray(len(order))
    # Each step depends on those before it, and plain numbers are ten times as fast as an array's.
    # A part at a time, since they are ten times as large too.
    for start in range(0, len(order), _PART):
        part = order[start : start + _PART]
        for place, (here, there) in enumerate(
            zip(source[part].tolist(), target[part].tolist(), strict=True), start
        ):
            if not used[here] and not taken[there]:
                used[here] = taken[there] = kept[place] = 1
    chosen = order[np.frombuffer(kept, dtype=np.bool_)]
    return Pairs(source[chosen], target[chosen], score[chosen])


def expand(
    pairs: Pairs,
    source: tuple[Sequence[str], Sequence[int]],
    target: tuple[Sequence[str], Sequence[int]],
) -> dict[tuple[str, str], float]:
    """Return the score of every pair of ids (source, target) whose texts are paired, best first.

    A side is its ids and the place of each one's text, as ``deduplicate`` gave it. Gold pairs name
    ids; to keep one id a text would lose those of its copies.
    """
    sources, targets = _holders(*source), _holders(*target)
    return {
        (one, other): score
        for here, there, score in zip(
            pairs.source.tolist(), pairs.target.tolist(), pairs.score.tolist(), strict=True
        )
        for one in sources[here]
        for other in targets[there]
    }


def _holders(ids: Sequence[str], places: Sequence[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for identifier, place in zip(ids, places, strict=True):
        found.setdefault(place, []).append(identifier)
    return found
