"""The training loop: what its settings do, and that how a step is computed changes no result."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from tinykinds import examples, model, rows, task

from compiler.training import EXECUTION, LATER, Training
from runtime import division, loop, schedule, weights
from runtime.batches import (
    IGNORED,
    Batch,
    Examples,
    Source,
    token_batches,
    token_steps,
    training_batches,
)
from runtime.invalid import DataInvalid
from runtime.kinds import TRAINED
from runtime.model import Model, embeddings

DIVISIBLE = [kind for kind in TRAINED if kind != "dual_encoder"]
SETTINGS = {"steps": 6, "batch": 8, "learning_rate": 3e-3, "warmup": 0.0, "weight_decay": 0.0}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Such small matrices are slower on several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def data_of(kind: str, count: int = 24, name: str = "encoder") -> Examples:
    found: Examples = examples(name, task(kind), rows(kind, count))
    return found


def run(
    kind: str = "sequence_classification",
    made: Model | None = None,
    dev: bool = False,
    seen: list[float] | None = None,
    **settings: Any,
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Train a tiny model; return its state and what the loop says."""
    of, data = task(kind), data_of(kind)
    made = model("encoder", of) if made is None else made

    def tell(**progress: Any) -> None:
        if seen is not None:
            seen.append(progress["loss"])

    found = loop.train(
        made,
        [Source(kind, kind, data, of)],
        examples("encoder", of, rows(kind, 16, 1)) if dev else None,
        SETTINGS | settings,
        1,
        Accelerator(cpu=True),
        64,
        tell,
    )
    return {k: v.detach().clone() for k, v in made.state_dict().items()}, found


def close(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], least: float) -> None:
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=least, atol=least, msg=name)


def plain(groups: Any, **_: Any) -> torch.optim.Optimizer:
    """Go down the gradient itself: Adam makes steps of rounding errors where it is zero."""
    return torch.optim.SGD(groups, lr=1.0)


@pytest.mark.parametrize("kind", DIVISIBLE)
@pytest.mark.parametrize("cut", [1, 3])
def test_a_step_is_the_same_in_micro_batches(
    kind: str, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.optim, "AdamW", plain)
    fast = {"learning_rate": 0.1, "steps": 5, "schedule": "constant"}
    whole, one = run(kind, **fast)
    parts, other = run(kind, **fast, micro_batch=cut)
    assert other["loss_last"] == pytest.approx(one["loss_last"], rel=1e-5)
    assert other["loss_last"] < other["loss_first"]
    close(whole, parts, 1e-5)
    assert other["micro_batch"] == cut


def test_the_parts_of_a_step_count_by_their_labels() -> None:
    kind = "token_classification"
    data = data_of(kind)
    batch = TRAINED[kind].collate(data, range(7), np.random.default_rng(0))
    batch.labels[0] = IGNORED  # type: ignore[index]
    for world in (1, 2, 3):
        parts = [part for rank in range(world) for part in division.shares(batch, 1, rank, world)]
        assert sum(weight for _, weight in parts) == pytest.approx(1.0)
        assert sorted(item for part, _ in parts for item in part.rows) == list(range(7))
        assert min(weight for _, weight in parts) == 0.0
    assert [w for _, w in division.shares(batch, None, 8, 9)] == [0.0]
    for cut in (None, 1, 2, 3):
        for world in (2, 3, 9):
            each = [list(division.shares(batch, cut, r, world, equal=True)) for r in range(world)]
            plain = [list(division.shares(batch, cut, r, world)) for r in range(world)]
            assert {len(parts) for parts in each} == {max(map(len, plain))}
            counted = [[w for _, w in parts if w] for parts in each]
            assert counted == [[w for _, w in parts if w] for parts in plain]


def test_dropout_differs_between_the_parts_of_a_step() -> None:
    drawn = {division.noise(3, step, part) % 2**32 for step in range(50) for part in range(40)}
    assert len(drawn) == 50 * 40


@pytest.mark.parametrize("kind", ["dual_encoder"])
def test_what_compares_a_whole_batch_is_not_divided(kind: str) -> None:
    with pytest.raises(DataInvalid, match="cannot be divided"):
        run(kind, micro_batch=2)


def test_layers_that_are_computed_twice_give_the_same_weights() -> None:
    once, _ = run()
    twice, found = run(gradient_checkpointing=True)
    assert all(torch.equal(once[name], twice[name]) for name in once)
    assert found["gradient_checkpointing"] is True


def items(found: Iterator[Batch]) -> list[list[int]]:
    return [batch.rows for batch in found]


