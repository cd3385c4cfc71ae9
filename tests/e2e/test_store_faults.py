"""Memory, quotas, read-only disks, stages that hang, and signals to a script started by hand."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e.test_faults import heed_signals
from e2e.test_study import cli, plan_of, records, work
from tiny import write_study
from typer.testing import CliRunner

from compiler.errors import EnvironmentUnready
from compiler.plan import Plan
from compiler.render import machine, render, write
from runtime import audit
from runtime.cli import app
from runtime.collect import collect
from runtime.lease import born
from runtime.store import Store, status, sweep

MEMORY = """
import resource, sys
from pathlib import Path
import torch
from compiler.plan import load
from runtime.stages import train as stage
from runtime.store import Store
from runtime.worker import Worker

real = stage.train

def greedy(*words, **more):
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, resource.RLIM_INFINITY))
    try:
        wanted = torch.ones(2**31, dtype=torch.uint8)  # 2 GiB, of which a quarter of one is there
        return real(*words, **more)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

stage.train = greedy
plan, store = load(Path(sys.argv[1])), Store(Path(sys.argv[2]))
store.prepare()
sys.exit(max(Worker(plan, store, j.stages, 1, store.root.parent).run() for j in plan.jobs))
"""

HANG = """
import sys, threading
from runtime import worker
from runtime.stages import prepare

def hang(session, stage, part, folder, tell):
    tell(part=part)
    (folder / "half").write_text("x")
    threading.Event().wait()

