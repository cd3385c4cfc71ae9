"""Predicts the examples of a split with a trained model, and scores what it predicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from runtime.batches import Examples, scoring_batches
from runtime.kinds import TRAINED
from runtime.kinds.dual_encoder import Pool
from runtime.model import Model
from runtime.rows import GROUP


def score(
    data: Examples, task: Mapping[str, Any], predicted: Mapping[str, list[Any]], language: str
) -> dict[str, float]:
    """Return the scores of predictions, the one that counts first.

    Where examples know which split of the source they are from, as the rounds of ANLI, the first
    score is also given for each of these, as ``accuracy.test_r1``.
    """
    kind = TRAINED[data.kind]
    scores = kind.score(task, data, predicted, language)
    name = next(iter(scores))
    groups: list[str] = data.more.get(GROUP, [])
    for group in dict.fromkeys(groups):
        rows = [row for row, own in enumerate(groups) if own == group]
        some = replace(data, labels=[data.labels[row] for row in rows], more={})
        found = {column: [values[row] for row in rows] for column, values in predicted.items()}
        scores[f"{name}.{group}"] = kind.score(task, some, found, language)[name]
    return scores


def predict(
    model: Model,
    data: Examples,
    task: Mapping[str, Any],
    batch: int,
    device: torch.device,
    pool: Pool | None = None,
    head: str = "head",
    shared: Accelerator | None = None,
) -> dict[str, list[Any]]:
    """Return the columns of the predictions, a row per example, as the module of the kind says.

    ``pool`` is what the queries of a dual encoder search in; the rest is as in ``decoded``.
    """
    found = decoded(model, data, task, batch, device, head, shared)
    return TRAINED[data.kind].predictions(found, data, task, pool)


def decoded(
    model: Model,
    data: Examples,
    task: Mapping[str, Any],
    batch: int,
    device: torch.device,
    head: str = "head",
    shared: Accelerator | None = None,
) -> list[Any]:
    """Return what the model says of each sequence, as the ``decode`` of the kind gives it.

    ``batch`` counts sequences, ``head`` is the name of the head. With ``shared`` the processes take
    batches in turn, each sequence is predicted once, and all get all predictions.
    """
    rank, world = (shared.process_index, shared.num_processes) if shared else (0, 1)
    kind = TRAINED[data.kind]
    found: list[Any] = [None] * len(data.input_ids)
    model.eval()
    with torch.inference_mode():
        for chunk in islice(scoring_batches(data, kind.present, batch), rank, None, world):
            chunk = chunk.to(device)
            logits = model(chunk.input_ids, chunk.attention_mask, chunk.chosen, head)
            values = kind.decode(logits, chunk, data, task)
            for sequence, value in zip(chunk.rows, values, strict=True):
                found[sequence] = value
    if world > 1:
        own = [(place, value) for place, value in enumerate(found) if value is not None]
        for place, value in gather_object(own):
            found[place] = value
    return found
