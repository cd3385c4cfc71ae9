"""Kills, damage and refusals: what is finished stays, what is lost is said and made anew."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest
from e2e.test_study import cli, plan_of, records, work
from tiny import write_study

from compiler.errors import EnvironmentUnready
from compiler.plan import Plan
from compiler.render import machine, render, write
from runtime import scheduler, worker
from runtime.conduct import failures
from runtime.lease import born
from runtime.report.build import write_report
from runtime.store import Store, status


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to this"
        time.sleep(0.02)


def descendants(pid: int) -> list[int]:
    """Return a process and all below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += descendants(int(child))
    return found


def heed_signals() -> None:
    for number in scheduler.STOPPING:
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def running(study: Path, store: Store, finished: int) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a run that has left some records and has a stage in hand."""
    process = subprocess.Popen(
        cli(study),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=heed_signals,  # under `nohup` a run would rightly ignore a hang-up
    )
    try:
        wait_for(lambda: len(records(store)) >= finished and store.running())
        assert process.poll() is None, "it had ended before it could be disturbed"
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def goes_on(study: Path, store: Store, before: dict[str, int]) -> None:
    """Run a study again, and see that it ends well without running a finished part again."""
    assert before
    done = subprocess.run(cli(study), capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    after = records(store)
    assert {key: after[key] for key in before} == before, "a finished part was run again"
    assert set(status(store, plan_of(study)).values()) == {"done"}
    assert nothing_left(store)


def nothing_left(store: Store) -> bool:
    return not [*(store.root / "tmp").iterdir(), *(store.root / "leases").iterdir()]


@pytest.mark.slow
@pytest.mark.parametrize("finished", [1, 9, 16])
def test_kill_9_loses_only_the_stage_in_hand(tmp_path: Path, finished: int) -> None:
    study = write_study(tmp_path, seeds=[1, 2], targets=["colours"])
    store = Store(tmp_path / "build" / "store")
    with running(study, store, finished) as process:
        for pid in descendants(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()
    before = records(store)
    goes_on(study, store, before)


@pytest.mark.slow
def test_jobs_end_when_their_scheduler_was_killed(tmp_path: Path) -> None:
    study = write_study(tmp_path, seeds=[1, 2, 3])
    store = Store(tmp_path / "build" / "store")
    with running(study, store, 18) as process:
        family = descendants(process.pid)
        assert len(family) > 3
        process.kill()
        process.wait()
        wait_for(lambda: not any(born(pid) for pid in family), 30)
    assert nothing_left(store), "the worker must tidy up"
    assert "the run that started this job is gone" in "".join(
        path.read_text() for path in (tmp_path / "build" / "tiny" / "logs").glob("*.log")
    )
    goes_on(study, store, records(store))


@pytest.mark.slow
@pytest.mark.parametrize("number", scheduler.STOPPING)
def test_a_run_that_is_asked_to_stop_leaves_nothing_running(
    tmp_path: Path, number: signal.Signals
) -> None:
    study = write_study(tmp_path, seeds=[1, 2, 3])
    store = Store(tmp_path / "build" / "store")
    with running(study, store, 18) as process:
        family, before = descendants(process.pid), records(store)
        process.send_signal(number)
        wait_for(lambda: process.poll() is not None, 30)
        assert process.returncode == 130
        assert not any(born(pid) for pid in family)
    assert nothing_left(store)
    after = records(store)
    assert {key: after[key] for key in before} == before


def group(script: str, folder: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(["bash", "-c", script], cwd=folder, start_new_session=True)
    wait_for((folder / "ready").exists, 20)
    return process


def test_stopping_waits_for_what_outlives_the_script(tmp_path: Path) -> None:
    script = "(trap 'sleep 1; touch tidied; exit' TERM; touch ready; while :; do sleep 0.1; done)&"
    process = group(f"{script} wait", tmp_path)
    scheduler.stop({"job": process})
    assert (tmp_path / "tidied").exists()
    assert not scheduler._signal(process, 0)


def test_stopping_kills_what_does_not_listen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "GRACE", 0.5)
    process = group("trap '' TERM; touch ready; while :; do sleep 0.1; done", tmp_path)
    scheduler.stop({"job": process})
    assert process.returncode == -signal.SIGKILL


def test_a_lost_interruption_is_noticed_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_asked", Event())
    worker.check()
    with pytest.raises(worker.Stopped), worker.interruptible():
        worker._stop(signal.SIGTERM, None)
    worker._stop(signal.SIGTERM, None)  # not once more, in the middle of tidying up
    with pytest.raises(worker.Stopped):
        worker.check()


def test_a_signal_waits_while_a_lease_is_taken_or_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "_asked", Event())
    worker._stop(signal.SIGTERM, None)
    with pytest.raises(worker.Stopped), worker.interruptible():
        raise AssertionError("work was begun after the process was asked to stop")


def compiled(tmp_path: Path, script: str) -> tuple[Plan, Path, Store]:
    """Compile a study, and put another script in the place of each launch script."""
    plan = plan_of(write_study(tmp_path, seeds=[1], targets=["colours"]))
    folder, store = tmp_path / "build" / "tiny", Store(tmp_path / "build" / "store")
    store.prepare()
    write(render(plan) | {"env.sh": machine(sys.executable, store.root, folder)}, folder)
    for job in plan.jobs:
        (folder / "launch" / f"{job.name}.sh").write_text(script)
    return plan, folder, store


@pytest.mark.parametrize(("script", "code"), [("kill -9 $$", -9), ("no_such_python", 127)])
def test_jobs_that_die_without_a_word_are_named(tmp_path: Path, script: str, code: int) -> None:
    plan, folder, store = compiled(tmp_path, script)
    codes = scheduler.run(plan, folder, store, 2, lambda progress: None)
    said = failures(plan, store, status(store, plan), codes)
    first, *others = plan.jobs
    assert f"job {first.name} ended early, exit code {code} [logs/{first.name}.log]" in said
    assert not [job.name for job in others if job.after and f"job {job.name} " in said]


def test_a_missing_bash_is_not_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, folder, store = compiled(tmp_path, "")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentUnready, match="E005: bash cannot be started"):
        scheduler.run(plan, folder, store, 1, lambda progress: None)


def test_damage_costs_only_what_is_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_of(write_study(tmp_path, seeds=[1], targets=["colours"]))
    store = Store(tmp_path / "store")
    assert work(plan, store) == 0
    before = records(store)
    trained, other = [key for key, stage in plan.stages.items() if stage.kind == "train"][:2]
    path = store.folder(trained) / "record.json"
    path.write_bytes(path.read_bytes()[:100])
    (store.folder(other).parent / "failure.json").write_text("{")
    assert work(plan, store) == 0
    assert f"{trained}/all is made anew" in capsys.readouterr().out
    after = records(store)
    assert {key for key in before if after[key] != before[key]} == {f"{trained}/all"}
    assert [path.name for path in (store.root / "damaged").iterdir()] == [trained]


def test_changed_weights_are_made_anew(tmp_path: Path) -> None:
    plan = plan_of(write_study(tmp_path, seeds=[1], targets=["colours"]))
    store = Store(tmp_path / "store")
    assert work(plan, store) == 0
    run = next(run for run in plan.runs if run.train is not None)
    assert run.train is not None
    path = store.folder(run.train) / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    part = plan.stages[run.score].parts[0]
    (store.folder(run.score, part) / "record.json").unlink()
    again = Store(store.root)
    assert work(plan, again) == 3
    failure = again.failure(run.score)
    assert failure is not None
    assert "weights.safetensors has changed" in failure.message
    assert work(plan, Store(store.root)) == 0
    assert set(status(store, plan).values()) == {"done"}


def test_a_store_that_refuses_one_stage_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(write_study(tmp_path, seeds=[1], targets=["colours"]))
    store = Store(tmp_path / "store")
    refused = [key for key, stage in plan.stages.items() if stage.kind == "train"][-1]
    forgive = Store.forgive

    def refuse(self: Store, key: str) -> None:
        if key == refused:
            raise PermissionError(13, "Permission denied")
        forgive(self, key)

    monkeypatch.setattr(Store, "forgive", refuse)
    assert work(plan, store) == 3
    states = status(store, plan)
    assert states.pop(refused) == "failed"
    assert set(states.values()) == {"done", "blocked"}


@pytest.mark.slow
def test_when_all_fails_the_failures_are_named(tmp_path: Path) -> None:
    study = write_study(tmp_path, seeds=[1], targets=["colours"])
    for path in (tmp_path / "own" / "data").iterdir():
        path.write_text('{"text": "x"}\n')
    done = subprocess.run(cli(study), capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "F001" in done.stderr
    assert ": data: " in done.stderr
    assert "[logs/prepare" in done.stderr
    assert "no report: no score is finished yet" in done.stdout


def test_a_report_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "report").write_text("in the way")
    with pytest.raises(EnvironmentUnready, match="move away what lies in its place"):
        write_report({"a.txt": b"1"}, tmp_path / "report")
    (tmp_path / "second" / "b.txt").mkdir(parents=True)
    with pytest.raises(EnvironmentUnready, match="E001"):
        write_report({"b.txt": b"1"}, tmp_path / "second")
    assert [path.name for path in (tmp_path / "second").iterdir()] == ["b.txt"]
