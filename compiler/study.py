"""The study as its author wrote it, validated: every field, its default, unit and meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from compiler.claims import Claim
from compiler.data import Part
from compiler.entries import Adapter, Model, refuse_adapter, refuse_without_origin
from compiler.evidence import Evidence
from compiler.pretraining import Pretraining
from compiler.site import Site
from compiler.terms import Frozen, Language, Name, StudyName, Tracker
from compiler.training import Changes


class Ladder(Frozen):
    """A family of the catalog, and which of its sizes."""

    family: Name = Field(description="A model family of the catalog.")
    sizes: tuple[int | str, ...] = Field((), description="Its sizes; default: all of them.")
    pretrain: Pretraining | None = Field(
        None, description="What this study changes of the pretraining of a family from scratch."
    )
    tuning: Literal["full", "lora", "qlora"] | None = Field(
        None, description="Which weights fine-tuning may change, of all its sizes."
    )
    adapter: Adapter | None = Field(None, description="Only with `tuning: lora` or `qlora`.")

    @model_validator(mode="after")
    def _tuned(self) -> Ladder:
        refuse_adapter(self.tuning or "full", self.adapter)
        return self


class Models(Frozen):
    """The size axis: ladders of the catalog, or models of one's own."""

    ladders: tuple[Ladder, ...] = Field((), description="Families with their sizes.")
    members: tuple[Model, ...] = Field((), description="Explicit checkpoints, or from scratch.")
    architecture: dict[str, Any] = Field(
        {}, description="What the configurations of all members have in common."
    )
    pretrain: Pretraining | None = Field(
        None, description="What the pretraining of all members has in common."
    )

    @model_validator(mode="after")
    def _origins(self) -> Models:
        if not self.members and (self.pretrain is not None or self.architecture):
            raise ValueError("`pretrain` and `architecture` are shared by `members`; give some")
        refuse_without_origin(self.members, self.pretrain)
        return self


class Sampling(Frozen):
    """How a mix draws from its tasks."""

    strategy: Literal["uniform", "proportional", "temperature"] = Field(
        "proportional", description="Equal shares, shares by size, or size to the power 1/T."
    )
    cap: int | None = Field(
        None, gt=0, description="Rows beyond which a task counts as no larger (T5: 2^17)."
    )
    temperature: float | None = Field(None, ge=1, description="T; only with `temperature`.")

    @model_validator(mode="after")
    def _temperature(self) -> Sampling:
        if (self.strategy == "temperature") != (self.temperature is not None):
            raise ValueError(
                "`temperature` goes with the strategy `temperature`, and is needed there"
            )
        return self


class Replay(Frozen):
    """Masked language modelling on a multilingual corpus, mixed into the intermediate training."""

    objective: Literal["mlm"] = Field("mlm", description="What is learnt from the corpus.")
    corpus: Name = Field(description="A corpus of the catalog.")
    rate: float = Field(gt=0, lt=1, description="Share of the steps that are replay.")
    exponent: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Languages are drawn by size to this power; default: the corpus's.",
    )


