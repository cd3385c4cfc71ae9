"""Finds the second way of a sharding probe: which size is trained both whole and divided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compiler import fitting
from compiler.catalog import Catalog
from compiler.entries import Model, Task
from compiler.fitting import Trainings, machine_of
from compiler.resolve import Goal, Say, Treatment
from compiler.strategy import GIB, Choice, Probe, Way
from compiler.study import Study
from compiler.validate import suggest

ASIDE = {"self_pair", "control_arm", "exploratory"}
"""Flags of runs that the primary estimate is not made of: they are not trained a second time."""

TAKE_OUT = "take `sharding_probe` out"


def probed(
    study: Study,
    catalog: Catalog,
    models: tuple[Model, ...],
    families: Mapping[str, str],
    arms: tuple[Treatment, ...],
    goals: tuple[Goal, ...],
    trainings: Trainings,
    strategies: Mapping[str, Choice],
    say: Say,
) -> Probe | None:
    """Return what a study's sharding probe trains, and say what is wrong with it.

    None where the study asks for no probe, or for one that cannot be had.
    """
    wanted = study.sharding_probe
    if wanted is None:
        return None
    seed = study.seeds[0] if wanted.seed is None else wanted.seed
    if seed not in study.seeds:
        what = f"the sharding probe names the seed {seed}, which is not in this study"
        listed = ", ".join(map(str, study.seeds))
        say("C150", what, f"choose from: {listed}", ("sharding_probe", "seed"))
    model = _model(study, models, strategies, say)
    way = _way(study, catalog, models, strategies, say)
    if model is None or way is None or seed not in study.seeds:
        return None
    before = [(), *(arm.tasks for arm in arms if arm.role == "intermediate")]
    if not any(divisible((*tasks, *goal.trains)) for tasks in before for goal in goals):
        say(
            "C151",
            "nothing is trained here that can be divided",
            TAKE_OUT,
            ("sharding_probe",),
            True,
        )
        return None
    own = {place: t for place, t in trainings.items() if place[2] == model.name}
    known = model.name in strategies
    choice = None
    if known:
        choice = fitting.in_way(way, model, study, catalog, families, arms, goals, own)
    if choice is not None and not choice.possible:
        need, most = choice.heaviest, choice.capacity / GIB
        what = (
            f"`{model.name}` can be trained in one way only: by {way.title} on {way.devices} "
            f"{need.work.name} takes {need.memory / GIB:.1f} of {most:.1f} GiB"
        )
        say("C151", what, "give more `devices`, or probe another size", ("sharding_probe",), True)
        return None
    count = study.hardware.nodes * study.hardware.devices_per_node
    plain = strategies[model.name].way if known else whole(count)
    cut = fitting.cut(own, {model.name: choice}) if choice is not None else own
    return Probe(model.name, seed, plain, way, cut, choice)


def whole(devices: int) -> Way:
    """Return the way of a model that is whole on each of so many devices."""
    return Way("one device" if devices == 1 else "ddp", devices)


def divisible(tasks: Sequence[Task]) -> bool:
    """Tell whether there is a training in what one run is trained on, and all can be divided.

    A dual encoder compares all of its batch, so several processes do not share its training.
    """
    return bool(tasks) and all(task.kind != "dual_encoder" for task in tasks)


def _model(
    study: Study, models: tuple[Model, ...], strategies: Mapping[str, Choice], say: Say
) -> Model | None:
    """Return the model that is probed: the one that is named, or the largest that fits whole."""
    wanted = study.sharding_probe
    assert wanted is not None
    whole_ones = [m for m in models if _only_way(m, strategies) is None]
    if wanted.model is None:
        if not whole_ones:
            why = "; ".join(f"`{m.name}` {_only_way(m, strategies)}" for m in models[:4])
            what = f"every size can be trained in one way only: {why}"
            say("C151", what, TAKE_OUT, ("sharding_probe",), True)
            return None
        return max(whole_ones, key=lambda m: m.counts.total)
    name, path = str(wanted.model), ("sharding_probe", "model")
    called = [m for m in models if name in (m.name, str(m.size))]
    if not called:
        known = [m.name for m in models]
        what = f"the sharding probe names the model `{name}`, which is not in this study"
        say("C150", what, suggest(name, known), path)
        return None
    if len(called) > 1:
        both = ", ".join(f"`{m.name}`" for m in called)
        say("C150", f"several models have the size `{name}`: {both}", "give the name", path)
        return None
    why_not = _only_way(called[0], strategies)
    if why_not is not None:
        hint = f"choose from: {', '.join(m.name for m in whole_ones)}" if whole_ones else TAKE_OUT
        what = f"`{called[0].name}` can be trained in one way only: it {why_not}"
        say("C151", what, hint, path)
        return None
    return called[0]


def _only_way(model: Model, strategies: Mapping[str, Choice]) -> str | None:
    """Return why a model cannot be trained both whole and divided; None if it can."""
    if model.tuning == "qlora":
        return "has weights in 4 bits, which are not divided"
    choice = strategies.get(model.name)
    if choice is not None and choice.way.sharded:
        return "fits no device whole"
    return None


def _way(
    study: Study,
    catalog: Catalog,
    models: tuple[Model, ...],
    strategies: Mapping[str, Choice],
    say: Say,
) -> Way | None:
    """Return how it is divided: as the smallest size that must be, on so many devices if named."""
    wanted = study.sharding_probe
    assert wanted is not None
    ordered = sorted(models, key=lambda m: m.counts.total)
    ways = [strategies[m.name].way for m in ordered if m.name in strategies]
    found = next((way for way in ways if way.sharded), None)
    if wanted.devices is None:
        if found is None:
            what = "no size is divided among devices by this plan: there is one way for all"
            hint = f"{TAKE_OUT}, or give `devices` to see all the same what dividing changes"
            say("C151", what, hint, ("sharding_probe",), True)
        return found
    hardware, machine = study.hardware, machine_of(study, catalog)
    here, all_ = hardware.devices_per_node, hardware.nodes * hardware.devices_per_node
    kind = machine.device.kind if machine else hardware.device
    count = wanted.devices
    # Processes on a CPU share it, however many they are; devices are there or not.
    if kind != "cpu" and (count > all_ or (count > here and count % here)):
        many = f"{hardware.nodes} x {here}" if hardware.nodes > 1 else f"{here}"
        what = f"{count} devices cannot be had of {many}, or not as many on each machine"
        hint = "give a number that fills machines, or more `nodes` or `devices_per_node`"
        say("C151", what, hint, ("sharding_probe", "devices"))
        return None
    return (found or Way("fsdp2", count, sharded=True))._replace(devices=count)
