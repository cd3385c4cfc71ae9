"""The pretraining loop: one linear function from a built model and texts to a pretrained one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from runtime.batches import Batch, pad
from runtime.checkpoint import Checkpoints
from runtime.division import noise
from runtime.kinds import masked_lm
from runtime.loop import AHEAD, LOOK, Diverged
from runtime.model import parameter_counts
from runtime.pretraining.objectives import Learner
from runtime.pretraining.sampling import Step, steps
from runtime.pretraining.speed import Gauge
from runtime.pretraining.texts import Pair, Texts
from runtime.resume import moments, put_back
from runtime.schedule import rate
from runtime.throughput import peak

POINTS = 20
"""Points of the curve of losses that is kept; each is a mean over the steps since the last one."""


@dataclass
class Progress:
    """How far a pretraining has come, as a checkpoint holds it beside weights and optimizer."""

    step: int = 0
    losses: dict[str, list[float]] = field(default_factory=dict)
    tokens: int = 0
    seconds: float = 0.0
    resumed: list[int] = field(default_factory=list)


def pretrain(
    learner: Learner,
    texts: Texts,
    settings: Mapping[str, Any],
    seed: int,
    device: torch.device,
    tell: Callable[..., None],
    checkpoints: Checkpoints | None = None,
) -> dict[str, Any]:
    """Train ``learner`` in place, and return what happened (see ``records.Record.result``).

    ``settings`` is the identity of the stage. The batches depend on ``seed`` and the texts, masks
    and dropout on (seed, step), so a run can be repeated bit for bit, and goes on from the last of
    its ``checkpoints`` as if it had not been interrupted. It is the work of one process: pairs are
    told apart from all others of their batch, which must not be divided. Raises Diverged on a loss
    that is not finite.
    """
    total = sum(1 for _ in steps(texts, settings, seed))
    weights = {name: float(one["weight"]) for name, one in settings["objectives"].items()}
    trained, decay = list(learner.parameters()), float(settings["weight_decay"])
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ],
        fused=True,
    )
    bf16 = settings["precision"] == "bf16"

    now = Progress(losses={name: [] for name in weights})
    found = checkpoints.latest() if checkpoints else None
    if found is not None:
        now = restored(found, learner, optimizer)
    pending: list[Tensor] = []
    gauge = Gauge(learner)
    gauge.begin(now.step, peak(device, settings["precision"]))
    tell = gauge.telling(tell)
    started = time.perf_counter() - now.seconds
    looked, ahead = time.perf_counter(), 1

    learner.train()
    left = islice(steps(texts, settings, seed), now.step, None)
    for step, drawn in enumerate(left, now.step + 1):
        pace = rate(step - 1, total, settings["warmup"] * total, settings["schedule"])
        for group in optimizer.param_groups:
            group["lr"] = settings["learning_rate"] * pace
        torch.manual_seed(noise(seed, step, 0))
        masked, pairs = _batches(texts, drawn, np.random.default_rng([seed, 5, step]))
        read = {"mlm": masked, "translation_pairs": pairs}
        now.tokens += gauge.count(step, read)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            each = learner(*(x and x.to(device) for x in (masked, pairs)))
        loss = torch.stack([weights[name] * one for name, one in each.items()]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, settings["clip"])
        optimizer.step()
        optimizer.zero_grad()
        pending.append(torch.stack([loss, *(each[name] for name in weights)]).detach())
        now.step = step

        if len(pending) >= ahead or step == total:
            spent = max(time.perf_counter() - looked, 1e-9) / len(pending)
            look(pending, now, total, tell)
            ahead, looked = max(1, min(AHEAD, int(LOOK / spent))), time.perf_counter()
            if checkpoints is not None and checkpoints.due() and step < total:
                now.seconds = time.perf_counter() - started
                keep(checkpoints, now, learner, optimizer)
                looked = time.perf_counter()
    now.seconds = time.perf_counter() - started
    edge = max(1, min(10, total // 5))
    return {
        "steps": total,
        "tokens": now.tokens,
        "tokens_per_second": round(now.tokens / now.seconds, 1),
        "training_seconds": round(now.seconds, 3),
        **gauge.result(now.tokens / now.seconds),
        "losses": {
            name: {"first": _mean(values[:edge]), "last": _mean(values[-edge:])}
            for name, values in now.losses.items()
        },
        "curve": _curve(now.losses, total),
        "parameters": parameter_counts(learner.backbone),
        **({"resumed_after": now.resumed} if now.resumed else {}),
    }


def look(pending: list[Tensor], now: Progress, total: int, tell: Callable[..., None]) -> None:
    """Read the losses since the last look; raises Diverged at the first that is not finite.

    Each has the sum and then the loss of each objective. Reading waits for the device.
    """
    first = now.step - len(pending) + 1
    for step, (value, *each) in enumerate(torch.stack(pending).tolist(), first):
        if not math.isfinite(value):
            raise Diverged(f"the loss was {value} at step {step} of {total}")
        named = dict(zip(now.losses, each, strict=True))
        for name, one in named.items():
            now.losses[name].append(one)
        shown = {name: round(one, 4) for name, one in named.items()}
        tell(step=step, steps=total, loss=round(value, 4), **shown)
    pending.clear()


def keep(
    checkpoints: Checkpoints, now: Progress, learner: Learner, optimizer: torch.optim.Optimizer
) -> None:
    """Write a checkpoint.

    What later steps draw depends on the seed and their number, so that no random state is in it.
    """
    tensors = {f"weights/{name}": value for name, value in moving(learner).items()}
    checkpoints.save(now.step, tensors | moments(optimizer), asdict(now))


def restored(
    found: tuple[Mapping[str, Tensor], Mapping[str, Any]],
    learner: Learner,
    optimizer: torch.optim.Optimizer,
) -> Progress:
    """Put the state of a checkpoint back, in place, and return how far it had come."""
    tensors, body = found
    with torch.no_grad():
        for name, own in moving(learner).items():
            own.copy_(tensors[f"weights/{name}"])
    put_back(optimizer, tensors)
    now = Progress(**{name: body[name] for name in Progress.__dataclass_fields__})
    now.resumed.append(now.step)
    return now


def moving(learner: Learner) -> dict[str, Tensor]:
    """Return weights and running statistics by name, those of tied weights once."""
    state = learner.state_dict()
    buffers = {name: x for name, x in learner.named_buffers() if name in state}
    return {**dict(learner.named_parameters()), **buffers}


def _batches(
    texts: Texts, drawn: Step, draw: np.random.Generator
) -> tuple[Batch | None, Batch | None]:
    masked = masked_lm.collate(texts.examples, drawn.rows, draw) if drawn.rows else None
    return masked, _paired(texts, drawn.pairs) if drawn.pairs else None


def _paired(texts: Texts, pairs: list[Pair]) -> Batch:
    """Return both sides of each pair in turn, with the numbers of their texts as labels."""
    rows = [row for pair in pairs for row in pair]
    ids, mask = pad([texts.examples.input_ids[row] for row in rows], texts.examples.pad)
    return Batch(rows, ids, mask, torch.from_numpy(texts.numbers[rows]))


def _curve(losses: Mapping[str, list[float]], total: int) -> list[dict[str, float]]:
    ends = sorted({round(total * point / POINTS) for point in range(1, POINTS + 1)} - {0})
    spans = zip([0, *ends], ends, strict=False)
    return [
        {"step": end, **{name: _mean(values[start:end]) for name, values in losses.items()}}
        for start, end in spans
    ]


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 5)
