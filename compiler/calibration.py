"""Calibrates the hours and time limits of a plan by what pilots and finished trainings took."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from compiler.duration import FORWARD, LOADING, STARTING
from compiler.pilot import steps_of
from compiler.plan import Job, Plan, Stage, language_of
from compiler.strategy import GIB

CERTAIN = 0.975
"""Share of pilots of which a pace is not above the upper end that its own spread gives."""

UNSURE = 1.25
"""Times its measured pace that a training is granted where the pilot tells nothing of spread."""

LONGER = 3.0
"""Times the subwords of the texts trained on that those of a test split may have, which are in
other languages; assumed. Never more than full length."""


TAKEN = {
    "device_hours": "Device hours of all trainings, by the best that is known of each.",
    "source": "`recorded`, `piloted`, or `partly` where some hours are assumed.",
    "measured_share": "Share of the hours that is measured, from 0 to 1.",
    "finished_share": "Share of the hours that is by finished trainings of the same kind.",
    "pilots": "How many pilots were used.",
    "steps": "Steps that these timed.",
}
"""What `takes` says of every model."""

MAYBE = {
    "assumed_mfu": "Share of the device's peak rate that was assumed.",
    "mfu": "Share that the pilots reached, the mean over the operations that the plan has of each.",
    "memory": "What was measured: `allocated` by tensors of a device, or `resident` in the host.",
    "peak_memory_gib": "The highest peak of a pilot.",
    "traced_memory_gib": "What was traced of the same parts.",
}
"""What `takes` says where there was a pilot, and numbers traced to compare it with."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What a pilot measured of a training.

    ``step_seconds`` is the mean of ``steps`` timed steps on so many ``processes`` and ``error`` its
    standard error, from ``pieces`` of them; None where the pilot tells none. ``flops`` and
    ``tokens`` are of a step in all processes, tokens without padding. ``memory_bytes`` is the
    largest peak of a process: what tensors had of a device (``allocated``), or what the process had
    of the host's memory (``resident``).
    """

    step_seconds: float
    processes: int
    steps: int
    flops: float
    tokens: float
    error: float | None = None
    pieces: int = 1
    memory_bytes: int | None = None
    memory: str = ""

    @property
    def device_seconds(self) -> float:
        """Seconds of a step, times the devices that it has."""
        return self.step_seconds * self.processes

    @property
    def slowest(self) -> float:
        """Seconds of a step at the upper end of what the spread of the pilot allows.

        One-sided, by Student's t over the pieces: few or uneven pieces give a wide margin.
        """
        if self.error is None or self.pieces < 2:
            return UNSURE * self.step_seconds
        from scipy.special import stdtrit

        return float(self.step_seconds + stdtrit(self.pieces - 1, CERTAIN) * self.error)

    def mfu(self, peak_flops: float) -> float:
        """Return the share that a training reached of a device's rate, in operations a second."""
        return self.flops / (self.device_seconds * peak_flops)


def read(result: Mapping[str, Any]) -> Pace:
    """Return the pace in a pilot's result; older ones tell no spread and no memory of their own."""
    told, steps = result["pilot"], int(result["steps"])
    seconds = float(told["step_seconds"])
    tokens = float(result["tokens_per_second"]) * float(result["training_seconds"]) / steps
    return Pace(
        step_seconds=seconds,
        processes=max(1, round(float(told["device_seconds"]) / seconds)) if seconds else 1,
        steps=int(told.get("steps", steps)),
        flops=float(result["flops_per_token"]) * tokens,
        tokens=tokens,
        error=told.get("standard_error"),
        pieces=int(told.get("pieces", 1)),
        memory_bytes=told.get("memory_bytes"),
        memory=str(told.get("memory", "")),
    )


def takes(
    plan: Plan, paces: Mapping[str, Pace], finished: Mapping[str, float] | None = None
) -> dict[str, dict[str, Any]]:
    """Return by model the device hours of all its trainings, of which some at least are measured.

    ``paces`` and ``finished``, device seconds of trainings of the same kind that are done, are by
    the key of a training. Each is counted by the best that is known of it: finished trainings, a
    pilot, or operations at the assumed rate. A model is left out where nothing of it was measured,
    or one of its trainings is not known at all, such as one whose steps depend on lengths.

    What is said of each is in ``TAKEN`` and ``MAYBE``.
    """
    found: dict[str, dict[str, Any]] = {}
    last = {run.train for run in plan.runs}
    own: dict[str, list[Stage]] = {}
    for stage in plan.stages.values():
        if stage.kind == "train" and not stage.probe:
            own.setdefault(stage.model, []).append(stage)
    for model, stages in own.items():
        planned = plan.execution.get("resources", {}).get(model, {})
        hours = {"recorded": 0.0, "piloted": 0.0, "assumed": 0.0}
        used: list[tuple[Pace, int]] = []
        for stage in stages:
            steps, pace = steps_of(plan, stage), paces.get(stage.key)
            assumed = _assumed(planned, stage, stage.key in last)
            if finished and stage.key in finished:
                hours["recorded"] += finished[stage.key] / 3600
            elif pace is not None and steps is not None:
                hours["piloted"] += steps * pace.device_seconds / 3600
                used.append((pace, steps))
            elif assumed is not None and steps is not None:
                hours["assumed"] += steps * assumed / 3600
            else:
                break
        else:
            total = sum(hours.values())
            if total > hours["assumed"]:
                found[model] = _said(planned, hours, total, used)
    return found


def calibrated(
    plan: Plan, paces: Mapping[str, Pace], taken: Mapping[str, Mapping[str, Any]]
) -> Plan:
    """Return a plan that has what was measured of its models, and limits of jobs by it."""
    if not taken and not paces:
        return plan
    jobs = tuple(
        job if (own := seconds(plan, job, paces)) is None else replace(job, seconds=own)
        for job in plan.jobs
    )
    return replace(plan, jobs=jobs, execution={**plan.execution, "measured": dict(taken)})


