"""Mixes several sources into one training: which of them each step draws from, and what.

A step draws from one source, so that its batch is of one task. The shares of the tasks are by size
up to a cap, by size to the power 1/T, or equal (arXiv:1910.10683, section 3.5.2); replay takes its
rate off all of them (arXiv:2005.13013 trains with masked words beside an intermediate task).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from compiler.training import Training, steps_in
from runtime.batches import (
    Batch,
    Collate,
    Examples,
    Source,
    token_batches,
    token_steps,
    training_batches,
)
from runtime.corpora import shares as language_shares
from runtime.kinds import TRAINED

Rows = NDArray[np.int64]


def shares(sizes: Sequence[int], sampling: Mapping[str, Any] | None) -> list[float]:
    """Return the share of the steps that each task of a mix has, from its number of examples.

    With ``cap`` no task counts as larger than that. Sizes to the power of 1/temperature lie between
    shares by size (T = 1) and equal ones.
    """
    sampling = sampling or {"strategy": "proportional"}
    powers = {"uniform": 0.0, "proportional": 1.0}
    power = powers.get(str(sampling["strategy"]), 1.0 / float(sampling.get("temperature", 1.0)))
    weights = [size**power for size in capped(sizes, sampling)]
    return [weight / sum(weights) for weight in weights]


def capped(sizes: Sequence[int], sampling: Mapping[str, Any] | None) -> list[int]:
    """Return the sizes of the tasks of a mix as its sampling counts them."""
    cap = (sampling or {}).get("cap")
    return [size if cap is None else min(size, int(cap)) for size in sizes]


def schedule(parts: Sequence[float], steps: int, seed: int) -> Rows:
    """Return the number of the source that each step draws from.

    A source with the share p has one step at a random time in each stretch of 1/p steps, and the
    steps of all sources come in the order of their times: after any number of steps each has had
    about its share, and after one in which all shares are whole numbers of steps, just these.
    The first steps of a longer training are those of a shorter one. Raises ValueError when the
    shares are not those of one whole.
    """
    if abs(sum(parts) - 1.0) > 1e-6:
        raise ValueError(f"the shares of the sources sum to {sum(parts):g}")
    times, numbers = [], []
    for number, part in enumerate(parts):
        count = math.ceil(part * (steps + len(parts))) + 1
        places = np.random.default_rng([seed, 2, number]).random(count)
        times.append((np.arange(count) + places) / part)
        numbers.append(np.full(count, number))
    order = np.argsort(np.concatenate(times), kind="stable")[:steps]
    return np.concatenate(numbers)[order]


@dataclass(frozen=True)
class Mixture:
    """Sources and the share of the steps that each has; of a recipe the size of a batch is used.

    ``exponent`` says how the languages of a source that has such are drawn.
    """

    sources: Sequence[Source]
    parts: Sequence[float]
    recipe: Training
    seed: int
    exponent: float = 1.0


def mixed_batches(
    mixture: Mixture, steps: int, start_step: int = 0, collate: Collate | None = None
) -> Iterator[tuple[int, Batch]]:
    """Yield the number of a source and a batch of it for each step after ``start_step``.

    Each source is drawn from in epochs of its own, each in a new order. What a step draws depends
    on (seed, step) alone. ``collate`` takes the place of the kinds' own.
    """
    order = schedule(mixture.parts, steps, mixture.seed)
    count = len(mixture.sources)
    before = np.bincount(order[:start_step], minlength=count).tolist()
    totals = np.bincount(order, minlength=count).tolist()
    streams = []
    for number, source in enumerate(mixture.sources):
        draw = _replayed if "languages" in source.data.more else _batches
        use = collate or TRAINED[source.kind].collate
        own = replace(mixture, seed=_seed(mixture.seed, number))
        streams.append(draw(source.data, use, own, totals[number], before[number]))
    for number in order[start_step:].tolist():
        yield number, replace(next(streams[number]), source=number)


def mixed_steps(mixture: Mixture, sampling: Mapping[str, Any] | None) -> int:
    """Return the steps of a mix, those of a replay among them, as the compiler counts them.

    An epoch is as many examples as the tasks have, each task counted up to the cap.
    """
    recipe = mixture.recipe
    if recipe.steps is not None:
        return recipe.steps
    assert recipe.epochs is not None
    tasks = [source for source in mixture.sources if "languages" not in source.data.more]
    sizes = [len(source.data) for source in tasks]
    counted = capped(sizes, sampling)
    if recipe.batch_tokens is None:
        return steps_in(recipe.epochs, sum(counted), recipe.batch)
    return sum(
        token_steps(
            source.data, recipe.batch_tokens, recipe.epochs * some / size, _seed(mixture.seed, n)
        )
        for n, (source, some, size) in enumerate(zip(tasks, counted, sizes, strict=True))
    )


def with_replay(parts: Sequence[float], rate: float) -> list[float]:
    """Return the shares of tasks and, last, that of a replay at a rate."""
    return [part * (1.0 - rate) for part in parts] + [rate]


def quotas(sizes: Mapping[str, int], exponent: float) -> dict[str, int]:
    """Return the rows of each language in an epoch of a corpus, which has as many as the corpus.

    A language's share is its number of rows to the power of ``exponent``; what rounding leaves goes
    to the largest remainders. No language is without a row.
    """
    found = language_shares({(0, language): rows for language, rows in sizes.items()}, [exponent])
    total = sum(sizes.values())
    exact = {language: share * total for (_, language), share in found.items()}
    whole = {language: math.floor(rows) for language, rows in exact.items()}
    order = sorted(exact, key=lambda language: whole[language] - exact[language])
    for language in order[: total - sum(whole.values())]:
        whole[language] += 1
    return whole


def epoch_of(data: Examples, exponent: float, seed: int, epoch: int) -> Examples:
    """Return the rows of a corpus that an epoch draws, as its items.

    ``more["languages"]`` says where the rows of each language stand. A language goes on where the
    epoch before has left it, and starts anew in another order when it is through.
    """
    places: Mapping[str, range] = data.more["languages"]
    wanted = quotas({language: len(rows) for language, rows in places.items()}, exponent)
    drawn: list[int] = []
    for number, (language, rows) in enumerate(places.items()):
        first, stop, size = wanted[language] * epoch, wanted[language] * (epoch + 1), len(rows)
        for cycle in range(first // size, -(-stop // size)):
            order = np.random.default_rng([seed, 3, number, cycle]).permutation(rows)
            drawn += order[max(0, first - cycle * size) : stop - cycle * size].tolist()
    return replace(data, items=[(row,) for row in drawn])


def account(mixture: Mixture, losses: Sequence[float]) -> dict[str, dict[str, Any]]:
    """Return what a training drew from each source, and its loss in the first and last steps of it.

    ``examples`` are items: of a long text each window is one. The batches are drawn again for it,
    without their tokens, so that an interrupted training counts what it drew before, too.
    """
    sources = mixture.sources
    rows: list[Counter[int]] = [Counter() for _ in sources]
    own: list[list[float]] = [[] for _ in sources]
    batches = mixed_batches(mixture, len(losses), collate=_without_tokens)
    for loss, (number, batch) in zip(losses, batches, strict=True):
        rows[number].update(batch.rows)
        own[number].append(loss)
    result = {}
    for source, seen, values in zip(sources, rows, own, strict=True):
        found: dict[str, Any] = {"head": source.head, "steps": len(values)}
        found["examples"] = seen.total()
        edge = max(1, min(10, len(values) // 5))
        if values:
            found["loss_first"] = sum(values[:edge]) / edge
            found["loss_last"] = sum(values[-edge:]) / edge
        if "languages" in source.data.more:
            found["languages"] = {
                language: sum(seen[row] for row in places)
                for language, places in source.data.more["languages"].items()
            }
        result[source.name] = found
    return result


def mean_of(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the English dev score of a mix: the mean of its tasks' main scores, and each of them.

    Every task that has an English dev split counts the same, however often it was drawn: the
    strategy says how tasks are trained, not which of them matter. ``chance`` is the mean too.
    """
    mean = {
        name: sum(one[name] for one in found.values()) / len(found) for name in ("value", "chance")
    }
    tasks = {name: dict(one) for name, one in found.items()}
    return {"metric": "mean", **mean, "n": sum(one["n"] for one in found.values()), "tasks": tasks}


