"""Leaving a machine: a training is saved first, all else stops at once."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from threading import Event

import pytest
import torch

from runtime import leave, worker
from runtime.checkpoint import Checkpoints


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a process that nobody has asked to leave."""
    kept = Event()
    kept.set()
    monkeypatch.setattr(leave, "_asked", Event())
    monkeypatch.setattr(leave, "_kept", kept)
    monkeypatch.setattr(worker, "_asked", Event())
    monkeypatch.delenv("RANK", raising=False)


def test_without_a_training_it_stops_at_once() -> None:
    with pytest.raises(worker.Stopped), worker.interruptible():
        worker._leave(signal.SIGTERM, None)


def test_a_training_is_saved_first(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "train-x", minutes=60)
    (tmp_path / "tmp").mkdir()
    with worker.interruptible(), leave.keeping(True):
        assert not checkpoints.due()
        worker._leave(signal.SIGUSR1, None)
        worker.check()
        assert checkpoints.due(), "a checkpoint is wanted now"
        checkpoints.save(3, {"x": torch.zeros(1)}, {})
        assert not checkpoints.due()
        with pytest.raises(worker.Stopped):
            worker.check()
    assert checkpoints.latest() is not None


def test_a_training_that_ends_before_it_is_saved_is_the_last() -> None:
    with worker.interruptible(), leave.keeping(True):
        worker._leave(signal.SIGUSR1, None)
        worker.check()
    with pytest.raises(worker.Stopped):
        worker.check()


def test_a_checkpoint_of_before_does_not_count() -> None:
    with leave.keeping(True):
        leave.saved()
        leave.ask()
        assert leave.asked()
        assert not leave.due()


def test_one_that_is_led_does_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    gone: list[int] = []
    monkeypatch.setattr(worker.os, "_exit", gone.append)
    monkeypatch.setattr(worker, "PARTING", 0.05)
    worker._leave(signal.SIGUSR1, None)
    worker.check()
    assert gone == []
    worker._leave(signal.SIGTERM, None)
    worker.check()
    deadline = time.monotonic() + 5
    while not gone and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gone == [143]


def test_the_file_that_a_script_leaves_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    before[signal.SIGUSR1] = signal.getsignal(signal.SIGUSR1)
    monkeypatch.setattr(worker, "LOOK", 0.01)
    monkeypatch.setenv("STILTSCALE_LEAVE", str(tmp_path / "leave"))
    monkeypatch.delenv("STILTSCALE_SCHEDULER", raising=False)
    try:
        worker.listen()
        (tmp_path / "leave").touch()
        with pytest.raises(worker.Stopped), worker.interruptible():
            time.sleep(5)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
