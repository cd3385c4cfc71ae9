"""A training whose model is divided among two processes (FSDP2) gives what one process gives."""

from __future__ import annotations

import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from e2e.test_processes import script_of, workers, written
from e2e.test_resume import same
from e2e.test_study import plan_of, scores
from safetensors.torch import load_file
from tiny import write_study, write_yaml
from tinykinds import backbone

from compiler.plan import Plan
from runtime.model import parameter_counts
from runtime.store import Store, status, sweep

# Of five texts one process has two micro-batches and the other one; both must have as many.
TRAINING = {
    "steps": 40, "batch": 5, "micro_batch": 2, "evaluate_every": 10, "average": 2, "dropout": 0.0,
    "gradient_checkpointing": True, "learning_rate": 1e-3, "freeze_backbone_steps": 5,
}  # fmt: skip

LATE = 30
"""The step of the score before the last."""


def decoder(folder: Path) -> None:
    """Put a tiny decoder in the place of the study's encoder, with the tokenizer of that."""
    made = backbone("decoder", layers=1, seed=1)
    made.save_pretrained(folder / "own" / "weights" / "tiny-1")  # type: ignore[operator]
    place = folder / "own" / "models" / "tiny.yaml"
    member = {"name": "tiny-1", "size": 1, "checkpoint": {"folder": "../weights/tiny-1"},
              "parameters": parameter_counts(made)}  # fmt: skip
    write_yaml(place, {"family": "tiny", "members": [member]})


def study(folder: Path, kind: str, devices: int, **changes: Any) -> Plan:
    """Return a plan with an arm of two trainings, divided where there are two processes."""
    folder.mkdir(exist_ok=True)
    hardware = {"device": "cpu", "threads": 1, "pack": "seed", "devices_per_node": devices}
    hardware |= {"checkpoint_minutes": 1e-9} if devices > 1 else {}
    more: dict[str, Any] = {
        "layers": (1,), "seeds": [1], "targets": ["tags", "pairs"], "languages": ["en", "de", "fr"],
        "hardware": hardware, "recipe": {"name": "tiny", "defaults": TRAINING},
    }  # fmt: skip
    path = write_study(folder, **(more | changes))
    if kind == "decoder":
        decoder(folder)
    plan = plan_of(path)
    if devices > 1:
        takes = {name: {"strategy": "fsdp2"} for name in plan.models}
        plan = replace(plan, execution={**plan.execution, "resources": takes})
    return plan


def ran(folder: Path, plan: Plan, store: Store) -> Store:
    """Run all launch scripts of a plan."""
    said = ""
    for script in written(folder, plan, store):
        with script_of(script) as running:
            said += running.communicate(timeout=300)[0]
    assert set(status(store, plan).values()) == {"done"}, said
    return store


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Plan, Store]]:
    """Run a study by one process and by two: an intermediate, targets, scores of all languages."""
    found = {}
    for devices in (1, 2):
        folder = tmp_path_factory.mktemp(f"encoder{devices}")
        plan = study(folder, "encoder", devices)
        found[devices] = plan, ran(folder, plan, Store(folder / "store"))
    return found


@pytest.mark.slow
def test_a_divided_encoder_learns_what_a_whole_one_does(
    encoders: dict[int, tuple[Plan, Store]],
) -> None:
    alike(encoders)
    plan, _ = encoders[2]
    assert sum(stage.kind == "train" for stage in plan.stages.values()) > 1


@pytest.mark.slow
def test_a_divided_decoder_learns_what_a_whole_one_does(tmp_path: Path) -> None:
    found = {}
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        plan = study(folder, "decoder", devices, targets=["tags"])
        found[devices] = plan, ran(folder, plan, Store(folder / "store"))
    alike(found)


def alike(found: dict[int, tuple[Plan, Store]]) -> None:
    """See that two processes with parts of a model leave what one leaves with the whole."""
    (alone, one), (plan, two) = found[1], found[2]
    trained = [key for key, stage in plan.stages.items() if stage.kind == "train"]
    assert trained
    assert plan.stages.keys() == alone.stages.keys()
    for key in trained:
        record, other = two.record(key), one.record(key)
        assert record is not None
        assert other is not None
        assert record.result["divided"] == {"strategy": "fsdp2", "processes": 2}
        assert "divided" not in other.result
        assert record.provenance["accelerator"]["processes"] == 2
        for name in ("loss_first", "loss_last"):
            assert record.result[name] == pytest.approx(other.result[name], rel=1e-3)
        for name in ("parameters", "steps"):
            assert record.result[name] == other.result[name]
        many = [found_.result["flops_per_token"] for found_ in (record, other)]
        assert many[0] == pytest.approx(many[1], rel=0.1)  # gathered weights take other operations
        assert record.result["english_dev"]["n"] == other.result["english_dev"]["n"] == 32
        left, whole = (load_file(s.folder(key) / "weights.safetensors") for s in (two, one))
        assert left.keys() == whole.keys()
        for name, value in whole.items():
            assert left[name].dtype == value.dtype
            torch.testing.assert_close(left[name], value, rtol=0, atol=2e-3, msg=name)
    counts, wanted = scores(two, plan), scores(one, alone)
    assert counts.keys() == wanted.keys()
    for place, value in wanted.items():
        assert counts[place] == pytest.approx(value, abs=6.0), place


@pytest.mark.slow
def test_a_divided_training_that_is_killed_ends_as_if_it_had_not_been(
    encoders: dict[int, tuple[Plan, Store]], tmp_path: Path
) -> None:
    """A process is killed between the last two scores, when weights are being averaged."""
    plan, whole = encoders[2]
    key = next(key for key, stage in plan.stages.items() if stage.kind == "train")
    store = Store(tmp_path / "store")
    shutil.copytree(whole.root, store.root)
    for other, stage in plan.stages.items():
        if stage.kind != "prepare":
            shutil.rmtree(store.root / "stages" / other)
    job = next(job for job in plan.jobs if key in job.stages)
    script = next(s for s in written(tmp_path, plan, store) if s.stem == job.name)
    places = store.root / "checkpoints" / key
    with script_of(script) as running:
        deadline, known = time.monotonic() + 240, {}
        while running.poll() is None and not any(int(p.name) >= LATE for p in places.glob("*")):
            assert time.monotonic() < deadline
            known = known or (workers(store) if places.exists() else {})
            time.sleep(0.002)
        assert store.record(key) is None, "it was over before it was killed"
        os.kill(known[1], signal.SIGKILL)
        running.communicate(timeout=240)
    assert running.returncode != 0
    assert store.record(key) is None
    sweep(store)
    with script_of(script) as running:
        said = running.communicate(timeout=300)[0]
    one, again = whole.record(key), store.record(key)
    assert one is not None
    assert again is not None, said
    assert again.result["resumed_after"] == [LATE]
    same(dict(one.result), dict(again.result))
    files = [record.outputs["weights.safetensors"]["sha256"] for record in (one, again)]
    assert files[0] == files[1]