def _batches(
    data: Examples, collate: Collate, mixture: Mixture, steps: int, start: int
) -> Iterator[Batch]:
    recipe, seed = mixture.recipe, mixture.seed
    if recipe.batch_tokens is not None:
        return token_batches(data, collate, recipe.batch_tokens, steps, seed, start)
    return training_batches(data, collate, recipe.batch, steps, seed, start)


def _replayed(
    data: Examples, collate: Collate, mixture: Mixture, steps: int, start: int
) -> Iterator[Batch]:
    """Yield batches of a corpus; epochs before ``start`` are not drawn if batches are of a size."""
    recipe, use = mixture.recipe, partial(_of_items, collate)
    size = math.ceil(len(data) / recipe.batch)
    epoch = 0 if recipe.batch_tokens is not None else start // size
    made = epoch * size
    while made < steps:
        items = epoch_of(data, mixture.exponent, mixture.seed, epoch)
        own = replace(mixture, seed=_seed(mixture.seed, epoch))
        if recipe.batch_tokens is not None:
            size = token_steps(items, recipe.batch_tokens, 1, own.seed)
        end = min(size, steps - made)
        yield from _batches(items, use, own, end, min(end, max(0, start - made)))
        made, epoch = made + size, epoch + 1


def _of_items(collate: Collate, data: Examples, items: Sequence[int], draw: Generator) -> Batch:
    return collate(data, data.sequences(items), draw)


def _without_tokens(data: Examples, items: Sequence[int], draw: Generator) -> Batch:
    return Batch(list(items), torch.empty(0), torch.empty(0))


def _seed(seed: int, number: int) -> int:
    """Return the seed of a source, or of an epoch."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
