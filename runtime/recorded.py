"""Reads from a store what trainings or their pilots took, in place of what was estimated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from compiler.calibration import Pace, read, takes
from compiler.pilot import piloting
from compiler.plan import Plan
from runtime.store import Store

if TYPE_CHECKING:
    from runtime.collect import Records

PILOTS = "train-pilot-*"
"""What the keys of pilots begin with."""


def finished(store: Store, plan: Plan, states: Mapping[str, str]) -> dict[str, float]:
    """Return by key the device seconds of each training of a kind that was finished.

    A training counts as what those of the same model, task and settings took on the mean.
    """
    took: dict[tuple[str, str, str], list[float]] = {}
    kinds: dict[str, tuple[str, str, str]] = {}
    for key, stage in plan.stages.items():
        if stage.kind != "train" or stage.probe:
            continue
        kinds[key] = (stage.model, stage.task, str(stage.identity.get("training")))
        if states.get(key) == "done" and (record := store.record(key)) is not None:
            seconds = record.result.get("training_seconds")
            if seconds is None:
                continue  # made elsewhere, which tells no time
            processes = record.provenance.get("accelerator", {}).get("processes", 1)
            took.setdefault(kinds[key], []).append(float(seconds) * int(processes))
    return {key: sum(took[k]) / len(took[k]) for key, k in kinds.items() if k in took}


def measured(store: Store, plan: Plan, states: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return what each model's trainings take by finished ones, else pilots, else assumed."""
    return takes(plan, paces(store, plan), finished(store, plan, states))


def piloted(store: Records, plan: Plan) -> dict[str, dict[str, Any]]:
    """Return what each model's trainings take by their pilots, else assumed."""
    return takes(plan, paces(store, plan))


def paces(store: Records, plan: Plan) -> dict[str, Pace]:
    """Return the pace of each training that has a pilot in the store, by the training's key."""
    if isinstance(store, Store) and not _any(store):
        return {}  # without asking for the pilot of every training of a large plan
    known: dict[str, Pace | None] = {}
    found = {}
    for key, pilot in piloting(plan).items():
        if pilot.key not in known:
            record = store.record(pilot.key, "all")
            known[pilot.key] = None if record is None else read(record.result)
        if (pace := known[pilot.key]) is not None:
            found[key] = pace
    return found


def pilots_of(store: Store, model: str, device: str) -> Iterator[tuple[Mapping[str, Any], Pace]]:
    """Yield every pilot of a model on a device, with what it trained and how."""
    if not _any(store):
        return
    for folder in sorted((store.root / "stages").glob(PILOTS)):
        record = store.record(folder.name)
        told = {} if record is None else record.result.get("pilot", {}).get("of", {})
        if record is not None and (told.get("model"), told.get("device")) == (model, device):
            yield told, read(record.result)


def _any(store: Store) -> bool:
    return any((store.root / "stages").glob(PILOTS))
