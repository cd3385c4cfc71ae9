"""A training that is killed goes on from its last checkpoint, and ends as if it had not been."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from e2e.test_mixes import write as write_mixes
from e2e.test_study import plan_of
from forks import Forks
from tiny import write_study

from compiler.plan import Plan, load
from runtime import checkpoint
from runtime.checkpoint import Checkpoints
from runtime.lease import born
from runtime.store import Store, sweep
from runtime.worker import Worker

STEPS = 160
TIMES = (
    "seconds", "training_seconds", "tokens_per_second", "mfu", "peak_flops", "flops_per_token",
    "resumed_after",
)  # fmt: skip


def study_of(folder: Path, **recipe: Any) -> Plan:
    """Return a plan with one training that leaves a checkpoint at each look at its losses."""
    study = write_study(
        folder,
        layers=(1,),
        seeds=[1],
        targets=["tags"],
        languages=["en"],
        hardware={"device": "cpu", "threads": 1, "pack": "seed", "checkpoint_minutes": 1e-9},
        recipe={"name": "tiny", "defaults": {"steps": STEPS, "learning_rate": 1e-3, **recipe}},
    )
    plan = plan_of(study)
    (folder / "plan.json").write_text(plan.to_json(), encoding="utf-8")
    return plan


def mixed_study(folder: Path, devices: int = 1, **recipe: Any) -> Plan:
    """Return a plan whose first training is on two tasks and replays a corpus."""
    arm = {"name": "all", "mix": ["things", "tags"], "replay": {"corpus": "plain", "rate": 0.25}}
    hardware = {"device": "cpu", "threads": 1, "pack": "seed", "checkpoint_minutes": 1e-9,
                "devices_per_node": devices}  # fmt: skip
    study = write_mixes(
        folder, intermediate=[arm], controls=[], targets=["colours"], languages=["en"],
        hardware=hardware,
        recipe={"name": "tiny", "defaults": {"steps": STEPS, "learning_rate": 1e-3, **recipe}},
    )  # fmt: skip
    plan = plan_of(study)
    (folder / "plan.json").write_text(plan.to_json(), encoding="utf-8")
    return plan


def alone(plan: Plan) -> str:
    """Return the first training of a plan."""
    return next(key for key, stage in plan.stages.items() if stage.kind == "train")


def finish(plan: Plan, store: Store, key: str) -> dict[str, Any]:
    """Run a training and what it needs; return its result and the hash of its weights."""
    store.prepare()
    sweep(store)
    needed = [*plan.stages[key].inputs.values(), key]
    assert Worker(plan, store, tuple(needed), 1, store.root.parent).run() == 0
    record = store.record(key)
    assert record is not None
    return dict(record.result) | {"weights": record.outputs["weights.safetensors"]["sha256"]}


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """See that two results are equal in all that is not time."""
    assert {k: v for k, v in one.items() if k not in TIMES} == {
        k: v for k, v in other.items() if k not in TIMES
    }


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    """Give what starts processes to be killed; it loads the libraries once for all of them."""
    found = Forks()
    yield found
    found.close()


WRITING = 0.15
"""Seconds that the files of a checkpoint take to grow, where a kill shall fall into them."""


@dataclass
class Kill:
    """A kill to come: at which checkpoint of its process, how long after that appeared, to whom.

    With ``writing`` it falls into the writing of the checkpoint, otherwise after it.
    """

    writing: bool
    checkpoint: int
    wait: float
    rank: int = 0


def kills_at_random(count: int, seed: int, ranks: int = 1) -> list[Kill]:
    """Draw kills, of which two of three fall into the writing of a checkpoint."""
    draw = random.Random(seed)
    found = []
    for number in range(count):
        writing = number % 3 != 2
        nth = draw.choice((1, 2, 2, 3) if writing else (1, 2))
        wait = draw.uniform(0, 1.2 * WRITING if writing else 0.15)
        found.append(Kill(writing, nth, wait, draw.randrange(ranks)))
    return found


def killed(forks: Forks, folder: Path, store: Store, key: str, kill: Kill, ranks: int = 1) -> str:
    """Start a training, and kill a process of it; return what the kill left in the store.

    That is ``torn`` (a checkpoint that is half there), ``between``, or ``over`` when the training
    had ended before.
    """
    store.prepare()
    sweep(store)
    plan = load(folder / "plan.json")
    keys = [*plan.stages[key].inputs.values(), key]
    writing = WRITING if kill.writing else 0.0
    processes = forks.start(folder / "plan.json", store.root, keys, ranks, writing)
    place = store.root / ("tmp" if kill.writing else f"checkpoints/{key}")
    pattern = f"{key}.checkpoint.*" if kill.writing else "[0-9]*"
    seen, now, before = 0, False, {path.name for path in place.glob(pattern)}
    deadline = time.monotonic() + 120
    while seen < kill.checkpoint and born(processes[0]):
        assert time.monotonic() < deadline, (folder / "plan.json.log").read_text()
        found = {path.name for path in place.glob(pattern)}
        was, now = now, bool(found - before)
        if not kill.writing:
            before |= found
        seen += now and not (was and kill.writing)
        time.sleep(0.002)
    time.sleep(kill.wait)
    for process in [processes[kill.rank], *processes]:  # as a launcher ends the others
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    for process in processes:
        forks.wait(process)
    if store.record(key) is not None:
        return "over"
    return "torn" if [*(store.root / "tmp").glob(f"{key}.checkpoint.*")] else "between"


HARD = {"dropout": 0.2, "micro_batch": 3, "selection": "best_english_dev", "evaluate_every": 23}


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def survive(
    forks: Forks, folder: Path, store: Store, key: str, kills: list[Kill], ranks: int = 1
) -> list[int]:
    """Kill a training again and again; then damage its last checkpoint, and return the one before.

    Sees that kills in the writing of a checkpoint left it torn, and that no other was lost.
    """
    left = []
    for kill in kills:
        left.append(killed(forks, folder, store, key, kill, ranks))
        assert left[-1] != "over", "it ended before it was killed"
    in_writing = [what for what, kill in zip(left, kills, strict=True) if kill.writing]
    assert in_writing.count("torn") >= len(in_writing) // 2, left
    *rest, last = sorted((store.root / "checkpoints" / key).iterdir())
    flip(last / "tensors.safetensors")
    return [int(path.name) for path in rest[-1:]]  # three when the oldest was about to go


@pytest.mark.parametrize(
    ("kills", "settings"),
    [
        (3, HARD),
        pytest.param(9, HARD, marks=pytest.mark.slow),
        pytest.param(
            9,
            {"average": 3, "evaluate_every": 31, "freeze_backbone_steps": 40, "batch_tokens": 40},
            marks=pytest.mark.slow,
        ),
        pytest.param(9, HARD | {"mix": True, "patience": 40}, marks=pytest.mark.slow),
    ],
)
def test_kills_change_nothing(
    tmp_path: Path, forks: Forks, kills: int, settings: dict[str, Any]
) -> None:
    """Most kills fall into the writing of a checkpoint; in the end the last one is damaged."""
    made = mixed_study if settings.get("mix") else study_of
    plan = made(tmp_path, **{k: v for k, v in settings.items() if k != "mix"})
    key = alone(plan)
    whole = finish(plan, Store(tmp_path / "whole"), key)
    store = Store(tmp_path / "store")
    left = survive(forks, tmp_path, store, key, kills_at_random(kills, seed=kills))
    resumed = finish(plan, store, key)
    assert resumed["resumed_after"][-1:] == left
    same(whole, resumed)
    assert not (store.root / "checkpoints" / key).exists()
    assert not [*(store.root / "tmp").iterdir()]


@pytest.mark.slow
def test_kills_of_one_of_two_processes_change_nothing(tmp_path: Path, forks: Forks) -> None:
    """A mix with accumulation and dropout; whichever process is killed."""
    plan = mixed_study(tmp_path, 2, **HARD | {"batch": 6, "micro_batch": 2, "patience": 40})
    key = next(key for key, stage in plan.stages.items() if "mix" in stage.identity)
    whole, store = Store(tmp_path / "whole"), Store(tmp_path / "store")
    left = survive(forks, tmp_path, store, key, kills_at_random(6, seed=1, ranks=2), ranks=2)
    results = []
    for each in (whole, store):
        sweep(store)
        keys = [*plan.stages[key].inputs.values(), key]
        started = forks.start(tmp_path / "plan.json", each.root, keys, ranks=2)
        codes = [forks.wait(process) for process in started]
        assert codes == [0, 0], (tmp_path / "plan.json.log").read_text()
        record = each.record(key)
        assert record is not None
        files = record.outputs["weights.safetensors"]["sha256"]
        results.append(dict(record.result) | {"weights": files})
        assert record.provenance["accelerator"]["processes"] == 2
    assert results[1]["resumed_after"][-1:] == left
    same(*results)


class Cut(BaseException):
    """What stops a training in these tests."""


@pytest.mark.parametrize("step", [1, 23, STEPS - 1])
def test_any_step_may_be_the_last(
    tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = study_of(tmp_path, **HARD)
    key = alone(plan)
    whole = finish(plan, Store(tmp_path / "whole"), key)
    store = Store(tmp_path / "store")
    write = Checkpoints.save

    def save(self: Checkpoints, at: int, *rest: Any) -> None:
        if at == step:
            write(self, at, *rest)
            raise Cut

    with monkeypatch.context() as patch:
        patch.setattr("runtime.loop.AHEAD", 1)
        patch.setattr(Checkpoints, "save", save)
        with pytest.raises(Cut):
            finish(plan, store, key)
    resumed = finish(plan, store, key)
    assert resumed["resumed_after"] == [step]
    same(whole, resumed)


def cut_at(plan: Plan, store: Store, key: str, saves: int, patch: pytest.MonkeyPatch) -> list[str]:
    """Stop a training after some checkpoints; return the steps of those that are left."""
    write, made = Checkpoints.save, []

    def save(self: Checkpoints, at: int, *rest: Any) -> None:
        write(self, at, *rest)
        made.append(at)
        if len(made) == saves:
            raise Cut

    with patch.context() as inner:
        inner.setattr(Checkpoints, "save", save)
        with pytest.raises(Cut):
            finish(plan, store, key)
    return sorted(path.name for path in (store.root / "checkpoints" / key).iterdir())


@pytest.mark.parametrize("damage", ["tensors", "state", "both"])
def test_a_damaged_checkpoint_is_left_for_the_one_before(
    tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = study_of(tmp_path, **HARD)
    key = alone(plan)
    whole = finish(plan, Store(tmp_path / "whole"), key)
    store = Store(tmp_path / "store")
    left = cut_at(plan, store, key, 5, monkeypatch)
    assert len(left) == checkpoint.KEPT
    folder = store.root / "checkpoints" / key
    for name in left if damage == "both" else left[1:]:
        path = folder / name / ("state.json" if damage == "state" else "tensors.safetensors")
        flip(path)
    resumed = finish(plan, store, key)
    expected = [] if damage == "both" else [int(left[0])]
    assert resumed.get("resumed_after", []) == expected
    same(whole, resumed)


def test_a_checkpoint_that_is_being_written_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = study_of(tmp_path, **HARD)
    key = alone(plan)
    whole = finish(plan, Store(tmp_path / "whole"), key)
    store = Store(tmp_path / "store")
    left = cut_at(plan, store, key, 3, monkeypatch)

    def fail(*_: object) -> None:
        raise Cut

    for name in ("save_file", "atomic_write"):
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, name, fail)
            with pytest.raises(Cut):
                finish(plan, store, key)
        assert sorted(p.name for p in (store.root / "checkpoints" / key).iterdir()) == left
        assert not [*(store.root / "tmp").iterdir()]
    same(whole, finish(plan, store, key))


def test_checkpoints_of_a_finished_stage_are_swept(tmp_path: Path) -> None:
    plan = study_of(tmp_path, steps=20)
    key, store = alone(plan), Store(tmp_path / "store")
    finish(plan, store, key)
    other = "train-of-another-study-v1-0123456789"
    for name in (key, other):
        (store.root / "checkpoints" / name / "000000001").mkdir(parents=True)
    sweep(store)
    assert [path.name for path in (store.root / "checkpoints").iterdir()] != [key]
    assert not (store.root / "checkpoints" / key).exists()


def test_what_a_checkpoint_holds_is_no_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = study_of(tmp_path, **HARD)
    key, store = alone(plan), Store(tmp_path / "store")
    left = cut_at(plan, store, key, 2, monkeypatch)
    folder = store.root / "checkpoints" / key / left[-1]
    assert sorted(path.name for path in folder.iterdir()) == ["state.json", "tensors.safetensors"]
    body = json.loads((folder / "state.json").read_text())["body"]
    assert body["step"] == len(body["losses"]) == int(left[-1])
