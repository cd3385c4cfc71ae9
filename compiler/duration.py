"""Works out how long a job takes at most, from the operations of its stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from compiler.entries import Task
from compiler.plan import Stage, language_of
from compiler.strategy import Choice
from compiler.terms import Phase

Place = tuple[Phase, str]
"""Names a training of a model: its phase, and its course or task."""

FORWARD = 1 / 3
"""Share of a training step that scoring the same examples takes: no backward pass, which costs
twice the forward one."""

STARTING = 120.0
"""Seconds, assumed, in which a job loads its libraries."""

LOADING = 60.0
"""Seconds, assumed, in which a stage reads its weights and data and writes what it leaves."""


def seconds(
    keys: Sequence[str],
    stages: Mapping[str, Stage],
    planned: Mapping[str, tuple[Place, int | None]],
    choices: Mapping[str, Choice],
    task: Callable[[str], Task],
) -> int | None:
    """Return the seconds of a job's stages in turn; None when those of one cannot be told.

    A training is counted with every text at full length, a scoring with every row of its test
    split. Only what trains or scores on devices is counted: a job that prepares data, pretrains or
    searches by sentence vectors has no estimate.
    """
    total = STARTING
    for stage in map(stages.__getitem__, keys):
        own = _of(stage, planned, choices, task)
        if own is None:
            return None
        total += own + LOADING
    return round(total)


def _of(
    stage: Stage,
    planned: Mapping[str, tuple[Place, int | None]],
    choices: Mapping[str, Choice],
    task: Callable[[str], Task],
) -> float | None:
    trained = stage.key if stage.kind == "train" else stage.inputs.get("weights")
    choice = choices.get(stage.model)
    if stage.kind not in ("train", "evaluate") or choice is None or not trained:
        return None
    if trained not in planned:
        return None
    place, steps = planned[trained]
    fit = choice.fits[place]
    if stage.kind == "train":
        return None if steps is None else fit.step_seconds * steps
    counts = task(stage.task).counts.get("test", {})
    rows = [counts.get(language_of(part)) for part in stage.parts]
    if stage.identity.get("pool"):
        return None
    known = [row for row in rows if row is not None]
    if len(known) < len(rows):
        return None
    return fit.step_seconds / fit.work.batch * sum(known) * FORWARD
