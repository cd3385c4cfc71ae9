"""Leases when clocks jump, locks and links are missing, and several want one at once."""

from __future__ import annotations

import errno
import fcntl
import itertools
import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import pytest

from compiler.render import alone, host
from runtime import lease as leases
from runtime.store import Store, sweep

KEY = "train-a"
GONE = 2**22 + 1


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    made.prepare()
    return made


def left(store: Store, owner: str, pid: int = GONE, name: str = "0" * 16) -> Path:
    """Leave the lease of a process that is gone, or of one on another machine."""
    path = store.root / "leases" / f"{KEY}.json"
    path.write_text(json.dumps({"host": owner, "pid": pid, "born": "1", "name": name}))
    return path


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.steady, self.wall = 1000.0, 1e9

    def monotonic(self) -> float:
        return self.steady

    def time(self) -> float:
        return self.wall


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(leases, "_seen", {})
    monkeypatch.setattr(leases.time, "monotonic", made.monotonic)
    monkeypatch.setattr(leases.time, "time", made.time)
    return made


@pytest.mark.parametrize("ahead", [-1e8, -3600.0, 0.0, 3600.0, 1e8], ids=str)
def test_a_living_process_elsewhere_keeps_its_lease_whatever_the_clocks_say(
    store: Store, clock: Clock, ahead: float
) -> None:
    """The other machine's clock is ahead or behind by hours or years, and it beats on."""
    path = left(store, "elsewhere")
    for beat in range(40):
        os.utime(path, (clock.wall + ahead + beat, clock.wall + ahead + beat))
        for _ in range(5):
            assert store.lease(KEY) is None
            clock.steady += leases.HEARTBEAT / 5
            clock.wall += leases.HEARTBEAT / 5


@pytest.mark.parametrize("ahead", [-1e8, -3600.0, 0.0, 3600.0, 1e8], ids=str)
def test_a_dead_process_elsewhere_loses_it_in_a_minute_whatever_the_clocks_say(
    store: Store, clock: Clock, ahead: float
) -> None:
    path = left(store, "elsewhere")
    os.utime(path, (clock.wall + ahead, clock.wall + ahead))
    assert store.lease(KEY) is None, "seen for the first time"
    clock.steady += leases.STALE + 1
    lease = store.lease(KEY)
    assert lease is not None
    lease.release()
    assert not list((store.root / "leases").iterdir())


def test_the_clock_of_this_machine_may_jump(store: Store, clock: Clock) -> None:
    lease = store.lease(KEY)
    assert lease is not None
    for jump in (1e9, -2e9):
        clock.wall += jump
        clock.steady += 1000
        assert store.lease(KEY) is None, "its process is alive: no clock is asked"
    lease.release()


def race(root: str, start: Any, found: Any, number: int) -> None:
    """Take the lease when told to, and say for how long it was held; several times.

    On a busy machine one may not come to it in its time, and goes on until it has had it once.
    """
    store = Store(Path(root))
    start.wait()
    end, had = time.monotonic() + 0.25, False
    while time.monotonic() < (end if had else end + 20.0):
        lease = store.lease(KEY)
        if lease is not None:
            had = True
            begun = time.monotonic()
            time.sleep(0.001)
            found.put((begun, time.monotonic(), number))
            if number == 0:  # dies with it: what it held must be inherited by one alone
                lease._stop.set()
                os._exit(0)
            lease.release()


def test_never_two_have_a_lease_that_many_want_and_some_die_with(store: Store) -> None:
    """The third of three: one buries a dead lease while a second has it and a third comes."""
    context = multiprocessing.get_context("fork")
    for _ in range(6):
        left(store, host())
        start, found = context.Event(), context.SimpleQueue()
        people = [
            context.Process(target=race, args=(str(store.root), start, found, number))
            for number in range(6)
        ]
        for one in people:
            one.start()
        start.set()
        for one in people:
            one.join()
        held = []
        while not found.empty():
            held.append(found.get())
        held.sort()
        assert len({number for *_, number in held}) > 1, "they did not meet"
        for before, after in itertools.pairwise(held):
            assert before[1] <= after[0], "two held it at once"
        sweep(store)
        assert not list((store.root / "leases").iterdir())


def test_the_line_of_heirs_is_as_it_is_said(store: Store) -> None:
    """A dead lease has a dead heir; one inherits from that, and gives all of it back."""
    path = left(store, host())
    first = leases.holders(path)[0]
    heir = path.with_name(f".{path.name}.{first.name}.heir")
    heir.write_text(json.dumps({"host": host(), "pid": GONE, "born": "1", "name": "1" * 16}))
    lease = store.lease(KEY)
    assert lease is not None
    assert [holder.name for holder in leases.holders(path)] == ["0" * 16, "1" * 16, lease.name]
    assert store.running()[KEY]["name"] == lease.name
    lease.release()
    assert not list((store.root / "leases").iterdir())


def test_one_that_slept_too_long_does_not_take_it_back(store: Store, clock: Clock) -> None:
    slept = store.lease(KEY)
    assert slept is not None
    path = slept.path
    path.write_text(path.read_text().replace(host(), "elsewhere"))
    assert store.lease(KEY) is None
    clock.steady += leases.STALE + 1
    other = store.lease(KEY)
    assert other is not None
    slept.touch()
    slept.release()
    assert leases.holders(path)[-1].name == other.name
    other.release()
    assert not list((store.root / "leases").iterdir())


def test_a_kill_while_a_line_is_given_back_is_swept(store: Store) -> None:
    orphan = store.root / "leases" / f".{KEY}.json.{'2' * 16}.heir"
    orphan.write_text("{}")
    sweep(store)
    assert not orphan.exists()


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_links_and_locks(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    def unlocked(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(fcntl, "flock", unlocked)
    monkeypatch.setattr(fcntl, "lockf", unlocked)
    left(store, host())
    with alone(tmp_path / "out"):
        lease = store.lease(KEY)
        assert lease is not None
        assert store.lease(KEY) is None
        lease.release()
    assert not list((store.root / "leases").iterdir())


@pytest.mark.parametrize("text", ["", "[]", '{"host": 1}', "[" * 100_000, '{"pid": 1e999}'])
def test_an_odd_lease_is_nobodys(store: Store, clock: Clock, text: str) -> None:
    (store.root / "leases" / f"{KEY}.json").write_text(text)
    assert isinstance(store.running(), dict)
    assert store.lease(KEY) is None
    clock.steady += leases.STALE + 1
    lease = store.lease(KEY)
    assert lease is not None
    lease.release()
    assert not list((store.root / "leases").iterdir())