@pytest.mark.parametrize("start", [0, 1, 2, 3, 4, 5, 11])
def test_batches_begin_at_any_step(start: int) -> None:
    data, collate = data_of("masked_lm", 50), TRAINED["masked_lm"].collate
    for draw, size in ((training_batches, 3), (token_batches, 60)):
        whole = list(draw(data, collate, size, 40, 5))
        rest = list(draw(data, collate, size, 40, 5, start))
        assert [b.rows for b in rest] == [b.rows for b in whole[start:]]
        for one, other in zip(rest, whole[start:], strict=True):
            assert torch.equal(one.input_ids, other.input_ids)
            assert one.labels is not None
            assert other.labels is not None
            assert torch.equal(one.labels, other.labels)


def test_an_epoch_has_every_item_once() -> None:
    data, collate = (
        data_of("sequence_classification", 50),
        TRAINED["sequence_classification"].collate,
    )
    assert sorted(chain(*items(training_batches(data, collate, 3, 17, 5)))) == list(range(50))
    steps = token_steps(data, 60, 1, 5)
    assert sorted(chain(*items(token_batches(data, collate, 60, steps, 5)))) == list(range(50))
    assert token_steps(data, 60, 2, 5) > steps
    assert token_steps(data, 60, 0.5, 5) == math.ceil(steps / 2)
    full = [batch.input_ids.numel() for batch in token_batches(data, collate, 60, steps, 5)]
    assert max(full) <= 60
    assert sum(full) / len(full) > 40


def test_an_item_longer_than_a_batch_is_one_of_its_own() -> None:
    data, collate = data_of("multiple_choice", 9), TRAINED["multiple_choice"].collate
    assert sorted(items(token_batches(data, collate, 2, 9, 5))) == [[item] for item in range(9)]


def test_training_in_tokens_takes_as_many_steps_as_there_are_batches() -> None:
    _, found = run(steps=None, epochs=2, batch_tokens=100)
    assert found["steps"] == token_steps(data_of("sequence_classification"), 100, 2, 1)


def test_the_rate_rises_and_falls() -> None:
    share = [schedule.rate(step, 10, 0.2 * 10, "linear") for step in range(10)]
    assert share[:3] == [1 / 3, 2 / 3, 1.0]
    assert share[-1] == 1 / 8
    assert {schedule.rate(step, 10, 0, "constant") for step in range(10)} == {1.0}
    assert schedule.rate(0, 10, 0, "linear") == 1.0


def test_warm_up_is_a_share_of_the_steps_or_a_number_of_them() -> None:
    """The settings reach the optimizer: the weights after some steps say which rates it had."""
    share, _ = run(warmup=0.5)
    steps, _ = run(warmup=0.0, warmup_steps=3)
    other, _ = run(warmup=0.0, warmup_steps=1)
    flat, _ = run(warmup=0.5, schedule="constant")
    assert all(torch.equal(share[name], steps[name]) for name in share)
    assert not torch.equal(share["head.weight"], other["head.weight"])
    assert not torch.equal(share["head.weight"], flat["head.weight"])


def test_decay_is_on_what_the_recipe_says() -> None:
    matrices = [torch.nn.Parameter(torch.zeros(2, 2)), torch.nn.Parameter(torch.zeros(2))]
    for decay, rates in (("matrices", [0.5, 0.0]), ("all", [0.5, 0.5])):
        recipe = Training(steps=1, weight_decay=0.5, decay=decay)  # type: ignore[arg-type]
        assert [group["weight_decay"] for group in weights.groups(matrices, recipe)] == rates


def test_the_lowest_layers_stay() -> None:
    made = model("encoder", task("sequence_classification"))
    before = {k: v.clone() for k, v in made.state_dict().items()}
    after, found = run(made=made, freeze_layers=1)
    same = {name for name, value in before.items() if torch.equal(value, after[name])}
    fixed = {n for n, _ in made.named_parameters() if ".layer.0." in n or "embeddings" in n}
    assert fixed <= same
    assert not [name for name in same if ".layer.1." in name and "key.bias" not in name]
    assert 0 < found["parameters"]["trained"] < found["parameters"]["total"]
    with pytest.raises(ValueError, match="9 layers shall stay"):
        run(freeze_layers=9)


