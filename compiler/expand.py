"""Expands a resolved study into a plan: arms, stages with shared prefixes, jobs and runs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from compiler.confounds import confounds
from compiler.duration import seconds
from compiler.entries import Corpus, Model, Task
from compiler.fitting import described, machine_of
from compiler.identity import slug
from compiler.plan import Job, Plan, Run
from compiler.probe import ASIDE, divisible
from compiler.resolve import CONTROL, Course, Goal, Reading, Resolved, Treatment, readings
from compiler.rules import direct_holds_intermediate, is_same_task, is_self_pair, shared_text
from compiler.settings import steps_of
from compiler.stages import Stages
from compiler.terms import UNTRAINED, Phase
from compiler.training import Training

DIRECT = Treatment(CONTROL, "intermediate", ())
"""The control arm: nothing before the target's own training."""

DIVIDED = ("train",)
"""Kinds of stages for which a job has a process on each device of its machine.

A pretraining is one process's work: its pairs are compared with all others of their batch.
"""


def expand(resolved: Resolved) -> Plan:
    """Return the plan of a study. Pure but for hashing the local files that the study names.

    The control arm ``none`` comes first; a stage that several cells need appears once. Jobs are
    ordered by seed, so that a study stopped early is still balanced over sizes, and within a seed
    from the largest size to the smallest, so that no long job is left for the end.
    """
    return _Expansion(resolved, Stages(resolved)).plan()


