"""The confound ledger: what differs between the sizes besides size, as far as a study can tell."""

from __future__ import annotations

from collections.abc import Mapping

from compiler.architecture import SIZE
from compiler.entries import Model
from compiler.identity import digest
from compiler.pretraining import Pretraining
from compiler.resolve import Resolved
from compiler.terms import Frozen
from compiler.training import EXECUTION as COMPUTED
from compiler.training import Retrieval, Training


def confounds(resolved: Resolved) -> list[dict[str, str]]:
    """List what differs between the sizes, one entry for each thing that does."""
    ledger: list[dict[str, str]] = []
    models = resolved.models

    def add(what: str, detail: str) -> None:
        ledger.append({"what": what, "detail": detail})

    checkpoints = {digest(m.checkpoint.model_dump(mode="json")) for m in models if m.checkpoint}
    made = {m.name: m for m in models if m.checkpoint is None}
    families = sorted(set(resolved.families.values()))
    if len(models) > 1 and len(made) == len(models):
        add(
            "pretraining",
            "the sizes are pretrained here, each from scratch; settings that are equal need not "
            "suit every size equally well",
        )
    elif len(models) > 1 and len(checkpoints) == 1 and not made:
        add(
            "pretraining",
            "the sizes are cut from one checkpoint: equal data, steps and tokenizer, and a shallow "
            "size was never pretrained at its depth",
        )
    elif len(models) > 1:
        add(
            "pretraining",
            "the sizes are separately pretrained checkpoints; their data, steps and tuning may "
            "differ",
        )
    if len(families) > 1:
        add("family", f"the sizes come from {', '.join(families)}; no line joins two families")
    for field, what in (
        ("pooling", "sentence vectors"),
        ("tuning", "tuned weights"),
        ("adapter", "adapters"),
    ):
        values = {m.name: _text(getattr(m, field)) for m in models}
        if len(set(values.values())) > 1:
            add(what, ", ".join(f"{name} {value}" for name, value in values.items()))
    for field, values in _made(made).items():
        add(field, ", ".join(f"{name} {value}" for name, value in values.items()))
    by_training: dict[tuple[str, str], dict[str, Training]] = {}
    for (phase, name, model), training in resolved.recipes.items():
        by_training.setdefault((phase, name), {})[model] = training
    for (when, name), trainings in by_training.items():
        for setting in [name for name in Training.model_fields if name not in COMPUTED]:
            values = {m: str(getattr(t, setting)) for m, t in trainings.items()}
            if len(set(values.values())) > 1:
                shown = ", ".join(f"{m} {v}" for m, v in values.items())
                add(f"{setting} ({when}, {name})", shown)
    for what, values in _computed(resolved).items():
        if len(set(values.values())) > 1:
            add(what, ", ".join(f"{name} {value}" for name, value in values.items()))
    if (probe := resolved.probe) is not None:
        ways = [f"{way.title} on {way.devices}" for way in (probe.plain, probe.way)]
        detail = f"{probe.model} on seed {probe.seed} is trained by {ways[0]} and by {ways[1]}"
        add("sharding probe", detail)
    by_target: dict[str, dict[str, Retrieval]] = {}
    for (name, model), retrieval in resolved.retrievals.items():
        by_target.setdefault(name, {})[model] = retrieval
    for name, retrievals in by_target.items():
        for setting in Retrieval.model_fields:
            values = {m: str(getattr(r, setting)) for m, r in retrievals.items()}
            if len(set(values.values())) > 1:
                add(f"{setting} ({name})", ", ".join(f"{m} {v}" for m, v in values.items()))
    return ledger


def _computed(resolved: Resolved) -> dict[str, dict[str, str]]:
    """Return by model how its steps are computed, which no key tells."""
    found: dict[str, dict[str, str]] = {"strategy": {}, "micro_batch": {}}
    for model in resolved.models:
        choice = resolved.strategies.get(model.name)
        own = [t for (_, _, name), t in resolved.recipes.items() if name == model.name]
        if choice is not None:
            found["strategy"][model.name] = f"{choice.way.title} on {choice.way.devices}"
        elif any(t.gradient_checkpointing for t in own):
            found["strategy"][model.name] = "checkpointing"
        cuts = sorted({t.micro_batch for t in own if t.micro_batch is not None})
        whole = [] if all(t.micro_batch for t in own) else ["whole"]
        found["micro_batch"][model.name] = " or ".join([*map(str, cuts), *whole])
    return found


def _made(models: Mapping[str, Model]) -> dict[str, dict[str, str]]:
    """Return the settings in which models from scratch differ, but for what makes their size."""
    found: dict[str, dict[str, str]] = {}
    for setting in Pretraining.model_fields:
        found[f"{setting} (pretraining)"] = {
            name: _text(getattr(m.pretrain, setting)) for name, m in models.items()
        }
    fields = dict.fromkeys(f for m in models.values() for f in m.architecture if f not in SIZE)
    for field in fields:
        found[f"{field} (architecture)"] = {
            name: _text(m.architecture.get(field)) for name, m in models.items()
        }
    return {what: values for what, values in found.items() if len(set(values.values())) > 1}


def _text(value: object) -> str:
    if isinstance(value, Frozen):
        return ", ".join(f"{k} {v}" for k, v in value.model_dump(exclude_none=True).items())
    return str(value)
