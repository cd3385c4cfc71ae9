"""Studies on a real Slurm of pretend machines: the whole way, failures, preemption, lost machines.

What is measured here is not speed: eight pretend machines share this one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import lacking, slurm
from e2e.test_faults import wait_for
from e2e.test_resume import TIMES
from e2e.test_study import plan_of, scores, work
from rich.console import Console
from tiny import write_study

from compiler.check import check
from compiler.errors import EnvironmentUnready
from compiler.expand import expand
from compiler.plan import Job, Plan, Stage
from compiler.render import render, write
from compiler.site import Site
from runtime import cluster, conduct
from runtime.store import Store, status
from runtime.submissions import load, told

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "minutes": 30,
    "at_once": 2,
    "poll_seconds": 0.3,
    "environment": {"STILTSCALE_ADDRESS": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"},
}
SITE = Site.model_validate(SETTINGS)
CPU = {"device": "cpu", "threads": 1, "pack": "target"}

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(lacking()), reason=lacking() or "it is")]


@pytest.fixture(scope="module", autouse=True)
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with (
        slurm(tmp_path_factory.mktemp("slurm") / "cluster", nodes=8) as variables,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in {**variables, "PYTHONPATH": str(ROOT)}.items():
            patch.setenv(name, value)
        yield


def call(*words: str, okay: bool = True) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=okay, timeout=60)
    return done.stdout


class Running:
    """A plan, or some of its jobs, compiled in a folder, and the queue's view of it."""

    def __init__(
        self, plan: Plan, folder: Path, jobs: tuple[str, ...] = (), site: Site = SITE
    ) -> None:
        chosen = tuple(job for job in plan.jobs if not jobs or job.name in jobs)
        names = {job.name for job in chosen}
        self.plan = replace(
            plan,
            jobs=tuple(
                replace(job, after=tuple(n for n in job.after if n in names)) for job in chosen
            ),
        )
        self.build, self.folder = folder / "build", folder / "build" / plan.name
        self.site = site
        self.store = Store(self.build / "store")
        conduct.write_output(self.plan, self.folder, self.build, None, site)
        self.store.prepare()

    def submit(self) -> tuple[int, int, int]:
        return cluster.submit(self.plan, self.folder, self.store, self.site)

    def follow(self) -> dict[str, str]:
        return cluster.follow(self.plan, self.store, self.site, lambda progress: None)

    def id(self, job: str) -> str:
        return load(self.store, self.plan.name).jobs[job].id

    def state(self, job: str) -> str:
        return call("squeue", "-h", "-t", "all", "--array", "-j", self.id(job), "-o", "%T").strip()

    def words(self, job: str) -> list[str]:
        """Return what a job's script wrote of itself, start by start."""
        path = self.store.root / "submissions" / self.plan.name / f"{job}.txt"
        return [line.split(" ", 3)[3] for line in path.read_text().splitlines()]

    def stub(self, script: str) -> None:
        """Put a script in the place of each launch script."""
        for job in self.plan.jobs:
            (self.folder / "launch" / f"{job.name}.sh").write_text(script)

    def logs(self) -> str:
        paths = [path for path in (self.folder / "logs").rglob("*.*") if path.is_file()]
        return "\n".join(f"== {path.name}\n{path.read_text()}" for path in paths)

    def hurry(self, job: str) -> None:
        """Let a job that was requeued start now: Slurm waits two minutes."""
        wait_for(lambda: self.state(job) == "PENDING", 60)
        for _ in range(20):
            time.sleep(1)
            call("scontrol", "update", f"JobId={self.id(job)}", "StartTime=now", okay=False)
            if self.state(job) != "PENDING":
                return
        raise AssertionError(call("scontrol", "show", "job", self.id(job)))


