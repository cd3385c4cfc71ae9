"""The pretraining loop: one linear function from a built model and texts to a pretrained one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from runtime.batches import Batch, pad
from runtime.kinds import masked_lm
from runtime.loop import Diverged, rate
from runtime.model import parameter_counts
from runtime.pretraining.objectives import Learner
from runtime.pretraining.sampling import Step, steps
from runtime.pretraining.texts import Pair, Texts

POINTS = 20
"""Points of the curve of losses that is kept; each is a mean over the steps since the last one."""


def pretrain(
    learner: Learner,
    texts: Texts,
    settings: Mapping[str, Any],
    seed: int,
    accelerator: Accelerator,
    tell: Callable[..., None],
) -> dict[str, Any]:
    """Train ``learner`` in place, and return what happened (see ``records.Record.result``).

    ``settings`` is the identity of the stage. The batches depend on ``seed`` and the texts, masks
    and dropout on (seed, step), so a run can be repeated bit for bit. Raises Diverged on a loss
    that is not finite.
    """
    objectives = settings["objectives"]
    total = sum(1 for _ in steps(texts, settings, seed))
    weights = {name: float(one["weight"]) for name, one in objectives.items()}
    trained = list(learner.parameters())
    optimizer = torch.optim.AdamW(
        [
            {
                "params": [p for p in trained if p.ndim > 1],
                "weight_decay": settings["weight_decay"],
            },
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=settings["learning_rate"],
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate(step, total, settings["warmup"] * total, settings["schedule"])
    )
    prepared, optimizer = accelerator.prepare(learner, optimizer)
    bf16 = settings["precision"] == "bf16"

    losses: dict[str, list[float]] = {name: [] for name in weights}
    tokens = 0
    started = time.perf_counter()
    for step, drawn in enumerate(steps(texts, settings, seed), 1):
        torch.manual_seed(seed * 1_000_003 + step)
        prepared.train()
        masked, pairs = _batches(texts, drawn, np.random.default_rng([seed, 5, step]))
        tokens += sum(int(x.attention_mask.sum()) for x in (masked, pairs) if x is not None)
        with torch.autocast(accelerator.device.type, dtype=torch.bfloat16, enabled=bf16):
            found = prepared(*(x and x.to(accelerator.device) for x in (masked, pairs)))
        loss = torch.stack([weights[name] * one for name, one in found.items()]).sum()
        for name, one in found.items():
            losses[name].append(float(one.detach()))
        value = float(loss.detach())
        if not math.isfinite(value):
            raise Diverged(f"the loss was {value} at step {step} of {total}")
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(trained, settings["clip"])
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        each = {name: round(values[-1], 4) for name, values in losses.items()}
        tell(step=step, steps=total, loss=round(value, 4), **each)
    seconds = time.perf_counter() - started
    edge = max(1, min(10, total // 5))
    return {
        "steps": total,
        "tokens": tokens,
        "tokens_per_second": round(tokens / seconds, 1),
        "training_seconds": round(seconds, 3),
        "losses": {
            name: {"first": _mean(values[:edge]), "last": _mean(values[-edge:])}
            for name, values in losses.items()
        },
        "curve": _curve(losses, total),
        "parameters": parameter_counts(learner.backbone),
    }


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