def test_the_head_learns_alone_at_first() -> None:
    made = model("encoder", task("sequence_classification"))
    before = {k: v.clone() for k, v in made.state_dict().items()}
    after, _ = run(made=made, steps=4, freeze_backbone_steps=4)
    assert all(torch.equal(v, after[k]) for k, v in before.items() if k.startswith("backbone."))
    assert not torch.equal(before["head.weight"], after["head.weight"])
    later, _ = run(steps=5, freeze_backbone_steps=4, schedule="constant")
    assert not all(torch.equal(v, later[k]) for k, v in before.items() if "layer.1" in k)


def test_the_best_weights_of_a_frozen_time_come_back_whole() -> None:
    """The best score may be one from before the backbone learnt: then that is put back too."""
    made = model("encoder", task("sequence_classification"))
    before = {k: v.clone() for k, v in made.state_dict().items()}
    after, found = run(
        made=made, dev=True, steps=12, freeze_backbone_steps=2, evaluate_every=2,
        selection="best_english_dev", learning_rate=1e-9,
    )  # fmt: skip
    assert len({score["value"] for score in found["dev_scores"]}) == 1
    assert all(torch.equal(v, after[k]) for k, v in before.items() if k.startswith("backbone."))


def test_training_stops_when_dev_scores_do_not_rise() -> None:
    _, found = run(dev=True, steps=30, learning_rate=1e-9, evaluate_every=2, patience=3)
    assert found["steps"] == 8
    assert found["stopped"]["why"] == "3 dev scores without a new best"
    assert found["stopped"]["of"] == 30
    _, whole = run(dev=True, steps=8, learning_rate=1e-9, evaluate_every=2, patience=4)
    assert "stopped" not in whole
    with pytest.raises(DataInvalid):
        run(evaluate_every=2, patience=3)


def test_training_stops_at_chance_when_the_recipe_says_so() -> None:
    rate = {"learning_rate": 1e-12, "steps": 60}
    _, found = run(**rate, chance_steps=3)
    assert found["stopped"]["step"] % 3 == 0
    assert found["stopped"]["step"] < 60
    _, whole = run(**rate)
    assert whole["steps"] == 60
    _, learnt = run(steps=30, chance_steps=12)
    assert "stopped" not in learnt


def test_the_mean_of_the_last_weights_is_kept() -> None:
    every = [run(steps=steps, schedule="constant")[0] for steps in (4, 5, 6)]
    mean, _ = run(steps=6, schedule="constant", evaluate_every=1, average=3)
    wanted = {
        name: sum(state[name] for state in every) / 3 if value.is_floating_point() else value
        for name, value in mean.items()
    }
    close(mean, wanted, 1e-6)
    assert not torch.equal(mean["head.weight"], every[-1]["head.weight"])


@pytest.mark.parametrize("broken", [1, 7, 20])
def test_a_loss_that_is_not_finite_is_named_by_its_step(
    broken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(1, 100))
    whole = TRAINED["sequence_classification"].loss

    def loss(*words: Any) -> torch.Tensor:
        return whole(*words) * (math.nan if next(calls) == broken else 1.0)

    monkeypatch.setattr(TRAINED["sequence_classification"], "loss", loss)
    seen: list[float] = []
    with pytest.raises(loop.Diverged, match=f"the loss was nan at step {broken} of 20"):
        run(steps=20, seen=seen)
    assert len(seen) == broken - 1


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_learns(precision: str) -> None:
    _, exact = run(steps=30)
    _, found = run(steps=30, precision=precision)
    assert found["loss_last"] < 0.9 * found["loss_first"]
    assert found["loss_first"] == pytest.approx(exact["loss_first"], rel=0.02)
    assert found["loss_first"] != exact["loss_first"]


def test_older_keys_do_not_change() -> None:
    old = {"steps": 5, "batch": 32, "learning_rate": 1e-5, "warmup": 0.1, "schedule": "linear",
           "weight_decay": 0.01, "clip": 1.0, "max_length": 128, "freeze": "none",
           "precision": "fp32", "selection": "last"}  # fmt: skip
    assert Training(steps=5).identity() == old
    assert Training(steps=5, patience=3).identity() == old | {"patience": 3}
    assert Training(steps=5, micro_batch=3, gradient_checkpointing=True).identity() == old
    assert Training(steps=5, micro_batch=3).execution() == {"micro_batch": 3}
    known = {*old, "epochs", "dropout", "evaluate_every", *LATER, *EXECUTION}
    assert known == set(Training.model_fields)


def test_embeddings_that_stay_are_not_saved() -> None:
    made = model("encoder", task("sequence_classification"))
    run(made=made, freeze="embeddings")
    assert not any(p.requires_grad for p in embeddings(made.backbone))
    assert not [name for name in weights.trained_state(made) if "embeddings.word" in name]
