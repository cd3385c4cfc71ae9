"""Follows a stage of a model from scratch up to the pretraining and the tokenizer it rests on."""

from __future__ import annotations

from compiler.plan import Plan, Stage


def pretraining(plan: Plan, stage: Stage) -> str | None:
    """Return the key of the pretraining that a stage's weights go back to; None for a checkpoint.

    Weights that a training could not change are in no record of its own, so whoever loads what a
    training left needs the pretraining beneath it.
    """
    while stage.kind != "pretrain":
        key = stage.inputs.get("weights", stage.inputs.get("start"))
        if key is None:
            return None
        stage = plan.stages[key]
    return stage.key


def tokenizer(plan: Plan, stage: Stage) -> str | None:
    """Return the key of the tokenizer that made a stage's tokens; None for a checkpoint's own."""
    while stage.kind != "tokenizer":
        data = (key for role, key in stage.inputs.items() if role.split(":")[0] == "data")
        found = stage.inputs.get("tokenizer") or next(data, None)
        if found is None:
            return None
        stage = plan.stages[found]
    return stage.key


def corpora(plan: Plan, stage: Stage) -> list[tuple[str, list[str]]]:
    """Return the corpora that a tokenizer is trained on, each with its parts, in their order."""
    made = plan.models[stage.model]["pretrain"]["corpus"]
    names = [made] if isinstance(made, str) else list(made)
    parts = [list(corpus["data"]) for corpus in stage.identity["corpora"]]
    return list(zip(names, parts, strict=True))


def roots(plan: Plan, stage: Stage) -> list[tuple[str, str]]:
    """Return the (stage, part) pairs that a stage of a model from scratch reads to be loaded."""
    found = {pretraining(plan, stage), tokenizer(plan, stage)} - {stage.key, None}
    return [(key, "all") for key in sorted(filter(None, found))]
