"""Chooses how each size is trained on the devices of a study: the least intrusive way that fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from compiler.entries import Device, Model, Task
from compiler.resources import Demand, Shape, Trace, Traced, demand, flops, key, memory, twice
from compiler.terms import Phase
from compiler.training import Training

GIB = 2**30

MASKED = 0.15
"""Share of the subwords that masked language modelling predicts."""

LABELS = 20
"""Labels of a tagging task whose labels are not known before its data are read; assumed."""


class Way(NamedTuple):
    """One way to train: on so many devices, weights whole on each or divided among them."""

    name: str
    devices: int
    sharded: bool = False
    checkpointing: bool = False
    offload: bool = False

    @property
    def title(self) -> str:
        """What people are told."""
        more = (("checkpointing", self.checkpointing), ("offload", self.offload))
        return " + ".join([self.name, *(word for word, chosen in more if chosen)])


@dataclass(frozen=True)
class Work:
    """One training of a model as a device sees it; ``steps`` is None when it cannot be counted."""

    name: str
    shape: Shape
    training: Training
    steps: int | None = None
    divisible: bool = True

    @property
    def batch(self) -> int:
        """Items of an optimizer step, the longest ones where subwords are counted."""
        if self.training.batch_tokens is not None:
            return max(1, self.training.batch_tokens // self.training.max_length)
        return self.training.batch


@dataclass(frozen=True)
class Fit:
    """One training in one way: its cut into micro-batches, and the memory of a device."""

    work: Work
    micro_batch: int
    accumulation: int
    parts: Mapping[str, float]
    step_seconds: float

    @property
    def memory(self) -> float:
        """Bytes on one device at the peak."""
        return sum(self.parts.values())

    @property
    def seconds(self) -> float | None:
        """Seconds of the whole training; None when its steps cannot be counted."""
        return None if self.work.steps is None else self.step_seconds * self.work.steps


@dataclass(frozen=True)
class Choice:
    """How a model is trained: the way, and each of its trainings in it."""

    model: str
    way: Way
    capacity: float
    fits: Mapping[Any, Fit]
    rejected: tuple[tuple[Way, float], ...] = ()
    source: str = "assumed"

    @property
    def heaviest(self) -> Fit:
        """The training that takes most memory."""
        return max(self.fits.values(), key=lambda fit: fit.memory)

    @property
    def possible(self) -> bool:
        """Whether all fit."""
        return self.heaviest.memory <= self.capacity


@dataclass(frozen=True)
class Probe:
    """The sharding probe: a model and seed that are trained whole, and here divided as well.

    ``choice`` is what its trainings take divided, None where that is not known; ``recipes`` are
    their settings, cut to fit so.
    """

    model: str
    seed: int
    plain: Way
    way: Way
    recipes: Mapping[tuple[Phase, str, str], Training]
    choice: Choice | None = None

    @property
    def marker(self) -> dict[str, Any]:
        """What the identity of its stages says of the way."""
        return {"strategy": self.way.title, "devices": self.way.devices}


@dataclass(frozen=True)
class Machine:
    """The devices that a job may use."""

    device: Device
    nodes: int = 1
    devices_per_node: int = 1

    @property
    def all(self) -> int:
        """Devices of all machines."""
        return self.nodes * self.devices_per_node


def ways(machine: Machine) -> Iterator[Way]:
    """Yield every way to train on the devices, the least intrusive first.

    What a step computes stays the same in all of them. A copy of the model on each device changes
    least; layers computed twice cost time; a model divided among devices (FSDP2) is other software
    and other files of weights; beyond one machine it waits for the network, and with its numbers in
    the memory of the host for that.
    """
    here, all_ = machine.devices_per_node, machine.all
    name = "one device" if here == 1 else "ddp"
    yield Way(name, here)
    yield Way(name, here, checkpointing=True)
    if machine.device.kind == "cpu":
        return  # whose processes share one memory
    several = [count for count in dict.fromkeys((here, all_)) if count > 1]
    for count in several:
        yield Way("fsdp2", count, sharded=True)
        yield Way("fsdp2", count, sharded=True, checkpointing=True)
    for count in several:
        yield Way("fsdp2", count, sharded=True, checkpointing=True, offload=True)


def choose(model: Model, traced: Traced, works: Mapping[Any, Work], machine: Machine) -> Choice:
    """Return the first way in which all trainings of a model fit; else the one that lacks least.

    A training keeps its batch: it is cut into micro-batches, the largest that fit.
    """
    rejected: list[tuple[Way, float]] = []
    nearest: Choice | None = None
    for way in ways(machine):
        if way.sharded and model.tuning == "qlora":
            continue  # weights in 4 bits are not divided
        found = attempt(model, traced, works, machine, way)
        if found.possible:
            return Choice(
                found.model, way, found.capacity, found.fits, tuple(rejected), found.source
            )
        rejected.append((way, found.heaviest.memory))
        if nearest is None or found.heaviest.memory < nearest.heaviest.memory:
            nearest = found
    assert nearest is not None
    return Choice(
        model.name, nearest.way, nearest.capacity, nearest.fits, tuple(rejected), nearest.source
    )


def attempt(
    model: Model, traced: Traced, works: Mapping[Any, Work], machine: Machine, way: Way
) -> Choice:
    """Return what a model's trainings take in one way, whether they fit or not."""
    device = machine.device
    capacity = device.memory_gib * GIB
    if device.kind == "cpu":
        capacity /= min(way.devices, machine.devices_per_node)  # processes share the memory
    fits = {
        place: _fit(model, traced, work, device, way, capacity) for place, work in works.items()
    }
    return Choice(model.name, way, capacity, fits, source=device.mfu_source)


