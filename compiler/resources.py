"""What a model costs to train: counts and traced coefficients, and memory and operations by them.

The numbers were traced by `runtime.tracing` on the model's own graph, and are read from
``resources/<family>.json`` beside the folder of the family's file. Nothing here needs torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from compiler.catalog import Catalog
from compiler.entries import Adapter, Model
from compiler.errors import EnvironmentUnready
from compiler.identity import digest
from compiler.terms import Frozen

SCHEMA = "stiltscale/resources/1"

RANK = Adapter.model_validate({}).rank
"""The rank at which adapters are traced: beside every linear layer, as by default."""

FOUR_BITS = 4.127 / 8
"""Bytes of a weight in 4 bits with its constants quantised too (arXiv:2305.14314, section 3)."""

Terms = tuple[float, float, float]
"""Coefficients of 1, of b x s and of b x s^2, for b sequences of s subwords."""


class Trace(Frozen):
    """How one way of training a model grows with its layers, and with what it reads at a time."""

    saved_base: Terms = Field(description="Bytes kept for the way back, outside the layers.")
    saved_layer: Terms = Field(description="The same, of each layer.")
    transient: Terms = Field(description="Bytes more, at the peak of the way back.")
    flops_base: Terms = Field(description="Operations outside the layers, both ways.")
    flops_layer: Terms = Field(description="The same, of each layer.")
    forward_layer: Terms = Field(description="The same, of each layer's way forth alone.")


class Traced(Frozen):
    """What is known of one model. Counts are of its backbone, without pooler and head."""

    architecture: str = Field(description="Digest of what was traced.")
    layers: int = Field(gt=0, description="Its layers.")
    width: int = Field(gt=0, description="Size of its hidden states.")
    tokens: int = Field(gt=0, description="Token embeddings, as weights.")
    base: int = Field(ge=0, description="Other weights outside the layers.")
    layer: int = Field(gt=0, description="Weights of a layer.")
    linear: int = Field(gt=0, description="Of these, those of its linear layers.")
    largest: int = Field(gt=0, description="Weights of the largest linear layer.")
    adapter: int = Field(ge=0, description="Weights of the adapters of a layer.")
    traces: Mapping[str, Trace] = Field(description="By device, precision and tuning.")

    @property
    def total(self) -> int:
        """All weights of the backbone."""
        return self.tokens + self.base + self.layers * self.layer


class Resources(Frozen):
    """A file of traced models: those of one family."""

    schema_: str = Field(SCHEMA, alias="schema", description="Version of this format.")
    family: str = Field(description="The family.")
    versions: Mapping[str, str] = Field(description="What the models were traced with.")
    models: Mapping[str, Traced] = Field(description="By the name of the model.")


@dataclass(frozen=True)
class Shape:
    """What one item of a training is to a device: sequences of a length, and what they yield.

    ``logits`` are the numbers that the head makes of an item.
    """

    length: int
    sequences: int = 1
    logits: int = 2


@dataclass(frozen=True)
class Demand:
    """What of a training decides its memory, beside its shape.

    ``trained`` and ``kept`` count weights: those with a gradient, and those of which the loop keeps
    another copy (the best so far, or a mean). ``embedded`` tells whether token embeddings learn.
    """

    device: str
    precision: str
    tuning: str
    trained: int
    frozen_bytes: float
    kept: int
    embedded: bool


def file_of(family_file: Path, family: str) -> Path:
    """Return where the traced numbers of a family lie: beside the folder of its file."""
    return family_file.parent.parent / "resources" / f"{family}.json"


def fingerprint(model: Model) -> str:
    """Return what a trace belongs to: an architecture and the layers that are kept of it."""
    return digest({"architecture": dict(model.architecture), "layers": model.layers})[:16]


def find(catalog: Catalog, family: str, model: Model) -> Traced | None:
    """Return the traced numbers of a model; None when it was not traced, or was changed since.

    A study's own entry that names a checkpoint of a family of the catalog has that one's numbers.
    Raises EnvironmentUnready (E013) when the file of a family cannot be read.
    """
    for name in [family] if family in catalog.families else list(catalog.families):
        known = catalog.families[name]
        for member in known.members:
            own = member.name == model.name and name == family
            hub = model.checkpoint.hub if model.checkpoint else None
            same = hub is not None and member.checkpoint is not None
            same = same and member.checkpoint.hub == hub and member.layers == model.layers  # type: ignore[union-attr]
            if not own and not (same and not model.architecture):
                continue
            source = model if own else member
            if not source.architecture and known.architecture:
                source = source.model_copy(update={"architecture": known.architecture})
            found = _read(file_of(catalog.files[f"models/{name}"], name))
            traced = found.models.get(member.name) if found else None
            if traced is not None and traced.architecture == fingerprint(source):
                return traced
    return None


@cache
def _read(path: Path) -> Resources | None:
    if not path.is_file():
        return None
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        found = Resources.model_validate(body)
        if found.schema_ != SCHEMA:
            raise ValueError(f"it is of another schema than {SCHEMA}")
    except (OSError, ValueError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise EnvironmentUnready(
            "E013",
            f"traced numbers cannot be read: {first}",
            where=str(path),
            hint="write them anew with `stiltscale trace`",
        ) from error
    return found


def key(device: str, precision: str, tuning: str) -> str:
    """Name a trace. Half precisions cost the same; weights in 4 bits are traced as by LoRA."""
    rounded = "fp32" if precision == "fp32" else "bf16"
    return "/".join((device, rounded, "full" if tuning == "full" else "lora"))


def twice(traced: Traced, trace: Trace) -> Trace:
    """Return the trace of a training whose layers are computed twice (checkpointing).

    Of each layer its input alone is kept, in 4 bytes; on the way back one layer at a time is there
    whole. Its way forth is computed again (arXiv:1604.06174, section 4).
    """
    layer = (0.0, 4.0 * traced.width, 0.0)
    return trace.model_copy(
        update={
            "saved_layer": layer,
            "transient": _added(trace.transient, trace.saved_layer),
            "flops_layer": _added(trace.flops_layer, trace.forward_layer),
        }
    )


def _added(one: Terms, two: Terms) -> Terms:
    return one[0] + two[0], one[1] + two[1], one[2] + two[2]


def demand(
    traced: Traced,
    device: str,
    precision: str,
    tuning: str,
    adapter: Adapter | None,
    *,
    frozen_layers: int = 0,
    frozen_embeddings: bool = False,
    copies: int = 0,
) -> Demand:
    """Count the weights of a training by what happens to them.

    ``copies`` are those that the loop keeps of what is trained.
    """
    if tuning == "full":
        fixed = frozen_embeddings or frozen_layers > 0
        trained = (traced.layers - frozen_layers) * traced.layer
        trained += 0 if fixed else traced.tokens + traced.base
        frozen = 4.0 * (traced.total - trained)
        return Demand(device, precision, tuning, trained, frozen, copies * trained, not fixed)
    rank = adapter.rank if adapter is not None else RANK
    trained = round(traced.layers * traced.adapter * rank / RANK)
    held = FOUR_BITS if tuning == "qlora" else 4.0
    linear = traced.layers * traced.linear
    frozen = held * linear + 4.0 * (traced.total - linear)
    return Demand(device, precision, tuning, trained, frozen, copies * trained, False)


def memory(
    traced: Traced,
    trace: Trace,
    need: Demand,
    shape: Shape,
    micro_batch: int,
    *,
    processes: int = 1,
    sharded: bool = False,
    offload: bool = False,
    accumulates: bool = True,
) -> dict[str, float]:
    """Return the bytes on one device at the peak of a step, by what they are for.

    AdamW has two numbers of 4 bytes for each weight that is trained, and weights and gradients have
    4 bytes in every precision: it is the forward pass that rounds. At the peak all gradients are
    there, as from the second micro-batch on, or the first where only one is needed.

    Sharded (FSDP2), each process has its part of weights, gradients and optimizer; two layers are
    gathered at a time, one computed and one fetched ahead, with the gradients of both on the way to
    their owners, and what is outside the layers stays gathered. Weights are then gathered in the
    precision of the forward pass, and no rounded copies are kept.
    """
    b, s = micro_batch * shape.sequences, shape.length
    gathered = 4.0 if need.precision == "fp32" else 2.0
    saved = [
        x + traced.layers * y for x, y in zip(trace.saved_base, trace.saved_layer, strict=True)
    ]
    if sharded:
        saved[0] = trace.saved_base[0]
    way_back = max(0.0, value(tuple(saved), b, s)) + max(0.0, value(trace.transient, b, s))
    way_back += logits_bytes(shape, micro_batch)
    new_embeddings = 4.0 * traced.tokens if need.embedded and accumulates else 0.0
    if need.tuning == "qlora":
        way_back += 2.0 * traced.largest  # one layer's weights in 16 bits at a time
    parts = {
        "weights": need.frozen_bytes + 4.0 * need.trained,
        "optimizer": 8.0 * need.trained,
        "gradients": 4.0 * need.trained,
        "kept": 4.0 * need.kept,
    }
    if not sharded:
        parts["buckets"] = 4.0 * need.trained if processes > 1 else 0.0
        parts["activations"] = max(way_back, new_embeddings)
        return parts
    parts = {name: 0.0 if offload else size / processes for name, size in parts.items()}
    outside = traced.tokens + traced.base
    learning = outside if need.embedded else 0
    moving = 2.0 * traced.layer + (2.0 * traced.layer if need.tuning == "full" else 0.0)
    parts["gathered"] = gathered * outside
    parts["activations"] = max(way_back + gathered * moving, 2.0 * gathered * learning)
    return parts


def logits_bytes(shape: Shape, items: int) -> float:
    """Return the bytes of a head's outputs: rounded, in 4 bytes, and the gradients of both."""
    return 12.0 * shape.logits * items


