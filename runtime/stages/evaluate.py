"""Scores a trained model on the test split of its task, all languages in one pass.

Each language is a part of the stage with a record of its own. The first one that is asked for is
predicted together with those that are still missing: sequences of all of them fill the batches,
sorted by length. What is predicted for the others waits in the session until they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import torch

from compiler.errors import StoreDamaged
from compiler.plan import Stage, language_of
from runtime.adapters import unset
from runtime.batches import Examples, present, scoring_batches, together
from runtime.invalid import DataInvalid
from runtime.kinds import TRAINED
from runtime.kinds.dual_encoder import Pool
from runtime.mining import Writer, load
from runtime.model import Model, width
from runtime.score import decoded, predict, score
from runtime.session import Session
from runtime.stages.train import new_model
from runtime.weights import aliases

PASS = 100_000
"""Sequences of other languages, at most, that are predicted with those of one language."""


def run(
    session: Session, stage: Stage, part: str, folder: Path, tell: Callable[..., None]
) -> dict[str, Any]:
    """Write ``predictions.parquet`` (its columns are the kind's) and return the scores."""
    tell(part=part)
    task = session.task(stage)
    model = trained_model(session, stage, task)
    data = session.examples(stage, f"test.{part}")
    batch = int(session.plan.execution["evaluation_batch"])
    pool = candidates(session, stage, model, task, tell)
    accelerator = session.accelerator
    if pool is None:
        found = foreseen(session, stage, part, data, task, model)
        predicted = TRAINED[data.kind].predictions(found, data, task)
    else:  # the main process does this alone, see ranks.shared
        predicted = predict(model, data, task, batch, accelerator.device, pool)
    scores = score(data, task, predicted, language_of(part))
    ids = session.frame(stage.inputs["data"], f"test.{part}")["id"]
    if len(ids) > len(data):  # several rows for an example
        ids = ids.unique(maintain_order=True)
    if accelerator.is_main_process:
        pl.DataFrame({"id": ids, "gold": data.labels} | predicted).write_parquet(
            folder / "predictions.parquet"
        )
    value = next(iter(scores.values()))
    return {"metric": stage.identity["metric"], "value": value, "n": len(data), "scores": scores}


def foreseen(
    session: Session,
    stage: Stage,
    part: str,
    data: Examples,
    task: Mapping[str, Any],
    model: Model,
) -> list[Any]:
    """Return what the model says of each sequence of a part, predicted with the parts after it.

    A pass has at most ``PASS`` sequences beside those of the first part.
    """
    if session.foreseen[0] != stage.key or part not in session.foreseen[1]:
        parts = {part: data}
        for other in session.agreed(_others(session, stage, part)):
            parts[other] = session.examples(stage, f"test.{other}")
        device, batch = session.accelerator.device, int(session.plan.execution["evaluation_batch"])
        every = together([*parts.values()])
        found = decoded(model, every, task, batch, device, shared=session.accelerator)
        values = iter(found)
        split = {name: list(islice(values, len(own.input_ids))) for name, own in parts.items()}
        session.foreseen = (stage.key, split)
    return session.foreseen[1].pop(part)


def _others(session: Session, stage: Stage, part: str) -> list[str]:
    """Name the missing parts after one, of those that can be read, up to ``PASS`` sequences."""
    wanted, room = session.store.missing(stage), PASS
    found: list[str] = []
    for other in wanted[wanted.index(part) + 1 :] if part in wanted else ():
        try:
            room -= len(session.examples(stage, f"test.{other}").input_ids)
        except (DataInvalid, StoreDamaged):
            continue  # when its own turn comes, this is the failure of that part
        if room < 0:
            break
        found.append(other)
    return found


def trained_model(session: Session, stage: Stage, task: Mapping[str, Any]) -> Model:
    """Return the model of a stage's ``weights`` input, loaded once for all its languages."""
    key = stage.inputs["weights"]
    if session.loaded is None or session.loaded[0] != stage.key:
        model = new_model(session.ground(key), stage, session, task).to(session.accelerator.device)
        found = model.load_state_dict(session.weights(key), strict=False)
        missing = set(found.missing_keys)
        absent = {name for name in missing if name.startswith("head.")} | unset(model, missing)
        if found.unexpected_keys or absent - aliases(model):
            raise ValueError(f"{key} has weights of another model")
        session.loaded = (stage.key, model)
    loaded = session.loaded[1]
    assert isinstance(loaded, Model)
    return loaded


def candidates(
    session: Session,
    stage: Stage,
    model: Model,
    task: Mapping[str, Any],
    tell: Callable[..., None],
) -> Pool | None:
    """Return what the queries of a stage search in, embedded once for all its languages.

    None when the plan names no pool. The vectors are a memory map of float16 in a folder that goes
    with the process: a million of 1,024 numbers take 2 GB. Raises DataInvalid when two candidates
    have one id.
    """
    parts = tuple(stage.identity.get("pool", ()))
    if not parts:
        return None
    place = (stage.key, *parts)
    if session.pool is None or session.pool[0] != place:
        session.pool = None
        splits = [session.examples(stage, part) for part in parts]
        ids = [name for data in splits for name in data.labels]
        if len(set(ids)) < len(ids):
            raise DataInvalid("two candidates of the pool have the same id")
        path = session.scratch("pool") / "vectors.npy"
        size = int(session.plan.execution["evaluation_batch"])
        done = 0
        model.eval()
        with torch.inference_mode(), Writer(path, len(ids), width(model.backbone)) as file:
            for data in splits:
                for chunk in scoring_batches(data, present, size):
                    chunk = chunk.to(session.accelerator.device)
                    found = model(chunk.input_ids, chunk.attention_mask)
                    file.put([done + row for row in chunk.rows], found)
                    tell(part="pool", step=done + len(chunk.rows), steps=len(ids))
                done += len(data)
        session.pool = (place, Pool(ids, load(path), session.accelerator.device))
    return session.pool[1]
