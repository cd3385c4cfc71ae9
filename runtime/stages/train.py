"""Trains a model on the English data of one task, from pretrained or earlier weights."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from compiler.plan import Stage
from runtime.batches import Examples
from runtime.loop import train, trained_state
from runtime.model import Tagger, dropouts, hub_commit
from runtime.session import Session


def run(
    session: Session, stage: Stage, part: str, folder: Path, tell: Callable[..., None]
) -> dict[str, Any]:
    """Write ``weights.safetensors`` (what training could change) and return what happened.

    The backbone of an earlier phase is taken over whole; its head is not: heads are new in every
    phase, drawn from the stage's seed.
    """
    identity = stage.identity
    task = session.plan.tasks[stage.task]
    training = identity["training"]
    seed = int(identity["seed"])
    backbone = session.backbone(stage.model)
    start = stage.inputs.get("start")
    if start is not None:
        take_backbone(backbone, session.weights(start))
    torch.manual_seed(seed)
    model = new_model(backbone, stage, session).to(session.accelerator.device)
    train_part, dev_part = identity["data"]
    data = session.examples(stage, train_part)
    if identity.get("labels_shuffled"):
        data = shuffled(data, seed)
    result = train(
        model,
        data,
        session.examples(stage, dev_part),
        task,
        training,
        seed,
        session.accelerator,
        int(session.plan.execution["evaluation_batch"]),
        tell,
    )
    state = {
        name: value.detach().cpu().contiguous() for name, value in trained_state(model).items()
    }
    save_file(state, folder / "weights.safetensors")
    session.accelerator.free_memory()
    commit = hub_commit(session.plan.models[stage.model]["checkpoint"])
    return result | ({"checkpoint_commit": commit} if commit else {})


def shuffled(data: Examples, seed: int) -> Examples:
    """Return the examples with each other's labels: a placebo that teaches texts, not the task.

    Tags are shuffled within a sentence, so that every example keeps its length.
    """
    draw = random.Random(f"placebo/{seed}")
    if data.kind == "sequence_classification":
        labels = draw.sample(data.labels, len(data.labels))
    else:
        labels = [draw.sample(tags, len(tags)) for tags in data.labels]
    return replace(data, labels=labels)


def new_model(backbone: nn.Module, stage: Stage, session: Session) -> Tagger:
    """Put a new head for the stage's task on a backbone."""
    training = stage.identity.get("training", {})
    task = session.plan.tasks[stage.task]
    dropout = training.get("dropout")
    if dropout is not None:
        for module in dropouts(backbone):
            module.p = dropout
    pooling = str(session.plan.models[stage.model]["pooling"])
    return Tagger(
        backbone, task["kind"], len(task["labels"]), pooling, 0.1 if dropout is None else dropout
    )


def take_backbone(backbone: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Load the backbone of a training stage's weights; raises ValueError on a name too many."""
    prefix = "backbone."
    state = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    found = backbone.load_state_dict(state, strict=False)
    if found.unexpected_keys:
        raise ValueError(f"weights of another model: {', '.join(found.unexpected_keys[:5])}")