class Arm(Frozen):
    """An intermediate training before the target's own: one task, a mix, or a chain."""

    name: Name = Field(description="Its name in plans and reports.")
    task: Name | None = Field(None, description="One task of the catalog.")
    mix: tuple[Name, ...] | None = Field(None, min_length=2, description="Tasks trained at once.")
    chain: tuple[Name, ...] | None = Field(
        None, min_length=2, description="Tasks trained one after the other."
    )
    sampling: Sampling | None = Field(None, description="How a mix draws from its tasks.")
    heads: Literal["separate", "shared"] = Field(
        "separate", description="A head for each task of a mix, or one for tasks of equal labels."
    )
    replay: Replay | None = Field(None, description="Multilingual replay beside the task.")
    language: Language = Field(
        "en", description="Language of the training data: `de` for data translated into German."
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Arm:
        if sum(value is not None for value in (self.task, self.mix, self.chain)) != 1:
            raise ValueError("give exactly one of `task`, `mix` and `chain`")
        if self.sampling is not None and self.mix is None:
            raise ValueError("`sampling` says how a mix draws from its tasks; this is no mix")
        if self.heads == "shared" and self.mix is None:
            raise ValueError("`heads: shared` is for a mix; this is none")
        return self

    @property
    def tasks(self) -> tuple[str, ...]:
        """Every task that the arm trains on."""
        return self.mix or self.chain or (str(self.task),)


class Control(Frozen):
    """An arm that shows what else could explain a gain."""

    kind: Literal["step_matched", "placebo"] = Field(
        description="`step_matched`: the target's own data for the arm's steps; `placebo`: the "
        "arm's texts with shuffled labels."
    )
    of: Name | None = Field(None, description="The arm that it controls; default: every arm.")


def _task(value: Any) -> Any:
    return {"task": value} if isinstance(value, str) else value


class Target(Frozen):
    """A task that the models are fine-tuned on in English and scored on in every language."""

    task: Name = Field(description="A task of the catalog.")
    languages: tuple[Language, ...] | None = Field(
        None, description="Languages to score; default: the study's that the task has."
    )
    train_on: tuple[Name, ...] | None = Field(
        None, description="Tasks whose English data it is trained on; default: as in the catalog."
    )


class Targets(Frozen):
    """The targets: a benchmark of the catalog, or a list."""

    benchmark: Name | None = Field(None, description="A benchmark of the catalog.")
    without: tuple[Name, ...] = Field((), description="Tasks of the benchmark to leave out.")
    members: tuple[Annotated[Target, BeforeValidator(_task)], ...] = Field(
        (), description="A list of tasks."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Targets:
        if bool(self.benchmark) == bool(self.members):
            raise ValueError("give a list of tasks, or `benchmark`")
        return self


class RecipeChoice(Changes):
    """The recipe of a study: a name from the catalog, and what this study changes."""

    name: Name = Field(description="A recipe of the catalog.")


class Analysis(Frozen):
    """The analysis plan, fixed before any score is seen."""

    estimand: Literal["size_slope_of_gain"] = Field(
        "size_slope_of_gain", description="Change of the zero-shot gain per tenfold parameters."
    )
    size_axis: Literal["non_embedding", "total"] = Field(
        "non_embedding", description="Which parameters are counted."
    )
    margin: float | None = Field(
        None, gt=0, description="Points per tenfold parameters that would not matter."
    )
    margin_reason: str | None = Field(None, description="Why less than the margin is no matter.")
    degenerate: Literal["exclude", "keep"] = Field(
        "exclude", description="Runs whose English dev score is at chance."
    )
    exploratory: tuple[Name, ...] = Field(
        (), description="Arms that are shown, and are not in the primary estimate."
    )

    @model_validator(mode="after")
    def _reason(self) -> Analysis:
        if self.margin is not None and not self.margin_reason:
            raise ValueError("a margin needs `margin_reason`: why would less than it not matter?")
        return self


class Hardware(Frozen):
    """Where and how the stages run. Nothing here is part of any stage's identity."""

    device: Name = Field("auto", description="`auto`, `cpu`, `cuda`, or a device of the catalog.")
    nodes: int = Field(1, gt=0, le=4096, description="Machines that a job may use.")
    devices_per_node: int = Field(1, gt=0, le=64, description="Devices of one machine.")
    parallel: int = Field(1, gt=0, le=1024, description="Jobs at a time on this machine.")
    threads: int | None = Field(
        None, gt=0, description="CPU threads of a job; default: what Accelerate gives one process."
    )
    pack: Literal["target", "seed"] = Field(
        "target",
        description="Stages of a job: one target's training and scoring, or all of a seed.",
    )
    evaluation_batch: int = Field(128, gt=0, description="Examples per scoring batch.")
    checkpoint_minutes: float | None = Field(
        None,
        gt=0,
        description="Time between the checkpoints that a training goes on from; default: 10.",
    )
    slurm: Site | None = Field(
        None, description="What a Slurm cluster wants to be told; a user's own file is put over it."
    )


class ShardingProbe(Frozen):
    """One size on one seed, trained a second time with its weights divided among devices (FSDP2).

    What it scores is in no estimate: the report holds it against the same size trained whole.
    """

    model: int | str | None = Field(
        None, description="Name or size of a model that fits whole; default: the largest that does."
    )
    seed: int | None = Field(None, description="One of `seeds`; default: the first.")
    devices: int | None = Field(
        None,
        ge=2,
        le=4096,
        description="Devices that it is divided among; default: as the smallest size that is "
        "divided because it fits no device whole.",
    )


class Recount(Frozen):
    """How many rows a task's source has, where the author knows better than the catalog."""

    task: Name = Field(description="A task of the study.")
    rows: dict[Part, dict[Language, Annotated[int, Field(ge=1)] | None]] = Field(
        min_length=1, description="Rows by split and language; null expects no number."
    )
    reason: str = Field(min_length=8, description="Why; printed in the report.")


class Acknowledgement(Frozen):
    """A warning that the author has seen, and why it does not matter here."""

    code: Annotated[str, Field(pattern=r"^C\d{3}$")] = Field(description="Code of the warning.")
    reason: str = Field(min_length=8, description="Printed in the report.")


def _named(value: Any) -> Any:
    if isinstance(value, str):
        return {"task": value, "name": value}
    if isinstance(value, dict) and isinstance(value.get("task"), str) and "name" not in value:
        return {**value, "name": value["task"]}
    return value


def _control(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


def _choice(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _models(value: Any) -> Any:
    if isinstance(value, dict) and "members" not in value and "ladders" not in value:
        return {"ladders": (value,)}
    if isinstance(value, (list, tuple)):
        ladders = any(isinstance(item, dict) and "family" in item for item in value)
        return {"ladders" if ladders else "members": tuple(value)}
    return value


def _targets(value: Any) -> Any:
    return {"members": tuple(value)} if isinstance(value, (list, tuple)) else value


class Study(Frozen):
    """A study file."""

    study: StudyName = Field(description="Its name, and that of its folder under build/.")
    question: str = Field("", description="What it is meant to answer, in a sentence.")
    extends: str | None = Field(None, description="A study file whose fields this one changes.")
    models: Annotated[Models, BeforeValidator(_models)] = Field(description="The size axis.")
    intermediate: tuple[Annotated[Arm, BeforeValidator(_named)], ...] = Field(
        min_length=1, description="Intermediate arms; the control `none` is always added."
    )
    controls: tuple[Annotated[Control, BeforeValidator(_control)], ...] = Field(
        (), description="Arms that show what else could explain a gain."
    )
    targets: Annotated[Targets, BeforeValidator(_targets)] = Field(
        description="What the models are fine-tuned on and scored on."
    )
    languages: Literal["all"] | tuple[Language, ...] = Field(
        "all", description="Languages to score in; English is trained on."
    )
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = Field(
        min_length=1, description="One run of everything for each."
    )
    recipe: Annotated[RecipeChoice, BeforeValidator(_choice)] = Field(
        description="Training settings."
    )
    analysis: Analysis = Field(Analysis(), description="What will be estimated, fixed beforehand.")
    hardware: Hardware = Field(Hardware(), description="Where and how it runs; in no key.")
    sharding_probe: ShardingProbe | None = Field(
        None,
        description="One size is trained both whole and divided, where others must be divided: how "
        "much of a size effect could be one of that. Changes no other key.",
    )
    allow: tuple[Literal["lora", "qlora"], ...] = Field(
        (),
        description="Tunings, in their order, that a size may get when it does not fit the devices "
        "with all its weights trained. Part of its identity then.",
    )
    tracking: tuple[Tracker, ...] = Field(
        (), description="Where trainings log their loss, by Accelerate; in no key."
    )
    catalog: str | None = Field(
        None, description="A folder of own tasks, models and recipes, relative to this file."
    )
    counts: tuple[Recount, ...] = Field(
        (), description="Numbers of rows to expect instead of the catalog's; in no key."
    )
    evidence: tuple[Evidence, ...] = Field(
        (), description="Published scores to show beside; a study may have nothing but these."
    )
    claims: tuple[Claim, ...] = Field((), description="Published claims that the report judges.")
    acknowledge: tuple[Acknowledgement, ...] = Field(
        (), description="Warnings that are known, with the reason."
    )


class EvidenceStudy(Study):
    """A study of published scores alone: it trains nothing, and has no models or targets."""

    evidence: tuple[Evidence, ...] = Field(min_length=1)
    models: Annotated[Models, BeforeValidator(_models)] = Models()
    intermediate: tuple[Annotated[Arm, BeforeValidator(_named)], ...] = ()
    targets: Annotated[Targets, BeforeValidator(_targets)] = Targets.model_construct()
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = ()
    recipe: Annotated[RecipeChoice, BeforeValidator(_choice)] = RecipeChoice(name="no-recipe")

    @model_validator(mode="after")
    def _nothing_to_run(self) -> EvidenceStudy:
        said = {"study", "question", "extends", "analysis", "catalog", "evidence", "claims",
                "acknowledge"}  # fmt: skip
        idle = sorted(self.model_fields_set - said)
        if idle:
            raise ValueError(
                f"without models and targets nothing is run: remove {', '.join(idle)}, or add these"
            )
        return self


def model_of(value: Mapping[str, Any]) -> type[Study]:
    """Return what a study's document is validated as."""
    runs = any(name in value for name in ("models", "intermediate", "targets"))
    return EvidenceStudy if value.get("evidence") and not runs else Study
