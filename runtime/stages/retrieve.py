"""Scores what is found by sentence vectors, from the encoder as it stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from compiler.plan import Stage
from runtime.inputs import prepared
from runtime.kinds import FOUND
from runtime.session import Session
from runtime.vectors import Encoder


def run(
    session: Session, stage: Stage, part: str, folder: Path, tell: Callable[..., None]
) -> dict[str, Any]:
    """Write ``predictions.parquet`` (its columns are the kind's) and return the scores."""
    tell(part=part)
    encoder = Encoder(
        backbone(session, stage),
        str(stage.identity["pooling"]),
        session.pad(stage),
        int(session.plan.execution["evaluation_batch"]),
        session.accelerator.device,
        session.scratch,
    )
    task = session.task(stage)
    parts = {
        name.split(".")[0]: session.frame(stage.inputs["data"], name)
        for name in prepared(stage, part)
    }
    found, predictions = FOUND[str(task["kind"])].find(
        task, parts, encoder, float(stage.identity["depth"])
    )
    predictions.write_parquet(folder / "predictions.parquet")
    value = next(iter(found["scores"].values()))
    return {"metric": stage.identity["metric"], "value": value} | found | session.origin(stage)


def backbone(session: Session, stage: Stage) -> nn.Module:
    """Return the backbone as pretrained or as an intermediate left it, loaded once a stage."""
    if session.loaded is None or session.loaded[0] != stage.key:
        found, _ = session.grown(stage, stage.inputs.get("weights"))
        session.loaded = (stage.key, found)
    return session.loaded[1]
