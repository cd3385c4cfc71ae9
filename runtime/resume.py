"""How far a training has come, and how that is put into a checkpoint and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from runtime.checkpoint import Checkpoints
from runtime.model import Model
from runtime.sharding import gathered, scattered


@dataclass
class Progress:
    """How far a training has come, as a checkpoint holds it beside weights and optimizer."""

    step: int = 0
    losses: list[float] = field(default_factory=list)
    scores: list[dict[str, float]] = field(default_factory=list)
    best: float | None = None
    tokens: int = 0
    seconds: float = 0.0
    resumed: list[int] = field(default_factory=list)
    scaler: dict[str, Any] = field(default_factory=dict)

    @property
    def stale(self) -> int:
        """The dev scores since the best one."""
        values = [score["value"] for score in self.scores]
        return len(values) - 1 - values.index(max(values)) if values else 0


def keep(
    checkpoints: Checkpoints,
    now: Progress,
    weights: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    best: Mapping[str, Tensor],
    mean: Mapping[str, Tensor],
    main: bool = True,
) -> None:
    """Write a checkpoint; of several processes the ``main`` one does.

    Those that have parts of a divided model all call it, and give their parts. What later steps
    draw depends on the seed and their number, so that no random state is in it.
    """
    now.scaler = scaler.state_dict()
    tensors = {
        f"{kind}/{name}": value
        for kind, found in (("weights", weights), ("best", best), ("mean", mean))
        for name, value in found.items()
    }
    whole = gathered(tensors | moments(optimizer), main)
    if main:
        checkpoints.save(now.step, whole, asdict(now))


def moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return what an optimizer knows of each weight, by names that tell it from the weights."""
    return {
        f"optimizer/{number}/{name}": value
        for number, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def put_back(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimizer what ``moments`` returned, out of all tensors of a checkpoint."""
    state: dict[int, dict[str, Tensor]] = {}
    for place, value in tensors.items():
        kind, _, rest = place.partition("/")
        if kind == "optimizer":
            number, _, name = rest.partition("/")
            state.setdefault(int(number), {})[name] = value
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state = {
        number: {name: scattered(value, weights[number]) for name, value in known.items()}
        for number, known in state.items()
    }
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def restored(
    found: tuple[Mapping[str, Tensor], Mapping[str, Any]],
    model: Model,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    best: dict[str, Tensor],
    mean: dict[str, Tensor],
) -> Progress:
    """Put the state of a checkpoint back, in place, and return how far it had come."""
    tensors, body = found
    own = model.state_dict()
    kinds: dict[str, dict[str, Tensor]] = {"weights": {}, "best": {}, "mean": {}}
    for place, value in tensors.items():
        kind, name = place.split("/", 1)
        if kind != "optimizer":
            kinds[kind][name] = scattered(value, own[name])
    model.load_state_dict(kinds["weights"], strict=False)
    put_back(optimizer, tensors)
    device = next(model.parameters()).device
    best.update({name: value.to(device) for name, value in kinds["best"].items()})
    mean.update({name: value.to(device) for name, value in kinds["mean"].items()})
    now = Progress(**{name: body[name] for name in Progress.__dataclass_fields__})
    if now.scaler:
        scaler.load_state_dict(now.scaler)
    now.resumed.append(now.step)
    return now
