"""Makes the plan of a pilot: some steps of each kind of training, to measure how fast they go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from compiler.duration import LOADING, STARTING
from compiler.identity import canonical, slug, stage_key
from compiler.plan import Job, Plan, Stage, language_of
from compiler.training import Training, steps_in

STEPS = 64
"""Steps of a pilot; those after the first ones are timed, see `runtime.pace`."""

DOUBT = 4.0
"""Times that a training may be slower than what was assumed of it before anything was measured:
what a pilot's own time limit allows for."""

SEEDED = ("seed", "labels_shuffled")
"""What of a training's identity its pace does not depend on."""


def pilots(plan: Plan) -> Plan:
    """Return a plan that trains each kind of training of each size for some steps.

    Stages that are prepared for it are the study's own, with their keys; trainings are marked
    ``pilot`` in their identity, so they are other stages than the study's, score nothing on dev
    and keep no weights.
    """
    stages: dict[str, Stage] = {}
    trainings: dict[str, Any] = {}
    jobs: dict[tuple[str, int], list[str]] = {}
    for key, pilot in piloting(plan).items():
        if pilot.key in stages:
            continue
        stages |= {up: plan.stages[up] for up in pilot.inputs.values()}
        stages[pilot.key] = pilot
        processes = int(pilot.identity["pilot"]["processes"])
        jobs.setdefault((pilot.model, processes), []).append(pilot.key)
        if settings := plan.execution.get("trainings", {}).get(key):
            trainings[pilot.key] = settings
    preparing = [
        replace(job, stages=kept, after=(), seconds=None)
        for job in plan.jobs
        if (kept := tuple(key for key in job.stages if key in stages))
    ]
    place = {key: job.name for job in preparing for key in job.stages}
    first = {model: (model, count) for model, count in reversed(jobs)}
    measuring = [
        Job(
            f"pilot-{slug(model)}" + (f"-{count}" if (model, count) != first[model] else ""),
            tuple(keys),
            tuple(sorted({place[up] for key in keys for up in stages[key].inputs.values()})),
            count,
            _seconds(plan, model, len(keys)),
        )
        for (model, count), keys in jobs.items()
    ]
    return replace(
        plan,
        study={**plan.study, "name": f"{plan.name}-pilot"},
        stages=stages,
        jobs=(*preparing, *measuring),
        runs=(),
        execution={**plan.execution, "trainings": trainings},
    )


def piloting(plan: Plan) -> dict[str, Stage]:
    """Return by the key of each training the stage that measures its pace.

    Trainings that differ in seed, labels or the weights that they start from share one: it starts
    from the model's checkpoint. A pace is of devices, so its key has the device, the processes, how
    they share the model, and the micro-batch. Left out is what starts from a pretraining of the
    study's own, whose weights are not there yet.
    """
    processes = {key: job.processes for job in plan.jobs for key in job.stages}
    found: dict[str, Stage] = {}
    known: dict[str, Stage] = {}
    for key, stage in plan.stages.items():
        if stage.kind != "train" or stage.probe or _pretrained_here(plan, stage):
            continue
        identity = {k: v for k, v in stage.identity.items() if k not in SEEDED}
        inputs = {role: up for role, up in stage.inputs.items() if role != "start"}
        where = _where(plan, stage, processes.get(key, 1))
        alike = canonical([stage.model, stage.task, identity, inputs, where])
        if alike not in known:
            known[alike] = _short(replace(stage, identity=identity, inputs=inputs), where)
        found[key] = known[alike]
    return found


def steps_of(plan: Plan, stage: Stage) -> int | None:
    """Return the steps of a training of the plan; None when they depend on rows or lengths."""
    training = stage.identity["training"]
    if "steps" in training:
        return int(training["steps"])
    if "batch_tokens" in training:
        return None
    cap = stage.identity.get("sampling", {}).get("cap")
    roles = [role.removeprefix("data:") for role in stage.inputs if role.startswith("data:")]
    uses = stage.identity.get("mix", [stage.identity])
    total = 0
    for task, use in zip(roles or [stage.task], uses, strict=True):
        counts = plan.tasks[task].get("counts", {}).get("train", {})
        rows = counts.get(language_of(use["data"][0]))
        if rows is None:
            return None
        total += rows if cap is None else min(rows, int(cap))
    return steps_in(training["epochs"], total, training["batch"])


def _pretrained_here(plan: Plan, stage: Stage) -> bool:
    while (up := stage.inputs.get("start")) is not None:
        stage = plan.stages[up]
        if stage.kind == "pretrain":
            return True
    return False


def _where(plan: Plan, stage: Stage, processes: int) -> dict[str, Any]:
    """Return on what a training runs and how, as far as its pace depends on it."""
    execution = plan.execution
    planned = execution.get("resources", {}).get(stage.model, {})
    alone = "ddp" if processes > 1 else "one device"
    where = {
        "device": str(execution.get("device_name", execution.get("device", "auto"))),
        "processes": processes,
        "strategy": str(planned.get("strategy", alone)),
        **execution.get("trainings", {}).get(stage.key, {}),
    }
    return where | ({"threads": n} if (n := execution.get("threads")) is not None else {})


def _seconds(plan: Plan, model: str, count: int) -> int | None:
    """Return how long the pilots of a model may take; None when nothing is known of its pace."""
    planned = plan.execution.get("resources", {}).get(model)
    if planned is None or not planned.get("step_device_seconds"):
        return None
    slowest = float(max(planned["step_device_seconds"].values())) / int(planned["devices"])
    return round(STARTING + count * (LOADING + DOUBT * STEPS * slowest))


def _short(stage: Stage, where: Mapping[str, Any]) -> Stage:
    training = Training.model_validate(stage.identity["training"])
    few = training.model_copy(
        update={
            "steps": STEPS, "epochs": None, "selection": "last", "evaluate_every": None,
            "patience": 0, "average": 1, "chance_steps": 0,
        }
    )  # fmt: skip
    identity = {**stage.identity, "training": few.identity(), "seed": 0, "pilot": dict(where)}
    if "mix" in identity:
        identity["mix"] = [_unscored(use) for use in identity["mix"]]
    else:
        identity = _unscored(identity)
    words = ("pilot", stage.task, stage.model)
    key = stage_key("train", words, identity, stage.inputs)
    return replace(stage, key=key, identity=identity)


def _unscored(use: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the dev split: a pilot scores nothing."""
    return {**use, "data": list(use["data"])[:1]}