def _fit(
    model: Model, traced: Traced, work: Work, device: Device, way: Way, capacity: float
) -> Fit:
    training = work.training
    trace = traced.traces[key(device.kind, training.precision, model.tuning)]
    if way.checkpointing or training.gradient_checkpointing:
        trace = twice(traced, trace)
    need = demand(
        traced,
        device.kind,
        training.precision,
        model.tuning,
        model.adapter,
        frozen_layers=min(training.freeze_layers, traced.layers),
        frozen_embeddings=training.freeze == "embeddings",
        copies=int(training.selection == "best_english_dev" or training.average > 1),
    )
    seconds = _step_seconds(traced, trace, work, device, way)
    cut = None
    for micro, accumulation in cuts(work, way.devices):
        parts = _parts(traced, trace, need, work.shape, micro, way, accumulation, device)
        cut = Fit(work, micro, accumulation, parts, seconds)
        if cut.memory <= capacity:
            return cut
    assert cut is not None
    return cut


def cuts(work: Work, devices: int) -> Iterator[tuple[int, int]]:
    """Yield micro-batches, the largest first, and how many of them a device has in a step.

    Together the devices have the whole batch, whatever the cut; the last part may be smaller.
    """
    share = -(-work.batch // devices)
    if not work.divisible:
        yield work.batch, 1
        return
    if work.training.micro_batch is not None:
        micro = min(share, work.training.micro_batch)
        yield micro, -(-share // micro)
        return
    last = 0
    for accumulation in range(1, share + 1):
        micro = -(-share // accumulation)
        if micro != last:
            yield micro, accumulation
        last = micro


def _parts(
    traced: Traced,
    trace: Trace,
    need: Demand,
    shape: Shape,
    micro: int,
    way: Way,
    accumulation: int,
    device: Device,
) -> dict[str, float]:
    parts = memory(
        traced,
        trace,
        need,
        shape,
        micro,
        processes=way.devices,
        sharded=way.sharded,
        offload=way.offload,
        accumulates=accumulation > 1,
    )
    if way.offload:
        borrowed = (need.frozen_bytes + 16.0 * need.trained + 4.0 * need.kept) / way.devices
        lacking = borrowed - (device.host_gib or 0.0) * GIB
        # What the host has no room for has none on the device either: that is why it was to go.
        parts["host"] = device.memory_gib * GIB + lacking if lacking > 0 else 0.0
    return {**parts, "process": device.overhead_gib * GIB}


def _step_seconds(traced: Traced, trace: Trace, work: Work, device: Device, way: Way) -> float:
    """Return the seconds of an optimizer step, every item at full length: no training is longer."""
    rate = rate_of(device, work.training.precision)
    reached = rate * 1e12 * device.mfu * min(way.devices, work.batch)
    return flops(traced, trace, work.shape) * work.batch / reached if reached else 0.0


def rate_of(device: Device, precision: str) -> float:
    """Return a device's peak rate at a precision, in 10^12 operations a second; 0 if unknown."""
    rates = {str(name): rate for name, rate in device.tflops.items()}
    return rates.get(precision) or max(rates.values(), default=0.0)


def shape_of(tasks: tuple[Task, ...], training: Training, traced: Traced, replay: bool) -> Shape:
    """Return the item of a training on some tasks that is largest in every respect."""
    length = training.max_length
    sequences, logits = 1, 2
    for task in tasks:
        labels = len(task.labels) or LABELS
        if task.kind == "multiple_choice":
            sequences, logits = max(sequences, task.choices or 1), max(logits, task.choices or 1)
        elif task.kind == "dual_encoder":
            sequences = max(sequences, 2)
        elif task.kind == "token_classification":
            logits = max(logits, length * labels)
        elif task.kind == "span_extraction":
            logits = max(logits, 2 * length)
        elif task.kind == "sequence_classification":
            logits = max(logits, labels)
    if replay or any(task.kind == "masked_lm" for task in tasks):
        logits = max(logits, round(MASKED * length) * (traced.tokens // traced.width))
    return Shape(length, sequences, logits)
