"""Reads from a store what trainings or their pilots took, in place of what was estimated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compiler.pilot import pilot_of, steps_of
from compiler.plan import Plan
from runtime.store import Store


def recorded(store: Store, plan: Plan, states: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return by model the device hours of all its trainings, as far as every kind was recorded.

    A training counts as what those of the same task, phase and settings took on the mean, which are
    in the store; a model of which one kind of training never ran is left out.
    """
    took: dict[tuple[str, str, str], list[float]] = {}
    wanted: dict[str, list[tuple[str, str, str]]] = {}
    for key, stage in plan.stages.items():
        if stage.kind != "train" or stage.model not in plan.execution.get("resources", {}):
            continue
        if stage.probe:
            continue
        kind = (stage.model, stage.task, str(stage.identity.get("training")))
        wanted.setdefault(stage.model, []).append(kind)
        if states.get(key) == "done" and (record := store.record(key)) is not None:
            processes = record.provenance.get("accelerator", {}).get("processes", 1)
            seconds = float(record.result["training_seconds"]) * int(processes)
            took.setdefault(kind, []).append(seconds)
    found = {}
    for model, kinds in wanted.items():
        if all(kind in took for kind in kinds):
            total = sum(sum(took[kind]) / len(took[kind]) for kind in kinds)
            found[model] = {"device_hours": total / 3600, "source": "recorded"}
    return found


def measured(store: Store, plan: Plan, states: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the device hours of each model's trainings as recorded; else as piloted, if so."""
    return piloted(store, plan) | recorded(store, plan, states)


def piloted(store: Store, plan: Plan) -> dict[str, dict[str, Any]]:
    """Return by model the device hours of all its trainings by the pace of their pilots.

    A model is left out where one of its trainings has no pilot in the store, or no known steps.
    """
    if not any((store.root / "stages").glob("train-pilot-*")):
        return {}  # without asking for the pilot of every training of a large plan
    pace: dict[str, float | None] = {}
    total: dict[str, float] = {}
    unknown = set()
    for stage in plan.stages.values():
        if stage.kind != "train" or stage.probe:
            continue
        pilot, steps = pilot_of(stage), steps_of(plan, stage)
        if pilot not in pace:
            record = store.record(pilot, "all")
            pace[pilot] = None if record is None else record.result["pilot"]["device_seconds"]
        if steps is None or pace[pilot] is None:
            unknown.add(stage.model)
        else:
            total[stage.model] = total.get(stage.model, 0.0) + steps * float(pace[pilot] or 0.0)
    return {
        model: {"device_hours": seconds / 3600, "source": "piloted"}
        for model, seconds in total.items()
        if model not in unknown
    }
