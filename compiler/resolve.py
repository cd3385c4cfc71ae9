"""Looks up every name of a study in the catalogs: models, targets, languages, recipes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from compiler.catalog import Catalog
from compiler.errors import Diagnostic
from compiler.study import Model, Phase, Study, Task, Training, TrainingChange
from compiler.validate import suggest

CONTROL = "none"
Say = Callable[..., None]
"""How a finding is reported: `findings.Findings.say`."""


@dataclass(frozen=True)
class Goal:
    """A target with the languages that this study scores it in."""

    task: Task
    languages: tuple[str, ...]


@dataclass(frozen=True)
class Resolved:
    """A study whose every name has been looked up: what expansion needs, and nothing else."""

    path: Path
    study: Study
    catalog: Catalog
    models: tuple[Model, ...]
    families: Mapping[str, str]
    goals: tuple[Goal, ...]
    recipes: Mapping[tuple[Phase, str, str], Training]
    diagnostics: tuple[Diagnostic, ...] = ()
    describes: Mapping[str, str] = field(default_factory=dict)

    def task(self, name: str) -> Task:
        """Return a task of the catalog by name."""
        return self.catalog.tasks[name]


def models(
    study: Study, catalog: Catalog, say: Say
) -> tuple[tuple[Model, ...], dict[str, str], dict[str, str]]:
    """Return the models of the ladder, the family of each, and the families' descriptions."""
    wanted = study.models
    if wanted.members:
        names = [m.name for m in wanted.members]
        for index, name in enumerate(names):
            if name in names[:index]:
                say(
                    "C104",
                    f"two models are called `{name}`",
                    "give each its own name",
                    ("models", index),
                )
        return wanted.members, dict.fromkeys(names, "own"), {}
    family = catalog.families.get(str(wanted.family))
    if family is None:
        say(
            "C101",
            f"there is no model family `{wanted.family}`",
            suggest(str(wanted.family), catalog.families),
            ("models", "family"),
        )
        return (), {}, {}
    by_size = {str(m.size): m for m in family.members}
    chosen: list[Model] = []
    if not wanted.sizes:
        chosen = list(family.members)
    for index, size in enumerate(wanted.sizes):
        member = by_size.get(str(size))
        if member is None:
            say(
                "C102",
                f"the family `{family.family}` has no size `{size}`",
                suggest(str(size), by_size),
                ("models", "sizes", index),
            )
        elif member in chosen:
            say(
                "C104",
                f"the size `{size}` is listed twice",
                "remove one",
                ("models", "sizes", index),
            )
        else:
            chosen.append(member)
    names = [m.name for m in chosen]
    return (
        tuple(chosen),
        dict.fromkeys(names, family.family),
        {family.family: family.description},
    )


def goals(study: Study, catalog: Catalog, say: Say) -> Iterator[Goal]:
    """Yield the targets with the languages that the study scores them in."""
    every = sorted({x for t in catalog.tasks.values() for x in t.languages})
    chosen = study.languages
    if chosen != "all":
        for index, language in enumerate(chosen):
            if language in chosen[:index]:
                say(
                    "C104",
                    f"the language `{language}` is listed twice",
                    "remove one",
                    ("languages", index),
                )
            elif language not in every:
                say(
                    "C105",
                    f"no known task has the language `{language}`",
                    suggest(language, every),
                    ("languages", index),
                )
    for index, target in enumerate(study.targets):
        task = catalog.tasks.get(target.task)
        if task is None:
            say(
                "C103",
                f"there is no task `{target.task}`",
                suggest(target.task, catalog.tasks),
                ("targets", index),
            )
            continue
        if target.languages is not None:
            wanted = target.languages
            for place, language in enumerate(wanted):
                if language in wanted[:place]:
                    say(
                        "C104",
                        f"the language `{language}` is listed twice",
                        "remove one",
                        ("targets", index, "languages", place),
                    )
                elif language not in task.languages:
                    say(
                        "C106",
                        f"the task `{task.task}` has no data in `{language}`",
                        suggest(language, task.languages),
                        ("targets", index, "languages", place),
                    )
        else:
            wanted = task.languages if chosen == "all" else chosen
            absent = [x for x in wanted if x in every and x not in task.languages]
            if task.kind == "retrieval":
                absent = [x for x in absent if x != "en"]
            if absent:
                say(
                    "C107",
                    f"`{task.task}` is not scored in {', '.join(absent)}: it has no such data",
                    "",
                    ("targets", index),
                )
        languages = tuple(x for x in wanted if x in task.languages)
        if task.kind == "retrieval":
            languages = tuple(x for x in languages if x != "en")
        unknown = target.languages is not None and set(wanted) - set(task.languages)
        if not languages and not unknown:
            say(
                "C108",
                f"no language is left to score `{task.task}` in",
                f"it has: {', '.join(task.languages)}",
                ("targets", index),
            )
        elif languages and "en" not in languages and task.kind != "retrieval":
            say(
                "C109",
                f"`{task.task}` is not scored in English: the report can show no "
                "English score beside the zero-shot average",
                "add `en` to `languages`",
                ("targets", index),
            )
        yield Goal(task, languages)


