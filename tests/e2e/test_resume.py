"""A training that is killed goes on from its last checkpoint, and ends as if it had not been."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from e2e.test_mixes import write as write_mixes
from e2e.test_study import plan_of
from tiny import write_study

from compiler.plan import Plan
from runtime import checkpoint
from runtime.checkpoint import Checkpoints
from runtime.store import Store, sweep
from runtime.worker import Worker

STEPS = 160
TIMES = (
    "seconds", "training_seconds", "tokens_per_second", "mfu", "peak_flops", "flops_per_token",
    "resumed_after",
)  # fmt: skip

WORK = """
import sys
from pathlib import Path
from compiler.plan import load
from runtime.store import Store, sweep
from runtime.worker import Worker

plan = load(Path(sys.argv[1]))
store = Store(Path(sys.argv[2]))
store.prepare()
sweep(store)
for job in plan.jobs:
    Worker(plan, store, job.stages, job.processes, store.root.parent).run()
"""


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


def killed(folder: Path, store: Store, key: str, wait: float) -> None:
    """Start the plan in another process, and kill it some seconds after its training began."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, str(folder / "plan.json"), str(store.root)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    places = store.root / "checkpoints" / key
    before = {path.name for path in places.glob("*")}
    deadline = time.monotonic() + 120
    while {path.name for path in places.glob("*")} <= before and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(wait)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


HARD = {"dropout": 0.2, "micro_batch": 3, "selection": "best_english_dev", "evaluate_every": 23}


@pytest.mark.parametrize(
    ("kills", "settings"),
    [
        (2, HARD),
        pytest.param(10, HARD, marks=pytest.mark.slow),
        pytest.param(
            10,
            {"average": 3, "evaluate_every": 31, "freeze_backbone_steps": 40, "batch_tokens": 40},
            marks=pytest.mark.slow,
        ),
        pytest.param(10, HARD | {"mix": True, "patience": 40}, marks=pytest.mark.slow),
    ],
)
def test_kills_change_nothing(tmp_path: Path, kills: int, settings: dict[str, Any]) -> None:
    made = mixed_study if settings.get("mix") else study_of
    plan = made(tmp_path, **{k: v for k, v in settings.items() if k != "mix"})
    key = alone(plan)
    whole = finish(plan, Store(tmp_path / "whole"), key)
    store, draw = Store(tmp_path / "store"), random.Random(kills)
    for _ in range(kills):
        killed(tmp_path, store, key, draw.uniform(0, 0.15))
        if store.record(key) is not None:
            break
    resumed = finish(plan, store, key)
    assert resumed["resumed_after"], "it was not killed in the middle"
    same(whole, resumed)
    assert not (store.root / "checkpoints" / key).exists()
    assert not [*(store.root / "tmp").iterdir()]


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
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
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