prepare.run = hang
sys.exit(worker.main(sys.argv[1:]))
"""


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to this"
        time.sleep(0.02)


@pytest.fixture
def compiled(tmp_path: Path) -> tuple[Plan, Path, Store]:
    """A plan with its launch scripts, and its empty store."""
    plan = plan_of(
        write_study(tmp_path, layers=(1,), seeds=[1], targets=["colours"], languages=["en", "de"])
    )
    folder, store = tmp_path / "build" / "tiny", Store(tmp_path / "build" / "store")
    write(render(plan) | {"env.sh": machine(sys.executable, store.root, folder)}, folder)
    return plan, folder, store


@pytest.mark.slow
def test_a_limit_of_memory_is_classed(compiled: tuple[Plan, Path, Store]) -> None:
    plan, folder, store = compiled
    words = [sys.executable, "-c", MEMORY, str(folder / "plan.json"), str(store.root)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 3, done.stdout + done.stderr
    failed = [key for key, state in status(store, plan).items() if state == "failed"]
    assert failed
    assert {plan.stages[key].kind for key in failed} == {"train"}
    for key in failed:
        failure = store.failure(key)
        assert failure is not None
        assert failure.failure_class == "oom", failure.message
    assert work(plan, Store(store.root)) == 0


@pytest.mark.slow
def test_a_stage_that_hangs_is_ended_and_classed(compiled: tuple[Plan, Path, Store]) -> None:
    plan, folder, store = compiled
    job = next(job for job in plan.jobs if not job.after)
    words = ["--plan", str(folder / "plan.json"), "--store", str(store.root), "--job", job.name]
    done = subprocess.run(
        [sys.executable, "-c", HANG, *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"STILTSCALE_STALL": "2"},
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert "in hang" in done.stderr, "the log says where it hangs"
    failure = store.failure(job.stages[0])
    assert failure is not None
    assert failure.failure_class == "timeout"
    assert "no progress and no computing" in failure.message
    assert not list((store.root / "leases").iterdir())
    sweep(store)
    assert not list((store.root / "tmp").iterdir())
    assert work(plan, Store(store.root)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_a_signal_to_a_script_by_hand_reaches_its_worker(
    compiled: tuple[Plan, Path, Store], number: signal.Signals
) -> None:
    plan, folder, store = compiled
    job = next(job for job in plan.jobs if not job.after)
    with (folder / "by-hand.log").open("wb") as log:
        script = subprocess.Popen(
            ["bash", str(folder / "launch" / f"{job.name}.sh")],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=heed_signals,  # under `nohup` it would rightly ignore a hang-up
        )
    try:
        wait_for(store.running)
        worker = int(next(iter(store.running().values()))["pid"])
        script.send_signal(number)  # to the script alone
        script.wait(timeout=30)
        wait_for(lambda: not born(worker), 30)
    finally:
        if born(script.pid):
            os.killpg(script.pid, signal.SIGKILL)
    assert "stopped; finished stages are kept" in (folder / "by-hand.log").read_text()
    assert not list((store.root / "leases").iterdir())
    assert not list((store.root / "tmp").iterdir())


@pytest.mark.slow
def test_two_studies_on_one_store_share_and_keep_what_they_need(tmp_path: Path) -> None:
    """They run at once; what both need is done once, and `gc` for one leaves the other's."""
    made = {
        "one": write_study(tmp_path / "one", layers=(1,), seeds=[1], targets=["colours"]),
        "two": write_study(tmp_path / "two", layers=(1,), seeds=[1, 2], targets=["colours"],
                           study="other", languages=["en", "de"]),
    }  # fmt: skip
    plans = {name: plan_of(study) for name, study in made.items()}
    shared = plans["one"].stages.keys() & plans["two"].stages.keys()
    assert len(shared) > 4
    at = ["--store", str(tmp_path / "store")]
    both = [
        subprocess.Popen(
            [*cli(study), *at], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for study in made.values()
    ]
    for process in both:
        out, _ = process.communicate(timeout=300)
        assert process.returncode == 0, out
    logs = (log.read_text().splitlines() for log in tmp_path.glob("*/build/*/logs/*.log"))
    done = Counter(line.split()[1] for lines in logs for line in lines if line.startswith("done "))
    store = Store(tmp_path / "store")
    for plan in plans.values():
        assert set(status(store, plan).values()) == {"done"}
    # What one of them finished in parts is said to be done by each of them.
    parted = {k for k in shared if len({plan.stages[k].parts for plan in plans.values()}) > 1}
    assert not [key for key, times in done.items() if times > 1 and key not in parted]

    before = records(store)
    free = ["store", "gc", "--yes", "--build", str(tmp_path / "nothing"), *at]
    assert CliRunner().invoke(app, free).exit_code == 0
    assert records(store) == before, "both studies have left a note of what they need"
    next((store.root / "studies").glob("tiny-*")).unlink()
    assert CliRunner().invoke(app, free).exit_code == 0
    assert set(status(Store(store.root), plans["two"]).values()) == {"done"}
    assert len(records(store)) < len(before)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)]
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user may not mount a tmpfs")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_read_only_store_is_read_and_never_half_written(disk: Path, tmp_path: Path) -> None:
    plan = plan_of(write_study(tmp_path, layers=(1,), seeds=[1], targets=["pairs"]))
    store = Store(disk / "store")
    assert work(plan, store) == 0
    before = collect(plan, store)
    lost = store.folder(next(iter(plan.stages)), plan.stages[next(iter(plan.stages))].parts[0])
    (lost / "record.json").unlink()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        again = Store(store.root)
        assert collect(plan, again).equals(before)
        assert sum(audit.fault(part) == "" for part in audit.parts(again)) == len(records(store))
        with pytest.raises(EnvironmentUnready, match="E001: cannot write here: Read-only"):
            again.prepare()
        with pytest.raises(EnvironmentUnready, match="E001"):
            again.lease(next(iter(plan.stages)))
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    assert work(plan, Store(store.root)) == 0


def test_a_quota_is_told_from_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_of(write_study(tmp_path, layers=(1,), seeds=[1], targets=["pairs"]))
    store = Store(tmp_path / "store")
    real, calls = os.fsync, []

    def limited(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 12:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", limited)
        assert work(plan, store) == 3
    assert "disk: " in capsys.readouterr().out
    before = records(store)
    assert before
    assert work(plan, Store(store.root)) == 0
    after = records(store)
    assert {key: after[key] for key in before} == before
    assert json.loads((store.root / "store.json").read_text())["schema"]
