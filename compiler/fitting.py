"""Fits every size of a study to its devices: strategies, micro-batches, and what will not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

from compiler import resources
from compiler.catalog import Catalog
from compiler.entries import Device, Model, Task
from compiler.resolve import Course, Goal, Say, Treatment
from compiler.settings import steps_of
from compiler.strategy import GIB, Choice, Machine, Way, Work, attempt, choose, rate_of, shape_of
from compiler.study import Study
from compiler.terms import Phase
from compiler.training import Training

Trainings = Mapping[tuple[Phase, str, str], Training]

MOST = 4096
"""Devices up to which a way out is looked for."""


def machine_of(study: Study, catalog: Catalog) -> Machine | None:
    """Return the devices of a study; None when it names none of the catalog."""
    hardware = study.hardware
    device = catalog.devices.get(hardware.device)
    return None if device is None else Machine(device, hardware.nodes, hardware.devices_per_node)


def fallen_back(
    study: Study,
    catalog: Catalog,
    models: tuple[Model, ...],
    families: Mapping[str, str],
    arms: tuple[Treatment, ...],
    goals: tuple[Goal, ...],
    trainings: Trainings,
) -> tuple[Model, ...]:
    """Return the models, tuned by adapters where a study allows it and nothing else fits."""
    machine = machine_of(study, catalog)
    if machine is None or not study.allow:
        return models
    result = []
    for model in models:
        tuned = model
        for tuning in (None, *study.allow):
            tuned = model.tuned(tuning, None) if model.tuning == "full" else model
            choice = _choice(tuned, catalog, families, arms, goals, trainings, machine)
            if choice is None or choice.possible:
                break
        else:
            tuned = model
        result.append(tuned)
    return tuple(result)


def fitted(
    study: Study,
    catalog: Catalog,
    models: tuple[Model, ...],
    families: Mapping[str, str],
    arms: tuple[Treatment, ...],
    goals: tuple[Goal, ...],
    trainings: Trainings,
    say: Say,
) -> dict[str, Choice]:
    """Return how each size is trained, where it was traced, and say which sizes cannot be.

    A size that fits in no way is an error; on the CPU of the catalog, which stands in for any, a
    warning.
    """
    machine = machine_of(study, catalog)
    if machine is None:
        return {}
    found, untraced = {}, []
    for model in models:
        choice = _choice(model, catalog, families, arms, goals, trainings, machine)
        if choice is None:
            untraced.append(model.name)
        elif choice.possible:
            found[model.name] = choice
        else:
            code = "C240" if machine.device.kind == "cuda" else "C241"
            need, most = choice.heaviest, choice.capacity / GIB
            what = (
                f"`{model.name}` does not fit {_devices(machine)}: {need.work.name} takes "
                f"{need.memory / GIB:.1f} of {most:.1f} GiB even by {choice.way.title}"
            )

            def again(tuned: Model, more: Machine) -> Choice | None:
                return _choice(tuned, catalog, families, arms, goals, trainings, more)

            say(code, what, _ways_out(model, machine, again), ("hardware",))
    if untraced and machine.device.kind == "cuda":
        shown = ", ".join(f"`{name}`" for name in untraced)
        say("C242", f"what {shown} takes is not known: it was not traced", "", ("models",))
    return found


def cut(
    trainings: Trainings, choices: Mapping[str, Choice]
) -> dict[tuple[Phase, str, str], Training]:
    """Return the settings of every training with the micro-batch and the checkpointing it needs.

    Both are in no key. A batch that fits whole stays uncut.
    """
    result = dict(trainings)
    for place, training in trainings.items():
        choice = choices.get(place[2])
        if choice is None:
            continue
        fit = choice.fits[place[:2]]
        changes: dict[str, object] = {}
        if fit.accumulation > 1:
            changes["micro_batch"] = fit.micro_batch
        if choice.way.checkpointing:
            changes["gradient_checkpointing"] = True
        result[place] = training.model_copy(update=changes)
    return result


def in_way(
    way: Way,
    model: Model,
    study: Study,
    catalog: Catalog,
    families: Mapping[str, str],
    arms: tuple[Treatment, ...],
    goals: tuple[Goal, ...],
    trainings: Trainings,
) -> Choice | None:
    """Return what a model takes in one way; None where that is not known."""
    machine = machine_of(study, catalog)
    if machine is None:
        return None
    return _choice(model, catalog, families, arms, goals, trainings, machine, way)


def _choice(
    model: Model,
    catalog: Catalog,
    families: Mapping[str, str],
    arms: tuple[Treatment, ...],
    goals: tuple[Goal, ...],
    trainings: Trainings,
    machine: Machine,
    way: Way | None = None,
) -> Choice | None:
    """Return how a model is trained; None when it was not traced for such a device."""
    traced = resources.find(catalog, families[model.name], model)
    kind, own = machine.device.kind, {}
    for (phase, name, of), training in trainings.items():
        if of == model.name:
            if (
                traced is None
                or resources.key(kind, training.precision, model.tuning) not in traced.traces
            ):
                return None
            tasks, replay, steps = _trained(phase, name, arms, goals, training)
            shape = shape_of(tasks, training, traced, replay)
            whole = all(task.kind != "dual_encoder" for task in tasks)
            own[(phase, name)] = Work(name, shape, training, steps, whole)
    if traced is None or not own:
        return None
    if way is not None:
        return attempt(model, traced, own, machine, way)
    return choose(model, traced, own, machine)


def _trained(
    phase: Phase,
    name: str,
    arms: tuple[Treatment, ...],
    goals: tuple[Goal, ...],
    training: Training,
) -> tuple[tuple[Task, ...], bool, int | None]:
    """Return the tasks of a training, whether it replays texts, and its steps."""
    if phase == "intermediate":
        courses = [c for arm in arms for c in arm.courses if c.name == name]
    else:
        trained = (task for goal in goals for task in goal.trains if task.task == name)
        courses = [Course(name, (task,)) for task in trained]
    tasks = tuple({task.task: task for course in courses for task in course.tasks}.values())
    steps = steps_of(training, courses[0]) if courses else None
    return tasks, any(course.replay for course in courses), steps


def _ways_out(
    model: Model, machine: Machine, again: Callable[[Model, Machine], Choice | None]
) -> str:
    """Say what else would do, and what it costs: more devices, or adapters on these."""
    found = []
    per_node = max(machine.devices_per_node, 8) if machine.device.kind == "cuda" else 1
    sizes = [replace(machine, devices_per_node=n) for n in (2, 4, 8) if n <= per_node]
    sizes += [
        replace(machine, nodes=2**n, devices_per_node=per_node)
        for n in range(1, 13)
        if 2**n * per_node <= MOST
    ]
    for more in sizes:
        if more.all > machine.all and (choice := again(model, more)) and choice.possible:
            found.append(f"{_devices(more)} ({choice.way.title}, {_cost(choice, more)})")
            break
    tunings: tuple[Literal["lora", "qlora"], ...] = ("lora", "qlora")
    for tuning in tunings if model.tuning == "full" else ():
        choice = again(model.tuned(tuning, None), machine)
        if choice and choice.possible:
            found.append(
                f"`allow: [{tuning}]` or `tuning: {tuning}` ({choice.way.title}, "
                f"{_cost(choice, machine)})"
            )
            break
    return (
        "; or ".join(found)
        if found
        else "take a smaller size, a shorter `max_length`, or more memory"
    )


def _devices(machine: Machine) -> str:
    name = machine.device.device
    if machine.nodes > 1:
        return f"{machine.nodes} x {machine.devices_per_node} {name}"
    return f"{machine.devices_per_node} {name}"


def _cost(choice: Choice, machine: Machine) -> str:
    """Say what each of the trainings takes once: device hours, and money where it is known."""
    hours = device_hours(choice)
    if hours is None:
        return f"{choice.heaviest.memory / GIB:.1f} GiB"
    price = machine.device.price_per_hour
    return f"{choice.heaviest.memory / GIB:.1f} GiB, at most {short(hours)} device hours" + (
        f" for each seed, {short(hours * price)} in your currency" if price else " for each seed"
    )


def short(value: float) -> str:
    """Write hours, or what follows from them: whole from ten on, else in two digits."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def device_hours(choice: Choice) -> float | None:
    """Return the device hours of each of a model's trainings once; None when one is uncounted."""
    return hours_of(choice, [(place, fit.work.steps) for place, fit in choice.fits.items()])


