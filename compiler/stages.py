"""Makes the stages of a plan, each once: what is hashed into their keys is decided here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from compiler.check import model_folder
from compiler.entries import Checkpoint, Model, Task, Training
from compiler.fingerprint import MODEL_FILES, TOKENIZER_FILES, file_sha256, folder_sha256
from compiler.identity import digest, slug, stage_key
from compiler.plan import Kind, Stage
from compiler.resolve import Course, Goal, Resolved

RETRIEVAL_LENGTH = 512
"""Subwords of a sentence to be retrieved (the length of the X-STILTs and XTREME scripts)."""

RETRIEVAL_DEPTH = 1.0
"""Share of the layers below the sentence vector; a sweep over all layers is stored beside it."""


@dataclass
class Stages:
    """The stages made so far, by key, and the job that each was first asked for by."""

    resolved: Resolved
    made: dict[str, Stage] = field(default_factory=dict)
    jobs: dict[str, list[str]] = field(default_factory=dict)
    placed: dict[str, str] = field(default_factory=dict)
    _known: dict[Any, Any] = field(default_factory=dict)

    def train(
        self,
        model: Model,
        course: Course,
        training: Training,
        seed: int,
        start: str | None,
        words: tuple[str, ...],
        job: str,
    ) -> str:
        """Add the training of one course on one model, and return its key."""
        uses = [self._use(model, task, course.language, training) for task in course.tasks]
        identity: dict[str, Any] = {
            "model": self._model_id(model),
            **{k: v for k, v in uses[0].items() if k != "input"},
            "training": self._dump(training),
            "seed": seed,
            "head": "new",
        }
        inputs = {"data": uses[0]["input"]}
        if len(uses) > 1:
            mix = [{k: v for k, v in use.items() if k != "input"} for use in uses]
            identity = {
                "model": identity["model"],
                "mix": mix,
                "training": identity["training"],
                "seed": seed,
                "head": "new",
            }
            inputs = {f"data:{t.task}": u["input"] for t, u in zip(course.tasks, uses, strict=True)}
        for name, value in (("sampling", course.sampling), ("replay", course.replay)):
            if value is not None:
                identity[name] = dict(value)
        if course.shared_head:
            identity["heads"] = "shared"
        if course.shuffled:
            identity["labels_shuffled"] = True
        if start is not None:
            inputs["start"] = start
        return self._add("train", model, course.tasks[0], words, identity, inputs, ("all",), job)

    def evaluate(
        self, model: Model, goal: Goal, length: int, trained: str, words: tuple[str, ...], job: str
    ) -> str:
        """Add the scoring of a trained model in every language of its target."""
        data = self.prepare(model, goal.task, length, ("test",), goal.languages)
        inputs = {"data": data, "weights": trained}
        identity = {"metric": goal.task.metric}
        return self._add(
            "evaluate", model, goal.task, words, identity, inputs, self._parts(goal), job
        )

    def retrieve(
        self, model: Model, goal: Goal, start: str | None, words: tuple[str, ...], job: str
    ) -> str:
        """Add the scoring of an encoder without a training for this target."""
        data = self.prepare(model, goal.task, RETRIEVAL_LENGTH, ("test",), goal.languages)
        identity = {
            "model": self._model_id(model),
            "metric": goal.task.metric,
            "depth": RETRIEVAL_DEPTH,
            "pooling": model.pooling,
        }
        inputs = {"data": data} | ({"weights": start} if start else {})
        return self._add(
            "retrieve", model, goal.task, words, identity, inputs, self._parts(goal), job
        )

    def prepare(
        self,
        model: Model,
        task: Task,
        length: int,
        splits: tuple[str, ...],
        languages: tuple[str, ...],
    ) -> str:
        """Add the tokenised data of a task, shared by every model with the same tokenizer."""
        known = ("prepare", model.name, task.task, length, splits, languages)
        if known not in self._known:
            identity = {
                "tokenizer": self._tokenizer_id(model),
                "max_length": length,
                "kind": task.kind,
                "labels": list(task.labels),
                "source": task.source.model_dump(
                    exclude={"files"}, exclude_defaults=True, mode="json"
                ),
            }
            parts = tuple(self.part(task, split, x) for split in splits for x in languages)
            job = f"prepare-{slug(self.resolved.families[model.name])}"
            self._known[known] = self._add(
                "prepare", model, task, (task.task,), identity, {}, parts, job
            )
        key: str = self._known[known]
        return key

    def part(self, task: Task, split: str, language: str) -> str:
        """Name a part of a task's data; a local file's name bears the hash of what it holds."""
        if task.source.files is None:
            return f"{split}.{language}"
        known = ("part", task.task, split, language)
        if known not in self._known:
            pattern = {str(k): v for k, v in task.source.files.items()}.get(split, "")
            folder = self.resolved.catalog.folder("tasks", task.task)
            path = folder / pattern.replace("{language}", language)
            absent = task.source.supplied and not path.is_file()
            content = "absent00" if absent else file_sha256(path)
            self._known[known] = f"{split}.{language}@{content[:8]}"
        name: str = self._known[known]
        return name

    def folder_of(self, model: Model, folder: str) -> Path:
        """Return where a local checkpoint of a model is."""
        resolved = self.resolved
        base = model_folder(model.name, resolved.families, resolved.catalog, resolved.path)
        return (base / folder).resolve()

    def _use(self, model: Model, task: Task, language: str, training: Training) -> dict[str, Any]:
        known = ("use", model.name, task.task, language, training.max_length)
        if known not in self._known:
            length = training.max_length
            if language == "en":
                key = self.prepare(model, task, length, ("train", "dev"), ("en",))
            else:
                self.prepare(model, task, length, ("dev",), ("en",))
                key = self.prepare(model, task, length, ("train",), (language,))
            self._known[known] = {
                "kind": task.kind,
                "labels": list(task.labels),
                "metric": task.metric,
                "data": [self.part(task, "train", language), self.part(task, "dev", "en")],
                "input": key,
            }
        use: dict[str, Any] = self._known[known]
        return use

    def _parts(self, goal: Goal) -> tuple[str, ...]:
        known = ("parts", goal.task.task, goal.languages)
        if known not in self._known:
            parts = (self.part(goal.task, "test", x) for x in goal.languages)
            self._known[known] = tuple(part.removeprefix("test.") for part in parts)
        parts_: tuple[str, ...] = self._known[known]
        return parts_

    def _dump(self, training: Training) -> dict[str, Any]:
        known = ("training", training)
        if known not in self._known:
            self._known[known] = training.model_dump(exclude_none=True)
        dumped: dict[str, Any] = self._known[known]
        return dumped

    def _model_id(self, model: Model) -> str:
        known = ("model", model.name)
        if known not in self._known:
            identity: dict[str, Any] = {
                "checkpoint": self._checkpoint_id(model, model.checkpoint, MODEL_FILES),
                "layers": model.layers,
                "pooling": model.pooling,
            }
            if model.tuning != "full":
                identity["tuning"] = model.tuning
            self._known[known] = digest(identity)[:16]
        name: str = self._known[known]
        return name

    def _tokenizer_id(self, model: Model) -> str:
        known = ("tokenizer", model.name)
        if known not in self._known:
            source = model.tokenizer or model.checkpoint
            identity = self._checkpoint_id(model, source, TOKENIZER_FILES)
            self._known[known] = digest(identity)[:16]
        name: str = self._known[known]
        return name

    def _checkpoint_id(
        self, model: Model, source: Checkpoint, patterns: tuple[str, ...]
    ) -> Mapping[str, Any]:
        identity = source.model_dump(exclude_defaults=True)
        if source.folder is not None:
            identity["folder"] = folder_sha256(self.folder_of(model, source.folder), patterns)
        return identity

    def _add(
        self,
        kind: Kind,
        model: Model,
        task: Task,
        words: tuple[str, ...],
        identity: Mapping[str, Any],
        inputs: Mapping[str, str],
        parts: tuple[str, ...],
        job: str,
    ) -> str:
        key = stage_key(kind, words, identity, inputs)
        known = self.made.get(key)
        if known is None:
            self.made[key] = Stage(key, kind, model.name, task.task, identity, inputs, parts)
            self.jobs.setdefault(job, []).append(key)
            self.placed[key] = job
        elif known.parts != parts and set(parts) - set(known.parts):
            self.made[key] = replace(known, parts=tuple(dict.fromkeys((*known.parts, *parts))))
        return key
