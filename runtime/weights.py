"""The weights of a training: which are fixed, which decay, which are kept, and their mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from compiler.training import Training
from runtime.model import Model, embeddings


def freeze(model: Model, recipe: Training) -> None:
    """Fix the weights that stay for the whole training.

    Raises ValueError when more layers shall stay than there are.
    """
    fixed = [*embeddings(model.backbone)] if recipe.freeze == "embeddings" else []
    if recipe.freeze_layers:
        stacks = [m for m in model.backbone.modules() if isinstance(m, torch.nn.ModuleList)]
        layers = max(stacks, key=len, default=torch.nn.ModuleList())
        if recipe.freeze_layers > len(layers):
            raise ValueError(f"{recipe.freeze_layers} layers shall stay, and {len(layers)} exist")
        fixed = [*embeddings(model.backbone), *layers[: recipe.freeze_layers].parameters()]
    for parameter in fixed:
        parameter.requires_grad_(False)


def computed_twice(model: Model, wanted: bool) -> None:
    """Let layers be computed again on the way back instead of kept, or not.

    Raises ValueError when the backbone cannot.
    """
    backbone: Any = model.backbone
    word = "activation" if hasattr(backbone, "activation_checkpointing_enable") else "gradient"
    if wanted and not getattr(backbone, "supports_gradient_checkpointing", False):
        raise ValueError(f"{type(backbone).__name__} has no gradient checkpointing")
    if wanted:
        getattr(backbone, f"{word}_checkpointing_enable")({"use_reentrant": False})
    elif any(getattr(module, "gradient_checkpointing", False) for module in backbone.modules()):
        getattr(backbone, f"{word}_checkpointing_disable")()


def groups(trained: list[torch.nn.Parameter], recipe: Training) -> list[dict[str, Any]]:
    """Return the weights with decay and those without, as the recipe says."""
    light = recipe.weight_decay if recipe.decay == "all" else 0.0
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": light},
    ]


def add(mean: dict[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Add weights to a sum; what is no real number is as it was last."""
    for name, value in weights.items():
        if name in mean and value.is_floating_point():
            mean[name] += value
        else:
            mean[name] = value.detach().clone()


def state_of(model: Model, names: set[str]) -> dict[str, Tensor]:
    """Return the named part of a model's state; it is the model's own, no copy."""
    return {name: value for name, value in model.state_dict().items() if name in names}


def trained_state(model: Model) -> dict[str, torch.Tensor]:
    """Return the weights that training could change: frozen ones stay with the checkpoint.

    A weight that is tied to another one, as the last matrix of a language model's head is to the
    embeddings, is in the state under the first name only.
    """
    moving = {name for name, p in model.named_parameters() if p.requires_grad}
    frozen = {name for name, _ in model.named_parameters()} - moving
    tied = aliases(model)
    return {
        name: value
        for name, value in model.state_dict().items()
        if name not in frozen and name not in tied
    }


def aliases(model: Model) -> set[str]:
    """Name the weights of a model's state that are others under a second name."""
    seen: set[int] = set()
    found = set()
    for name, value in model.state_dict(keep_vars=True).items():
        if id(value) in seen:
            found.add(name)
        seen.add(id(value))
    return found
