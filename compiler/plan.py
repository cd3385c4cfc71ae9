"""The plan: stages, jobs and runs as frozen values, and their JSON form, the runtime's contract."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from compiler.errors import PlanInvalid

SCHEMA = "stiltscale/plan/1"

T = TypeVar("T")
Kind = Literal["tokenizer", "prepare", "pretrain", "train", "evaluate", "retrieve"]


@dataclass(frozen=True, slots=True)
class Stage:
    """One unit of work, named by what determines its result.

    ``parts`` are results that the stage yields one by one, each with its own record: the languages
    of an evaluation, the splits of a preparation. They are not in the key, so that a language added
    to a study runs that language alone. A stage without such parts has the single part ``all``.
    ``model`` and ``task`` say where the plan defines what the stage uses; the key hashes the
    definitions themselves, which stand in ``identity``. Where ``reads_corpus`` is true, ``task`` is
    the name of a corpus, the first of several.
    """

    key: str
    kind: Kind
    model: str
    task: str
    identity: Mapping[str, Any]
    inputs: Mapping[str, str]
    parts: tuple[str, ...] = ("all",)

    @property
    def probe(self) -> Mapping[str, Any]:
        """How a stage of the sharding probe is trained, and of which stage it is the twin.

        Empty in all other stages.
        """
        found: Mapping[str, Any] = self.identity.get("sharding_probe", {})
        return found

    @property
    def reads_corpus(self) -> bool:
        """Whether the stage is about texts to pretrain on or to replay, not about a task."""
        return self.kind in ("tokenizer", "pretrain") or self.identity.get("kind") == "corpus"


@dataclass(frozen=True, slots=True)
class Job:
    """One launch script: stages of one resource shape, run in order in one process group.

    ``seconds`` is how long it takes at most, None where that is not known.
    """

    name: str
    stages: tuple[str, ...]
    after: tuple[str, ...]
    processes: int = 1
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """The scores of one (model, arm, target, seed): one cell for each of its languages.

    ``train`` is the key of the last training stage, None for a model used as it was pretrained.
    ``flags`` says what a reader must know: ``self_pair``, ``shared_text``, ``untuned``.
    """

    model: str
    arm: str
    target: str
    seed: int
    languages: tuple[str, ...]
    train: str | None
    score: str
    flags: tuple[str, ...] = ()


class Cell(NamedTuple):
    """model x arm x target x language x seed: one score, and the stage that yields it."""

    model: str
    arm: str
    target: str
    language: str
    seed: int
    stage: str


@dataclass(frozen=True, slots=True)
class Plan:
    """All that the runtime and the report need; nothing of it is read from the study file again.

    ``study`` holds name, question, languages, seeds and the analysis plan; ``models``, ``arms``,
    ``tasks``, ``corpora`` and ``recipes`` hold each definition once, by the name that stages use;
    ``catalog`` says which file each came from. ``probe`` has the runs of the sharding probe, which
    are no cells of the study.
    """

    study: Mapping[str, Any]
    models: Mapping[str, Mapping[str, Any]]
    arms: Mapping[str, Mapping[str, Any]]
    tasks: Mapping[str, Mapping[str, Any]]
    recipes: Mapping[str, Mapping[str, Any]]
    stages: Mapping[str, Stage]
    jobs: tuple[Job, ...]
    runs: tuple[Run, ...]
    execution: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[Mapping[str, str], ...] = ()
    confounds: tuple[Mapping[str, str], ...] = ()
    catalog: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    corpora: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    probe: tuple[Run, ...] = ()

    @property
    def name(self) -> str:
        """The study's name, which is also the name of its folder under ``build/``."""
        return str(self.study["name"])

    def cells(self) -> Iterator[Cell]:
        """Yield every cell, run by run, languages in the order of the study."""
        for run in self.runs:
            for language in run.languages:
                yield Cell(run.model, run.arm, run.target, language, run.seed, run.score)

    def define(self, stage: Stage) -> Mapping[str, Any]:
        """Return the definition of the task or corpus of a stage; empty when there is none."""
        return (self.corpora if stage.reads_corpus else self.tasks).get(stage.task, {})

    def part_of(self, key: str, language: str) -> str:
        """Return the part of a stage that holds a language; the language itself when unknown."""
        stage = self.stages.get(key)
        parts = stage.parts if stage else ()
        return next((part for part in parts if language_of(part) == language), language)

    def to_json(self) -> str:
        """Write the plan, a line for each stage, job, run and definition.

        The same plan gives the same bytes. A line is what people compare, and what keeps a plan of
        a million cells from being copied first.
        """
        sections = [f' "schema": {_line(SCHEMA)}']
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name == "probe" and not value:
                continue  # most studies have none
            if entry.name == "stages":
                value = tuple(value.values())
            sections.append(f" {_line(entry.name)}: {_section(value)}")
        return "{\n" + ",\n".join(sections) + "\n}\n"


def _fields(value: Any) -> dict[str, Any]:
    return {entry.name: getattr(value, entry.name) for entry in fields(value)}


_line = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_fields).encode


def _section(value: Any) -> str:
    if isinstance(value, Mapping):
        lines = [f"  {_line(key)}: {_line(item)}" for key, item in value.items()]
        return "{\n" + ",\n".join(lines) + "\n }" if lines else "{}"
    lines = ["  " + _line(item) for item in value]
    return "[\n" + ",\n".join(lines) + "\n ]" if lines else "[]"


def language_of(part: str) -> str:
    """Return the language of a part such as ``de``, ``test.de`` or ``test.de@1f2e3d4c``."""
    return part.split("@")[0].rsplit(".", 1)[-1]


def from_json(text: str, where: str = "plan.json") -> Plan:
    """Read a plan written by ``to_json``.

    Raises PlanInvalid when the text is not JSON, has another schema, or lacks a field.
    """
    try:
        body = json.loads(text)
        if body.pop("schema") != SCHEMA:
            raise PlanInvalid(
                "P002",
                f"the plan was written under another schema than {SCHEMA}",
                where=where,
                hint="compile the study again with this version",
            )
        stages = [_tuples(Stage, row) for row in body.pop("stages")]
        return Plan(
            stages={stage.key: stage for stage in stages},
            jobs=tuple(_tuples(Job, row) for row in body.pop("jobs")),
            runs=tuple(_tuples(Run, row) for row in body.pop("runs")),
            notes=tuple(body.pop("notes")),
            confounds=tuple(body.pop("confounds")),
            probe=tuple(_tuples(Run, row) for row in body.pop("probe", ())),
            **body,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PlanInvalid(
            "P001",
            f"the plan cannot be read: {type(error).__name__}: {error}",
            where=where,
            hint="compile the study again",
        ) from error


def load(path: Path) -> Plan:
    """Read ``plan.json`` from disk; raises PlanInvalid."""
    try:
        return from_json(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise PlanInvalid(
            "P003", f"no plan could be read: {error}", where=str(path), hint="run compile first"
        ) from error


def _tuples(kind: type[T], row: dict[str, Any]) -> T:
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()})
