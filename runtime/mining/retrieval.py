"""Scores retrieval among aligned pairs, row i of one side belonging to row i of the other."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from runtime.mining.embeddings import Vectors
from runtime.mining.pairs import Margin, margins
from runtime.mining.search import BLOCK, Nearest, neighbours

KINDS: dict[Margin, str] = {"absolute": "", "ratio": "_margin", "distance": "_distance"}
"""The end of a score's name by what it ranks by."""


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
    found = neighbours(source, target, k, block=block, device=device)
    scores: dict[str, float] = {}
    for kind, name in KINDS.items():
        forward, backward = margins(found, kind)
        official, reverse = _right(found.backward, backward), _right(found.forward, forward)
        scores[f"top1{name}"] = official
        scores[f"top1_reverse{name}"] = reverse
        scores[f"top1_both{name}"] = (official + reverse) / 2
    return scores


def _right(side: Nearest, margin: NDArray[np.float64]) -> float:
    """Return how often a row ranks its partner first, of equal margins the more similar one."""
    rows = np.arange(len(margin))
    return 100.0 * float((side.rows[rows, margin.argmax(axis=1)] == rows).mean())