def seconds(plan: Plan, job: Job, paces: Mapping[str, Pace]) -> int | None:
    """Return how long a job takes at most by the pace of its pilots; None where that is not known.

    Each pace is at the upper end of its spread. Rows of test splits are scored at the pace of their
    model's training, without its way back, and are taken to be longer than what was trained on.
    """
    total = STARTING
    for stage in map(plan.stages.__getitem__, job.stages):
        trained = stage.key if stage.kind == "train" else stage.inputs.get("weights", "")
        pace = paces.get(trained)
        if stage.kind not in ("train", "evaluate") or pace is None:
            return None
        if pace.processes != job.processes or stage.identity.get("pool"):
            return None
        if stage.kind == "train":
            steps = steps_of(plan, stage)
            own = None if steps is None else steps * pace.slowest
        else:
            own = _scoring(plan, stage, plan.stages[trained], pace)
        if own is None:
            return None
        total += own + LOADING
    return math.ceil(total)


def words(took: Mapping[str, Any]) -> str:
    """Say where the hours of a model come from."""
    by = []
    if took.get("pilots"):
        by.append(f"by pilot, {took['steps']:,} steps")
    if took["source"] == "recorded" or took.get("finished_share"):
        by.append("by finished trainings")
    said = f"measured {' and '.join(by)}"
    if (share := took["measured_share"]) < 1.0:
        return f"{share:.0%} {said}; the rest {assumption(took.get('assumed_mfu'))}"
    return said


def assumption(mfu: float | None, source: str = "assumed") -> str:
    """Say by which share of a device's peak rate hours are told where nothing is measured.

    Plans that were compiled by older versions do not name it.
    """
    return f"{source} MFU" if mfu is None else f"{source} MFU {mfu:g}"


def reached(took: Mapping[str, Any]) -> str:
    """Say what a pilot reached beside what was assumed and traced; "" where there is neither."""
    said = []
    if "mfu" in took and "assumed_mfu" in took:
        said.append(f"MFU {took['mfu']:.2g} where {took['assumed_mfu']:g} was assumed")
    if "peak_memory_gib" in took and "traced_memory_gib" in took:
        kind = "allocated" if took["memory"] == "allocated" else "resident memory"
        said.append(
            f"peak {took['peak_memory_gib']:.2f} GiB {kind} where "
            f"{took['traced_memory_gib']:.2f} was traced"
        )
    return ", ".join(said)


def compared(planned: Mapping[str, Any], paces: Iterable[tuple[Pace, int]]) -> dict[str, Any]:
    """Return what pilots reached beside what a plan says of a model; each with its steps."""
    used = [(pace, steps) for pace, steps in paces]
    said: dict[str, Any] = {}
    if not used:
        return said
    peak = max(planned.get("peak_tflops", {}).values(), default=0.0) * 1e12
    if peak:
        spent = sum(steps * pace.device_seconds for pace, steps in used)
        did = sum(steps * pace.flops for pace, steps in used)
        said["mfu"] = float(f"{did / (spent * peak):.3g}")
    kinds = {pace.memory for pace, _ in used if pace.memory_bytes is not None}
    if len(kinds) == 1:
        said["memory"] = kinds.pop()
        peaks = [pace.memory_bytes / GIB for pace, _ in used if pace.memory_bytes is not None]
        said["peak_memory_gib"] = round(max(peaks), 3)
        if "memory_gib" in planned:
            parts = planned["parts_gib"]
            # A pilot keeps no copy of weights; of a device, tensors alone are counted.
            left = parts.get("kept", 0.0)
            left += parts.get("process", 0.0) if said["memory"] == "allocated" else 0.0
            said["traced_memory_gib"] = round(planned["memory_gib"] - left, 3)
    return said


def _said(
    planned: Mapping[str, Any],
    hours: Mapping[str, float],
    total: float,
    used: list[tuple[Pace, int]],
) -> dict[str, Any]:
    each = {id(pace): pace for pace, _ in used}.values()  # trainings of a kind share theirs
    source = "recorded" if total == hours["recorded"] else "piloted"
    said: dict[str, Any] = {
        "device_hours": total,
        "source": "partly" if hours["assumed"] else source,
        "measured_share": round(1.0 - hours["assumed"] / total, 4),
        "finished_share": round(hours["recorded"] / total, 4),
        "pilots": len(each),
        "steps": sum(pace.steps for pace in each),
    }
    said |= {"assumed_mfu": planned["mfu"]} if "mfu" in planned else {}
    return said | compared(planned, used)


def _assumed(planned: Mapping[str, Any], stage: Stage, end: bool) -> float | None:
    """Return the device seconds of a step at the assumed rate; None where it was not traced."""
    traced = planned.get("step_device_seconds", {})
    for phase in ("target", "intermediate") if end else ("intermediate", "target"):
        if (place := f"{phase}/{stage.task}") in traced:
            return float(traced[place])
    return None


def _scoring(plan: Plan, stage: Stage, trained: Stage, pace: Pace) -> float | None:
    training = trained.identity["training"]
    if "batch_tokens" in training:
        return None
    counts = plan.tasks[stage.task].get("counts", {}).get("test", {})
    rows = [counts.get(language_of(part)) for part in stage.parts]
    if any(row is None for row in rows):
        return None
    full = training["max_length"] * training["batch"] / pace.tokens if pace.tokens else LONGER
    longer = max(1.0, min(LONGER, full))
    return float(pace.slowest / training["batch"] * sum(rows) * FORWARD * longer)
