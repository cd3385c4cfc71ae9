"""Puts the numbers of rows that a study expects in the place of the catalog's, and says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from compiler.catalog import Catalog
from compiler.entries import Task
from compiler.resolve import Goal, Say, Treatment
from compiler.source import Path_
from compiler.study import Recount, Study
from compiler.validate import suggest


def recounted(study: Study, catalog: Catalog, say: Say) -> Catalog:
    """Return the catalog with the study's counts; each that differs is a warning with its reason.

    What the data is does not change by that, and no key does: a number is what other data is
    refused by. (It is also what a step-matched control counts its arm's steps from, and its steps
    are in its key.)
    """
    tasks = dict(catalog.tasks)
    for index, entry in enumerate(study.counts):
        path: Path_ = ("counts", index)
        task = tasks.get(entry.task)
        if task is None:
            what = f"there is no task `{entry.task}`"
            say("C103", what, suggest(entry.task, catalog.tasks), (*path, "task"))
            continue
        tasks[entry.task] = _recounted(task, entry, path, say)
    return replace(catalog, tasks=tasks)


def idle(
    study: Study,
    catalog: Catalog,
    arms: tuple[Treatment, ...],
    goals: tuple[Goal, ...],
    say: Say,
) -> None:
    """Say which counts are of tasks that the study has no use for."""
    used = {task.task for arm in arms for task in arm.tasks}
    used |= {task.task for goal in goals for task in (goal.task, *goal.trains)}
    for index, entry in enumerate(study.counts):
        if entry.task in catalog.tasks and entry.task not in used:
            what = f"the counts change `{entry.task}`, which this study does not use"
            say("C114", what, suggest(entry.task, used), ("counts", index, "task"))


def _recounted(task: Task, entry: Recount, path: Path_, say: Say) -> Task:
    counts: dict[str, dict[str, int]] = {str(k): dict(v) for k, v in task.counts.items()}
    changed = []
    for split, rows in entry.rows.items():
        if not task.counts_in(split):
            what = f"the task `{task.task}` has no {split} split"
            splits = [name for name in ("train", "dev", "test", "pool") if task.counts_in(name)]
            hint = f"it has: {', '.join(splits)}"
            say("C127", what, hint, (*path, "rows", split), True)
            continue
        known = task.codes(split)
        for language, number in rows.items():
            if language not in known:
                what = f"the task `{task.task}` has no data in `{language}`"
                say("C106", what, suggest(language, known), (*path, "rows", split, language))
                continue
            before = counts.get(split, {}).get(language)
            if number == before:
                continue
            catalogs = "no number" if before is None else f"{before:,}"
            changed.append(f"{_rows(number)} in {split}.{language} (catalog: {catalogs})")
            counts.setdefault(split, {}).pop(language, None)
            if number is not None:
                counts[split][language] = number
    if changed:
        what = f"`{task.task}` is to have {'; '.join(changed)}: {entry.reason}"
        say("C232", what, "the report prints this", path)
    kept: Mapping[str, Mapping[str, int]] = {k: v for k, v in counts.items() if v}
    return task.model_copy(update={"counts": kept})


def _rows(number: int | None) -> str:
    return "any number of rows" if number is None else f"{number:,} rows"
