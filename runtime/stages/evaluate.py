"""Scores a trained model on the test split of its task in one language."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import polars as pl
import torch
from accelerate.utils import broadcast_object_list

from compiler.errors import StoreDamaged
from compiler.plan import Stage, language_of
from runtime.adapters import unset
from runtime.batches import Examples, joined, present, scoring_batches
from runtime.inputs import needs
from runtime.invalid import DataInvalid
from runtime.kinds import TRAINED
from runtime.kinds.dual_encoder import Pool
from runtime.mining import Writer, load
from runtime.model import Model, width
from runtime.score import decoded, score
from runtime.session import Session
from runtime.sharding import shard
from runtime.stages.train import new_model
from runtime.strategy import parted
from runtime.weights import aliases

AT_ONCE = 100_000
"""Sequences that are read in one pass, at most; one language may have more."""


def run(
    session: Session, stage: Stage, part: str, folder: Path, tell: Callable[..., None]
) -> dict[str, Any]:
    """Write ``predictions.parquet`` (its columns are the kind's) and return the scores."""
    tell(part=part)
    task = session.task(stage)
    model = trained_model(session, stage, task)
    accelerator = session.accelerator
    data, found = read(session, stage, part, model, task, tell)
    pool = candidates(session, stage, model, task, tell)
    predicted = TRAINED[data.kind].predictions(found, data, task, pool)
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


def read(
    session: Session,
    stage: Stage,
    part: str,
    model: Model,
    task: Mapping[str, Any],
    tell: Callable[..., None],
) -> tuple[Examples, list[Any]]:
    """Return the examples of a part, and what was decoded of each of their sequences.

    The first part that is asked for reads those of the parts that are still to be scored too, as
    one long list, longest first: few batches are small, and little of them is padding. What is kept
    until their turn comes is what their predictions are made of.
    """
    key, kept = session.decoded
    if key != stage.key or part not in kept:
        session.decoded = ("", {})
        accelerator = session.accelerator
        shared = None if stage.identity.get("pool") else accelerator  # see ranks.shared
        parts = waiting(session, stage, part) if accelerator.is_main_process else {}
        if shared is not None and accelerator.num_processes > 1:
            names = [list(parts)]
            broadcast_object_list(names)  # what the store has may differ by now
            others = [name for name in names[0] if name not in parts]
            parts |= {name: session.examples(stage, f"test.{name}") for name in others}
        batch = int(session.plan.execution["evaluation_batch"])
        found = decoded(
            model,
            joined(list(parts.values())),
            task,
            batch,
            accelerator.device,
            shared=shared,
            tell=lambda done, of: tell(part=part, step=done, steps=of),
        )
        sizes = [len(data.input_ids) for data in parts.values()]
        ends = list(accumulate(sizes, initial=0))
        kept = {
            name: (data, found[ends[number] : ends[number + 1]])
            for number, (name, data) in enumerate(parts.items())
        }
        session.decoded = (stage.key, kept)
    return kept.pop(part)


def waiting(session: Session, stage: Stage, part: str) -> dict[str, Examples]:
    """Return what is read in one pass: the examples of a part, and of others without a record yet.

    Left out are those whose data are not there yet or not sound, which is said when it is their
    turn, and those too many. Kinds that read a sequence by its place, as that of masked texts, have
    each part alone.
    """
    found = {part: session.examples(stage, f"test.{part}")}
    many = len(found[part].input_ids)
    alone = TRAINED[found[part].kind].present is not present
    for name in () if alone else session.store.missing(stage):
        if name == part or any(session.store.record(*one) is None for one in needs(stage, name)):
            continue
        try:
            data = session.examples(stage, f"test.{name}")
        except (DataInvalid, StoreDamaged):
            continue
        if many + len(data.input_ids) <= AT_ONCE:
            found[name] = data
            many += len(data.input_ids)
    return found


def trained_model(session: Session, stage: Stage, task: Mapping[str, Any]) -> Model:
    """Return the model of a stage's ``weights`` input, loaded once for all its languages."""
    key = stage.inputs["weights"]
    if session.loaded is None or session.loaded[0] != stage.key:
        apart = parted(session.plan, stage)
        model = new_model(session.ground(key, apart), stage, session, task)
        if not apart:
            model.to(session.accelerator.device)
        found = model.load_state_dict(session.weights(key, apart), strict=False)
        missing = set(found.missing_keys)
        absent = {name for name in missing if name.startswith("head.")} | unset(model, missing)
        if found.unexpected_keys or absent - aliases(model):
            raise ValueError(f"{key} has weights of another model")
        if apart:
            shard(model, session.accelerator)
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
