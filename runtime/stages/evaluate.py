"""Scores a trained model on the test split of its task in one language."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from compiler.plan import Stage
from runtime.model import Tagger
from runtime.score import predict, score
from runtime.session import Session
from runtime.stages.train import new_model


def run(
    session: Session, stage: Stage, part: str, folder: Path, tell: Callable[..., None]
) -> dict[str, Any]:
    """Write ``predictions.parquet`` (id, gold, predicted) and return the scores."""
    tell(part=part)
    model = trained_model(session, stage)
    data = session.examples(stage, f"test.{part}")
    task = session.plan.tasks[stage.task]
    batch = int(session.plan.execution["evaluation_batch"])
    predicted = predict(model, data, batch, session.accelerator.device)
    scores = score(task["metric"], data.labels, predicted, task["labels"])
    ids = session.frame(stage.inputs["data"], f"test.{part}")["id"]
    pl.DataFrame({"id": ids, "gold": data.labels, "predicted": predicted}).write_parquet(
        folder / "predictions.parquet"
    )
    metric = str(stage.identity["metric"])
    return {"metric": metric, "value": scores[metric], "n": len(data), "scores": scores}


def trained_model(session: Session, stage: Stage) -> Tagger:
    """Return the model of a stage's ``weights`` input, loaded once for all its languages."""
    key = stage.inputs["weights"]
    if session.loaded is None or session.loaded[0] != stage.key:
        backbone = session.backbone(stage.model)
        model = new_model(backbone, stage, session).to(session.accelerator.device)
        found = model.load_state_dict(session.weights(key), strict=False)
        if found.unexpected_keys or "head.weight" in found.missing_keys:
            raise ValueError(f"{key} has weights of another model")
        session.loaded = (stage.key, model)
    loaded = session.loaded[1]
    assert isinstance(loaded, Tagger)
    return loaded
