"""The training loop: one linear function from a model and batches to a trained model."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor

from compiler.training import Training
from runtime.batches import (
    IGNORED,
    Batch,
    Examples,
    Order,
    Source,
    token_batches,
    token_steps,
    training_batches,
)
from runtime.checkpoint import Checkpoints
from runtime.invalid import DataInvalid
from runtime.kinds import TRAINED
from runtime.model import Model, embeddings, parameter_counts
from runtime.score import predict, score
from runtime.throughput import Meter

LOOK = 1.0
"""Seconds, about, between two looks at the losses: each look waits for the device."""

AHEAD = 16
"""Steps, at most, between two looks at the losses."""

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


Judge = Callable[[], dict[str, Any]]
"""Scores the English dev split of a training as it stands."""


class Diverged(RuntimeError):
    """The loss is no longer a finite number."""


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
) -> dict[str, Any]:
    """Train ``model`` in place, and return what happened (see ``records.Record.result``).

    ``order`` and ``steps`` say what is drawn in each step and how many there are; for one source
    they follow from the settings. ``dev`` is that of the first source; for several, ``judge``
    scores English dev. ``seed`` is the run's own: the order depends on (seed, epoch), what a step
    draws, dropout too, on (seed, step), so a run can be repeated bit for bit, and goes on from the
    last of its ``checkpoints`` as if it had not been interrupted. An epoch is as many items as
    there are examples, which are more where long texts fall into windows: the steps of a run can be
    told from the rows alone. The result has the ``losses`` of all steps too, which no record keeps.

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
    kinds, cut = [TRAINED[source.kind] for source in sources], recipe.micro_batch
    if (cut or world > 1) and any(source.kind == "dual_encoder" for source in sources):
        raise DataInvalid("the batch of a dual encoder cannot be divided: all of it is compared")
    freeze(model, recipe)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    moving = set(trained_state(model))
    late = [p for name, p in trained.items() if name.startswith("backbone.")]
    computed_twice(model, recipe.gradient_checkpointing)
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
    prepared = accelerator.prepare(model)
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
            prepared = accelerator.prepare(model)
            forward = torch.compile(prepared, dynamic=True) if recipe.compile else prepared
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * rate(step - 1, steps, rise, recipe.schedule)
        parts = list(shares(batch, cut, rank, world))
        total = torch.zeros((), device=device)
        for place, (part, weight) in enumerate(parts):
            torch.manual_seed(noise(seed, step, rank + world * place))
            part = part.to(device)
            sync = place == len(parts) - 1
            with contextlib.nullcontext() if sync else accelerator.no_sync(prepared):
                with torch.autocast(
                    device.type, _AUTOCAST.get(recipe.precision), recipe.precision in _AUTOCAST
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
        accelerator.clip_grad_norm_(list(trained.values()), recipe.clip)
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
            keep(checkpoints, now, state_of(model, moving), optimizer, scaler, best, mean)
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


def shares(batch: Batch, cut: int | None, rank: int, world: int) -> Iterator[tuple[Batch, float]]:
    """Yield this process's parts of a batch, each with its share of the batch's labels.

    Items go to the processes in turn: like lengths stand together, so that all have like work. A
    process without an item gets one that does not count.
    """
    items = len(batch.rows)
    if world == 1 and (cut is None or cut >= items):
        yield batch, 1.0
    elif rank >= items:
        yield batch.part(slice(0, 1)), 0.0
    else:
        own, whole = batch.part(slice(rank, None, world)), max(1, labelled(batch))
        size = cut or items
        for start in range(0, len(own.rows), size):
            part = own.part(slice(start, start + size))
            yield part, labelled(part) / whole


def labelled(batch: Batch) -> int:
    """Count the labels of a batch that its loss is the mean over."""
    assert batch.labels is not None
    return int((batch.labels != IGNORED).sum())


def noise(seed: int, step: int, part: int) -> int:
    """Return what a part of a step draws its dropout from.

    Only the lower 32 bits of a seed count on a CPU, so parts are told apart by a hash.
    """
    if part == 0:
        return seed * 1_000_003 + step
    return int(np.random.SeedSequence([seed, step, part]).generate_state(1, np.uint64)[0])


def keep(
    checkpoints: Checkpoints,
    now: Progress,
    weights: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    best: Mapping[str, Tensor],
    mean: Mapping[str, Tensor],
) -> None:
    """Write a checkpoint.

    What later steps draw depends on the seed and their number, so that no random state is in it.
    """
    now.scaler = scaler.state_dict()
    tensors = {
        f"{kind}/{name}": value
        for kind, found in (("weights", weights), ("best", best), ("mean", mean))
        for name, value in found.items()
    }
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{number}/{name}": value for name, value in state.items()}
    checkpoints.save(now.step, tensors, asdict(now))


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
    kinds: dict[str, dict[str, Tensor]] = {"weights": {}, "best": {}, "mean": {}}
    moments: dict[int, dict[str, Tensor]] = {}
    for place, value in tensors.items():
        kind, name = place.split("/", 1)
        if kind == "optimizer":
            number, name = name.split("/")
            moments.setdefault(int(number), {})[name] = value
        else:
            kinds[kind][name] = value
    model.load_state_dict(kinds["weights"], strict=False)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})
    device = next(model.parameters()).device
    best.update({name: value.to(device) for name, value in kinds["best"].items()})
    mean.update({name: value.to(device) for name, value in kinds["mean"].items()})
    now = Progress(**{name: body[name] for name in Progress.__dataclass_fields__})
    if now.scaler:
        scaler.load_state_dict(now.scaler)
    now.resumed.append(now.step)
    return now


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


def single(source: Source, recipe: Training, seed: int) -> Order:
    """Return the batches of a training on one source."""
    collate = TRAINED[source.kind].collate

    def order(steps: int, start: int) -> Iterator[tuple[int, Batch]]:
        if recipe.batch_tokens is not None:
            found = token_batches(source.data, collate, recipe.batch_tokens, steps, seed, start)
        else:
            found = training_batches(source.data, collate, recipe.batch, steps, seed, start)
        return ((0, batch) for batch in found)

    return order


def steps_of(recipe: Training, data: Examples, seed: int) -> int:
    """Return the optimizer steps of a training on one source."""
    if recipe.steps is not None:
        return recipe.steps
    assert recipe.epochs is not None
    if recipe.batch_tokens is not None:
        return token_steps(data, recipe.batch_tokens, recipe.epochs, seed)
    return math.ceil(recipe.epochs * len(data) / recipe.batch)


def evaluations(steps: int, recipe: Training) -> list[int]:
    """Return the steps after which the English dev split is scored."""
    every = recipe.evaluate_every
    return sorted({*range(every, steps + 1, every), steps}) if every else []


def rate(step: int, steps: int, rise: float, schedule: str) -> float:
    """Return the learning rate's factor at a step: a linear rise, then linear decay or constant."""
    if step < rise:
        return (step + 1) / (rise + 1)
    if schedule == "constant":
        return 1.0
    return max(0.0, (steps - step) / max(1.0, steps - rise))


def at_chance(losses: Sequence[float], recipe: Training) -> bool:
    """Tell whether the last steps have a loss no lower than the first ones: nothing is learnt."""
    many = recipe.chance_steps
    return len(losses) >= 2 * many and sum(losses[-many:]) >= sum(losses[:many])


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
