"""Mixes of sources: whose step it is, what is drawn, and that every head learns."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given, settings
from hypothesis import strategies as st
from tinykinds import POOLING, backbone, examples, rows, task, tokenizer

from compiler.entries import Task
from compiler.resolve import Course
from compiler.settings import steps_of
from compiler.training import Training
from runtime.batches import Batch, Source
from runtime.checkpoint import Checkpoints
from runtime.collect import degeneracy
from runtime.corpora import as_task
from runtime.invalid import DataInvalid
from runtime.kinds import TRAINED, masked_lm
from runtime.loop import english_dev, train
from runtime.mixture import (
    Mixture,
    account,
    epoch_of,
    mean_of,
    mixed_batches,
    mixed_steps,
    quotas,
    schedule,
    shares,
    with_replay,
)
from runtime.model import Model
from runtime.stages.train import add_heads
from runtime.weights import trained_state

SIZES = st.lists(st.integers(1, 100_000), min_size=2, max_size=8)
LABELS = "sequence_classification"


def recipe(**changes: Any) -> Training:
    return Training(**({"steps": 40, "batch": 8, "learning_rate": 3e-3} | changes))


def source(name: str, kind: str = LABELS, count: int = 32, head: str = "head") -> Source:
    of = task(kind)
    return Source(name, kind, examples("encoder", of, rows(kind, count)), of, head)


def corpus(sizes: dict[str, int]) -> Source:
    """Return a corpus of made-up languages to replay, as `stages.train.replayed` does."""
    of = task("masked_lm")
    encoded = [
        masked_lm.encode(rows("masked_lm", size, seed=n), of, tokenizer("encoder"), 40)
        for n, size in enumerate(sizes.values())
    ]
    data = masked_lm.examples(pl.concat(encoded), of, 1)
    ends = list(accumulate(sizes.values(), initial=0))
    places = {language: range(ends[n], ends[n + 1]) for n, language in enumerate(sizes)}
    return Source(
        "replay:made",
        "masked_lm",
        replace(data, more={**data.more, "languages": places}),
        of,
        "head:replay:made",
    )


def mixture(sources: list[Source], seed: int = 3, **changes: Any) -> Mixture:
    parts = shares([len(s.data) for s in sources], None)
    return Mixture(sources, parts, recipe(**changes), seed, 0.5)


def drawn(mixed: Mixture, steps: int, start: int = 0) -> list[tuple[int, Batch]]:
    return list(mixed_batches(mixed, steps, start))


def same(one: list[tuple[int, Batch]], other: list[tuple[int, Batch]]) -> bool:
    return len(one) == len(other) and all(
        a == b
        and x.rows == y.rows
        and x.source == y.source == a
        and torch.equal(x.input_ids, y.input_ids)
        and torch.equal(x.labels, y.labels)  # type: ignore[arg-type]
        for (a, x), (b, y) in zip(one, other, strict=True)
    )


@given(SIZES, st.floats(1, 100), st.none() | st.integers(1, 200_000))
def test_shares_lie_between_equal_and_by_size(
    sizes: list[int], temperature: float, cap: int | None
) -> None:
    limit = {} if cap is None else {"cap": cap}
    equal = shares(sizes, {"strategy": "uniform"} | limit)
    by_size = shares(sizes, {"strategy": "proportional"} | limit)
    between = shares(sizes, {"strategy": "temperature", "temperature": temperature} | limit)
    counted = [min(size, cap or size) for size in sizes]
    assert by_size == pytest.approx([size / sum(counted) for size in counted])
    assert equal == pytest.approx([1 / len(sizes)] * len(sizes))
    for found in (equal, by_size, between):
        assert sum(found) == pytest.approx(1)
        assert all(share > 0 for share in found)
        order = sorted(range(len(sizes)), key=lambda n: counted[n])
        assert [found[n] for n in order] == pytest.approx(sorted(found))
    assert max(equal) <= max(between) * (1 + 1e-9) <= max(by_size) * (1 + 2e-9)
    assert shares(sizes, {"strategy": "temperature", "temperature": 1.0} | limit) == by_size


def test_shares_by_hand() -> None:
    assert shares([393_000, 7_000, 100_000], {"strategy": "proportional"}) == [0.786, 0.014, 0.2]
    assert shares([300, 100, 50], {"strategy": "proportional", "cap": 100}) == [0.4, 0.4, 0.2]
    hot = {"strategy": "temperature", "temperature": 2.0}
    assert shares([900, 100], hot) == pytest.approx([0.75, 0.25])
    assert shares([900, 100], hot | {"cap": 400}) == pytest.approx([2 / 3, 1 / 3])
    assert with_replay([0.75, 0.25], 0.2) == pytest.approx([0.6, 0.2, 0.2])


@settings(max_examples=50)
@given(SIZES, st.integers(1, 400), st.integers(0, 2**31))
def test_every_source_has_its_share_at_any_time(sizes: list[int], steps: int, seed: int) -> None:
    parts = shares(sizes, None)
    order = schedule(parts, steps, seed)
    assert len(order) == steps
    for end in {1, steps // 3, steps // 2, steps}:
        seen = np.bincount(order[:end], minlength=len(parts))
        for part, count in zip(parts, seen, strict=True):
            assert abs(count - part * end) <= part * len(parts) + 1
    longer = schedule(parts, steps + 17, seed)
    assert np.array_equal(longer[:steps], order), "a step depends on how many there are"


def test_shares_are_of_one_whole() -> None:
    with pytest.raises(ValueError, match=r"sum to 0\.8"):
        schedule([0.5, 0.3], 10, 1)


@pytest.mark.parametrize("parts", [[0.5, 0.25, 0.25], [0.9, 0.1], [0.4, 0.3, 0.2, 0.1]])
@pytest.mark.parametrize("seed", range(4))
def test_whole_shares_are_exact_and_the_order_is_drawn(parts: list[float], seed: int) -> None:
    order = schedule(parts, 200, seed)
    for end in (20, 40, 100, 200):
        assert np.bincount(order[:end]).tolist() == [round(part * end) for part in parts]
    assert not np.array_equal(order, schedule(parts, 200, seed + 100))
    first = order[:20].tolist()
    assert any(order[n : n + 20].tolist() != first for n in range(20, 200, 20)), "it is a pattern"


def test_an_epoch_of_a_mix_has_every_example_once() -> None:
    mixed = mixture([source("a", count=64), source("b", count=32), source("c", count=16)])
    seen: dict[int, Counter[int]] = {n: Counter() for n in range(3)}
    before: dict[int, list[int]] = {}
    for epoch in range(3):
        orders: dict[int, list[int]] = {n: [] for n in range(3)}
        for number, batch in drawn(mixed, 42)[14 * epoch : 14 * (epoch + 1)]:
            seen[number].update(batch.rows)
            orders[number] += batch.rows
        assert [sorted(rows) for rows in orders.values()] == [
            list(range(64)), list(range(32)), list(range(16))
        ]  # fmt: skip
        assert orders != before, "the epochs have one order"
        before = orders
    assert all(set(found.values()) == {3} for found in seen.values())


@pytest.mark.parametrize("cut", [{}, {"batch_tokens": 60}])
def test_a_training_can_begin_at_any_step(cut: dict[str, Any]) -> None:
    sources = [source("a", count=20), source("b", "token_classification", 30)]
    sources.append(corpus({"en": 30, "de": 9, "fr": 3}))
    mixed = replace(mixture(sources, **cut), parts=with_replay([0.7, 0.3], 0.3))
    whole = drawn(mixed, 60)
    assert same(whole, drawn(mixed, 60))
    assert not same(whole, drawn(replace(mixed, seed=4), 60))
    for start in (0, 1, 7, 31, 59, 60):
        assert same(whole[start:], drawn(mixed, 60, start))
    assert same(whole[:25], drawn(mixed, 25)), "a step depends on how many there are"
    masked = [batch for number, batch in whole if number == 2]
    assert not torch.equal(masked[0].labels[:1], masked[-1].labels[:1])  # type: ignore[index]


def test_steps_are_counted_as_by_the_compiler() -> None:
    names = {"a": 20, "b": 33, "c": 7}
    sources = [source(name, count=count) for name, count in names.items()]
    for epochs in (1.0, 2.5, 0.3, 3.0):
        for cap in (None, 10, 25):
            for batch in (1, 8, 60):
                training = Training(epochs=epochs, batch=batch)
                sampling = {"strategy": "proportional"} | ({"cap": cap} if cap else {})
                tasks = tuple(
                    Task.model_validate(
                        {"task": name, "title": "made up", "kind": LABELS, "languages": ["en"],
                         "source": {"reader": "none"}, "labels": ["x", "y"], "metric": "accuracy",
                         "counts": {"train": {"en": count}}}
                    )
                    for name, count in names.items()
                )  # fmt: skip
                course = Course("mixed", tasks, sampling=sampling)
                mixed = Mixture(sources, [0.2, 0.3, 0.5], training, 1)
                assert mixed_steps(mixed, sampling) == steps_of(training, course)
                replay = Mixture([*sources, corpus({"en": 90})], [], training, 1)
                assert mixed_steps(replay, sampling) == steps_of(training, course)
    assert mixed_steps(Mixture(sources, [], recipe(steps=9), 1), None) == 9
    by_tokens = Mixture(sources, [], Training(epochs=2, batch_tokens=80), 1)
    assert mixed_steps(by_tokens, {"cap": 10}) < mixed_steps(by_tokens, None)


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=6), st.floats(0.01, 1))
def test_an_epoch_of_a_corpus_has_its_languages_by_their_size(
    counts: list[int], exponent: float
) -> None:
    sizes = {f"l{n}": count for n, count in enumerate(counts)}
    found = quotas(sizes, exponent)
    assert sum(found.values()) == sum(counts)
    weights = {language: count**exponent for language, count in sizes.items()}
    for language, rows_ in found.items():
        assert rows_ >= 1
        exact = sum(counts) * weights[language] / sum(weights.values())
        assert abs(rows_ - exact) < 1


def test_a_language_is_drawn_without_repetition_until_it_is_through() -> None:
    made = corpus({"en": 60, "de": 20, "fr": 4})
    wanted = quotas({"en": 60, "de": 20, "fr": 4}, 0.5)
    assert wanted == {"en": 46, "de": 26, "fr": 12}  # 84 by the roots 7.746 : 4.472 : 2
    rows_ = [epoch_of(made.data, 0.5, 9, epoch).items for epoch in range(4)]
    for language, places in made.data.more["languages"].items():
        stream = [r for epoch in rows_ for (r,) in epoch if r in places]
        assert len(stream) == 4 * wanted[language]
        size = len(places)
        cycles = [stream[n : n + size] for n in range(0, len(stream), size)]
        assert all(sorted(cycle) == list(places) for cycle in cycles if len(cycle) == size)
        orders = {tuple(cycle) for cycle in cycles}
        assert len(orders) == len(cycles) or size == 4, "a cycle has no new order"
        assert len(orders) > 1


def test_what_was_drawn_is_counted_by_source_and_language() -> None:
    sources = [source("a", count=64), source("b", count=20), corpus({"en": 60, "de": 20})]
    mixed = replace(mixture(sources), parts=[0.5, 0.25, 0.25])
    losses = [float(step) for step in range(40)]
    found = account(mixed, losses)
    seen: dict[int, Counter[int]] = {n: Counter() for n in range(3)}
    for number, batch in drawn(mixed, 40):
        seen[number].update(batch.rows)
    assert [one["steps"] for one in found.values()] == [20, 10, 10]
    assert [one["examples"] for one in found.values()] == [
        found_.total() for found_ in seen.values()
    ]
    replay = found["replay:made"]
    assert replay["languages"] == {
        "en": sum(seen[2][row] for row in range(60)),
        "de": sum(seen[2][row] for row in range(60, 80)),
    }
    assert sum(replay["languages"].values()) == replay["examples"]
    order = schedule(mixed.parts, 40, mixed.seed)
    own = [loss for loss, number in zip(losses, order, strict=True) if number == 1]
    assert found["b"]["loss_first"] == sum(own[:2]) / 2
    assert found["b"]["loss_last"] == sum(own[-2:]) / 2


def built(sources: list[Source]) -> Model:
    """Return a model with the heads of some sources."""
    body, entry = backbone("encoder"), {"checkpoint": {"reader": "none"}}
    kind, name = TRAINED[sources[0].kind], sources[0].head
    head = kind.head(body, sources[0].task, entry)
    model = Model(body, head, kind.logits, POOLING["encoder"], 0.0, name)
    add_heads(model, sources, entry)
    return model


def learnt(
    model: Model,
    sources: list[Source],
    devs: list[Source],
    parts: list[float],
    steps: int,
    checkpoints: Checkpoints | None = None,
    stop_at: int = 0,
) -> dict[str, Any]:
    """Train a model on a mix in place; return the result."""
    mixed = Mixture(sources, parts, recipe(steps=steps), 5, 0.3)
    where = Accelerator(cpu=True)

    def judge() -> dict[str, Any]:
        return mean_of(
            {s.name: english_dev(model, s.data, s.task, where, 64, s.head) for s in devs}
        )

    def tell(**progress: Any) -> None:
        if progress["step"] == stop_at:
            raise InterruptedError

    result = train(
        model, sources, None, mixed.recipe.identity(), 5, where, 64, tell, checkpoints=checkpoints,
        order=partial(mixed_batches, mixed), steps=steps, judge=judge if devs else None,
    )  # fmt: skip
    return result | {"sources": account(mixed, result["losses"])}


def test_a_mix_of_three_kinds_and_a_replay_trains_every_head() -> None:
    kinds = [LABELS, "token_classification", "multiple_choice"]
    sources = [source(kind, kind, 48, f"head:{kind}") for kind in kinds]
    sources.append(corpus({"en": 20, "de": 20}))
    devs = [
        replace(s, data=examples("encoder", s.task, rows(s.kind, 24, seed=9))) for s in sources[:3]
    ]
    model = built(sources)
    result = learnt(model, sources, devs, with_replay([0.4, 0.3, 0.3], 0.2), 120)
    for name, one in result["sources"].items():
        assert one["loss_last"] < 0.8 * one["loss_first"], (name, one)
    heads = {name.split(".")[0] for name in trained_state(model)} - {"backbone"}
    assert heads == {*(f"head:{kind}" for kind in kinds), "head:replay:made"}
    assert result["head"] == dict.fromkeys((s.head for s in sources[:3]), "new") | {
        "head:replay:made": "new_tied"
    }
    dev = result["english_dev"]
    assert dev["metric"] == "mean"
    assert list(dev["tasks"]) == kinds
    for key in ("value", "chance"):
        assert dev[key] == pytest.approx(sum(one[key] for one in dev["tasks"].values()) / 3)
    assert dev["n"] == 72
    assert all(one["value"] > one["chance"] + 10 for one in dev["tasks"].values())


def test_tasks_of_equal_labels_share_a_head() -> None:
    sources = [source(name, count=32) for name in ("anli", "mnli", "snli")]
    model = built(sources)
    result = learnt(model, sources, sources, [0.2, 0.4, 0.4], 60)
    assert {name.split(".")[0] for name in trained_state(model)} == {"backbone", "head"}
    assert model.names == ["head"]
    assert result["head"] == "new"
    for one in result["sources"].values():
        assert one["head"] == "head"
        assert one["loss_last"] < one["loss_first"]
    other = replace(sources[2], task=task(LABELS, labels=["x", "y", "z", "w"]))
    with pytest.raises(DataInvalid, match="anli and snli share a head, and their labels differ"):
        built([*sources[:2], other])


def test_a_head_of_another_task_stays_in_a_step_of_one() -> None:
    sources = [source("a", head="head:a"), source("b", head="head:b")]
    model = built(sources)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    learnt(model, sources, [], [0.5, 0.5], 1)
    (number,) = schedule([0.5, 0.5], 1, 5).tolist()
    moved = {
        name.split(".")[0]
        for name, value in model.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert moved == {"backbone", sources[number].head}, "weight decay moved a head without a loss"


def test_an_interrupted_mix_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    sources = [source("a", head="head:a"), source("b", "token_classification", 40, "head:b")]
    sources.append(corpus({"en": 20, "de": 9}))
    parts = [0.6, 0.2, 0.2]
    whole = built(sources)
    straight = learnt(whole, sources, [], parts, 30)
    with pytest.raises(InterruptedError):
        learnt(built(sources), sources, [], parts, 30, Checkpoints(tmp_path, "key", 0.0), 17)
    again = built(sources)
    result = learnt(again, sources, [], parts, 30, Checkpoints(tmp_path, "key", 0.0))
    assert 0 < result["resumed_after"][0] < 17
    assert result["losses"] == straight["losses"]
    assert result["sources"] == straight["sources"]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_a_mix_is_degenerate_when_none_of_its_tasks_is_above_chance() -> None:
    good = {"metric": "accuracy", "value": 80.0, "chance": 33.3, "n": 2000}
    bad = good | {"value": 34.0}
    assert degeneracy(mean_of({"a": good, "b": bad})) == ""
    said = degeneracy(mean_of({"a": bad, "b": bad | {"metric": "span_f1", "value": 0.5}}))
    assert said.startswith("a: English dev accuracy 34.0 is not above chance")
    assert "b: English dev F1 0.5 is not above 1.0" in said


def test_a_corpus_is_read_like_a_task_of_plain_texts() -> None:
    found = as_task({"corpus": "c", "languages": ["en"], "source": {}, "counts": {"en": 3}})
    assert (found["kind"], found["counts"]) == ("masked_lm", {"train": {"en": 3}})
    assert math.isclose(sum(with_replay([1.0], 0.1)), 1.0)