@dataclass
class _Expansion:
    """Walks the cells of one study."""

    resolved: Resolved
    stages: Stages
    ranks: dict[str, tuple[int, int]] = field(default_factory=dict)
    flagged: dict[tuple[str, str], tuple[str, ...] | None] = field(default_factory=dict)
    planned: dict[str, tuple[tuple[Phase, str], int | None]] = field(default_factory=dict)

    def plan(self) -> Plan:
        resolved, study = self.resolved, self.resolved.study
        arms = (DIRECT, *resolved.arms)
        for arm in arms:
            for goal in resolved.goals:
                self.flagged[(arm.name, goal.task.task)] = flags(arm, goal, study.analysis)
        runs: list[Run] = []
        for number, seed in enumerate(study.seeds):
            for model in resolved.models:
                before = len(self.stages.jobs)
                for arm in arms:
                    for goal in resolved.goals:
                        marks = self.flagged[(arm.name, goal.task.task)]
                        if marks is not None:
                            runs.append(self.run(model, arm, goal, seed, marks))
                for job in list(self.stages.jobs)[before:]:
                    self.ranks[job] = self._rank(job, model, number)
        second = self.second()
        probe = self.probe(second)
        return Plan(
            study={
                "name": study.study,
                "question": study.question,
                "languages": sorted({x for g in resolved.goals for x in g.languages}),
                "seeds": list(study.seeds),
                "analysis": study.analysis.model_dump(mode="json"),
                "describes": dict(resolved.describes),
                **({"lock": dict(resolved.lock)} if resolved.lock else {}),
                **published(resolved),
                **({"deviations": list(resolved.deviations)} if resolved.deviations else {}),
            },
            models={m.name: self._model(m) for m in resolved.models},
            arms={arm.name: self._arm(arm) for arm in arms},
            tasks={name: self._entry(resolved.task(name)) for name in self._task_names()},
            recipes={
                f"{phase}/{name}/{model}": training.identity() | training.execution()
                for (phase, name, model), training in resolved.recipes.items()
            }
            | {
                f"target/{name}/{model}": retrieval.model_dump()
                for (name, model), retrieval in resolved.retrievals.items()
            },
            stages=self.stages.made,
            jobs=self._jobs(second),
            runs=tuple(runs),
            execution=self._execution(second),
            notes=tuple(
                {"code": d.code, "severity": d.severity, "message": d.message}
                for d in sorted(resolved.diagnostics, key=lambda d: (d.code, d.message))
            ),
            confounds=tuple(confounds(resolved)),
            catalog=self._origins(),
            corpora={
                name: self._entry(reading.corpus) for name, reading in self._corpora().items()
            },
            probe=probe,
        )

    def second(self) -> _Expansion | None:
        """Return what walks the cells of the sharding probe, over the same stages."""
        probe = self.resolved.probe
        if probe is None:
            return None
        resolved = replace(self.resolved, recipes=probe.recipes)
        return _Expansion(resolved, self.stages.second(probe.marker), self.ranks)

    def probe(self, second: _Expansion | None) -> tuple[Run, ...]:
        """Add the stages of the sharding probe, and return its runs; they come last of all.

        These are the direct arm and the intermediates, but for what stands apart anyway, as far as
        something is trained that can be divided.
        """
        probe = self.resolved.probe
        if probe is None or second is None:
            return ()
        model = next(m for m in self.resolved.models if m.name == probe.model)
        before, runs = len(self.stages.jobs), []
        for arm in (DIRECT, *self.resolved.arms):
            for goal in self.resolved.goals:
                marks = self.flagged[(arm.name, goal.task.task)]
                if marks is None or ASIDE & set(marks):
                    continue
                if divisible((*arm.tasks, *goal.trains)):
                    marks = (*marks, "sharding_probe")
                    runs.append(second.run(model, arm, goal, probe.seed, marks))
        for job in list(self.stages.jobs)[before:]:
            self.ranks[job] = (len(self.resolved.study.seeds), -model.counts.non_embedding)
        return tuple(runs)

    def _rank(self, job: str, model: Model, number: int) -> tuple[int, int]:
        """Return the place of a job: what all seeds read first, then by seed and size."""
        kind = self.stages.made[self.stages.jobs[job][0]].kind
        if kind in ("tokenizer", "prepare"):
            return (-2, 0)
        shared = kind == "pretrain" and model.pretrain and model.pretrain.seeds != "per_seed"
        return (-1 if shared else number, -model.counts.non_embedding)

    def run(
        self, model: Model, arm: Treatment, goal: Goal, seed: int, marks: tuple[str, ...]
    ) -> Run:
        """Add the stages of one run, and return it."""
        tail = (model.name, f"s{seed}")
        after = () if arm is DIRECT else (f"after_{arm.name}",)
        start = pretrained = self._pretrained(model, seed)
        job = self._job_name(model, arm, None, seed)
        if arm.role == "step_matched":
            course = Course(goal.trains[0].task, (goal.trains[0],))
            training = self.resolved.recipes[("target", goal.trains[0].task, model.name)]
            steps = self._steps(arm, model)
            longer = training.model_copy(update={"steps": steps, "epochs": None})
            words = (goal.trains[0].task, "step_matched", *tail)
            job = self._job_name(model, arm, goal, seed)
            start = self.stages.train(model, course, longer, seed, start, words, job)
            self.planned[start] = (("target", course.name), steps)
        for number, course in enumerate(arm.courses):
            training = self.resolved.recipes[("intermediate", course.name, model.name)]
            before = tuple(f"after_{c.name}" for c in arm.courses[:number])
            placebo = ("placebo",) if course.shuffled else ()
            words = (course.name, *placebo, *before, *tail)
            start = self.stages.train(model, course, training, seed, start, words, job)
            self.note(start, ("intermediate", course.name), training, course)
        job = self._job_name(model, arm, goal, seed)
        length = 0
        for number, task in enumerate(goal.trains):
            training = self.resolved.recipes[("target", task.task, model.name)]
            length = training.max_length
            before = tuple(f"after_{t.task}" for t in goal.trains[:number])
            words = (task.task, *before, *after, *tail)
            course = Course(task.task, (task,))
            start = self.stages.train(model, course, training, seed, start, words, job)
            self.note(start, ("target", task.task), training, course)
        words = (goal.task.task, *after, *tail)
        trained = None if start == pretrained else start
        if goal.task.kind in UNTRAINED:
            seeded = trained is not None or (model.pretrain and model.pretrain.seeds == "per_seed")
            short = (goal.task.task, model.name)
            score = self.stages.retrieve(model, goal, start, words if seeded else short, job)
        else:
            assert trained is not None
            score = self.stages.evaluate(model, goal, length, trained, words, job)
        name = goal.task.task
        return Run(model.name, arm.name, name, seed, goal.languages, trained, score, marks)

    def note(self, key: str, place: tuple[Phase, str], training: Training, course: Course) -> None:
        """Keep how many steps a training stage has, once."""
        if self.resolved.strategies and key not in self.planned:
            self.planned[key] = (place, steps_of(training, course))

    def _pretrained(self, model: Model, seed: int) -> str | None:
        """Add the pretraining of a model from scratch; None for a checkpoint."""
        if model.pretrain is None:
            return None
        seeds = model.pretrain.seeds
        if seeds != "per_seed":
            words, job = (model.name,), f"pretrain-{slug(model.name)}"
            return self.stages.pretrain(model, seeds, words, job)
        job = f"pretrain-{slug(model.name)}-s{seed}"
        if self.resolved.study.hardware.pack == "seed":
            job = f"{slug(model.name)}-s{seed}"
        return self.stages.pretrain(model, seed, (model.name, f"s{seed}"), job)

    def _steps(self, arm: Treatment, model: Model) -> int:
        """Return the steps of the arm that a step-matched control goes with."""
        total = 0
        for course in next(other for other in self.resolved.arms if other.name == arm.of).courses:
            training = self.resolved.recipes[("intermediate", course.name, model.name)]
            steps = steps_of(training, course)
            assert steps is not None  # `settings.uncounted` has refused such a study
            total += steps
        return total

    def _execution(self, second: _Expansion | None) -> dict[str, Any]:
        """Return the hardware settings; ``device`` is what Accelerate runs the named device as."""
        resolved, hardware = self.resolved, self.resolved.study.hardware
        entry = self.resolved.catalog.devices.get(hardware.device)
        kind = entry.kind if entry and hardware.device not in ("cpu", "cuda") else hardware.device
        named = hardware.model_dump(exclude_none=True, exclude={"slurm"})
        if hardware.slurm is not None:
            named["slurm"] = hardware.slurm.model_dump(mode="json", exclude_unset=True)
        named |= {"tracking": list(tracking)} if (tracking := self.resolved.study.tracking) else {}
        named |= {"trainings": self.stages.execution} if self.stages.execution else {}
        named |= {"resources": self._resources()} if self.resolved.strategies else {}
        named |= {"sharding_probe": self._probe(second)} if second else {}
        tables = {source.label: str(source.path.parent.resolve()) for source in resolved.evidence}
        named |= {"evidence": tables} if tables else {}
        return {"threads": None} | named | {"device": kind, "device_name": hardware.device}

    def _resources(self) -> dict[str, Any]:
        """Return, by model, how it is trained and what that takes: what a plan shows of it."""
        machine = machine_of(self.resolved.study, self.resolved.catalog)
        assert machine is not None
        steps: dict[str, list[tuple[tuple[Phase, str], int | None]]] = {}
        for key, planned in self.planned.items():
            steps.setdefault(self.stages.made[key].model, []).append(planned)
        return {
            model: described(choice, machine.device, steps.get(model, ()))
            for model, choice in self.resolved.strategies.items()
        }

    def _probe(self, second: _Expansion) -> dict[str, Any]:
        """Return which model is trained a second time, both ways, and what that takes."""
        probe, machine = self.resolved.probe, machine_of(self.resolved.study, self.resolved.catalog)
        assert probe is not None
        said: dict[str, Any] = {
            "model": probe.model,
            "seed": probe.seed,
            "whole": {"strategy": probe.plain.title, "devices": probe.plain.devices},
            "strategy": probe.way.title,
            "devices": probe.way.devices,
        }
        if probe.choice is not None and machine is not None:
            said |= described(probe.choice, machine.device, second.planned.values())
            said.pop("rejected")
        return said

    def _jobs(self, second: _Expansion | None) -> tuple[Job, ...]:
        result = []
        hardware = self.resolved.study.hardware
        devices = hardware.nodes * hardware.devices_per_node
        ways = {model: choice.way for model, choice in self.resolved.strategies.items()}
        for name, keys in self.stages.jobs.items():
            needs = {
                self.stages.placed[upstream]
                for key in keys
                for upstream in self.stages.made[key].inputs.values()
            } - {name}
            divided = [
                s.model for s in map(self.stages.made.__getitem__, keys) if s.kind in DIVIDED
            ]
            each = [ways[model].devices if model in ways else devices for model in divided]
            planned, choices, probe = self.planned, self.resolved.strategies, self.resolved.probe
            if second and probe and any(self.stages.made[key].probe for key in keys):
                each, planned = [probe.way.devices for _ in divided], second.planned
                choices = {probe.model: probe.choice} if probe.choice else {}
            processes = max(each, default=1)
            takes = seconds(keys, self.stages.made, planned, choices, self.resolved.task)
            result.append(Job(name, tuple(keys), tuple(sorted(needs)), processes, takes))
        return tuple(sorted(result, key=lambda job: self.ranks[job.name]))

    def _job_name(self, model: Model, arm: Treatment, goal: Goal | None, seed: int) -> str:
        last = [f"s{seed}", *(["probe"] if self.stages.marker else [])]
        words = [model.name, arm.name, *([goal.task.task] if goal else []), *last]
        if self.resolved.study.hardware.pack == "seed":
            words = [model.name, *last]
        return "-".join(slug(word) for word in words)

    def _arm(self, arm: Treatment) -> dict[str, Any]:
        titles = [self.resolved.task(t.task).title for t in arm.tasks]
        title = {"step_matched": f"longer direct training, as long as {arm.of}"}.get(arm.role)
        if title is None and arm.role == "placebo":
            title = f"{arm.of} with shuffled labels"
        entry: dict[str, Any] = {
            "task": arm.tasks[0].task if len(arm.tasks) == 1 else None,
            "title": title or " + ".join(titles) or "direct fine-tuning",
            "role": "control" if arm is DIRECT else arm.role,
        }
        if len(arm.tasks) > 1:
            entry["tasks"] = [task.task for task in arm.tasks]
        return entry

    def _model(self, model: Model) -> dict[str, Any]:
        entry = model.model_dump(mode="json", exclude_none=True)
        family = self.resolved.families[model.name]
        entry |= {"family": family, "description": self.resolved.describes.get(family, "")}
        for source in ("checkpoint", "tokenizer"):
            if "folder" in entry.get(source, {}):
                entry[source]["folder"] = str(self.stages.folder_of(model, entry[source]["folder"]))
        return entry

    def _entry(self, entry: Task | Corpus) -> dict[str, Any]:
        body = entry.model_dump(mode="json", exclude_none=True)
        if entry.source.files is not None:
            folder = self.resolved.catalog.folder(*entry.place).resolve()
            body["source"]["folder"] = str(folder)
        return body

    def _origins(self) -> dict[str, dict[str, str]]:
        """Return the file behind each definition that the study uses."""
        study, catalog = self.resolved.study, self.resolved.catalog
        used = [f"tasks/{name}" for name in self._task_names()]
        used += [f"corpora/{name}" for name in sorted(self._corpora())]
        used += [f"models/{family}" for family in sorted(set(self.resolved.families.values()))]
        used += [f"recipes/{study.recipe.name}", f"hardware/{study.hardware.device}", "languages"]
        used += [f"benchmarks/{study.targets.benchmark}"]
        used += [f"evidence/{source.label}" for source in self.resolved.evidence]
        return {place: catalog.origin(place) for place in used if place in catalog.origins}

    def _corpora(self) -> dict[str, Reading]:
        resolved = self.resolved
        return readings(resolved.models, resolved.arms, resolved.catalog)

    def _task_names(self) -> list[str]:
        names = {task.task for arm in self.resolved.arms for task in arm.tasks}
        for goal in self.resolved.goals:
            names |= {goal.task.task, *(task.task for task in goal.trains)}
        return sorted(names)


def published(resolved: Resolved) -> dict[str, Any]:
    """Return the published scores and claims of a study, if it has any; they are in no key."""
    found = {
        "evidence": [source.entry() for source in resolved.evidence],
        "claims": [claim.entry() for claim in resolved.study.claims],
    }
    return {name: entries for name, entries in found.items() if entries}


def flags(arm: Treatment, goal: Goal, analysis: Any) -> tuple[str, ...] | None:
    """Return what a reader must know of an arm before a target; None when it is not run."""
    if arm is not DIRECT and is_same_task(arm, goal):
        return None
    if arm.role == "step_matched" and not goal.trains:
        return None
    found = [] if goal.trains else ["untuned"]
    if direct_holds_intermediate(goal):
        found.append("direct_holds_intermediate")
    if arm.role != "intermediate":
        found.append("control_arm")
    elif arm.name in analysis.exploratory:
        found.append("exploratory")
    if arm is not DIRECT and arm.role != "step_matched":
        if is_self_pair(arm, goal):
            found.append("self_pair")
        elif shared_text(arm, goal):
            found.append("shared_text")
    return tuple(sorted(found))
