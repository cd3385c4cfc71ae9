"""Expands a resolved study into a plan: arms, stages with shared prefixes, jobs and runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from compiler.fingerprint import MODEL_FILES, TOKENIZER_FILES, file_sha256, folder_sha256
from compiler.identity import digest, slug, stage_key
from compiler.plan import Job, Kind, Plan, Run, Stage
from compiler.resolve import CONTROL, Goal, Resolved
from compiler.rules import is_same_data, shared_text
from compiler.study import Arm, Checkpoint, Model, Task, Training

RETRIEVAL_LENGTH = 512
"""Subwords of a sentence to be retrieved (the length of the X-STILTs and XTREME scripts)."""

RETRIEVAL_DEPTH = 1.0
"""Share of the layers below the sentence vector; a sweep over all layers is stored beside it."""


def expand(resolved: Resolved) -> Plan:
    """Return the plan of a study. Pure but for hashing the local files that the study names.

    The control arm ``none`` comes first; a stage that several cells need appears once. Jobs are
    ordered by seed, so that a study stopped early is still balanced over sizes, and within a seed
    from the largest size to the smallest, so that no long job is left for the end.
    """
    return _Expansion(resolved).plan()


@dataclass
class _Expansion:
    """Builds one plan; holds what has been made so far so that nothing is made twice."""

    resolved: Resolved
    stages: dict[str, Stage] = field(default_factory=dict)
    jobs: dict[str, list[str]] = field(default_factory=dict)
    placed: dict[str, str] = field(default_factory=dict)
    block: tuple[int, int] = (0, 0)
    ranks: dict[str, tuple[int, int]] = field(default_factory=dict)
    model_ids: dict[str, str] = field(default_factory=dict)
    hashes: dict[Path, str] = field(default_factory=dict)
    folders: dict[tuple[Path, tuple[str, ...]], str] = field(default_factory=dict)

    def plan(self) -> Plan:
        study = self.resolved.study
        arms = [Arm(name=CONTROL, task=CONTROL), *study.intermediate]
        runs: list[Run] = []
        for number, seed in enumerate(study.seeds):
            for model in self.resolved.models:
                self.block = (number, -model.parameters.non_embedding)
                for arm in arms:
                    for goal in self.resolved.goals:
                        run = self.run(model, arm, goal, seed)
                        if run is not None:
                            runs.append(run)
        return Plan(
            study={
                "name": study.study,
                "question": study.question,
                "languages": sorted({x for g in self.resolved.goals for x in g.languages}),
                "seeds": list(study.seeds),
                "analysis": study.analysis.model_dump(),
                "describes": dict(self.resolved.describes),
            },
            models={m.name: self._model(m) for m in self.resolved.models},
            arms={CONTROL: {"task": None, "title": "direct fine-tuning"}}
            | {
                a.name: {"task": a.task, "title": self.resolved.task(a.task).title}
                for a in study.intermediate
            },
            tasks={name: self._task(self.resolved.task(name)) for name in self._task_names()},
            recipes={
                f"{phase}/{task}/{model}": training.model_dump(exclude_none=True)
                for (phase, task, model), training in self.resolved.recipes.items()
            },
            stages=self.stages,
            jobs=self._jobs(),
            runs=tuple(runs),
            execution=study.hardware.model_dump(),
            notes=tuple(
                {"code": d.code, "severity": d.severity, "message": d.message}
                for d in sorted(self.resolved.diagnostics, key=lambda d: (d.code, d.message))
            ),
            confounds=tuple(confounds(self.resolved)),
            catalog=dict(sorted(self.resolved.catalog.digests.items())),
        )

    def run(self, model: Model, arm: Arm, goal: Goal, seed: int) -> Run | None:
        """Add the stages of one run, and return it; None for a task after itself."""
        if arm.task == goal.task.task:
            return None
        direct = arm.name == CONTROL
        start = None
        if not direct:
            words = (arm.task, model.name, f"s{seed}")
            job = self._job_name(model, arm, None, seed)
            start = self.train(
                model, self.resolved.task(arm.task), "intermediate", seed, None, words, job
            )
        names = (goal.task.task,) if direct else (goal.task.task, f"after_{arm.name}")
        words = (*names, model.name, f"s{seed}")
        job = self._job_name(model, arm, goal, seed)
        if goal.task.kind == "retrieval":
            raw = (*names, model.name)
            score = self.retrieve(model, goal, start, words if start else raw, job)
            return Run(
                model.name,
                arm.name,
                goal.task.task,
                seed,
                goal.languages,
                start,
                score,
                self.flags(arm, goal),
            )
        trained = self.train(model, goal.task, "target", seed, start, words, job)
        score = self.evaluate(model, goal, trained, words, job)
        return Run(
            model.name,
            arm.name,
            goal.task.task,
            seed,
            goal.languages,
            trained,
            score,
            self.flags(arm, goal),
        )

    def flags(self, arm: Arm, goal: Goal) -> tuple[str, ...]:
        flags = ["untuned"] if goal.task.kind == "retrieval" else []
        if arm.name != CONTROL:
            task = self.resolved.task(arm.task)
            if is_same_data(task, goal.task):
                flags.append("self_pair")
            elif shared_text(task, goal.task):
                flags.append("shared_text")
        return tuple(sorted(flags))

    def train(
        self,
        model: Model,
        task: Task,
        phase: Any,
        seed: int,
        start: str | None,
        words: tuple[str, ...],
        job: str,
    ) -> str:
        training: Training = self.resolved.recipes[(phase, task.task, model.name)]
        data = self.prepare(model, task, training.max_length, ("train", "dev"), ("en",))
        identity = {
            "model": self._model_id(model),
            "kind": task.kind,
            "labels": list(task.labels),
            "metric": task.metric,
            "data": [self._part(task, "train", "en"), self._part(task, "dev", "en")],
            "training": training.model_dump(exclude_none=True),
            "seed": seed,
            "head": "new",
        }
        inputs = {"data": data} | ({"start": start} if start else {})
        return self._add("train", model, task, words, identity, inputs, ("all",), job)

    def evaluate(
        self, model: Model, goal: Goal, trained: str, words: tuple[str, ...], job: str
    ) -> str:
        training = self.resolved.recipes[("target", goal.task.task, model.name)]
        data = self.prepare(model, goal.task, training.max_length, ("test",), goal.languages)
        identity = {
            "metric": goal.task.metric,
        }
        parts = tuple(self._part(goal.task, "test", x)[5:] for x in goal.languages)
        inputs = {"data": data, "weights": trained}
        return self._add("evaluate", model, goal.task, words, identity, inputs, parts, job)

    def retrieve(
        self, model: Model, goal: Goal, start: str | None, words: tuple[str, ...], job: str
    ) -> str:
        data = self.prepare(model, goal.task, RETRIEVAL_LENGTH, ("test",), goal.languages)
        identity = {
            "model": self._model_id(model),
            "metric": goal.task.metric,
            "depth": RETRIEVAL_DEPTH,
            "pooling": model.pooling,
        }
        parts = tuple(self._part(goal.task, "test", x)[5:] for x in goal.languages)
        inputs = {"data": data} | ({"weights": start} if start else {})
        return self._add("retrieve", model, goal.task, words, identity, inputs, parts, job)

    def prepare(
        self,
        model: Model,
        task: Task,
        length: int,
        splits: tuple[str, ...],
        languages: tuple[str, ...],
    ) -> str:
        identity = {
            "tokenizer": self._tokenizer_id(model),
            "max_length": length,
            "kind": task.kind,
            "labels": list(task.labels),
            "source": task.source.model_dump(exclude={"files"}, exclude_defaults=True, mode="json"),
        }
        parts = tuple(self._part(task, split, x) for split in splits for x in languages)
        family = self.resolved.families[model.name]
        job = f"prepare-{slug(family)}"
        return self._add("prepare", model, task, (task.task,), identity, {}, parts, job)

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
        known = self.stages.get(key)
        if known is None:
            self.stages[key] = Stage(
                key, kind, model.name, task.task, identity, dict(inputs), parts
            )
            self.jobs.setdefault(job, []).append(key)
            self.ranks.setdefault(job, (-1, 0) if kind == "prepare" else self.block)
            self.placed[key] = job
        elif set(parts) - set(known.parts):
            merged = tuple(dict.fromkeys((*known.parts, *parts)))
            self.stages[key] = replace(known, parts=merged)
        return key

    def _jobs(self) -> tuple[Job, ...]:
        result = []
        for name, keys in self.jobs.items():
            needs = {
                self.placed[upstream]
                for key in keys
                for upstream in self.stages[key].inputs.values()
            } - {name}
            result.append(Job(name, tuple(keys), tuple(sorted(needs))))
        return tuple(sorted(result, key=lambda job: self.ranks[job.name]))

    def _job_name(self, model: Model, arm: Arm, goal: Goal | None, seed: int) -> str:
        if self.resolved.study.hardware.pack == "seed":
            return f"{slug(model.name)}-s{seed}"
        words = [model.name, arm.name, *([goal.task.task] if goal else []), f"s{seed}"]
        return "-".join(slug(word) for word in words)

    def _part(self, task: Task, split: str, language: str) -> str:
        """Name a part of a task's data; a local file's name bears the hash of what it holds."""
        if task.source.files is None:
            return f"{split}.{language}"
        pattern = dict(task.source.files).get(split)  # type: ignore[call-overload]
        folder = self.resolved.catalog.folder("tasks", task.task)
        path = folder / str(pattern).replace("{language}", language)
        if path not in self.hashes:
            self.hashes[path] = file_sha256(path)
        return f"{split}.{language}@{self.hashes[path][:8]}"

    def _model_id(self, model: Model) -> str:
        if model.name not in self.model_ids:
            identity = {
                "checkpoint": self._checkpoint_id(model, model.checkpoint),
                "layers": model.layers,
                "pooling": model.pooling,
            }
            self.model_ids[model.name] = digest(identity)[:16]
        return self.model_ids[model.name]

    def _tokenizer_id(self, model: Model) -> str:
        source = model.tokenizer or model.checkpoint
        return digest(self._checkpoint_id(model, source, TOKENIZER_FILES))[:16]

    def _checkpoint_id(
        self, model: Model, source: Checkpoint, patterns: tuple[str, ...] = MODEL_FILES
    ) -> Mapping[str, Any]:
        identity = source.model_dump(exclude_defaults=True)
        if source.folder is not None:
            folder = self._folder(model, source.folder)
            if (folder, patterns) not in self.folders:
                self.folders[(folder, patterns)] = folder_sha256(folder, patterns)
            identity["folder"] = self.folders[(folder, patterns)]
        return identity

    def _folder(self, model: Model, folder: str) -> Path:
        family = self.resolved.families[model.name]
        known = f"models/{family}" in self.resolved.catalog.files
        base = (
            self.resolved.catalog.folder("models", family) if known else self.resolved.path.parent
        )
        return (base / folder).resolve()

    def _model(self, model: Model) -> dict[str, Any]:
        entry = model.model_dump(exclude_none=True)
        family = self.resolved.families[model.name]
        entry |= {"family": family, "description": self.resolved.describes.get(family, "")}
        for source in ("checkpoint", "tokenizer"):
            if "folder" in entry.get(source, {}):
                entry[source]["folder"] = str(self._folder(model, entry[source]["folder"]))
        return entry

    def _task(self, task: Task) -> dict[str, Any]:
        entry = task.model_dump(mode="json", exclude_none=True)
        if task.source.files is not None:
            folder = self.resolved.catalog.folder("tasks", task.task).resolve()
            entry["source"]["folder"] = str(folder)
        return entry

    def _task_names(self) -> list[str]:
        names = [a.task for a in self.resolved.study.intermediate]
        return sorted({*names, *(g.task.task for g in self.resolved.goals)})


def confounds(resolved: Resolved) -> list[dict[str, str]]:
    """List what differs between the sizes besides size, as far as the study file can tell."""
    ledger: list[dict[str, str]] = []
    models = resolved.models
    checkpoints = {digest(m.checkpoint.model_dump(mode="json")) for m in models}
    if len(models) > 1 and len(checkpoints) == 1:
        ledger.append(
            {
                "what": "pretraining",
                "detail": "the sizes are cut from one checkpoint: equal data, steps and tokenizer, "
                "and a shallow size was never pretrained at its depth",
            }
        )
    elif len(models) > 1:
        ledger.append(
            {
                "what": "pretraining",
                "detail": "the sizes are separately pretrained checkpoints; their data, steps and "
                "tuning may differ",
            }
        )
    if len({m.pooling for m in models}) > 1:
        ledger.append({"what": "pooling", "detail": "the sizes pool sentence vectors differently"})
    by_task: dict[tuple[str, str], dict[str, Training]] = {}
    for (phase, task, model), training in resolved.recipes.items():
        by_task.setdefault((phase, task), {})[model] = training
    for (when, task), trainings in by_task.items():
        for name in Training.model_fields:
            values = {m: getattr(t, name) for m, t in trainings.items()}
            if len(set(values.values())) > 1:
                shown = ", ".join(f"{m} {v}" for m, v in values.items())
                ledger.append({"what": f"{name} ({when}, {task})", "detail": shown})
    return ledger
