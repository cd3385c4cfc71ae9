"""Works out the settings of every training from the recipe: by phase, task and model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from compiler.catalog import Catalog
from compiler.entries import Model
from compiler.resolve import Course, Goal, Say, Treatment
from compiler.scratch import longest
from compiler.source import Path_
from compiler.study import Study
from compiler.terms import UNTRAINED, Phase
from compiler.training import (
    RETRIEVAL,
    SENTENCES,
    Changes,
    Retrieval,
    Training,
    TrainingChange,
    steps_in,
)
from compiler.validate import suggest

EITHER = (("steps", "epochs"), ("warmup", "warmup_steps"), ("batch", "batch_tokens"))
"""Settings of which the one that is given last replaces the other."""


def settings(
    study: Study,
    catalog: Catalog,
    models: tuple[Model, ...],
    arms: tuple[Treatment, ...],
    goals: tuple[Goal, ...],
    say: Say,
) -> dict[tuple[Phase, str, str], Training]:
    """Return the settings of every training, by phase, name (task, or arm of a mix) and model.

    Changes apply from the general to the particular, and the study's after the recipe's: defaults,
    phase, task, size, model, and exceptions.
    """
    choice = study.recipe
    recipe = catalog.recipes.get(choice.name)
    if recipe is None:
        hint = suggest(choice.name, catalog.recipes, "recipes")
        say("C113", f"there is no recipe `{choice.name}`", hint, ("recipe",))
        return {}
    wanted: dict[tuple[Phase, str], None] = {}
    for arm in arms:
        for course in arm.courses:
            wanted[("intermediate", course.name)] = None
        if arm.role == "step_matched":
            for goal in goals:
                for task in goal.trains:
                    wanted[("target", task.task)] = None
    for goal in goals:
        for task in goal.trains:
            wanted[("target", task.task)] = None
    found = {goal.task.task for goal in goals if goal.task.kind in UNTRAINED}
    _unknown(study, models, {name for _, name in wanted} | found, say)
    _idle(recipe, choice, {name for _, name in wanted}, found, say)
    result: dict[tuple[Phase, str, str], Training] = {}
    impossible: dict[str, list[str]] = {}
    for phase, name in wanted:
        for model in models:
            try:
                layers = _layers((recipe, choice), phase, name, model)
                result[(phase, name, model.name)] = _training(layers)
            except ValueError as error:
                names = impossible.setdefault(str(error), [])
                names += [name] if name not in names else []
    for reason, names in impossible.items():
        shown = ", ".join(f"`{name}`" for name in names)
        what = f"the recipe for {shown} {reason}"
        hint = "give either `steps` or `epochs`, and `evaluate_every` where a score decides"
        say("C115", what, hint, ("recipe",))
    return result


def of_recipe(
    recipe: Changes, phase: Phase, name: str, model: Model, change: TrainingChange
) -> Training:
    """Return the settings of one training by a recipe alone, with a last change.

    Raises ValueError when they contradict each other.
    """
    return _training([*_layers((recipe,), phase, name, model), change])


def retrievals(
    study: Study, catalog: Catalog, models: tuple[Model, ...], goals: tuple[Goal, ...]
) -> dict[tuple[str, str], Retrieval]:
    """Return how sentences become vectors, by target without a training and model.

    Changes apply in the order of ``settings``, which has also said what is wrong with them.
    """
    recipe = catalog.recipes.get(study.recipe.name)
    sources: tuple[Changes, ...] = (study.recipe,) if recipe is None else (recipe, study.recipe)
    result = {}
    for goal in goals:
        for model in models if goal.task.kind in UNTRAINED else ():
            given: dict[str, object] = {}
            for change in _layers(sources, "target", goal.task.task, model):
                given |= change.model_dump(exclude_none=True, include=set(RETRIEVAL))
            named = {RETRIEVAL[name]: value for name, value in given.items()}
            result[(goal.task.task, model.name)] = Retrieval.model_validate(named)
    return result


def steps_of(training: Training, course: Course) -> int | None:
    """Return the optimizer steps of a course; None when they depend on unknown rows or lengths.

    A capped mix counts no task as larger than its cap.
    """
    if training.steps is not None:
        return training.steps
    if training.batch_tokens is not None:
        return None
    cap = (course.sampling or {}).get("cap")
    total = 0
    for task in course.tasks:
        rows = task.counts.get("train", {}).get(course.language)
        if rows is None:
            return None
        total += rows if cap is None else min(rows, int(cap))
    assert training.epochs is not None
    return steps_in(training.epochs, total, training.batch)


def unselected(
    arms: tuple[Treatment, ...],
    goals: tuple[Goal, ...],
    trainings: dict[tuple[Phase, str, str], Training],
    say: Say,
) -> None:
    """Say which trainings keep the best weights by an English dev set that their task lacks."""
    used = [("intermediate", c.name, c.tasks, arm.path) for arm in arms for c in arm.courses]
    used += [("target", t.task, (t,), goal.path) for goal in goals for t in goal.trains]
    chosen = {
        place[:2]
        for place, t in trainings.items()
        if t.selection == "best_english_dev" or t.patience
    }
    for name, path in dict.fromkeys(
        (task.task, path)
        for phase, course, tasks, path in used
        for task in tasks
        if (phase, course) in chosen and not task.has("dev")
    ):
        what = f"`{name}` has no English dev set to choose the best weights on"
        patient = any(t.patience for place, t in trainings.items() if place[1] == name)
        hint = "set `selection: last`" + (" and `patience: 0`" if patient else "")
        say("C125", what, f"{hint} for it in the recipe", path)


def uncounted(
    arms: tuple[Treatment, ...], trainings: dict[tuple[Phase, str, str], Training], say: Say
) -> None:
    """Say which step-matched controls go with an arm whose steps cannot be counted."""
    by_name = {arm.name: arm for arm in arms}
    for arm in arms:
        if arm.role != "step_matched":
            continue
        for course in by_name[arm.of].courses:
            known = [
                t for place, t in trainings.items() if place[:2] == ("intermediate", course.name)
            ]
            if any(steps_of(training, course) is None for training in known):
                what = f"`{arm.name}` needs the steps of `{course.name}`, whose rows are not known"
                hint = "give `steps` in its recipe, or the row `counts` in its task"
                say("C118", what, hint, arm.path)


def lengths(
    models: tuple[Model, ...],
    trainings: Mapping[tuple[Phase, str, str], Training],
    found: Mapping[tuple[str, str], Retrieval],
    say: Say,
) -> None:
    """Say where longer texts are read than a model from scratch has positions for."""
    most = {model.name: longest(model) for model in models}
    short: dict[tuple[int, int], dict[str, None]] = {}
    read = [(model, training.max_length) for (_, _, model), training in trainings.items()]
    read += [(model, retrieval.max_length) for (_, model), retrieval in found.items()]
    for model, length in read:
        known = most[model]
        if known is not None and length > known:
            short.setdefault((length, known), {})[model] = None
    for (length, known), names in short.items():
        shown = ", ".join(f"`{name}`" for name in names)
        what = f"texts of up to {length} subwords are read, and {known} fit into: {shown}"
        hint = "lower `max_length` in the recipe, or raise `max_position_embeddings`"
        say("C124", what, hint, ("recipe",))


def _unknown(study: Study, models: tuple[Model, ...], trained: set[str], say: Say) -> None:
    choice = study.recipe
    for name in choice.tasks:
        if name not in trained:
            what = f"the recipe changes `{name}`, which this study does not train"
            say("C114", what, suggest(name, trained), ("recipe", "tasks", name), True)
    known = [called for model in models for called in _called(model)]
    for name in choice.models:
        if name not in known:
            what = f"the recipe changes the model `{name}`, which is not in this study"
            say("C114", what, suggest(name, known), ("recipe", "models", name), True)
    for index, case in enumerate(choice.exceptions):
        path: Path_ = ("recipe", "exceptions", index)
        if case.task is not None and case.task not in trained:
            what = f"the recipe changes `{case.task}`, which this study does not train"
            say("C114", what, suggest(case.task, trained), (*path, "task"))
        if case.model is not None and str(case.model) not in known:
            what = f"the recipe changes the model `{case.model}`, which is not in this study"
            say("C114", what, suggest(str(case.model), known), (*path, "model"))


def _idle(recipe: Changes, choice: Changes, trained: set[str], found: set[str], say: Say) -> None:
    """Say which settings a recipe gives for a task that has no use for them."""
    for source, root in ((recipe, ("recipe",)), (choice, ("recipe", "tasks"))):
        changes = [(name, change) for name, change in source.tasks.items()]
        changes += [(case.task, case.change) for case in source.exceptions if case.task]
        for name, change in changes:
            given = change.model_dump(exclude_none=True)
            if name in found:
                idle, why = [x for x in given if x not in RETRIEVAL], "which nothing is trained for"
            elif name in trained:
                idle, why = [x for x in given if x in SENTENCES], "which is trained and has a head"
            else:
                continue
            if idle:
                what = f"the recipe sets `{idle[0]}` for `{name}`, {why}"
                path: Path_ = (*root, name) if root[1:] and name in source.tasks else ("recipe",)
                say("C114", what, f"take `{idle[0]}` out there", path)
    if not found and any(_named(change) for change in (choice.defaults, *choice.models.values())):
        what = "the recipe says how sentences become vectors, and no target has a use for it"
        hint = "take `sentence_pooling` and `sentence_depth` out, or add a target like tatoeba"
        say("C114", what, hint, ("recipe",))


def _named(change: TrainingChange) -> bool:
    return any(getattr(change, name) is not None for name in SENTENCES)


def _layers(
    sources: Iterable[Changes], phase: Phase, name: str, model: Model
) -> list[TrainingChange]:
    found = (change for source in sources for change in _changes(source, phase, name, model))
    return [change for change in found if change is not None]


def _changes(
    source: Changes, phase: Phase, name: str, model: Model
) -> Iterator[TrainingChange | None]:
    yield source.defaults
    yield source.phases.get(phase)
    yield source.tasks.get(name)
    for called in reversed(_called(model)):
        yield source.models.get(called)
    for case in source.exceptions:
        fits = case.phase in (None, phase) and case.task in (None, name)
        if fits and (case.model is None or str(case.model) in _called(model)):
            yield case.change


def _called(model: Model) -> tuple[str, ...]:
    """Return what a recipe may call a model: its name, or its size in a family."""
    return (model.name,) if model.size is None else (model.name, str(model.size))


def _training(layers: list[TrainingChange]) -> Training:
    merged: dict[str, object] = {}
    for change in layers:
        given = change.model_dump(exclude_none=True, exclude=set(SENTENCES))
        for name, other in EITHER:
            if name in given:
                merged.pop(other, None)
            if other in given:
                merged.pop(name, None)
        merged.update(given)
    training = Training.model_validate(merged)
    if training.steps is None and training.epochs is None:
        raise ValueError("has neither `steps` nor `epochs`")
    if training.steps is not None and training.epochs is not None:
        raise ValueError("has both `steps` and `epochs`")
    if training.selection == "best_english_dev" and training.evaluate_every is None:
        raise ValueError("keeps the best English dev score and has no `evaluate_every`")
    stops = training.patience or training.chance_steps
    if training.evaluate_every is None and (training.patience or training.average > 1):
        raise ValueError("counts dev scores and has no `evaluate_every`")
    if training.average > 1 and training.selection != "last":
        raise ValueError("keeps both a mean of weights and those of the best English dev score")
    if training.average > 1 and stops:
        raise ValueError("keeps the mean of the last weights and may stop before these")
    return training
