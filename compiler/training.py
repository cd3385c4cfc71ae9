"""The settings of a training run, and recipes: changes of them by phase, task and model."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from compiler.terms import Frozen, Name, Phase

EXECUTION = ("micro_batch", "gradient_checkpointing", "compile")
"""Settings of a training that are in no key."""

SHAPE = ("batch", "batch_tokens", "max_length", "precision", "freeze", "freeze_layers")
"""Settings of a training that its pace and its memory depend on, beside how it is computed."""

Pooling = Literal["mean", "first", "last"]

LATER = (
    "batch_tokens",
    "warmup_steps",
    "decay",
    "freeze_layers",
    "freeze_backbone_steps",
    "patience",
    "average",
    "chance_steps",
)
"""Settings of a training that older keys do not name."""


class Training(Frozen):
    """The settings of one training run: what ``identity`` gives is part of its stage's key."""

    steps: int | None = Field(None, gt=0, description="Optimizer steps; or give `epochs`.")
    epochs: float | None = Field(None, gt=0, description="Passes over the training set.")
    batch: int = Field(32, gt=0, description="Examples per optimizer step.")
    learning_rate: float = Field(1e-5, gt=0, description="Peak learning rate of AdamW.")
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of the steps with rising rate.")
    schedule: Literal["linear", "constant"] = Field("linear", description="After the warm-up.")
    weight_decay: float = Field(0.01, ge=0, description="Not on biases and layer norms.")
    clip: float = Field(1.0, gt=0, description="Largest gradient norm.")
    dropout: float | None = Field(None, ge=0, lt=1, description="Default: the checkpoint's own.")
    max_length: int = Field(128, ge=8, le=8192, description="Subwords; longer is cut.")
    freeze: Literal["none", "embeddings"] = Field("none", description="Weights that stay.")
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        "fp32", description="Of the forward pass; fp16 scales its losses."
    )
    selection: Literal["last", "best_english_dev"] = Field(
        "last", description="Which weights are kept."
    )
    evaluate_every: int | None = Field(None, gt=0, description="Steps between dev scores.")
    batch_tokens: int | None = Field(
        None, gt=0, description="Subwords per optimizer step, padding included, instead of `batch`."
    )
    warmup_steps: int | None = Field(
        None, ge=0, description="Steps with rising rate, instead of the share `warmup`."
    )
    decay: Literal["matrices", "all"] = Field(
        "matrices", description="What weight decay is on: biases and layer norms too, or not."
    )
    freeze_layers: int = Field(
        0, ge=0, description="The embeddings and so many of the lowest layers stay."
    )
    freeze_backbone_steps: int = Field(
        0, ge=0, description="Steps at the start in which the head alone learns."
    )
    patience: int = Field(
        0, ge=0, description="Dev scores without a new best after which training stops; 0: never."
    )
    average: int = Field(
        1, ge=1, description="Keep the mean of the weights at the last so many dev scores."
    )
    chance_steps: int = Field(
        0,
        ge=0,
        description="Stop when the mean loss of so many last steps is not below that of as many "
        "first ones; 0: never.",
    )
    micro_batch: int | None = Field(
        None, gt=0, description="Examples at a time on a device; the step is the same. In no key."
    )
    gradient_checkpointing: bool = Field(
        False, description="Compute layers twice to save memory; the step is the same. In no key."
    )
    compile: bool = Field(
        False, description="Translate the model by `torch.compile`: the same step. In no key."
    )

    @property
    def unkeyed(self) -> set[str]:
        """The settings that are not in a key: how a step is computed, and what is as it always was.

        A setting that came later than the first keys is in a key where it is not at its default.
        How a step is cut into micro-batches, and what is computed twice, changes gradients by
        rounding and by which numbers dropout draws, as another device does; and each size may need
        another cut to fit its device.
        """
        fields = type(self).model_fields
        same = {name for name in LATER if getattr(self, name) == fields[name].default}
        return same | set(EXECUTION)

    def identity(self) -> dict[str, Any]:
        """Return the settings that are part of a stage's key."""
        return self.model_dump(exclude_none=True, exclude=self.unkeyed)

    def execution(self) -> dict[str, Any]:
        """Return the settings that say how a step is computed, where they are given."""
        return self.model_dump(exclude_defaults=True, include=set(EXECUTION))


class Retrieval(Frozen):
    """How sentences become vectors where nothing is trained for a target (Tatoeba, BUCC).

    Every field is part of the stage's key. XTREME's scripts name the indices 7 for the 12 layers of
    mBERT and 13 for the 24 of XLM-R large, the X-STILTs authors layer 14 of 24, with the mean over
    tokens. A share of the layers treats sizes of different depth alike, a number of them does not.
    """

    max_length: int = Field(512, ge=8, le=8192, description="Subwords; longer is cut.")
    pooling: Pooling = Field("mean", description="Of decoders too, whose last token is another.")
    depth: float = Field(0.58, ge=0, le=1, description="0: the embeddings; 1: the last layer.")


