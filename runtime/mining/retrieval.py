"""Scores retrieval among aligned pairs, row i of one side belonging to row i of the other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from runtime.mining.embeddings import Vectors
from runtime.mining.pairs import Margin, margins
from runtime.mining.search import BLOCK, Nearest, neighbours

KINDS: dict[Margin, str] = {"absolute": "", "ratio": "_margin", "distance": "_distance"}
"""The end of a score's name by what it ranks by."""


class Picked(NamedTuple):
    """What each row finds first on the other side, and what it ranks by there."""

    forward: NDArray[np.int64]
    forward_score: NDArray[np.float64]
    reverse: NDArray[np.int64]
    reverse_score: NDArray[np.float64]


def picked(
    source: Vectors,
    target: Vectors,
    k: int = 4,
    *,
    block: int = BLOCK,
    device: torch.device | None = None,
) -> dict[Margin, Picked]:
    """Return what is found by each margin: ``forward`` by the rows of ``target`` (English).

    The ``k`` nearest of each query are ranked; of equal margins the more similar one comes first.
    """
    found = neighbours(source, target, k, block=block, device=device)
    result = {}
    for kind in KINDS:
        forward, backward = margins(found, kind)
        ours, theirs = _first(found.backward, backward), _first(found.forward, forward)
        result[kind] = Picked(*ours, *theirs)
    return result


def aligned(
    source: Vectors,
    target: Vectors,
    k: int = 4,
    *,
    block: int = BLOCK,
    device: torch.device | None = None,
) -> dict[str, float]:
    """Return accuracies of finding the partner, on a 0-100 scale; ``source`` is foreign.

    ``top1`` has English queries over foreign candidates by cosine, which is what XTREME's Tatoeba
    script scores; ``top1_reverse`` has foreign queries over English ones, ``top1_both`` is the mean
    of the two. Those that end in ``_margin`` and ``_distance`` rank the ``k`` nearest of each query
    by ratio and by distance margin instead, as LASER's ``xsim`` does.
    Raises ValueError when the sides are empty or differ in length.
    """
    if not len(source) or len(source) != len(target):
        raise ValueError(f"no aligned pairs: {len(source)} rows and {len(target)} rows")
    scores: dict[str, float] = {}
    for kind, found in picked(source, target, k, block=block, device=device).items():
        name = KINDS[kind]
        official, reverse = _right(found.forward), _right(found.reverse)
        scores[f"top1{name}"] = official
        scores[f"top1_reverse{name}"] = reverse
        scores[f"top1_both{name}"] = (official + reverse) / 2
    return scores


def _first(
    side: Nearest, margin: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    rows, best = np.arange(len(margin)), margin.argmax(axis=1)
    return side.rows[rows, best], margin[rows, best]


def _right(found: NDArray[np.int64]) -> float:
    """Return how often a row finds its partner."""
    return 100.0 * float((found == np.arange(len(found))).mean())
