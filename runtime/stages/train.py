"""Trains a model on the data of a task, or of several, from pretrained or earlier weights."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import polars as pl
import torch
from accelerate import Accelerator
from safetensors.torch import save_file
from torch import nn

from compiler.identity import digest
from compiler.plan import Stage, language_of
from compiler.training import SHAPE, Training
from runtime import adapters, memory
from runtime.batches import Examples, Source
from runtime.checkpoint import MINUTES, Checkpoints
from runtime.invalid import DataInvalid
from runtime.kinds import TRAINED, masked_lm
from runtime.loop import Judge, english_dev, train
from runtime.mixture import (
    Mixture,
    account,
    mean_of,
    mixed_batches,
    mixed_steps,
    shares,
    with_replay,
)
from runtime.model import Model, dropouts
from runtime.pace import Pace
from runtime.session import LABELS, Session
from runtime.sharding import gathered
from runtime.strategy import parted
from runtime.weights import trained_state


def run(
    session: Session, stage: Stage, part: str, folder: Path, tell: Callable[..., None]
) -> dict[str, Any]:
    """Write ``weights.safetensors`` (what differs from the checkpoint) and return what happened.

    The backbone of an earlier phase is taken over whole; its head is not: heads are new in every
    phase, but that of a masked language model, which is the checkpoint's own where it has one.
    Head, order and dropout are drawn from the stage's key, so that the runs of two arms, tasks or
    sizes with one seed share no noise: the statistics take them as independent.

    Of a mix the weights have a head for each task, or the one that all share, and of a replay that
    of the masked words; what was drawn from each is in the result.
    """
    identity = stage.identity
    each = singles(stage)
    tasks = [session.task(one) for one in each]
    # A sharding probe draws what its twin draws, so that only the way of training differs.
    stream = int(digest(stage.probe.get("of", stage.key))[:12], 16) % 2**31
    pace = Pace() if identity.get("pilot") else None
    counted = pace is not None and memory.begin(session.accelerator.device)
    apart = parted(session.plan, stage)
    backbone, carried = session.grown(stage, stage.inputs.get("start"), apart)
    torch.manual_seed(stream)
    model = new_model(backbone, stage, session, tasks[0], head_of(stage, each[0].task))
    sources, devs = [], []
    for number, (one, task) in enumerate(zip(each, tasks, strict=True)):
        data, *dev = (session.examples(one, part) for part in one.identity["data"])
        if identity.get("labels_shuffled"):
            data = shuffled(data, stream + number)
        sources.append(Source(one.task, data.kind, data, task, head_of(stage, one.task)))
        devs.append(dev[0] if dev else None)
    if "replay" in identity:
        sources.append(replayed(session, stage))
    add_heads(model, sources, session.model(stage))
    if not apart:  # else layer by layer, see `shard`
        model.to(session.accelerator.device)
    execution = session.plan.execution
    training = {**identity["training"], **execution.get("trainings", {}).get(stage.key, {})}
    mixture = mixed(stage, sources, training, stream)
    scoring = int(execution["evaluation_batch"])
    result = train(
        model,
        sources,
        devs[0],
        training,
        stream,
        session.accelerator,
        scoring,
        tell if pace is None else pace.telling(tell),
        order=None if mixture is None else partial(mixed_batches, mixture),
        steps=None if mixture is None else mixed_steps(mixture, identity.get("sampling")),
        checkpoints=None
        if pace
        else Checkpoints(
            session.store.root, stage.key, execution.get("checkpoint_minutes", MINUTES)
        ),
        judge=mean_dev(model, sources, devs, session.accelerator, scoring),
        parted=apart,
    )
    losses = result.pop("losses")
    if mixture is not None:
        result["sources"] = account(mixture, losses)
    session.accelerator.free_memory()
    if pace is not None:  # it is there for its time, and leaves no weights
        processes = session.accelerator.num_processes
        told = pace.result(result["tokens_per_second"], processes)
        peak = memory.peak(session.accelerator) if counted else {}
        return result | {"pilot": {**told, **peak, "of": measured_of(session, stage)}}
    # What an earlier phase changed stays changed, also where this phase has it frozen.
    changed = carried | set(trained_state(model))
    left = {name: value for name, value in model.state_dict().items() if name in changed}
    main = session.accelerator.is_main_process
    state = {name: value.contiguous() for name, value in gathered(left, main).items()}
    if not main:
        return result
    save_file(state, folder / "weights.safetensors")
    found = {task["task"]: task["labels"] for task in tasks if task.get("labels_from")}
    if found:
        labels = found if "mix" in identity else tasks[0]["labels"]
        (folder / LABELS).write_text(json.dumps(labels), encoding="utf-8")
    return result | session.origin(stage)


def measured_of(session: Session, stage: Stage) -> dict[str, Any]:
    """Return what a pilot has trained, and how: what others ask for who look for its pace."""
    training = Training.model_validate(stage.identity["training"])
    shape = training.model_dump(include=set(SHAPE), exclude_none=True)
    tuning = session.model(stage).get("tuning", "full")
    tasks = [one.task for one in singles(stage)]
    known = {"model": stage.model, "tasks": tasks, "tuning": tuning, "training": shape}
    return known | dict(stage.identity["pilot"])


def singles(stage: Stage) -> list[Stage]:
    """Return a stage as it would be with each of its tasks alone."""
    if "mix" not in stage.identity:
        return [stage]
    roles = [role for role in stage.inputs if role.startswith("data:")]
    rest = {role: key for role, key in stage.inputs.items() if role not in roles}
    return [
        replace(
            stage,
            task=role.removeprefix("data:"),
            identity={k: v for k, v in stage.identity.items() if k != "mix"} | dict(use),
            inputs={"data": stage.inputs[role], **rest},
        )
        for role, use in zip(roles, stage.identity["mix"], strict=True)
    ]


def head_of(stage: Stage, task: str) -> str:
    """Name the head of a task: one in the state of a model, where a dot parts modules."""
    one = "mix" not in stage.identity or stage.identity.get("heads") == "shared"
    return "head" if one else f"head:{task.replace('.', ':')}"


def replayed(session: Session, stage: Stage) -> Source:
    """Return the corpus that a stage replays, its languages one after the other."""
    key, said = stage.inputs["replay"], stage.identity["replay"]
    task = {"kind": "masked_lm", "labels": [], "protocol": said["protocol"]}
    frames = [session.frame(key, part) for part in said["data"]]
    data = masked_lm.examples(pl.concat(frames), task, session.pad(stage))
    ends = list(accumulate(map(len, frames), initial=0))
    names = [language_of(part) for part in said["data"]]
    places = {x: range(*ends[n : n + 2]) for n, x in enumerate(names)}
    data = replace(data, more={**data.more, "languages": places})
    name = f"replay:{session.plan.stages[key].task}"
    return Source(name, "masked_lm", data, task, f"head:{name.replace('.', ':')}")


def add_heads(model: Model, sources: Sequence[Source], entry: Mapping[str, Any]) -> None:
    """Give a model of the first task the heads of the other sources.

    Raises DataInvalid when tasks share a head and their labels, which are read from the training
    sets, differ.
    """
    for source in sources:
        if source.head not in model.names:
            kind = TRAINED[source.kind]
            model.add(source.head, kind.head(model.backbone, source.task, entry), kind.logits)
        elif source.task["labels"] != sources[0].task["labels"] and source.head == "head":
            raise DataInvalid(
                f"{sources[0].name} and {source.name} share a head, and their labels differ"
            )


def mixed(
    stage: Stage, sources: Sequence[Source], training: Mapping[str, Any], seed: int
) -> Mixture | None:
    """Return how the sources of a stage are mixed; None when there is nothing to mix."""
    if len(sources) < 2:
        return None
    replay = stage.identity.get("replay")
    tasks = sources[:-1] if replay else sources
    parts = shares([len(source.data) for source in tasks], stage.identity.get("sampling"))
    recipe = Training.model_validate(training)
    if replay is None:
        return Mixture(sources, parts, recipe, seed)
    parts = with_replay(parts, float(replay["rate"]))
    return Mixture(sources, parts, recipe, seed, float(replay["exponent"]))


def mean_dev(
    model: Model,
    sources: Sequence[Source],
    devs: Sequence[Examples | None],
    accelerator: Accelerator,
    batch: int,
) -> Judge | None:
    """Return what scores the English dev splits of a mix; None when there is at most one task."""
    known = [(s, dev) for s, dev in zip(sources, devs, strict=False) if dev is not None]
    if len(devs) < 2 or not known:
        return None

    def judge() -> dict[str, Any]:
        return mean_of(
            {s.name: english_dev(model, d, s.task, accelerator, batch, s.head) for s, d in known}
        )

    return judge


def shuffled(data: Examples, seed: int) -> Examples:
    """Return the examples with each other's labels: a placebo that teaches texts, not the task."""
    return TRAINED[data.kind].shuffled(data, random.Random(f"placebo/{seed}"))


def new_model(
    backbone: nn.Module,
    stage: Stage,
    session: Session,
    task: Mapping[str, Any] | None = None,
    name: str = "head",
) -> Model:
    """Put a new head for the stage's task on a backbone, and new adapters where it has such."""
    training = stage.identity.get("training", {})
    task = session.task(stage) if task is None else task
    dropout = training.get("dropout")
    if dropout is not None:
        for module in dropouts(backbone):
            module.p = dropout
    model = session.model(stage)
    kind = TRAINED[str(task["kind"])]
    head = kind.head(backbone, task, model)
    pooling, rate = str(model["pooling"]), 0.1 if dropout is None else dropout
    adapters.attach(backbone, model)
    separator = session.separator(stage)
    return Model(backbone, head, kind.logits, pooling, rate, name, separator)
