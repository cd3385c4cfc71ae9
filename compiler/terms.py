"""The words that catalogs and studies are written in: names, codes, kinds and phases."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
StudyName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
Split = Literal["train", "dev", "test"]
Phase = Literal["intermediate", "target"]
TaskKind = Literal[
    "sequence_classification",
    "token_classification",
    "multiple_choice",
    "span_extraction",
    "masked_lm",
    "retrieval",
    "bitext_mining",
    "dual_encoder",
]
Tracker = Literal["tensorboard", "wandb", "mlflow", "trackio"]
Metric = Literal[
    "accuracy",
    "span_f1",
    "xtreme_f1",
    "squad",
    "mlqa",
    "top1",
    "mining_f1",
    "map_at_20",
    "mrr_at_20",
]

METRICS: dict[str, tuple[str, ...]] = {
    "sequence_classification": ("accuracy",),
    "token_classification": ("span_f1", "accuracy", "xtreme_f1"),
    "multiple_choice": ("accuracy",),
    "span_extraction": ("squad", "mlqa"),
    "masked_lm": ("accuracy",),
    "retrieval": ("top1",),
    "bitext_mining": ("mining_f1",),
    "dual_encoder": ("map_at_20", "mrr_at_20"),
}
"""The metrics that a task of each kind can be scored by."""

UNTRAINED = ("retrieval", "bitext_mining")
"""Kinds that are scored from the encoder as it is, without a training of their own."""

RUNNABLE = tuple(METRICS)
"""Kinds that the runtime of this version can run; others would be planned and compiled only."""


class Frozen(BaseModel):
    """A value: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)
