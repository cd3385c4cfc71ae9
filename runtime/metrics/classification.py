"""Scores one label for each example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.metrics.pairing import pair


def accuracy(gold: Mapping[str, Any], predicted: Mapping[str, Any]) -> dict[str, float]:
    """Return the share of examples whose label is right, as XTREME scores XNLI, PAWS-X and XCOPA.

    Labels are by id, and may be names or indices, but the same on both sides. A missing
    prediction is wrong.

    Raises:
        ValueError: there is nothing to score, or a prediction is for no example.
    """
    found = pair(gold, predicted)
    return {"accuracy": 100.0 * sum(bool(a == b) for a, b in found) / len(found)}


def f1(gold: Mapping[str, Any], predicted: Mapping[str, Any], label: Any) -> dict[str, float]:
    """Return the F1 of one label, as GLUE shows for the duplicates of QQP (arXiv:1804.07461).

    A missing prediction is none of this label. The F1 is 0 where no example is both.

    Raises:
        ValueError: as ``accuracy``.
    """
    found = pair(gold, predicted)
    both = sum(bool(a == label and b == label) for a, b in found)
    either = sum(bool(a == label) + bool(b == label) for a, b in found)
    return {"f1": 100.0 * 2 * both / either if both else 0.0}
