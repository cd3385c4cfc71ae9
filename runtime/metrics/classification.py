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
