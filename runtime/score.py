"""Predicts the examples of a split with a trained model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from runtime.batches import Examples, scoring_batches
from runtime.kinds import TRAINED
from runtime.kinds.dual_encoder import Pool
from runtime.model import Model


def predict(
    model: Model,
    data: Examples,
    task: Mapping[str, Any],
    batch: int,
    device: torch.device,
    pool: Pool | None = None,
) -> dict[str, list[Any]]:
    """Return the columns of the predictions, a row per example, as the module of the kind says.

    ``batch`` counts sequences; ``pool`` is what the queries of a dual encoder search in.
    """
    kind = TRAINED[data.kind]
    found: list[Any] = [None] * len(data.input_ids)
    model.eval()
    with torch.inference_mode():
        for chunk in scoring_batches(data, kind.present, batch):
            chunk = chunk.to(device)
            logits = model(chunk.input_ids, chunk.attention_mask, chunk.chosen)
            decoded = kind.decode(logits, chunk, data, task)
            for sequence, value in zip(chunk.rows, decoded, strict=True):
                found[sequence] = value
    return kind.predictions(found, data, task, pool)
