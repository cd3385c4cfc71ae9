"""The training loop: one linear function from a model and batches to a trained model."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor

from compiler.training import Training
from runtime.batches import Examples, Order, Source
from runtime.checkpoint import Checkpoints
from runtime.division import noise, shares
from runtime.invalid import DataInvalid
from runtime.kinds import TRAINED
from runtime.model import Model, parameter_counts
from runtime.resume import Progress, keep, restored
from runtime.schedule import at_chance, evaluations, rate, single, steps_of
from runtime.score import predict, score
from runtime.sharding import divided, shard
from runtime.strategy import AUTOCAST, computes
from runtime.throughput import Meter
from runtime.weights import add, computed_twice, freeze, groups, state_of, trained_state

LOOK = 1.0
"""Seconds, about, between two looks at the losses: each look waits for the device."""

AHEAD = 16
"""Steps, at most, between two looks at the losses."""


Judge = Callable[[], dict[str, Any]]
"""Scores the English dev split of a training as it stands."""


class Diverged(RuntimeError):
    """The loss is no longer a finite number."""


def train(
    model: Model,
    sources: Sequence[Source],
    dev: Examples | None,
    training: Mapping[str, Any],
    seed: int,
    accelerator: Accelerator,
    evaluation_batch: int,
    tell: Callable[..., None],
    order: Order | None = None,
    steps: int | None = None,
    checkpoints: Checkpoints | None = None,
    judge: Judge | None = None,
    parted: bool = False,
) -> dict[str, Any]:
    """Train ``model`` in place, and return what happened (see ``records.Record.result``).

    ``order`` and ``steps`` say what is drawn in each step and how many there are; for one source
    they follow from the settings. ``dev`` is that of the first source; for several, ``judge``
    scores English dev. ``seed`` is the run's own: the order depends on (seed, epoch), what a step
    draws, dropout too, on (seed, step), so a run can be repeated bit for bit, and goes on from the
    last of its ``checkpoints`` as if it had not been interrupted. An epoch is as many items as
    there are examples, which are more where long texts fall into windows: the steps of a run can be
    told from the rows alone. The result has the ``losses`` of all steps too, which no record keeps.

    ``parted`` divides the weights among the processes too, in place, see ``runtime.sharding``;
    gradients are then sent after every micro-batch, since they are held whole until they are.

    The gradient of a step is that of the mean loss of its batch, however it is cut into
    micro-batches and divided among processes: the parts count by their number of labels.

    With ``selection: best_english_dev`` the weights of the best English dev score are put back at
    the end; without a dev split there are no dev scores. Raises Diverged on a loss that is not
    finite, and DataInvalid when weights are to be chosen by a dev split that is not there.
    """
    recipe = Training.model_validate(training)
    if judge is None and dev is not None:
        judge = partial(english_dev, model, dev, sources[0].task, accelerator, evaluation_batch)
    if judge is None and (recipe.selection == "best_english_dev" or recipe.patience):
        raise DataInvalid("the task has no English dev split to choose the best weights by")
    device, rank, world = accelerator.device, accelerator.process_index, accelerator.num_processes
    computes(device, recipe.precision)
    kinds, cut = [TRAINED[source.kind] for source in sources], recipe.micro_batch
    if (cut or world > 1) and any(source.kind == "dual_encoder" for source in sources):
        raise DataInvalid("the batch of a dual encoder cannot be divided: all of it is compared")
    freeze(model, recipe)
    computed_twice(model, recipe.gradient_checkpointing)
    if parted:
        shard(model, accelerator)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    moving = set(trained_state(model))
    late = [p for name, p in trained.items() if name.startswith("backbone.")]
    steps = steps or steps_of(recipe, sources[0].data, seed)
    order = order or single(sources[0], recipe, seed)
    optimizer = torch.optim.AdamW(groups(list(trained.values()), recipe), fused=True)
    scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "fp16")
    accelerator.ddp_handler = DistributedDataParallelKwargs(find_unused_parameters=len(sources) > 1)

    now = Progress()
    best: dict[str, Tensor] = {}
    mean: dict[str, Tensor] = {}
    found = checkpoints.latest() if checkpoints else None
    if found is not None:
        now = restored(found, model, optimizer, scaler, best, mean)
    if recipe.freeze_backbone_steps > now.step:
        for parameter in late:
            parameter.requires_grad_(False)
    prepared = model if parted else accelerator.prepare(model)
    prepared.train()
    forward = torch.compile(prepared, dynamic=True) if recipe.compile else prepared
    scored = evaluations(steps, recipe)
    rise = recipe.warmup * steps if recipe.warmup_steps is None else recipe.warmup_steps
    averaged = scored[-recipe.average :] if recipe.average > 1 else []
    meter = Meter(model, accelerator, recipe.precision)
    meter.start(now.step)
    tell = meter.telling(tell)
    started = time.perf_counter() - now.seconds
    looked, ahead, due, stopped = time.perf_counter(), 1, False, ""
    pending: list[Tensor] = []

    for step, (number, batch) in enumerate(order(steps, now.step), now.step + 1):
        if late and step == recipe.freeze_backbone_steps + 1 and not late[0].requires_grad:
            for parameter in late:
                parameter.requires_grad_(True)
            prepared = model if parted else accelerator.prepare(model)
            forward = torch.compile(prepared, dynamic=True) if recipe.compile else prepared
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * rate(step - 1, steps, rise, recipe.schedule)
        parts = list(shares(batch, cut, rank, world, equal=parted))
        total = torch.zeros((), device=device)
        for place, (part, weight) in enumerate(parts):
            torch.manual_seed(noise(seed, step, rank + world * place))
            part = part.to(device)
            sync = parted or place == len(parts) - 1
            with contextlib.nullcontext() if sync else accelerator.no_sync(prepared):
                with torch.autocast(
                    device.type, AUTOCAST.get(recipe.precision), recipe.precision in AUTOCAST
                ):
                    head = sources[number].head
                    logits = forward(part.input_ids, part.attention_mask, part.chosen, head)
                if weight:
                    loss = kinds[number].loss(logits.float(), part, sources[number].task)
                    loss = loss * (sources[number].share * weight)
                else:  # nothing to learn here, and still the other processes wait for it
                    loss = logits.float().sum() * 0.0
                # The gradients of the processes are averaged, and their sum is meant.
                accelerator.backward(scaler.scale(loss * world))
            total += loss.detach()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(list(trained.values()), recipe.clip)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        pending.append(total)
        now.tokens += meter.count(step, batch, sources[number].head)
        now.step = step

        signal = recipe.chance_steps > 0 and step % recipe.chance_steps == 0
        if len(pending) >= ahead or step in scored or signal or step == steps:
            pace = (time.perf_counter() - looked) / len(pending)
            ahead, due = look(pending, now, steps, pace, checkpoints, accelerator, tell)
            looked = time.perf_counter()
        if signal and at_chance(now.losses, recipe):
            stopped = f"the loss of {recipe.chance_steps} steps was not below that of the first"
        if step in averaged:
            add(mean, state_of(model, moving))
        if judge is not None and step in scored:
            value = judge()["value"]
            prepared.train()
            now.scores.append({"step": step, "value": value})
            if recipe.selection == "best_english_dev" and (now.best is None or value > now.best):
                now.best = value
                best = {k: v.detach().clone() for k, v in state_of(model, moving).items()}
            if recipe.patience and now.stale >= recipe.patience:
                stopped = f"{recipe.patience} dev scores without a new best"
        if stopped:
            break
        if due and checkpoints is not None and step < steps:
            now.seconds = time.perf_counter() - started
            main = accelerator.is_main_process
            if main or parted:  # else the others have the same, and wait in the next step
                weights = state_of(model, moving)
                keep(checkpoints, now, weights, optimizer, scaler, best, mean, main)
            due, looked = False, time.perf_counter()
    now.seconds = time.perf_counter() - started
    if best or mean:
        chosen = best or {
            k: v / len(averaged) if v.is_floating_point() else v for k, v in mean.items()
        }
        model.load_state_dict(chosen, strict=False)
    edge = max(1, min(10, steps // 5))
    return {
        "steps": now.step,
        "loss_first": sum(now.losses[:edge]) / edge,
        "loss_last": sum(now.losses[-edge:]) / edge,
        "losses": now.losses,
        "english_dev": None if judge is None else judge(),
        "head": model.origins,
        "dev_scores": now.scores,
        "parameters": parameter_counts(model.backbone)
        | {"trained": sum(p.numel() for p in trained.values())},
        "tokens_per_second": round(now.tokens / now.seconds, 1),
        "training_seconds": round(now.seconds, 3),
        **meter.result(now.tokens / now.seconds),
        **({"divided": {"strategy": "fsdp2", "processes": world}} if divided(model) else {}),
        **({"stopped": {"step": now.step, "of": steps, "why": stopped}} if stopped else {}),
        **({"resumed_after": now.resumed} if now.resumed else {}),
        **recipe.execution(),
    }


def look(
    pending: list[Tensor],
    now: Progress,
    steps: int,
    pace: float,
    checkpoints: Checkpoints | None,
    accelerator: Accelerator,
    tell: Callable[..., None],
) -> tuple[int, bool]:
    """Read the losses since the last look; return the steps to the next, and if to save.

    Both are the main process's to say: the others follow it. Raises Diverged, in every process, at
    the first loss that is not finite: what was trained after it is lost anyway.
    """
    ahead, due = max(1, min(AHEAD, int(LOOK / max(pace, 1e-9)))), False
    if checkpoints is not None:
        due = checkpoints.due()
    say = torch.tensor([ahead, due], dtype=torch.float32) * accelerator.is_main_process
    told = torch.cat([torch.stack(pending), say.to(accelerator.device)])
    *values, ahead_, due_ = accelerator.reduce(told, "sum").tolist()
    first = now.step - len(pending) + 1
    for step, value in enumerate(values, first):
        if not math.isfinite(value):
            raise Diverged(f"the loss was {value} at step {step} of {steps}")
        now.losses.append(value)
        tell(step=step, steps=steps, loss=round(value, 4))
    pending.clear()
    return int(ahead_), bool(due_)


def english_dev(
    model: Model,
    dev: Examples,
    task: Mapping[str, Any],
    accelerator: Accelerator,
    batch: int,
    head: str = "head",
) -> dict[str, Any]:
    """Score the English dev split: the only scores that may choose or judge a run.

    ``value`` is the one that does; ``scores`` has it with others, where there are several.
    """
    kind = TRAINED[dev.kind]
    predicted = predict(model, dev, task, batch, accelerator.device, head=head, shared=accelerator)
    scores = score(dev, task, predicted, "en")
    return {
        "metric": task["metric"],
        "value": next(iter(scores.values())),
        "chance": kind.chance(task, dev),
        "n": len(dev),
        **({"scores": scores} if len(scores) > 1 else {}),
    }
