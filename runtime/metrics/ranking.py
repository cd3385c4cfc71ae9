"""Scores ranked lists of candidates."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence

from runtime.metrics.pairing import pair

Relevant = Mapping[str, Collection[str]]
"""The ids of the candidates that answer a query, by the id of the query."""

Ranked = Mapping[str, Sequence[str]]
"""The ids of the candidates found for a query, the best first, by the id of the query."""


def map_at_k(relevant: Relevant, ranked: Ranked, k: int = 20) -> dict[str, float]:
    """Return mean average precision over the first ``k`` candidates, LAReQA's score.

    The average precision of a query is the sum of the precision at each relevant candidate among
    the first ``k``, over min(number of relevant ones, k), so that a perfect list scores 100 even if
    more than ``k`` are relevant (arXiv:2004.05484; XTREME-R has k = 20). A list may be shorter than
    ``k``; a query without a list scores 0.

    Raises:
        ValueError: there is nothing to score, a list is for no query, a query has nothing
            relevant, the first ``k`` of a list name a candidate twice, or ``k`` is below 1.
    """

    def precision(found: Sequence[str], right: set[str]) -> float:
        hits = [rank for rank, name in enumerate(found, 1) if name in right]
        return math.fsum(n / rank for n, rank in enumerate(hits, 1)) / min(len(right), k)

    return {f"map_at_{k}": _mean(relevant, ranked, k, precision)}


def mrr_at_k(relevant: Relevant, ranked: Ranked, k: int = 20) -> dict[str, float]:
    """Return the mean of 1 / rank of the first relevant candidate, 0 if it is not in the first k.

    This is Mewsli-X's score in XTREME-R, with k = 20 (arXiv:2104.07412); with one relevant
    candidate a query it equals ``map_at_k``.

    Raises:
        ValueError: as ``map_at_k``.
    """

    def reciprocal(found: Sequence[str], right: set[str]) -> float:
        return next((1 / rank for rank, name in enumerate(found, 1) if name in right), 0.0)

    return {f"mrr_at_{k}": _mean(relevant, ranked, k, reciprocal)}


def _mean(
    relevant: Relevant, ranked: Ranked, k: int, one: Callable[[Sequence[str], set[str]], float]
) -> float:
    if k < 1:
        raise ValueError(f"a list has a first candidate: k is {k}")
    points = []
    for (right, found), name in zip(pair(relevant, ranked), relevant, strict=True):
        if not right:
            raise ValueError(f"nothing is relevant to the query `{name}`")
        first = [] if found is None else found[:k]
        if len(set(first)) < len(first):
            raise ValueError(f"the list of the query `{name}` names a candidate twice")
        points.append(one(first, set(right)))
    return 100.0 * math.fsum(points) / len(points)
