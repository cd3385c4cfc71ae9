"""Predicts the examples of a split with a trained model, and scores what it predicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from runtime.batches import Examples, scoring_batches
from runtime.kinds import TRAINED
from runtime.kinds.dual_encoder import Pool
from runtime.model import Model
from runtime.rows import GROUP
from runtime.sharding import divided, reshard


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

    ``pool`` is what the queries of a dual encoder search in; all else is as in ``decoded``.
    """
    found = decoded(model, data, task, batch, device, head=head, shared=shared)
    return TRAINED[data.kind].predictions(found, data, task, pool)


def decoded(
    model: Model,
    data: Examples,
    task: Mapping[str, Any],
    batch: int,
    device: torch.device,
    head: str = "head",
    shared: Accelerator | None = None,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> list[Any]:
    """Return what the kind's ``decode`` keeps of each sequence, in order: never all logits.

    ``batch`` counts sequences, see ``scoring_batches``; ``head`` is the name of the head. With
    ``shared`` the processes take batches in turn, each sequence is predicted once, and all get all
    predictions. Where the model is divided among them each waits for the parts that the others
    have: one that has no batch left does the last one again, for nothing. ``tell`` hears of the
    sequences that are done.
    """
    rank, world = (shared.process_index, shared.num_processes) if shared else (0, 1)
    kind = TRAINED[data.kind]
    found: list[Any] = [None] * len(data.input_ids)
    parted = divided(model)
    model.eval()
    done = 0
    with torch.no_grad() if parted else torch.inference_mode():
        for number, chunk in enumerate(scoring_batches(data, kind.present, batch)):
            done += len(chunk.rows)
            mine = number % world == rank
            last = parted and done == len(data.input_ids) and number % world < rank
            if not mine and not last:
                continue
            put = chunk.to(device)
            logits = model(put.input_ids, put.attention_mask, put.chosen, head)
            if mine:
                values = kind.decode(logits, put, data, task)
                for sequence, value in zip(chunk.rows, values, strict=True):
                    found[sequence] = value
            tell(done, len(data.input_ids))
    if parted:
        reshard(model)
    if world > 1:
        some = [(place, value) for place, value in enumerate(found) if value is not None]
        for place, value in gather_object(some):
            found[place] = value
    return found
