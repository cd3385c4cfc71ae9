"""Answers one question: on which devices, and how, does a model fit, and what does it take?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from compiler import calibration, scratch
from compiler.calibration import Pace
from compiler.catalog import Catalog
from compiler.entries import Device, Family, Model
from compiler.errors import EnvironmentUnready
from compiler.fitting import described, spent
from compiler.resolve import Course
from compiler.resources import Traced, key
from compiler.settings import of_recipe, steps_of
from compiler.strategy import Choice, Machine, Way, Work, attempt, shape_of
from compiler.terms import Phase
from compiler.training import EXECUTION, SHAPE, TrainingChange
from compiler.validate import suggest

Tuning = Literal["full", "lora", "qlora"]
TUNINGS: tuple[Tuning, ...] = ("full", "lora", "qlora")


Pilot = tuple[Mapping[str, Any], Pace]
"""What a pilot of the model on the device trained and how, and what it measured."""


@dataclass(frozen=True)
class Question:
    """A training, and the devices that there are for it."""

    model: Model
    machine: Machine
    work: Work
    tunings: tuple[Tuning, ...]


def model_of(catalog: Catalog, name: str) -> tuple[str, Model]:
    """Return a model of the catalog and its family: by its name, or as ``family:size``.

    Raises EnvironmentUnready (E014) when there is none.
    """
    known: dict[str, tuple[str, Model]] = {}
    for family in catalog.families.values():
        for member in scratch.members(family):
            known[member.name] = known[f"{family.family}:{member.size}"] = (family.family, member)
    if name not in known:
        raise _unknown("model", name, known)
    return known[name]


def family_of(catalog: Catalog, name: str) -> Family:
    """Return a family of the catalog that can be traced; raises EnvironmentUnready (E014)."""
    if name not in catalog.families:
        raise _unknown("model family", name, catalog.families)
    family = catalog.families[name]
    if not any(member.architecture for member in scratch.members(family)):
        hint = "give its members an `architecture`: the Transformers configuration"
        raise EnvironmentUnready("E014", f"`{name}` has no architecture to trace", hint=hint)
    return family


def device_of(catalog: Catalog, name: str) -> Device:
    """Return a device of the catalog; raises EnvironmentUnready (E014)."""
    if name not in catalog.devices:
        raise _unknown("device", name, catalog.devices)
    return catalog.devices[name]


def work_of(
    catalog: Catalog,
    model: Model,
    traced: Traced,
    task: str,
    recipe: str,
    phase: Phase,
    change: TrainingChange,
) -> Work:
    """Return a task's training by a recipe of the catalog, and what is changed of it.

    Raises EnvironmentUnready (E014) for a task or recipe that is none.
    """
    if task not in catalog.tasks:
        raise _unknown("task", task, catalog.tasks)
    if recipe not in catalog.recipes:
        raise _unknown("recipe", recipe, catalog.recipes)
    try:
        training = of_recipe(catalog.recipes[recipe], phase, task, model, change)
    except ValueError as error:
        what = f"the recipe `{recipe}` for `{task}` {error}"
        raise EnvironmentUnready("E014", what, hint="choose another --recipe or --phase") from error
    entry = catalog.tasks[task]
    shape = shape_of((entry,), training, traced, replay=False)
    steps = steps_of(training, Course(task, (entry,)))
    return Work(task, shape, training, steps, entry.kind != "dual_encoder")


def answers(question: Question, traced: Traced) -> Iterator[tuple[Tuning, Choice]]:
    """Yield every way to train, the least intrusive first, on the fewest devices that do.

    A way that does not do on any number of the devices is yielded with all of them.
    """
    machine = question.machine
    for tuning in question.tunings:
        model = question.model.tuned(None if tuning == question.model.tuning else tuning, None)
        work = question.work
        if key(machine.device.kind, work.training.precision, tuning) not in traced.traces:
            continue
        for kind in _kinds(machine):
            if kind[0].sharded and tuning == "qlora":
                continue  # weights in 4 bits are not divided
            tried = None
            for way in kind:
                tried = attempt(model, traced, {("target", work.name): work}, machine, way)
                if tried.possible:
                    break
            if tried is not None:
                yield tuning, tried


def _kinds(machine: Machine) -> Iterator[list[Way]]:
    """Yield the ways to train, each on ever more devices."""
    counts = [2**n for n in range(1, 13) if 2**n < machine.all] + [machine.all]
    several = [count for count in counts if count > 1]
    yield [Way("one device", 1)]
    yield [Way("one device", 1, checkpointing=True)]
    if machine.all > 1:
        yield [Way("ddp", machine.all)]
        yield [Way("ddp", machine.all, checkpointing=True)]
    if machine.device.kind == "cpu" or not several:
        return
    yield [Way("fsdp2", count, sharded=True) for count in several]
    yield [Way("fsdp2", count, sharded=True, checkpointing=True) for count in several]
    yield [Way("fsdp2", c, sharded=True, checkpointing=True, offload=True) for c in several]


def rows(question: Question, traced: Traced, pilots: Sequence[Pilot] = ()) -> list[dict[str, Any]]:
    """Return the answers as JSON can hold them; the first that fits is the one to take.

    Hours are measured where a pilot of the same training ran in the same way, else assumed.
    """
    found = []
    for tuning, choice in answers(question, traced):
        work = question.work
        said = described(choice, question.machine.device, [(("target", work.name), work.steps)])
        del said["rejected"], said["peak_tflops"]
        found.append({"tuning": tuning, "fits": choice.possible, **said})
        if pace := _pace(question, tuning, choice, pilots):
            found[-1] |= _measured(question, choice, pace)
    return found


def _pace(
    question: Question, tuning: Tuning, choice: Choice, pilots: Sequence[Pilot]
) -> Pace | None:
    """Return what the pilot of a training in one way measured; the last, if there are several."""
    recipe, fit = question.work.training, choice.heaviest
    wanted = {
        "tasks": [question.work.name],
        "training": recipe.model_dump(include=set(SHAPE), exclude_none=True),
        "tuning": tuning,
        "strategy": choice.way.title,
        "processes": choice.way.devices,
    }
    how = recipe.execution()
    how |= {"micro_batch": fit.micro_batch} if fit.accumulation > 1 else {}
    how |= {"gradient_checkpointing": True} if choice.way.checkpointing else {}
    alike = [
        pace
        for of, pace in pilots
        if wanted.items() <= of.items() and how == {k: of[k] for k in EXECUTION if k in of}
    ]
    return alike[-1] if alike else None


def _measured(question: Question, choice: Choice, pace: Pace) -> dict[str, Any]:
    """Return what of an answer is other by a pilot: hours, energy and price, and what it says."""
    device, steps = question.machine.device, question.work.steps
    planned = described(choice, device, [])
    took = {"source": "piloted", "measured_share": 1.0, "pilots": 1, "steps": pace.steps}
    took |= {"assumed_mfu": device.mfu, **calibration.compared(planned, [(pace, 1)])}
    took["step_seconds"] = pace.step_seconds
    said: dict[str, Any] = {"measured": took}
    return said if steps is None else said | spent(steps * pace.device_seconds / 3600, device)


def view(question: Question, traced: Traced, pilots: Sequence[Pilot] = ()) -> RenderableType:
    """Return the answers as a table, and the one to take with its reason in words."""
    found = rows(question, traced, pilots)
    work, machine = question.work, question.machine
    training = work.training
    steps = "steps not known" if work.steps is None else f"{work.steps:,} steps"
    title = (
        f"{question.model.name}, {work.name}: {steps} of {work.batch} x {training.max_length}, "
        f"{training.precision}, on {machine.device.device}"
    )
    # In 80 columns no word may be cut: strategies are broken between their words alone.
    table = Table(title=title, box=box.SIMPLE, title_justify="left", padding=0)
    table.add_column("tuning", no_wrap=True)
    table.add_column("strategy")
    # Processes share the memory of a CPU, so there are ways of which each has less.
    alike = len({row["capacity_gib"] for row in found}) == 1
    size = f"GiB of\n{found[0]['capacity_gib']:.1f}" if alike else "GiB"
    for name in ("devices", "micro\nx acc.", size, "fits", "hours", "device\nhours", "kWh"):
        table.add_column(name, justify="right", no_wrap=True)
    priced = machine.device.price_per_hour is not None
    if priced:
        table.add_column("price", justify="right")
    for row in found:
        hours = row.get("device_hours")
        table.add_row(
            row["tuning"],
            row["strategy"],
            str(row["devices"]),
            f"{row['micro_batch']} x {row['accumulation']}",
            f"{row['memory_gib']:.1f}" + ("" if alike else f" of {row['capacity_gib']:.1f}"),
            "yes" if row["fits"] else "no",
            "?" if hours is None else f"{hours / row['devices']:,.1f}",
            "?" if hours is None else _short(hours),
            _short(row["kwh"]) if "kwh" in row else "?",
            *([f"{row['price']:,.0f}" if "price" in row else "?"] if priced else []),
        )
    return Group(table, Text(_conclusion(question, found)), *map(Text, _sources(question, found)))


def _sources(question: Question, found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield where the hours come from: of each way that was piloted, and of all others."""
    for row in found:
        if "measured" not in row:
            continue
        said = calibration.words(row["measured"])
        said += f", {more}" if (more := calibration.reached(row["measured"])) else ""
        many = f"{row['devices']} x " if row["devices"] > 1 else ""
        yield f"Hours of {row['tuning']}, {many}{row['strategy']}: {said}."
    if any("measured" not in row for row in found):
        device = question.machine.device
        others = "All other hours" if any("measured" in row for row in found) else "Hours"
        by = calibration.assumption(device.mfu, device.mfu_source)
        yield f"{others}: {by}, at most, every text at full length."


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _conclusion(question: Question, found: Sequence[Mapping[str, Any]]) -> str:
    name, device = question.model.name, question.machine.device
    taken = next((row for row in found if row["fits"]), None)
    if taken is None:
        return f"{name} does not fit {question.machine.all} {device.device} in any of these ways."
    parts = ", ".join(f"{what} {size:.1f}" for what, size in taken["parts_gib"].items())
    more = "" if taken["tuning"] == "full" else f" tuned by {taken['tuning']}"
    return (
        f"{name}{more}: {taken['strategy']} on {taken['devices']} {device.device}, "
        f"{taken['memory_gib']:.1f} of {taken['capacity_gib']:.1f} GiB ({parts}).\n"
        "Memory is traced, every text at full length."
    )


def _unknown(kind: str, name: str, known: Mapping[str, Any]) -> EnvironmentUnready:
    return EnvironmentUnready("E014", f"there is no {kind} `{name}`", hint=suggest(name, known))
