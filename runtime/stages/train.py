"""Trains a model on the English data of one task, from pretrained or earlier weights."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from compiler.identity import digest
from compiler.plan import Stage
from runtime.batches import Examples
from runtime.kinds import TRAINED
from runtime.loop import train, trained_state
from runtime.model import Model, dropouts, hub_commit
from runtime.session import LABELS, Session


def run(
    session: Session, stage: Stage, part: str, folder: Path, tell: Callable[..., None]
) -> dict[str, Any]:
    """Write ``weights.safetensors`` (what differs from the checkpoint) and return what happened.

    The backbone of an earlier phase is taken over whole; its head is not: heads are new in every
    phase, but that of a masked language model, which is the checkpoint's own where it has one.
    Head, order and dropout are drawn from the stage's key, so that the runs of two arms, tasks or
    sizes with one seed share no noise: the statistics take them as independent.
    """
    identity = stage.identity
    task = session.task(stage)
    training = identity["training"]
    stream = int(digest(stage.key)[:12], 16) % 2**31
    backbone = session.backbone(stage.model)
    start = stage.inputs.get("start")
    carried: set[str] = set()
    if start is not None:
        earlier = session.weights(start)
        take_backbone(backbone, earlier)
        carried = {name for name in earlier if name.startswith("backbone.")}
    torch.manual_seed(stream)
    model = new_model(backbone, stage, session, task).to(session.accelerator.device)
    data, *dev = (session.examples(stage, part) for part in identity["data"])
    if identity.get("labels_shuffled"):
        data = shuffled(data, stream)
    result = train(
        model,
        data,
        dev[0] if dev else None,
        task,
        training,
        stream,
        session.accelerator,
        int(session.plan.execution["evaluation_batch"]),
        tell,
    )
    # What an earlier phase changed stays changed, also where this phase has it frozen.
    changed = carried | set(trained_state(model))
    state = {
        name: value.detach().cpu().contiguous()
        for name, value in model.state_dict().items()
        if name in changed
    }
    save_file(state, folder / "weights.safetensors")
    if task.get("labels_from"):
        (folder / LABELS).write_text(json.dumps(task["labels"]), encoding="utf-8")
    session.accelerator.free_memory()
    commit = hub_commit(session.plan.models[stage.model]["checkpoint"])
    return result | ({"checkpoint_commit": commit} if commit else {})


def shuffled(data: Examples, seed: int) -> Examples:
    """Return the examples with each other's labels: a placebo that teaches texts, not the task."""
    return TRAINED[data.kind].shuffled(data, random.Random(f"placebo/{seed}"))


def new_model(
    backbone: nn.Module, stage: Stage, session: Session, task: Mapping[str, Any] | None = None
) -> Model:
    """Put a new head for the stage's task on a backbone."""
    training = stage.identity.get("training", {})
    task = session.task(stage) if task is None else task
    dropout = training.get("dropout")
    if dropout is not None:
        for module in dropouts(backbone):
            module.p = dropout
    model = session.plan.models[stage.model]
    kind = TRAINED[str(task["kind"])]
    head = kind.head(backbone, task, model)
    pooling, rate = str(model["pooling"]), 0.1 if dropout is None else dropout
    return Model(backbone, head, kind.logits, pooling, rate)


def take_backbone(backbone: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Load the backbone of a training stage's weights; raises ValueError on a name too many."""
    prefix = "backbone."
    state = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    found = backbone.load_state_dict(state, strict=False)
    if found.unexpected_keys:
        raise ValueError(f"weights of another model: {', '.join(found.unexpected_keys[:5])}")
