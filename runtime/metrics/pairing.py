"""Brings gold values and predictions together by id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Gold = TypeVar("Gold")
Predicted = TypeVar("Predicted")


def pair(
    gold: Mapping[str, Gold], predicted: Mapping[str, Predicted]
) -> list[tuple[Gold, Predicted | None]]:
    """Return each gold value with its prediction, in the order of gold; None where there is none.

    A metric counts None as wrong: an example that a model skipped must not leave the average.

    Raises:
        ValueError: there is nothing to score, or a prediction is for no example.
    """
    if not gold:
        raise ValueError("there is nothing to score")
    extra = sorted(predicted.keys() - gold.keys())
    if extra:
        raise ValueError(f"{len(extra)} predictions are for no example, the first for `{extra[0]}`")
    return [(value, predicted.get(name)) for name, value in gold.items()]
