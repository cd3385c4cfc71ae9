"""What Slurm itself takes a job's place by: its time limit, a job that is preferred.

Nothing is sent by hand here. And the shell that submitted is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import PREEMPTING, lacking, reconfigure, slurm
from e2e.test_faults import wait_for
from e2e.test_slurm import (
    CPU,
    ROOT,
    SETTINGS,
    Running,
    begun,
    call,
    line,
    result,
    training,
)  # fmt: skip
from e2e.test_study import plan_of, work
from tiny import write_study

from compiler.site import Site
from runtime.store import Store, status

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(lacking()), reason=lacking() or "it is")]


@pytest.fixture(scope="module", autouse=True)
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("limits") / "cluster"
    with (
        slurm(folder, nodes=4, killing=90, more=PREEMPTING) as variables,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in {**variables, "PYTHONPATH": str(ROOT)}.items():
            patch.setenv(name, value)
        yield


def on(machine: str, **settings: Any) -> Site:
    """Return the settings of the tests, for jobs on one machine alone."""
    return Site.model_validate({**SETTINGS, "options": {"nodelist": machine}, **settings})


def submitted(folder: Path, site: Site) -> tuple[Running, str, str]:
    """Submit one training; return it, its job and its key when it has taken some steps.

    It would be done too soon, so its process is stopped: it goes on when its batch script has been
    told by Slurm to leave.
    """
    study, job, key = training(folder, site)
    study.submit()
    begun(study, key)
    pid = int(study.store.running()[key]["pid"])
    os.kill(pid, signal.SIGSTOP)
    told = study.store.root / "submissions" / "tiny"

    def hold() -> None:
        with contextlib.suppress(ProcessLookupError):
            while not list(told.glob(".leave-*")):
                os.kill(pid, 0)
                time.sleep(0.02)
            os.kill(pid, signal.SIGCONT)

    threading.Thread(target=hold, daemon=True).start()
    return study, job, key


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory, queue: None) -> tuple[Running, str, str]:
    """A training that is given the shortest limit that there still is when it has begun.

    Given before, it would be reached before the first step where the machine is busy.
    """
    site = on("n1", notice_seconds=10)
    study, job, key = submitted(tmp_path_factory.mktemp("limited") / "study", site)
    minutes = int(call("squeue", "-h", "-j", study.id(job), "-o", "%M").split(":")[0]) + 1
    call("scontrol", "update", f"JobId={study.id(job)}", f"TimeLimit={minutes}")

    def relax() -> None:  # for what is left; it could start before the test looks at it
        wait_for(lambda: "requeued" in study.words(job), 300)
        wait_for(lambda: study.state(job) == "PENDING", 60)
        call("scontrol", "update", f"JobId={study.id(job)}", "TimeLimit=60")

    threading.Thread(target=relax, daemon=True).start()
    return study, job, key


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, limited: tuple[Running, str, str]
) -> dict[str, Any]:
    """What the training gives that nobody disturbs."""
    study, _, key = training(tmp_path_factory.mktemp("whole") / "study")
    assert work(study.plan, study.store) == 0
    return result(study, key)


def preferred(machine: str) -> str:
    """Submit a job of some seconds that takes a machine for itself; return its id."""
    return call(
        "sbatch", "--parsable", "--partition=urgent", f"--nodelist={machine}", "--exclusive",
        "--time=5", "--output=/dev/null", "--wrap", "sleep 2",
    ).strip()  # fmt: skip


def resumed(study: Running, job: str, key: str, whole: dict[str, Any]) -> None:
    """Let a job that lost its place go on now, not in two minutes; look at what it gives."""
    wait_for(lambda: study.words(job)[1:2] == ["ended 3"], 120)

    def again() -> bool:
        call("scontrol", "update", f"JobId={study.id(job)}", "StartTime=now", okay=False)
        time.sleep(0.5)
        return "started 1" in study.words(job)

    wait_for(again, 120)
    assert study.follow() == {}, study.logs()
    record = study.store.record(key)
    assert record is not None
    assert record.result["resumed_after"], "it began anew"
    assert result(study, key) == whole


def test_a_job_that_is_preempted_saves_itself_before_the_kill(
    tmp_path: Path, whole: dict[str, Any]
) -> None:
    study, job, key = submitted(tmp_path / "study", on("n3", partition="graceless"))
    preferred("n3")
    resumed(study, job, key, whole)
    assert study.words(job) == ["started 0", "ended 3", "started 1", "ended 0"]


def test_a_job_that_is_told_of_its_preemption_leaves_in_its_grace(
    tmp_path: Path, whole: dict[str, Any]
) -> None:
    reconfigure("SlurmctldParameters=preempt_send_user_signal")
    study, job, key = submitted(tmp_path / "study", on("n2", partition="graceful"))
    asked = time.monotonic()
    preferred("n2")
    wait_for(lambda: "ended 3" in study.words(job), 110)
    assert time.monotonic() - asked < 110, "it kept its place until the grace was over"
    resumed(study, job, key, whole)
    assert study.words(job) == ["started 0", "ended 3", "requeued", "started 1", "ended 0"]


def test_a_shell_that_is_killed_leaves_the_jobs_and_is_followed_by_another(
    tmp_path: Path, whole: dict[str, Any]
) -> None:
    path = write_study(
        tmp_path, layers=(1,), seeds=[1], targets=["tags"], languages=["en", "de"],
        recipe={"name": "tiny", "defaults": {"dropout": 0.3, "steps": 300, "evaluate_every": 50}},
        hardware=CPU | {"pack": "seed"},
    )  # fmt: skip
    settings = tmp_path / "site.yaml"
    settings.write_text(yaml.safe_dump(SETTINGS | {"options": {"nodelist": "n4"}}))
    words = ("--engine", "slurm", "--cluster", str(settings))
    first = subprocess.Popen(
        [sys.executable, "-m", "runtime.cli", "run", str(path),
         "--build", str(tmp_path / "build"), *words],
        cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    plan, store = plan_of(path), Store(tmp_path / "build/store")
    wait_for(lambda: any(k.startswith("train") for k in store.running()), 120)
    os.killpg(first.pid, signal.SIGKILL)
    said, _ = first.communicate(timeout=60)
    assert "2 jobs submitted in 2 arrays" in said
    assert "1 running" in line(path, "status").stdout
    again = line(path, "run", *words)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "0 jobs submitted in 0 arrays, " in again.stdout
    assert set(status(store, plan).values()) == {"done"}
    told = (store.root / "submissions/tiny" / f"{plan.jobs[1].name}.txt").read_text()
    assert [row.split(" ", 3)[3] for row in told.splitlines()] == ["started 0", "ended 0"]


def test_a_job_whose_time_is_over_goes_on_exactly(
    limited: tuple[Running, str, str], whole: dict[str, Any]
) -> None:
    study, job, key = limited
    resumed(study, job, key, whole)
    assert study.words(job) == ["started 0", "ended 3", "requeued", "started 1", "ended 0"]
