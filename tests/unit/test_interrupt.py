"""Ctrl-C in a terminal ends what only looks: no traceback, a code that says so, nothing changed."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compiler.plan import Plan
from runtime import conduct, scheduler
from runtime.lease import born, host
from runtime.store import Store

STUDY = Path(__file__).parents[2] / "specs" / "studies" / "quickstart.yaml"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, str, Path]:
    """A study, a stage that this process says that it runs, and the folder of the output."""
    folder = tmp_path_factory.mktemp("interrupt")
    plan = conduct.expanded(STUDY, installed=False)
    store = Store(folder / "build" / "store")
    store.prepare()
    key = next(iter(plan.stages))
    owner = {"host": host(), "pid": os.getpid(), "born": born(os.getpid()), "name": "0" * 16}
    (store.root / "leases" / f"{key}.json").write_text(json.dumps(owner))
    job = next(job for job in plan.jobs if key in job.stages)
    log = folder / "build" / plan.name / scheduler.log_of(job.name)
    log.parent.mkdir(parents=True)
    log.write_text("begun\n")
    return plan, key, folder


VERBS = {
    "status": (["--watch", "--every", "0.2"], "1 running", "what runs goes on", 130),
    "logs": (["--follow"], "begun", "what runs goes on", 130),
    "serve": (["--port", "0"], "Ctrl-C ends it", "", 0),
}
"""What a verb is given, what it shows when it is at work, what it says at its end, its code."""


@pytest.mark.parametrize("verb", VERBS)
def test_ctrl_c_in_a_terminal(running: tuple[Plan, str, Path], verb: str) -> None:
    words, shows, says, code = VERBS[verb]
    stage = [running[1]] if verb == "logs" else []
    main, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime.cli", verb, str(STUDY), *stage, *words],
        stdin=side, stdout=side, stderr=side, cwd=running[2], start_new_session=True,
        env=os.environ | {"TERM": "xterm"},
        preexec_fn=own_terminal,
    )  # fmt: skip
    os.close(side)
    try:
        text = until(main, shows)
        os.write(main, b"\x03")
        text += until(main, None)
        assert process.wait(timeout=20) == code, text
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(main)
    assert "Traceback" not in text
    assert says in text
    assert "Aborted" not in text


def test_a_signal_without_a_terminal(running: tuple[Plan, str, Path]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime.cli", "status", str(STUDY), "--watch", "--every", "0.2"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=running[2], text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )  # fmt: skip
    assert process.stdout is not None
    assert "quickstart: 0 of" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said == "no longer watched; what runs goes on\n"


def own_terminal() -> None:
    """Make the process's input its controlling terminal, which turns ^C into a signal."""
    import fcntl
    import termios

    signal.signal(signal.SIGINT, signal.default_int_handler)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def until(handle: int, words: str | None, seconds: float = 60) -> str:
    """Read a terminal until it has shown some words; with None, until nobody writes to it."""
    deadline, text = time.monotonic() + seconds, ""
    while words is None or words not in text:
        assert time.monotonic() < deadline, text
        try:
            data = os.read(handle, 65536)
        except OSError:  # all who had it open are gone
            data = b""
        text += data.decode("utf-8", "replace")
        if not data:
            assert words is None, text
            break
    return text