def flops(traced: Traced, trace: Trace, shape: Shape) -> float:
    """Return the operations of one item, forward and back; what is computed twice counts twice."""
    terms = [
        x + traced.layers * y for x, y in zip(trace.flops_base, trace.flops_layer, strict=True)
    ]
    head = 6.0 * traced.width * shape.logits
    return value(tuple(terms), shape.sequences, shape.length) + head


def value(terms: tuple[float, ...], b: int, s: int) -> float:
    """Return c + x b s + y b s^2."""
    constant, linear, square = terms
    return constant + linear * b * s + square * b * s * s


def as_json(resources: Resources) -> str:
    """Write traced numbers as a file: a line for each trace."""
    body: dict[str, Any] = resources.model_dump(mode="json", by_alias=True)
    models = body.pop("models")
    lines = [f" {json.dumps(name)}: {json.dumps(given)}" for name, given in body.items()]
    shown = []
    for name, model in models.items():
        traces = model.pop("traces")
        fields = [f"   {json.dumps(k)}: {json.dumps(v)}" for k, v in model.items()]
        each = [f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(traces.items())]
        fields.append('   "traces": {\n' + ",\n".join(each) + "\n   }")
        shown.append(f"  {json.dumps(name)}: {{\n" + ",\n".join(fields) + "\n  }")
    lines.append(' "models": {\n' + ",\n".join(shown) + "\n }")
    return "{\n" + ",\n".join(lines) + "\n}\n"
