"""The rules of meaning: what a study that is well formed still gets wrong, or cannot answer."""

from __future__ import annotations

from compiler.catalog import Catalog
from compiler.resolve import CONTROL, Goal, Say
from compiler.source import Path_
from compiler.study import Arm, Model, Study, Task
from compiler.validate import suggest


def is_same_data(arm: Task, target: Task) -> bool:
    """Tell a self-pair: the arm trains on the very labelled data that the target trains on."""
    return arm.train_data is not None and arm.train_data == target.train_data


def shared_text(arm: Task, target: Task) -> tuple[str, ...]:
    """Name the English texts that both trainings are made from."""
    return tuple(sorted(set(arm.train_text) & set(target.train_text)))


def arms(study: Study, catalog: Catalog, goals: tuple[Goal, ...], say: Say) -> None:
    """Say which arms cannot be trained, and what each has in common with a target."""
    for index, arm in enumerate(study.intermediate):
        path: Path_ = ("intermediate", index)
        if arm.name == CONTROL:
            say(
                "C110",
                "`none` is the control arm and is always there",
                "remove it from `intermediate`",
                path,
            )
            continue
        task = catalog.tasks.get(arm.task)
        if task is None:
            say(
                "C103",
                f"there is no task `{arm.task}`",
                suggest(arm.task, catalog.tasks),
                path,
            )
            continue
        if task.kind == "retrieval":
            say(
                "C111",
                f"`{arm.task}` cannot be an intermediate task: retrieval has no training set",
                "choose a task with labels",
                path,
            )
            continue
        if "en" not in task.languages:
            say(
                "C112",
                f"`{arm.task}` has no English data to train on",
                "choose a task with English data",
                path,
            )
        _pairs(arm, task, goals, path, say)


def _pairs(arm: Arm, task: Task, goals: tuple[Goal, ...], path: Path_, say: Say) -> None:
    for goal in goals:
        if goal.task.task == task.task:
            say(
                "C201",
                f"`{arm.name}` is not run before `{goal.task.task}`: it is the same task",
                "",
                path,
            )
        elif is_same_data(task, goal.task):
            say(
                "C202",
                f"`{arm.name}` trains on the data of `{goal.task.task}` itself: longer "
                "training, not transfer; kept out of the primary estimate",
                "",
                path,
            )
        elif shared_text(task, goal.task):
            say(
                "C203",
                f"`{arm.name}` and `{goal.task.task}` are made from the same English "
                "sentences; flagged in the report",
                "",
                path,
            )


def duplicates(study: Study, say: Say) -> None:
    """Say what is listed twice."""
    for fieldname, names in (
        ("intermediate", [a.name for a in study.intermediate]),
        ("targets", [t.task for t in study.targets]),
        ("seeds", [str(s) for s in study.seeds]),
    ):
        for index, name in enumerate(names):
            if name in names[:index]:
                say(
                    "C104",
                    f"`{name}` is listed twice in `{fieldname}`",
                    "remove one",
                    (fieldname, index),
                )
    for index, arm in enumerate(study.intermediate):
        twin = next((a for a in study.intermediate[:index] if a.task == arm.task), None)
        if twin is not None and twin.name != arm.name:
            say(
                "C104",
                f"the arms `{twin.name}` and `{arm.name}` are the same: both are `{arm.task}`",
                "remove one",
                ("intermediate", index),
            )


def design(study: Study, models: tuple[Model, ...], goals: tuple[Goal, ...], say: Say) -> None:
    """Say what a valid study will not be able to answer."""
    if len(models) == 1:
        say(
            "C204",
            "with one size there is no size effect to estimate",
            "add sizes",
            ("models",),
        )
    elif len(models) == 2:
        say(
            "C205",
            "two sizes give a difference, and no claim about other checkpoints (L3)",
            "",
            ("models",),
        )
    if len(set(study.seeds)) == 1:
        say(
            "C206",
            "one seed leaves the noise of a run unknown: no interval for new seeds (L1)",
            "give at least three `seeds`",
            ("seeds",),
        )
    trained = [g for g in goals if g.task.kind != "retrieval"]
    if len(trained) == 1:
        say(
            "C207",
            "one trained target gives no claim about new tasks (L2)",
            "add targets",
            ("targets",),
        )
    for index, model in enumerate(models):
        if model.checkpoint.hub and not model.checkpoint.revision:
            say(
                "C208",
                f"`{model.name}` has no `revision`: the hub's newest commit is used, and "
                "the key does not pin it",
                "give the commit hash",
                ("models", index),
            )
    for index, goal in enumerate(goals):
        if goal.task.source.hub and not goal.task.source.revision:
            say(
                "C208",
                f"the data of `{goal.task.task}` has no `revision`: the hub's newest commit is "
                "used, and the key does not pin it",
                "give the commit hash in a task file of your own catalog",
                ("targets", index),
            )