def recipes(
    study: Study,
    catalog: Catalog,
    models: tuple[Model, ...],
    goals: tuple[Goal, ...],
    say: Say,
) -> dict[tuple[Phase, str, str], Training]:
    """Return the settings of every training, by phase, task and model."""
    choice = study.recipe
    recipe = catalog.recipes.get(choice.name)
    if recipe is None:
        say(
            "C113",
            f"there is no recipe `{choice.name}`",
            suggest(choice.name, catalog.recipes),
            ("recipe",),
        )
        return {}
    wanted: list[tuple[Phase, str]] = [
        ("intermediate", a.task) for a in study.intermediate if a.task in catalog.tasks
    ] + [("target", g.task.task) for g in goals if g.task.kind != "retrieval"]
    for name in choice.tasks:
        if name not in {task for _, task in wanted}:
            say(
                "C114",
                f"the recipe changes `{name}`, which this study does not train",
                suggest(name, [t for _, t in wanted]),
                ("recipe", "tasks", name),
                True,
            )
    for name in choice.models:
        if name not in {m.name for m in models}:
            say(
                "C114",
                f"the recipe changes the model `{name}`, which is not in this study",
                suggest(name, [m.name for m in models]),
                ("recipe", "models", name),
                True,
            )
    result: dict[tuple[Phase, str, str], Training] = {}
    impossible: dict[str, list[str]] = {}
    for phase, task in wanted:
        for model in models:
            layers = [
                recipe.defaults,
                recipe.phases.get(phase),
                recipe.tasks.get(task),
                recipe.models.get(model.name),
                choice.defaults,
                choice.phases.get(phase),
                choice.tasks.get(task),
                choice.models.get(model.name),
            ]
            try:
                result[(phase, task, model.name)] = _training(layers)
            except ValueError as error:
                tasks = impossible.setdefault(str(error), [])
                tasks += [task] if task not in tasks else []
    for reason, tasks in impossible.items():
        say(
            "C115",
            f"the recipe for {', '.join(f'`{t}`' for t in tasks)} {reason}",
            "give either `steps` or `epochs`, and `evaluate_every` where a score decides",
            ("recipe",),
        )
    return result


def _training(layers: list[TrainingChange | None]) -> Training:
    merged: dict[str, object] = {}
    for change in layers:
        given = change.model_dump(exclude_none=True) if change else {}
        if "steps" in given:
            merged.pop("epochs", None)
        if "epochs" in given:
            merged.pop("steps", None)
        merged.update(given)
    training = Training.model_validate(merged)
    if training.steps is None and training.epochs is None:
        raise ValueError("has neither `steps` nor `epochs`")
    if training.steps is not None and training.epochs is not None:
        raise ValueError("has both `steps` and `epochs`")
    if training.selection == "best_english_dev" and training.evaluate_every is None:
        raise ValueError("keeps the best English dev score and has no `evaluate_every`")
    return training
