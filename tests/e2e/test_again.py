"""A stage fails, is looked into, mended and tried again, and a run is cancelled: by the words."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.test_faults import descendants, heed_signals, wait_for
from e2e.test_store_trust import SECRETS
from e2e.test_study import cli, plan_of, records
from tiny import write_study
from typer.testing import CliRunner

from compiler.plan import Plan
from compiler.render import occupant
from runtime.cli import app
from runtime.lease import born
from runtime.scheduler import STOPPING
from runtime.store import Store, status

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """A run in this process heeds signals in its own way, and ends with the process."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    yield
    for number, heed in before.items():
        signal.signal(number, heed)


def say(verb: str, study: Path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(
        app, [verb, str(study), *words, "--build", str(study.parent / "build")]
    )
    return done.exit_code, done.output


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan, str, str]:
    """A study that was cancelled, then run to its end with a row that is wrong."""
    folder = tmp_path_factory.mktemp("again")
    study = write_study(
        folder, layers=(1,), seeds=[1], targets=["colours", "tags"], languages=["en", "de"]
    )
    file = folder / "own" / "data" / "tags.test.de.jsonl"
    good = file.read_text()
    file.write_text('{"tokens": "red"}\n')
    plan, store = plan_of(study), Store(folder / "build" / "store")

    process = subprocess.Popen(
        cli(study), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=heed_signals, env=os.environ | SECRETS,
    )  # fmt: skip
    try:
        wait_for(lambda: len(records(store)) > 1 and store.running())
        family = descendants(process.pid)
        code, said = say("cancel", study)
        assert code == 0, said
        assert said.startswith(f"the run on this machine has ended (process {process.pid})")
        _, words = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.communicate()
    assert process.returncode == 130
    assert words == "stopped; finished stages are kept. Run the same command to go on.\n"
    assert not any(born(pid) for pid in family)
    assert occupant(folder / "build" / "tiny") is None
    assert say("cancel", study) == (0, "tiny: nothing is queued or runs that could be ended\n")
    before = records(store)
    assert before

    done = subprocess.run(
        cli(study), capture_output=True, text=True, check=False, timeout=240,
        env=os.environ | SECRETS,
    )  # fmt: skip
    for path in (folder / "build").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert not [name for name, value in SECRETS.items() if value.encode() in content], path
    assert not [name for name, value in SECRETS.items() if value in done.stdout + done.stderr]
    assert done.returncode == 3, done.stdout + done.stderr
    assert {key: when for key, when in records(store).items() if key in before} == before
    return study, plan, good, done.stderr


def test_what_failed_is_looked_into_mended_and_tried_again(
    failed: tuple[Path, Plan, str, str],
) -> None:
    study, plan, good, _ = failed
    store = Store(study.parent / "build" / "store")
    states = status(store, plan)
    bad = [key for key, state in states.items() if state == "failed"]
    blocked = [key for key, state in states.items() if state == "blocked"]
    assert [plan.stages[key].kind for key in bad] == ["prepare"]
    assert {plan.stages[key].kind for key in blocked} == {"evaluate"}

    code, said = say("status", study)
    assert code == 3
    assert "1 failed, 2 blocked" in said
    code, said = say("why", study, blocked[0])
    assert code == 0
    assert "row 0 lacks tags" in said
    assert said.rstrip().endswith(f"stiltscale retry {study.as_posix()} {blocked[0]}")
    code, said = say("logs", study, bad[0])
    assert code == 0
    assert "row 0 lacks tags" in said
    code, said = say("logs", study, bad[0], "--follow")  # it has ended, and so does this
    assert code == 0
    for words, code, shown in (
        (["evaluate"], 1, "P007"), (["nonsense"], 1, "P008"),
        ([bad[0], "--failed"], 2, "not both"), ([bad[0], "--cluster", "x.yaml"], 2, "--cluster"),
        ([bad[0], "--engine", "slurm", "--parallel", "2"], 2, "--parallel"),
    ):  # fmt: skip
        found, said = say("retry", study, *words)
        assert (found, shown in said) == (code, True), said
    before = records(store)
    (study.parent / "own" / "data" / "tags.test.de.jsonl").write_text(good)
    code, said = say("retry", study, blocked[0])
    assert code == 0, said
    assert set(status(Store(store.root), plan_of(study)).values()) == {"done"}
    assert say("retry", study, blocked[0]) == (0, f"{blocked[0]} is done\n")
    assert say("retry", study) == (0, "tiny: no stage has failed\n")
    after = records(store)
    assert {key: after[key] for key in before} == before