RETRIEVAL = {"max_length": "max_length", "sentence_pooling": "pooling", "sentence_depth": "depth"}
"""The settings of a recipe that count where nothing is trained, and their names in `Retrieval`."""

SENTENCES = ("sentence_pooling", "sentence_depth")
"""The settings of a recipe that no training has a use for."""


def steps_in(epochs: float, rows: int, batch: int) -> int:
    """Return the optimizer steps of some passes over so many rows; the last one may be short."""
    return -(-round(epochs * rows) // batch)


class TrainingChange(Frozen):
    """A change of some training settings; what is not given stays."""

    steps: int | None = Field(None, gt=0, description="Optimizer steps; or give `epochs`.")
    epochs: float | None = Field(None, gt=0, description="Passes over the training set.")
    batch: int | None = Field(None, gt=0, description="Examples per optimizer step.")
    learning_rate: float | None = Field(None, gt=0, description="Peak learning rate of AdamW.")
    warmup: float | None = Field(None, ge=0, lt=1, description="Share of steps with rising rate.")
    schedule: Literal["linear", "constant"] | None = Field(None, description="After the warm-up.")
    weight_decay: float | None = Field(None, ge=0, description="Not on biases and layer norms.")
    clip: float | None = Field(None, gt=0, description="Largest gradient norm.")
    dropout: float | None = Field(None, ge=0, lt=1, description="Of backbone and head.")
    max_length: int | None = Field(None, ge=8, le=8192, description="Subwords; longer is cut.")
    freeze: Literal["none", "embeddings"] | None = Field(None, description="Weights that stay.")
    precision: Literal["fp32", "bf16", "fp16"] | None = Field(
        None, description="Of the forward pass; fp16 scales its losses."
    )
    selection: Literal["last", "best_english_dev"] | None = Field(
        None, description="Which weights are kept."
    )
    evaluate_every: int | None = Field(None, gt=0, description="Steps between dev scores.")
    batch_tokens: int | None = Field(
        None, gt=0, description="Subwords per optimizer step, padding included, instead of `batch`."
    )
    warmup_steps: int | None = Field(
        None, ge=0, description="Steps with rising rate, instead of the share `warmup`."
    )
    decay: Literal["matrices", "all"] | None = Field(
        None, description="What weight decay is on: biases and layer norms too, or not."
    )
    freeze_layers: int | None = Field(
        None, ge=0, description="The embeddings and so many of the lowest layers stay."
    )
    freeze_backbone_steps: int | None = Field(
        None, ge=0, description="Steps at the start in which the head alone learns."
    )
    patience: int | None = Field(
        None, ge=0, description="Dev scores without a new best after which it stops; 0: never."
    )
    average: int | None = Field(
        None, ge=1, description="Keep the mean of the weights at the last so many dev scores."
    )
    chance_steps: int | None = Field(
        None,
        ge=0,
        description="Stop when the mean loss of so many last steps is not below that of as many "
        "first ones; 0: never.",
    )
    micro_batch: int | None = Field(
        None, gt=0, description="Examples at a time on a device; the step is the same. In no key."
    )
    gradient_checkpointing: bool | None = Field(
        None, description="Compute layers twice to save memory; the step is the same. In no key."
    )
    compile: bool | None = Field(
        None, description="Translate the model by `torch.compile`: the same step. In no key."
    )
    sentence_pooling: Pooling | None = Field(
        None, description="Sentence vector of targets that nothing is trained for; default: `mean`."
    )
    sentence_depth: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of the layers that such a vector is taken after; default: 0.58.",
    )


class Case(Frozen):
    """A change for the trainings that fit all of what it names."""

    phase: Phase | None = Field(None, description="Only in this phase; default: both.")
    task: Name | None = Field(None, description="Only on this task, or this mix; default: all.")
    model: int | str | None = Field(None, description="Only this model, by its name or size.")
    change: TrainingChange = Field(description="What is changed.")

    @model_validator(mode="after")
    def _particular(self) -> Case:
        if sum(word is not None for word in (self.phase, self.task, self.model)) < 2:
            raise ValueError("give two or more of `phase`, `task` and `model`")
        return self


class Changes(Frozen):
    """Changes of training settings, from the general to the particular; the last one counts."""

    defaults: TrainingChange = Field(TrainingChange(), description="For every training.")
    phases: dict[Phase, TrainingChange] = Field({}, description="By phase.")
    tasks: dict[Name, TrainingChange] = Field({}, description="By task.")
    models: dict[Name, TrainingChange] = Field(
        {}, description="By model, as it is called or by its size; goes to the confound ledger."
    )
    exceptions: tuple[Case, ...] = Field(
        (), description="For a phase, task and model together; applied last, in their order."
    )


class Recipe(Changes):
    """A named recipe of the catalog."""

    recipe: Name = Field(description="Its name in studies.")
    title: str = Field("", description="A name for people.")
    description: str = Field("", description="What it is for, and how it was chosen.")
    citation: str = Field("", description="Where the settings come from.")
