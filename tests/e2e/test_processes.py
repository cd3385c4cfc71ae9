"""Two processes of one job, by the launch script and gloo, give what one process gives."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from e2e.test_faults import nothing_left
from e2e.test_resume import mixed_study, same
from e2e.test_study import plan_of, scores, work
from tiny import write_study

from compiler.plan import Plan
from compiler.render import machine, render, write
from runtime.store import Store, status, sweep

QUIET = {"steps": 12, "batch": 7, "dropout": 0.0, "evaluate_every": 5}


def launched(folder: Path, devices: int, **changes: Any) -> tuple[Plan, Store, str]:
    """Run a study with so many processes for a training; if there are several, by its scripts."""
    folder.mkdir()
    recipe = {"name": "tiny", "defaults": QUIET | changes}
    hardware = {"device": "cpu", "threads": 1, "pack": "seed", "devices_per_node": devices}
    study = write_study(
        folder, layers=(1,), seeds=[1], targets=["tags", "pairs"], languages=["en", "de"],
        hardware=hardware, recipe=recipe,
    )  # fmt: skip
    plan, store = plan_of(study), Store(folder / "store")
    if devices == 1:
        return plan, store, f"exit code {work(plan, store)}"
    return plan, store, scripts(folder, plan, store)


def only(plan: Plan, key: str) -> Plan:
    """Leave out of the jobs what a stage does not need."""
    kept = {*plan.stages[key].inputs.values(), key}
    jobs = (replace(job, stages=tuple(k for k in job.stages if k in kept)) for job in plan.jobs)
    return replace(plan, jobs=tuple(job for job in jobs if job.stages))


def scripts(folder: Path, plan: Plan, store: Store) -> str:
    """Run the launch scripts of a plan; return what they said."""
    said = ""
    for script in written(folder, plan, store):
        with script_of(script) as running:
            said += running.communicate(timeout=300)[0]
    return said


def written(folder: Path, plan: Plan, store: Store) -> list[Path]:
    """Write the launch scripts of a plan."""
    build = folder / "build" / "tiny"
    write(render(plan) | {"env.sh": machine(sys.executable, store.root, build)}, build)
    return [build / "launch" / f"{job.name}.sh" for job in plan.jobs]


def script_of(path: Path) -> subprocess.Popen[str]:
    """Start a launch script."""
    return subprocess.Popen(
        ["bash", str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip


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


@pytest.mark.slow
def test_two_processes_give_what_one_gives_of_a_mix(tmp_path: Path) -> None:
    """Sources are drawn alike in all processes, and a source's head waits where it is not drawn."""
    found = {}
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        folder.mkdir()
        quiet = {"steps": 12, "batch": 7, "dropout": 0.0}
        plan, store = mixed_study(folder, devices, **quiet), Store(folder / "store")
        key = next(key for key, stage in plan.stages.items() if "mix" in stage.identity)
        plan = only(plan, key)
        said = scripts(folder, plan, store) if devices > 1 else f"exit code {work(plan, store)}"
        record = store.record(key)
        assert record is not None, said
        assert record.provenance["accelerator"]["processes"] == devices
        found[devices] = record.result
    one, two = found[1], found[2]
    for name in ("loss_first", "loss_last"):
        assert two[name] == pytest.approx(one[name], rel=2e-3)
    for name, source in one["sources"].items():
        for count in ("head", "steps", "examples"):
            assert two["sources"][name][count] == source[count]
        assert two["sources"][name]["loss_last"] == pytest.approx(source["loss_last"], rel=2e-3)
    assert two["english_dev"]["n"] == one["english_dev"]["n"]


def workers(store: Store) -> dict[int, int]:
    """Return the processes of a job that works on a store, by their rank."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
            given = (place / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        ranks = [x.removeprefix(b"RANK=") for x in given if x.startswith(b"RANK=")]
        if str(store.root).encode() in words and ranks:
            found[int(ranks[0])] = int(place.name)
    return found


@pytest.mark.slow
def test_a_killed_rank_costs_nothing_but_time(tmp_path: Path) -> None:
    """Each of the two that a launch script started is killed; the mix ends as without.

    More kills, without launch scripts, are in ``test_resume``.
    """
    hard = {
        "dropout": 0.2,
        "batch": 6,
        "micro_batch": 2,
        "patience": 40,
        "selection": "best_english_dev",
        "evaluate_every": 23,
    }
    plan = mixed_study(tmp_path, 2, **hard)
    key = next(key for key, stage in plan.stages.items() if "mix" in stage.identity)
    plan = only(plan, key)
    whole, store, draw = Store(tmp_path / "whole"), Store(tmp_path / "store"), random.Random(4)
    said = scripts(tmp_path, plan, whole)
    assert whole.record(key) is not None, said
    places = store.root / "checkpoints" / key
    kills = 0
    for rank in (1, 0):
        before = {path.name for path in places.glob("*")}
        for script in written(tmp_path, plan, store):
            with script_of(script) as running:
                deadline = time.monotonic() + 240
                while running.poll() is None and {p.name for p in places.glob("*")} <= before:
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
                time.sleep(draw.uniform(0, 0.2))
                victim = workers(store).get(rank)
                hit = running.poll() is None and victim and store.record(key) is None
                if hit:
                    os.kill(victim or 0, signal.SIGKILL)
                    kills += 1
                running.communicate(timeout=240)
            if hit and store.record(key) is None:
                assert running.returncode != 0
                break
    assert kills == 2, "it was over before it was killed"
    said = scripts(tmp_path, plan, store)
    assert store.record(key) is not None, said
    sweep(store)  # what a killed main process left, as the next `run` does
    assert nothing_left(store)
    one, other = whole.record(key), store.record(key)
    assert one is not None
    assert other is not None
    assert other.result["resumed_after"]
    same(dict(one.result), dict(other.result))
    files = [record.outputs["weights.safetensors"]["sha256"] for record in (one, other)]
    assert files[0] == files[1]