def hours_of(choice: Choice, steps: Iterable[tuple[tuple[Phase, str], int | None]]) -> float | None:
    """Return the device hours of trainings with so many steps; None when some are not known."""
    total = 0.0
    for place, count in steps:
        if count is None:
            return None
        total += count * choice.fits[place].step_seconds
    return total * choice.way.devices / 3600


def described(
    choice: Choice, device: Device, steps: Iterable[tuple[tuple[Phase, str], int | None]]
) -> dict[str, Any]:
    """Return what a plan says of how a model is trained, and of what all its trainings take.

    Memory in GiB is that of the heaviest training. Hours are of devices, at most, as every text
    is taken to be as long as may be; price and energy follow from them.
    """
    fit = choice.heaviest
    hours = hours_of(choice, steps)
    said: dict[str, Any] = {
        "strategy": choice.way.title,
        "devices": choice.way.devices,
        "heaviest": fit.work.name,
        "batch": fit.work.batch,
        "micro_batch": fit.micro_batch,
        "accumulation": fit.accumulation,
        "memory_gib": round(fit.memory / GIB, 2),
        "capacity_gib": round(choice.capacity / GIB, 2),
        "parts_gib": {name: round(size / GIB, 2) for name, size in fit.parts.items() if size},
        "rejected": [
            {"strategy": way.title, "devices": way.devices, "memory_gib": round(size / GIB, 1)}
            for way, size in choice.rejected
        ],
        "step_device_seconds": {
            f"{phase}/{name}": round(each.step_seconds * choice.way.devices, 6)
            for (phase, name), each in choice.fits.items()
        },
        "source": f"traced; {device.mfu_source} MFU {device.mfu:g}",
        "mfu": device.mfu,
        "peak_tflops": {
            fit.work.training.precision: rate_of(device, fit.work.training.precision)
            for fit in choice.fits.values()
        },
    }
    return said if hours is None else said | spent(hours, device)


def spent(hours: float, device: Device) -> dict[str, float]:
    """Return what device hours are, with the energy and the price where the catalog knows these."""
    price = device.price_per_hour
    return {
        "device_hours": round(hours, 2),
        **({"kwh": round(hours * device.watts / 1000, 1)} if device.watts else {}),
        **({"price": round(hours * price, 2)} if price else {}),
    }
