"""Makes the plan of a pilot: some steps of each kind of training, to measure how fast they go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from compiler.identity import slug, stage_key
from compiler.plan import Job, Plan, Stage, language_of
from compiler.training import Training, steps_in

WARM = 16
"""First steps, which are not timed: memory is taken, kernels are chosen."""

STEPS = 64
"""Steps of a pilot; those after ``WARM`` are timed."""


def pilots(plan: Plan) -> Plan:
    """Return a plan that trains each kind of training of each size for some steps.

    Stages that are prepared for it are the study's own, with their keys; trainings are marked
    ``pilot`` in their identity, so they are other stages than the study's, score nothing on dev
    and keep no weights. Left out is what starts from weights of another stage and differs in
    nothing else, and what starts from a pretraining of the study's own.
    """
    stages: dict[str, Stage] = {}
    trainings: dict[str, Any] = {}
    jobs: dict[str, list[str]] = {}
    for key, stage in plan.stages.items():
        if stage.kind != "train" or "start" in stage.inputs or stage.probe:
            continue
        pilot = _short(stage)
        if pilot.key in stages:
            continue
        stages |= {up: plan.stages[up] for up in pilot.inputs.values()}
        stages[pilot.key] = pilot
        jobs.setdefault(stage.model, []).append(pilot.key)
        if settings := plan.execution.get("trainings", {}).get(key):
            trainings[pilot.key] = settings
    preparing = [
        replace(job, stages=kept, after=(), seconds=None)
        for job in plan.jobs
        if (kept := tuple(key for key in job.stages if key in stages))
    ]
    place = {key: job.name for job in preparing for key in job.stages}
    processes = {
        model: max(job.processes for job in plan.jobs if _trains(plan, job, model))
        for model in jobs
    }
    measuring = [
        Job(
            f"pilot-{slug(model)}",
            tuple(keys),
            tuple(sorted({place[up] for key in keys for up in stages[key].inputs.values()})),
            processes[model],
        )
        for model, keys in jobs.items()
    ]
    return replace(
        plan,
        study={**plan.study, "name": f"{plan.name}-pilot"},
        stages=stages,
        jobs=(*preparing, *measuring),
        runs=(),
        execution={**plan.execution, "trainings": trainings},
    )


def pilot_of(stage: Stage) -> str:
    """Return the key of the pilot that measures a training."""
    return _short(stage).key


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


def _short(stage: Stage) -> Stage:
    training = Training.model_validate(stage.identity["training"])
    few = training.model_copy(
        update={
            "steps": STEPS, "epochs": None, "selection": "last", "evaluate_every": None,
            "patience": 0, "average": 1, "chance_steps": 0,
        }
    )  # fmt: skip
    identity = {k: v for k, v in stage.identity.items() if k not in ("seed", "labels_shuffled")}
    identity |= {"training": few.identity(), "seed": 0, "pilot": True}
    if "mix" in identity:
        identity["mix"] = [_unscored(use) for use in identity["mix"]]
    else:
        identity = _unscored(identity)
    inputs = {role: key for role, key in stage.inputs.items() if role != "start"}
    words = ("pilot", stage.task, stage.model)
    key = stage_key("train", words, identity, inputs)
    return replace(stage, key=key, identity=identity, inputs=inputs)


def _unscored(use: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the dev split: a pilot scores nothing."""
    return {**use, "data": list(use["data"])[:1]}


def _trains(plan: Plan, job: Job, model: str) -> bool:
    stages = (plan.stages[key] for key in job.stages)
    return any(s.kind == "train" and s.model == model and not s.probe for s in stages)
