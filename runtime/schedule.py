"""The course of a training: what is drawn, how many steps, their rates, and when to look."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from compiler.training import Training
from runtime.batches import (
    Batch,
    Examples,
    Order,
    Source,
    token_batches,
    token_steps,
    training_batches,
)
from runtime.kinds import TRAINED


def single(source: Source, recipe: Training, seed: int) -> Order:
    """Return the batches of a training on one source."""
    collate = TRAINED[source.kind].collate

    def order(steps: int, start: int) -> Iterator[tuple[int, Batch]]:
        if recipe.batch_tokens is not None:
            found = token_batches(source.data, collate, recipe.batch_tokens, steps, seed, start)
        else:
            found = training_batches(source.data, collate, recipe.batch, steps, seed, start)
        return ((0, batch) for batch in found)

    return order


def steps_of(recipe: Training, data: Examples, seed: int) -> int:
    """Return the optimizer steps of a training on one source."""
    if recipe.steps is not None:
        return recipe.steps
    assert recipe.epochs is not None
    if recipe.batch_tokens is not None:
        return token_steps(data, recipe.batch_tokens, recipe.epochs, seed)
    return math.ceil(recipe.epochs * len(data) / recipe.batch)


def evaluations(steps: int, recipe: Training) -> list[int]:
    """Return the steps after which the English dev split is scored."""
    every = recipe.evaluate_every
    return sorted({*range(every, steps + 1, every), steps}) if every else []


def rate(step: int, steps: int, rise: float, schedule: str) -> float:
    """Return the learning rate's factor at a step: a linear rise, then linear decay or constant."""
    if step < rise:
        return (step + 1) / (rise + 1)
    if schedule == "constant":
        return 1.0
    return max(0.0, (steps - step) / max(1.0, steps - rise))


def at_chance(losses: Sequence[float], recipe: Training) -> bool:
    """Tell whether the last steps have a loss no lower than the first ones: nothing is learnt."""
    many = recipe.chance_steps
    return len(losses) >= 2 * many and sum(losses[-many:]) >= sum(losses[:many])
