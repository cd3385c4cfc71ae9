"""Scores sentence retrieval between English and one language, from the encoder as it stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor, nn

from compiler.plan import Stage
from runtime.batches import pad
from runtime.model import hub_commit, pool
from runtime.score import nearest, top1
from runtime.session import Session
from runtime.stages.train import take_backbone


def run(
    session: Session, stage: Stage, part: str, folder: Path, tell: Callable[..., None]
) -> dict[str, Any]:
    """Write ``predictions.parquet`` and return the scores at the plan's depth, and at every depth.

    Depth is a share of the layers, so that sizes of different depth are treated alike.
    """
    tell(part=part)
    backbone = encoder(session, stage)
    frame = session.frame(stage.inputs["data"], f"test.{part}")
    source = embed(session, stage, backbone, frame["source_ids"].to_list())
    target = embed(session, stage, backbone, frame["target_ids"].to_list())
    layers = len(source) - 1
    chosen = round(float(stage.identity["depth"]) * layers)
    scores = top1(source[chosen], target[chosen])
    found = nearest(target[chosen], source[chosen]).tolist()
    pl.DataFrame({"id": frame["id"], "gold": range(len(found)), "predicted": found}).write_parquet(
        folder / "predictions.parquet"
    )
    metric = str(stage.identity["metric"])
    commit = hub_commit(session.plan.models[stage.model]["checkpoint"])
    sweep = [
        {"depth": round(layer / max(1, layers), 4), **top1(source[layer], target[layer])}
        for layer in range(layers + 1)
    ]
    return {
        "metric": metric,
        "value": scores[metric],
        "n": len(found),
        "scores": scores,
        "layers": sweep,
    } | ({"checkpoint_commit": commit} if commit else {})


def encoder(session: Session, stage: Stage) -> nn.Module:
    """Return the backbone as pretrained or as an intermediate left it, loaded once a stage."""
    if session.loaded is None or session.loaded[0] != stage.key:
        backbone = session.backbone(stage.model)
        if "weights" in stage.inputs:
            take_backbone(backbone, session.weights(stage.inputs["weights"]))
        session.loaded = (stage.key, backbone)
    return session.loaded[1]


def embed(
    session: Session, stage: Stage, backbone: nn.Module, sequences: list[list[int]]
) -> list[Tensor]:
    """Return sentence vectors (sentences, width) after the embeddings and after each layer."""
    how = str(stage.identity["pooling"])
    device = session.accelerator.device
    tokenizer_pad = session.tokenizer(stage.model).pad_token_id or 0
    size = int(session.plan.execution["evaluation_batch"])
    order = sorted(range(len(sequences)), key=lambda i: -len(sequences[i]))
    layers: list[list[Tensor]] = []
    backbone.eval()
    with torch.inference_mode():
        for start in range(0, len(order), size):
            ids, mask = pad([sequences[i] for i in order[start : start + size]], tokenizer_pad)
            ids, mask = ids.to(device), mask.to(device)
            states = backbone(
                input_ids=ids, attention_mask=mask, output_hidden_states=True
            ).hidden_states
            layers.append([pool(state, mask, how).float().cpu() for state in states])
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.tensor(order)] = torch.arange(len(order))
    return [torch.cat(chunks)[back] for chunks in zip(*layers, strict=True)]
