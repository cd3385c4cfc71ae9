"""Draws the batches of a pretraining: languages by their share, rows of like length together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.random import Generator

from runtime.corpora import shares
from runtime.invalid import DataInvalid
from runtime.pretraining.texts import Pair, Rows, Texts, translated

POOL = 16
"""Batches that are sorted by length together, and then come in random order."""

T = TypeVar("T")


class Step(NamedTuple):
    """What an optimizer step reads: texts to be masked, and pairs of translations."""

    rows: list[int]
    pairs: list[Pair]


def steps(texts: Texts, settings: Mapping[str, Any], seed: int) -> Iterator[Step]:
    """Yield the steps of a pretraining, the last of which reaches its budget of tokens.

    A step has ``batch`` rows for each objective; two rows make a pair. All pairs of a step are of
    the same two languages, so that a sentence is told apart by what it says alone. The order
    depends on ``seed`` and on the texts alone. Raises DataInvalid without anything to draw from.
    """
    objectives, batch = settings["objectives"], int(settings["batch"])
    exponents = [float(corpus["exponent"]) for corpus in settings["corpora"]]
    rows = _rows(texts, exponents, batch, seed) if "mlm" in objectives else None
    pairs = None
    if "translation_pairs" in objectives:
        pairs = _pairs(texts, exponents, max(2, batch // 2), seed)
    read, budget = 0, int(settings["tokens"])
    while read < budget:
        step = Step(next(rows) if rows else [], next(pairs) if pairs else [])
        seen = [*step.rows, *(row for pair in step.pairs for row in pair)]
        read += int(texts.lengths[seen].sum())
        yield step


def _rows(texts: Texts, exponents: Sequence[float], batch: int, seed: int) -> Iterator[list[int]]:
    """Yield batches of rows without end; a language starts anew when it is through."""
    drawn = shares({group: len(rows) for group, rows in texts.groups.items()}, exponents)
    groups = list(drawn)
    cycles = [_cycle(texts.groups[group], [seed, 1, n]) for n, group in enumerate(groups)]
    number = 0
    while True:
        draw = np.random.default_rng([seed, 2, number])
        chosen = draw.choice(len(groups), size=batch * POOL, p=list(drawn.values()))
        pool = [next(cycles[group]) for group in chosen]
        yield from _alike(pool, batch, lambda row: int(texts.lengths[row]), draw)
        number += 1


def _cycle(rows: Rows, seed: list[int]) -> Iterator[int]:
    number = 0
    while True:
        yield from np.random.default_rng([*seed, number]).permutation(rows).tolist()
        number += 1


def _pairs(texts: Texts, exponents: Sequence[float], size: int, seed: int) -> Iterator[list[Pair]]:
    """Yield batches of pairs without end, each of two languages drawn by their shares."""
    weights: dict[tuple[int, str, str], float] = {}
    for corpus, documents in texts.documents.items():
        counts: dict[str, int] = {}
        for rows in documents.values():
            for language in rows:
                counts[language] = counts.get(language, 0) + 1
        for one, other in combinations(counts, 2):
            if len(translated(documents, one, other)) > 1:
                both = counts[one] * counts[other]
                weights[corpus, one, other] = both ** exponents[corpus]
        own = [key for key in weights if key[0] == corpus]
        scale = sum(counts.values()) / sum(weights[key] for key in own) if own else 0.0
        weights |= {key: weights[key] * scale for key in own}
    if not weights:
        raise DataInvalid("no two languages have two translated rows in common")
    keys = list(weights)
    chances = np.array(list(weights.values())) / sum(weights.values())
    streams: dict[int, Iterator[list[Pair]]] = {}
    draw = np.random.default_rng([seed, 3])
    while True:
        place = int(draw.choice(len(keys), p=chances))
        if place not in streams:
            corpus, one, other = keys[place]
            pairs = translated(texts.documents[corpus], one, other)
            streams[place] = _batched(pairs, size, texts.lengths, [seed, 4, place])
        yield next(streams[place])


def _batched(pairs: list[Pair], size: int, lengths: Rows, seed: list[int]) -> Iterator[list[Pair]]:
    """Yield the pairs of two languages in batches without end, each of two pairs at least."""
    number = 0
    while True:
        draw = np.random.default_rng([*seed, number])
        order = [pairs[place] for place in draw.permutation(len(pairs))]
        for start in range(0, len(order), size * POOL):
            pool = order[start : start + size * POOL]
            groups = _alike(pool, size, lambda pair: int(lengths[list(pair)].max()), draw)
            yield from (group for group in groups if len(group) > 1)
        number += 1


def _alike(
    pool: Sequence[T], size: int, length: Callable[[T], int], draw: Generator
) -> Iterator[list[T]]:
    """Yield a pool as batches of items of like length, in random order."""
    ranked = sorted(pool, key=length)
    groups = [ranked[start : start + size] for start in range(0, len(ranked), size)]
    for place in draw.permutation(len(groups)):
        yield groups[place]
