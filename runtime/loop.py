"""The training loop: one linear function from a model and batches to a trained model."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from runtime.batches import IGNORED, Examples, training_batches
from runtime.model import Tagger, embeddings, parameter_counts
from runtime.score import chance, predict, score


class Diverged(RuntimeError):
    """The loss is no longer a finite number."""


def train(
    model: Tagger,
    data: Examples,
    dev: Examples,
    task: Mapping[str, Any],
    training: Mapping[str, Any],
    seed: int,
    accelerator: Accelerator,
    evaluation_batch: int,
    tell: Callable[..., None],
) -> dict[str, Any]:
    """Train ``model`` in place, and return what happened (see ``records.Record.result``).

    ``seed`` is the run's own: order depends on (seed, epoch), dropout on (seed, step), so a run can
    be repeated bit for bit. With ``selection: best_english_dev`` the weights of the best English
    dev score are put back at the end. Raises Diverged on a loss that is not finite.
    """
    if training["freeze"] == "embeddings":
        for parameter in embeddings(model.backbone):
            parameter.requires_grad_(False)
    trained = [p for p in model.parameters() if p.requires_grad]
    steps = training.get("steps") or math.ceil(training["epochs"] * len(data) / training["batch"])
    optimizer = torch.optim.AdamW(
        [
            {
                "params": [p for p in trained if p.ndim > 1],
                "weight_decay": training["weight_decay"],
            },
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=training["learning_rate"],
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate(step, steps, training["warmup"], training["schedule"])
    )
    prepared, optimizer = accelerator.prepare(model, optimizer)
    loss_of = nn.CrossEntropyLoss(ignore_index=IGNORED)
    bf16 = training["precision"] == "bf16"

    losses: list[float] = []
    scores: list[dict[str, float]] = []
    best: tuple[float, dict[str, torch.Tensor]] | None = None
    tokens = 0
    started = time.perf_counter()
    for step, batch in enumerate(training_batches(data, training["batch"], steps, seed), 1):
        torch.manual_seed(seed * 1_000_003 + step)
        prepared.train()
        with torch.autocast(accelerator.device.type, dtype=torch.bfloat16, enabled=bf16):
            logits = prepared(
                batch.input_ids.to(accelerator.device), batch.attention_mask.to(accelerator.device)
            )
        assert batch.labels is not None
        labels = batch.labels.to(accelerator.device)
        loss = loss_of(logits.float().reshape(-1, logits.shape[-1]), labels.reshape(-1))
        value = float(loss.detach())
        if not math.isfinite(value):
            raise Diverged(f"the loss was {value} at step {step} of {steps}")
        losses.append(value)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(trained, training["clip"])
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        tokens += int(batch.attention_mask.sum())
        tell(step=step, steps=steps, loss=round(value, 4))
        every = training.get("evaluate_every")
        if every and (step % every == 0 or step == steps):
            found = english_dev(model, dev, task, accelerator, evaluation_batch)
            scores.append({"step": step, "value": found["value"]})
            if training["selection"] == "best_english_dev" and (
                best is None or found["value"] > best[0]
            ):
                best = (found["value"], copy.deepcopy(trained_state(model)))
    seconds = time.perf_counter() - started
    if best is not None:
        model.load_state_dict(best[1], strict=False)
    edge = max(1, min(10, steps // 5))
    return {
        "steps": steps,
        "loss_first": sum(losses[:edge]) / edge,
        "loss_last": sum(losses[-edge:]) / edge,
        "english_dev": english_dev(model, dev, task, accelerator, evaluation_batch),
        "dev_scores": scores,
        "parameters": parameter_counts(model.backbone)
        | {"trained": sum(p.numel() for p in trained)},
        "tokens_per_second": round(tokens / seconds, 1),
        "training_seconds": round(seconds, 3),
    }


def rate(step: int, steps: int, warmup: float, schedule: str) -> float:
    """Return the learning rate's factor at a step: a linear rise, then linear decay or constant."""
    rise = warmup * steps
    if step < rise:
        return (step + 1) / (rise + 1)
    if schedule == "constant":
        return 1.0
    return max(0.0, (steps - step) / max(1.0, steps - rise))


def english_dev(
    model: Tagger,
    dev: Examples,
    task: Mapping[str, Any],
    accelerator: Accelerator,
    batch: int,
) -> dict[str, Any]:
    """Score the English dev split: the only scores that may choose or judge a run."""
    predicted = predict(model, dev, batch, accelerator.device)
    scores = score(task["metric"], dev.labels, predicted, task["labels"])
    return {
        "metric": task["metric"],
        "value": scores[task["metric"]],
        "chance": chance(task["metric"], dev.labels, task),
        "n": len(dev),
    }


def trained_state(model: Tagger) -> dict[str, torch.Tensor]:
    """Return the weights that training could change: frozen ones stay with the checkpoint."""
    moving = {name for name, p in model.named_parameters() if p.requires_grad}
    frozen = {name for name, _ in model.named_parameters()} - moving
    return {name: value for name, value in model.state_dict().items() if name not in frozen}