def line(study: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "runtime.cli", words[0], str(study),
         "--build", str(study.parent / "build"), *words[1:]],
        cwd=study.parent, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def test_a_study_gives_what_it_gives_here(tmp_path: Path) -> None:
    made: dict[str, Any] = {"layers": (1, 2), "seeds": [1], "targets": ["colours", "pairs"]}
    for name in ("local", "cluster"):
        (tmp_path / name).mkdir()
        write_study(tmp_path / name, **made)
    local, study = tmp_path / "local/study.yaml", tmp_path / "cluster/study.yaml"
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(SETTINGS))
    here = Store(local.parent / "build/store")
    assert work(plan_of(local), here) == 0
    done = line(local, "report")
    assert done.returncode == 0, done.stdout + done.stderr
    engine = ("run", "--engine", "slurm", "--cluster", str(tmp_path / "site.yaml"))
    done = line(study, *engine)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 jobs submitted in 2 arrays, 0 were there already" in done.stdout
    there = Store(study.parent / "build/store")
    assert scores(there, plan_of(study)) == scores(here, plan_of(local))
    one, other = (
        json.loads((path.parent / "build/tiny/report/report.json").read_text())
        for path in (local, study)
    )
    assert one["estimates"]
    assert one["estimates"] == other["estimates"]
    said = line(study, "status").stdout
    assert f"{len(plan_of(study).stages)} done" in said
    assert "3 completed" in said


def test_a_failure_stops_only_what_needs_it(tmp_path: Path) -> None:
    path = write_study(
        tmp_path, layers=(1,), seeds=[1], targets=["tags", "colours"], hardware=CPU,
        languages=["en"],
    )  # fmt: skip
    file = tmp_path / "own" / "data" / "tags.train.en.jsonl"
    good = file.read_text()
    file.write_text(good.replace("B-colour", "nonsense"))
    bad = Running(plan_of(path), tmp_path)
    assert bad.submit() == (6, 3, 0)
    bad.follow()
    states = status(bad.store, bad.plan)
    assert {state for key, state in states.items() if "tags" not in key} == {"done"}, bad.logs()
    failed = {key for key, state in states.items() if state == "failed"}
    assert failed
    assert {states[key] for key in states if "tags" in key} <= {"failed", "blocked", "done"}
    file.write_text(good)
    again = Running(plan_of(path), tmp_path)
    jobs, _, _ = again.submit()
    names = {job.name for job in again.plan.jobs if "tags" in job.name or "prepare" in job.name}
    assert jobs == len(names) == 3
    assert again.follow() == {}, again.logs()
    assert set(status(again.store, again.plan).values()) == {"done"}


def test_a_job_that_fails_cancels_those_that_start_from_it(tmp_path: Path) -> None:
    path = write_study(tmp_path, layers=(1,), targets=["tags", "colours"], hardware=CPU)
    study = Running(plan_of(path), tmp_path)
    study.stub("exit 0\n")
    (study.folder / "launch/tiny_1-things-s1.sh").write_text("exit 9\n")
    done = call("bash", str(study.folder / "submit.sh"))
    assert done.count("submitted") == 4
    wait_for(lambda: not call("squeue", "-h").strip(), 120)
    ended = {job.name: told(study.store, "tiny", job.name) for job in study.plan.jobs}
    never = {name for name, row in ended.items() if not row}
    assert never == {"tiny_1-things-tags-s1", "tiny_1-things-colours-s1"}
    assert {row["number"] for name, row in ended.items() if name not in never} == {"0", "9"}
    assert (
        call("squeue", "-h", "--array", "-t", "cancelled", "-o", "%r").split()
        == ["DependencyNeverSatisfied"] * 2
    )


def test_two_machines_train_together(tmp_path: Path) -> None:
    path = write_study(
        tmp_path, layers=(1,), seeds=[1], targets=["tags"], languages=["en"],
        hardware={**CPU, "nodes": 2},
    )  # fmt: skip
    study = Running(plan_of(path), tmp_path, ("prepare-tiny", "tiny_1-none-tags-s1"))
    assert study.submit() == (2, 2, 0)
    assert study.follow() == {}, study.logs()
    (key,) = (k for k in study.plan.jobs[1].stages if k.startswith("train"))
    record = study.store.record(key)
    assert record is not None
    assert record.provenance["accelerator"]["processes"] == 2
    assert record.provenance["accelerator"]["distributed_type"] == "MULTI_CPU"
    done = line(path, "run")
    assert done.returncode == 2
    assert "2 machines for a job without `--engine slurm`" in done.stderr


