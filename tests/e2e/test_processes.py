"""Two processes of one job, by the launch script and gloo, give what one process gives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from e2e.test_faults import nothing_left
from e2e.test_study import plan_of, scores
from tiny import write_study

from compiler.plan import Plan
from compiler.render import machine, render, write
from runtime.store import Store, status

QUIET = {"steps": 12, "batch": 7, "dropout": 0.0, "evaluate_every": 5}


def launched(folder: Path, devices: int, **changes: Any) -> tuple[Plan, Store, str]:
    """Run the launch scripts of a study with so many processes for a training."""
    folder.mkdir()
    recipe = {"name": "tiny", "defaults": QUIET | changes}
    hardware = {"device": "cpu", "threads": 1, "pack": "seed", "devices_per_node": devices}
    study = write_study(
        folder, layers=(1,), seeds=[1], targets=["tags", "pairs"], languages=["en", "de"],
        hardware=hardware, recipe=recipe,
    )  # fmt: skip
    plan = plan_of(study)
    build, store = folder / "build" / "tiny", Store(folder / "store")
    write(render(plan) | {"env.sh": machine(sys.executable, store.root, build)}, build)
    said = ""
    for job in plan.jobs:
        done = subprocess.run(
            ["bash", str(build / "launch" / f"{job.name}.sh")],
            capture_output=True, text=True, check=False, timeout=300,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        said += done.stdout + done.stderr
    return plan, store, said


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"micro_batch": 2, "selection": "best_english_dev"}])
def test_two_processes_give_what_one_gives(tmp_path: Path, changes: dict[str, Any]) -> None:
    alone, one, said = launched(tmp_path / "one", 1, **changes)
    assert set(status(one, alone).values()) == {"done"}, said
    plan, two, said = launched(tmp_path / "two", 2, **changes)
    assert set(status(two, plan).values()) == {"done"}, said
    assert plan.stages.keys() == alone.stages.keys()
    assert nothing_left(two)
    for key, stage in plan.stages.items():
        if stage.kind == "train":
            record, other = two.record(key), one.record(key)
            assert record is not None
            assert other is not None
            assert record.provenance["accelerator"]["distributed_type"] == "MULTI_CPU"
            assert record.provenance["accelerator"]["processes"] == 2
            for name in ("loss_first", "loss_last"):
                assert record.result[name] == pytest.approx(other.result[name], rel=2e-3)
            assert record.result["english_dev"]["n"] == other.result["english_dev"]["n"] == 32
        if stage.kind == "evaluate":
            for part in stage.parts:
                frames = [
                    pl.read_parquet(store.folder(key, part) / "predictions.parquet")
                    for store in (one, two)
                ]
                assert frames[0]["id"].to_list() == frames[1]["id"].to_list()
    assert scores(two, plan).keys() == scores(one, alone).keys()
