"""Scores mined pairs of sentences, and finds the threshold above which a pair is accepted."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping

Pair = tuple[str, str]
"""The ids of two sentences that are translations of each other, the foreign one first."""


def mining_f1(gold: Collection[Pair], predicted: Collection[Pair]) -> dict[str, float]:
    """Return F1, precision and recall of a set of pairs, BUCC's score; a repeated pair counts once.

    Raises:
        ValueError: there are no gold pairs.
    """
    right, found = set(gold), set(predicted)
    if not right:
        raise ValueError("there is nothing to score: no gold pairs")
    shared = len(right & found)
    return {
        "mining_f1": 100.0 * 2 * shared / (len(right) + len(found)),
        "precision": 100.0 * shared / len(found) if found else 0.0,
        "recall": 100.0 * shared / len(right),
    }


def accepted(scores: Mapping[Pair, float], threshold: float) -> set[Pair]:
    """Return the pairs whose score reaches the threshold."""
    # As Python's floats: a float32 would round the threshold to its own precision.
    return {pair for pair, score in scores.items() if float(score) >= threshold}


def best_threshold(scores: Mapping[Pair, float], gold: Collection[Pair]) -> float:
    """Return the threshold that maximises F1 of ``accepted`` on the pairs of a dev split.

    Pairs of one score are accepted together. The threshold lies halfway to the next lower score,
    and at the lowest score itself if all are accepted: XTREME's ``bucc_optimize`` reads one past
    the end there. Of equally good thresholds the highest wins, so nothing gold among the pairs
    accepts only the best of them.

    Raises:
        ValueError: there are no pairs, no gold pairs, or a score is not finite.
    """
    right = set(gold)
    if not right:
        raise ValueError("a threshold cannot be found without gold pairs")
    if not scores:
        raise ValueError("a threshold cannot be found without mined pairs")
    if not all(map(math.isfinite, scores.values())):
        raise ValueError("the score of a pair is not finite")
    order = sorted(((pair, float(score)) for pair, score in scores.items()), key=lambda p: -p[1])
    best, threshold, shared = -1.0, 0.0, 0
    for taken, (pair, score) in enumerate(order, 1):
        shared += pair in right
        after = order[taken][1] if taken < len(order) else None
        if after == score:
            continue
        f1 = 2 * shared / (taken + len(right))
        if f1 > best:
            best, threshold = f1, score if after is None else _halfway(score, after)
    return threshold


def half(name: str) -> int:
    """Return 0 or 1: the half that a foreign sentence belongs to, by its id alone.

    A hash decides and not the place in a list, so that the halves are the same for every model.
    """
    return hashlib.sha256(name.encode()).digest()[0] % 2


def crossfit(scores: Mapping[Pair, float], gold: Collection[Pair]) -> dict[str, float]:
    """Return the scores of ``mining_f1`` with a threshold that never saw what it is applied to.

    The foreign sentences fall into two halves; each half is cut at the threshold that is best on
    the other one, and the pairs of both together are scored. For data without a dev split. Keys
    also are ``threshold_0`` and ``threshold_1``, those applied to either half.

    Raises:
        ValueError: a half has no pairs or no gold pairs, or a score is not finite.
    """
    found: set[Pair] = set()
    thresholds = {}
    for part in (0, 1):
        own = {pair: score for pair, score in scores.items() if half(pair[0]) == part}
        other = {pair: score for pair, score in scores.items() if half(pair[0]) != part}
        threshold = best_threshold(other, [pair for pair in gold if half(pair[0]) != part])
        found |= accepted(own, threshold)
        thresholds[f"threshold_{part}"] = threshold
    return mining_f1(gold, found) | thresholds


def _halfway(above: float, below: float) -> float:
    """Return the middle of two scores; the upper one where no number lies between, or it is inf."""
    middle = (above + below) / 2
    return middle if below < middle <= above else above
