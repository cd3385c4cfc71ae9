"""Pretrains a model from scratch on the tokenised texts of its corpora."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from compiler.identity import digest
from compiler.plan import Stage, language_of
from runtime.checkpoint import MINUTES, Checkpoints
from runtime.corpora import Group
from runtime.pretraining import Built, Texts, alignment, built, gathered, pretrain
from runtime.pretraining.decomposition import align
from runtime.pretraining.objectives import Learner
from runtime.session import Session
from runtime.vectors import Encoder


def run(
    session: Session, stage: Stage, part: str, folder: Path, tell: Callable[..., None]
) -> dict[str, Any]:
    """Write the model as Transformers saves it, and return what happened.

    Weights, order, masks and dropout are drawn from the stage's key, so that sizes and seeds share
    no noise. Rows to probe the alignment with are kept from all of it. Of a job's processes the
    main one does it alone, and one that is killed goes on from its last checkpoint.
    """
    stream = int(digest(stage.key)[:12], 16) % 2**31
    texts = texts_of(session, stage)
    minutes = session.plan.execution.get("checkpoint_minutes", MINUTES)
    checkpoints = Checkpoints(session.store.root, stage.key, minutes)
    made, result = pretrained(session, stage, stage.identity, texts, stream, tell, checkpoints)
    made.save(folder)
    session.accelerator.free_memory()
    return result


def texts_of(session: Session, stage: Stage) -> Texts:
    """Return the prepared texts of a pretraining."""
    names, identity = _names(stage), stage.identity
    frames: dict[Group, Any] = {
        (number, language_of(one)): session.frame(stage.inputs[f"data:{name}"], one)
        for number, (name, source) in enumerate(zip(names, identity["corpora"], strict=True))
        for one in source["data"]
    }
    parallel = [bool(session.plan.corpora[name]["parallel"]) for name in names]
    masked = float(identity["objectives"].get("mlm", {}).get("masked", 0.0))
    return gathered(frames, parallel, masked, session.pad(stage), identity.get("probe"))


def pretrained(
    session: Session,
    stage: Stage,
    settings: Mapping[str, Any],
    texts: Texts,
    seed: int,
    tell: Callable[..., None],
    checkpoints: Checkpoints | None = None,
) -> tuple[Built, dict[str, Any]]:
    """Build and pretrain a model by ``settings``, the identity of its stage; say what happened."""
    objectives, pooling = settings["objectives"], str(settings.get("pooling", "mean"))
    tokenizer = session.tokenizer(stage)
    made = built(settings["architecture"], tokenizer, "mlm" in objectives, seed)
    aligned = {}
    if settings["initialisation"] == "aligned":
        aligned = {"aligned": align(made.backbone, texts, settings["aligned"])}
    learner = Learner(made.backbone, made.head, pooling, objectives)
    device = session.accelerator.device
    learner.to(device)
    encoder = Encoder(
        made.backbone,
        pooling,
        texts.examples.pad,
        int(session.plan.execution["evaluation_batch"]),
        device,
        session.scratch,
    )
    others = int(settings.get("probe", {}).get("languages", 0))
    before = alignment(texts, encoder, _names(stage), others)
    result = pretrain(learner, texts, settings, seed, device, tell, checkpoints)
    after = alignment(texts, encoder, _names(stage), others)
    return made, result | aligned | {"alignment": {"before": before, "after": after}}


def _names(stage: Stage) -> list[str]:
    roles = (role.partition(":") for role in stage.inputs)
    return [name for role, _, name in roles if role == "data"]
