"""The training loop: one linear function from a model and batches to a trained model."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from accelerate import Accelerator

from runtime.batches import Examples, training_batches
from runtime.invalid import DataInvalid
from runtime.kinds import TRAINED
from runtime.model import Model, embeddings, parameter_counts
from runtime.score import predict


class Diverged(RuntimeError):
    """The loss is no longer a finite number."""


def train(
    model: Model,
    data: Examples,
    dev: Examples | None,
    task: Mapping[str, Any],
    training: Mapping[str, Any],
    seed: int,
    accelerator: Accelerator,
    evaluation_batch: int,
    tell: Callable[..., None],
) -> dict[str, Any]:
    """Train ``model`` in place, and return what happened (see ``records.Record.result``).

    ``seed`` is the run's own: order depends on (seed, epoch), dropout on (seed, step), so a run can
    be repeated bit for bit. An epoch is as many items as there are examples, which are more where
    long texts fall into windows: the steps of a run can be told from the rows alone. With
    ``selection: best_english_dev`` the weights of the best English dev score are put back at the
    end; without a dev split there are no dev scores. Raises Diverged on a loss that is not finite,
    and DataInvalid when weights are to be chosen by a dev split that is not there.
    """
    kind = TRAINED[data.kind]
    if dev is None and training["selection"] == "best_english_dev":
        raise DataInvalid("the task has no English dev split to choose the best weights by")
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
    bf16 = training["precision"] == "bf16"

    losses: list[float] = []
    scores: list[dict[str, float]] = []
    best: tuple[float, dict[str, torch.Tensor]] | None = None
    tokens = 0
    started = time.perf_counter()
    batches = training_batches(data, kind.collate, training["batch"], steps, seed)
    for step, batch in enumerate(batches, 1):
        torch.manual_seed(seed * 1_000_003 + step)
        prepared.train()
        batch = batch.to(accelerator.device)
        with torch.autocast(accelerator.device.type, dtype=torch.bfloat16, enabled=bf16):
            logits = prepared(batch.input_ids, batch.attention_mask, batch.chosen)
        loss = kind.loss(logits.float(), batch, task)
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
        if dev is not None and every and (step % every == 0 or step == steps):
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
        "english_dev": None
        if dev is None
        else english_dev(model, dev, task, accelerator, evaluation_batch),
        "head": getattr(model.head, "origin", "new"),
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
    model: Model,
    dev: Examples,
    task: Mapping[str, Any],
    accelerator: Accelerator,
    batch: int,
) -> dict[str, Any]:
    """Score the English dev split: the only scores that may choose or judge a run."""
    kind = TRAINED[dev.kind]
    predicted = predict(model, dev, task, batch, accelerator.device)
    return {
        "metric": task["metric"],
        "value": next(iter(kind.score(task, dev, predicted, "en").values())),
        "chance": kind.chance(task, dev),
        "n": len(dev),
    }


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