def training(folder: Path, site: Site = SITE) -> tuple[Running, str, str]:
    """Return a study with one training of some seconds, its job and its key."""
    folder.mkdir()
    hard = {"dropout": 0.3, "steps": 400, "evaluate_every": 50, "learning_rate": 1e-3}
    path = write_study(
        folder, layers=(1,), seeds=[1], targets=["tags"], languages=["en"], hardware=CPU,
        recipe={"name": "tiny", "defaults": hard},
    )  # fmt: skip
    job = "tiny_1-none-tags-s1"
    study = Running(plan_of(path), folder, ("prepare-tiny", job), site)
    (key,) = (k for k in study.plan.jobs[1].stages if k.startswith("train"))
    return study, job, key


def result(study: Running, key: str) -> dict[str, Any]:
    record = study.store.record(key)
    assert record is not None
    found = {k: v for k, v in record.result.items() if k not in TIMES}
    return found | {"weights": record.outputs["weights.safetensors"]["sha256"]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the training gives that nobody disturbs."""
    study, _, key = training(tmp_path_factory.mktemp("whole") / "study")
    assert work(study.plan, study.store) == 0
    return result(study, key)


def begun(study: Running, key: str) -> None:
    def step() -> int:
        return int(study.store.running().get(key, {}).get("progress", {}).get("step", 0))

    wait_for(lambda: step() > 5, 180)


def test_what_is_asked_to_leave_goes_on_exactly(tmp_path: Path, whole: dict[str, Any]) -> None:
    study, job, key = training(tmp_path / "study")
    study.submit()
    assert study.submit() == (0, 0, 2), "a second run finds the jobs of the first"
    begun(study, key)
    kept = load(study.store, "tiny")  # as if the first had been killed between sbatch and a note
    number, intent = kept.jobs.pop(job).id, "0123456789abcdef"
    call("scontrol", "update", f"JobId={number}", f"Comment={cluster.MARK}{intent}")
    kept.intend(intent, "array", "then", {0: job})
    assert study.submit()[0] == 0
    assert study.id(job) == number
    call("scancel", "--batch", "--signal=USR1", number)  # what Slurm sends before the limit
    study.hurry(job)
    assert list((study.store.root / "checkpoints" / key).iterdir()), "nothing was saved"
    assert study.follow() == {}, study.logs()
    record = study.store.record(key)
    assert record is not None
    assert record.result["resumed_after"], "it began anew"
    assert result(study, key) == whole
    assert study.words(job) == ["started 0", "ended 3", "requeued", "started 1", "ended 0"]


def test_what_is_cancelled_saves_itself(tmp_path: Path, whole: dict[str, Any]) -> None:
    study, job, key = training(tmp_path / "study")
    study.submit()
    begun(study, key)
    first = study.id(job)
    assert cluster.cancel(study.plan, study.store) == 1
    assert "CANCELLED" in study.follow().get(job, "CANCELLED")
    wait_for(lambda: not study.store.running(), 60)
    assert list((study.store.root / "checkpoints" / key).iterdir()), "nothing was saved"
    wait_for(lambda: study.state(job) == "CANCELLED", 60)
    assert study.submit() == (1, 1, 0)
    assert study.id(job) != first
    assert study.follow() == {}, study.logs()
    assert result(study, key) == whole


def test_a_machine_that_is_lost_costs_what_it_had_in_hand(
    tmp_path: Path, whole: dict[str, Any]
) -> None:
    study, job, key = training(tmp_path / "study")
    study.submit()
    begun(study, key)
    node = call("squeue", "-h", "-j", study.id(job), "-o", "%N").strip()
    pid = int(study.store.running()[key]["pid"])
    try:
        call("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
        os.kill(pid, signal.SIGKILL)
        study.hurry(job)
        assert study.follow() == {}, study.logs()
    finally:
        call("scontrol", "update", f"NodeName={node}", "State=RESUME")
    said = study.words(job)  # the lost machine may have had a last word
    assert (said.count("started 1"), said[-1]) == (1, "ended 0")
    assert result(study, key) == whole


def wide(jobs: int, stages: int) -> Plan:
    """Return a plan of two levels, each of so many jobs, after one that prepares."""
    made: dict[str, Stage] = {}

    def job(name: str, count: int, after: tuple[str, ...], start: str) -> Job:
        keys = [f"train-{name}-{number}-v1-0000000000" for number in range(count)]
        for key in keys:
            made[key] = Stage(key, "train", "m", "t", {}, {"start": start} if start else {})
        return Job(name, tuple(keys), after)

    first = job("prepare", 1, (), "")
    arms = [job(f"m-arm-s{n}", 1, ("prepare",), first.stages[0]) for n in range(jobs)]
    ends = [job(f"m-arm-t-s{n}", stages, (arm.name,), arm.stages[0]) for n, arm in enumerate(arms)]
    entry = {"architecture": {}}
    return Plan(
        study={"name": "wide"}, models={"m": entry}, arms={}, tasks={}, recipes={}, stages=made,
        jobs=(first, *arms, *ends), runs=(), execution={"device": "cpu", "threads": 1},
    )  # fmt: skip


def test_thousands_of_stages_are_a_few_submissions(tmp_path: Path) -> None:
    plan = wide(100, 20)
    assert len(plan.stages) > 2000
    study = Running(plan, tmp_path)
    many = SITE.model_copy(update={"at_once": None, "poll_seconds": 2.0})
    write(render(plan, many), study.folder)
    study.stub("exit 0\n")
    assert cluster.submit(plan, study.folder, study.store, many) == (201, 3, 0)
    assert cluster.follow(plan, study.store, many, lambda progress: None) == {}
    ended = [told(study.store, "wide", job.name) for job in plan.jobs]
    assert {row["word"] + row["number"] for row in ended} == {"ended0"}


@pytest.mark.parametrize("path", sorted((ROOT / "specs/studies").glob("*.yaml")), ids=str)
def test_slurm_accepts_every_script_that_we_ship(path: Path, tmp_path: Path) -> None:
    plan = expand(check(path, installed=False))
    study = Running(plan, tmp_path)
    site = Site()
    write(render(plan, site), study.folder)
    found = cluster.rehearse(plan, study.folder, site)
    assert sum(len(array.jobs) for array, _, _ in found) == len(plan.jobs)
    assert [refusal for _, refusal, _ in found if refusal] == []
    on_gpus = {array.shape.device == "gpu" for array, _, _ in found}
    asked = {"--gpus-per-node=" in batch.read_text() for batch in study.folder.glob("slurm/*")}
    assert asked == on_gpus == ({plan.execution["device"] == "cuda"} if plan.jobs else set())


def test_what_is_impossible_is_refused_with_slurms_words_and_ours(tmp_path: Path) -> None:
    hardware = {"device": "h100-80gb", "nodes": 9, "devices_per_node": 16, "pack": "seed"}
    path = write_study(tmp_path, layers=(1,), seeds=[1], targets=["tags"], hardware=hardware)
    plan = plan_of(path)
    study = Running(plan, tmp_path)
    with pytest.raises(EnvironmentUnready) as caught:
        conduct.rehearse(plan, study.folder, study.build, None, SITE, Console())
    assert caught.value.code == "E053"
    said = caught.value.what
    assert "16 GPUs on a machine, where the largest has 8" in said
    assert "9 machines, where a partition has 8" in said
    assert "Slurm says: " in said
    assert "Requested node configuration is not available" in said or "unavailable" in said
    done = line(path, "run", "--engine", "slurm", "--dry-run")
    assert done.returncode == 2
    assert "E053" in done.stderr
    assert "16 GPUs on a machine, where the largest has 8" in done.stderr
    assert "Slurm says: " in done.stderr
    assert not call("squeue", "-h", "-n", "tiny.1-tiny_1-s1-9x16gpu").strip()
