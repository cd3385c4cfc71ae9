"""Where a retry runs, which of its jobs Slurm gets, and how the run of a folder is ended."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from manystages import fail, finish, many
from typer.testing import CliRunner

from compiler.errors import EnvironmentUnready
from compiler.plan import Plan
from compiler.render import alone, host, occupant
from compiler.site import Site
from runtime import abilities, cluster, conduct, halt, reasons, slurm
from runtime.cli import app
from runtime.store import Store
from runtime.submissions import load

HOLD = """
import sys, time
from pathlib import Path
from compiler.render import alone
with alone(Path(sys.argv[1])):
    print("here", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Plan, Store]:
    """A plan of which one training failed, in the place of any study file."""
    plan, store = many(8, jobs=4), Store(tmp_path / "build" / "store")
    finish(plan, store, ["prepare-t-v1-aa"])
    fail(store, next(key for key in plan.stages if key.startswith("train-a")))
    monkeypatch.setattr(conduct, "expanded", lambda study, installed=True: plan)
    monkeypatch.setattr(abilities, "refuse_unknown", lambda plan, engine="local": None)
    return plan, store


def submitted(plan: Plan, store: Store) -> None:
    kept = load(store, plan.name)
    kept.intend("t", "array", "2026-01-01T00:00:00+00:00", {0: plan.jobs[1].name})
    kept.settle("t", "77")


def retry(store: Store, *words: str) -> tuple[int, str]:
    at = ["--build", str(store.root.parent)]
    done = CliRunner().invoke(app, ["retry", "study.yaml", *words, *at])
    return done.exit_code, done.output


def test_a_retry_runs_where_the_study_ran(
    stuck: tuple[Plan, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, store = stuck
    calls: list[tuple[str, set[str]]] = []

    def here(*given: Any) -> None:
        calls.append(("local", set(given[-1])))

    def there(*given: Any) -> None:
        calls.append(("slurm", set(given[-1])))

    monkeypatch.setattr(conduct, "conduct", here)
    monkeypatch.setattr(conduct, "on_cluster", there)
    monkeypatch.setattr(conduct, "site_of", lambda plan, file: Site())
    wanted = {plan.jobs[1].name}
    code, said = retry(store)
    assert (code, calls) == (0, [("local", wanted)])
    assert "32 other stages are still to be done: stiltscale run study.yaml" in said
    submitted(plan, store)
    assert retry(store)[0] == retry(store, "--engine", "local")[0] == 0
    assert [engine for engine, _ in calls] == ["local", "slurm", "local"]
    assert [jobs for _, jobs in calls] == [wanted] * 3
    for words in (["--parallel", "2"], ["--engine", "local", "--cluster", "x.yaml"]):
        code, said = retry(store, *words)
        assert code == 2
        assert words[-2] in said

    def interrupted(*given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(conduct, "on_cluster", interrupted)
    code, said = retry(store)
    assert code == 130
    assert "Slurm goes on with the jobs" in said


def test_slurm_gets_the_chosen_jobs_alone(
    stuck: tuple[Plan, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, store = stuck
    folder, sent = tmp_path / "build" / "many", []

    def submit(words: list[str], folder: Path, variables: dict[str, str]) -> str:
        sent.append(words)
        return "78"

    monkeypatch.setattr(slurm, "queue", dict)
    monkeypatch.setattr(slurm, "submit", submit)
    assert cluster.submit(plan, folder, store, Site(), {plan.jobs[1].name}) == (1, 1, 0)
    assert [word for word in sent[0] if "--dependency" in word] == []
    assert set(load(store, plan.name).jobs) == {plan.jobs[1].name}


def test_the_run_of_a_folder_is_found_and_ended(tmp_path: Path) -> None:
    assert halt.halt(tmp_path / "nothing") is None
    assert not (tmp_path / "nothing").exists(), "looking leaves nothing behind"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    assert occupant(tmp_path) == (host(), process.pid)
    with pytest.raises(EnvironmentUnready, match=f"E003.*process {process.pid} on"):
        alone(tmp_path).__enter__()
    begun = time.monotonic()
    assert process.poll() is None
    assert halt.halt(tmp_path) == process.pid
    assert time.monotonic() - begun < halt.PATIENCE
    assert process.wait(timeout=5) != 0
    process.stdout.close()
    assert halt.halt(tmp_path) is None
    with alone(tmp_path):
        (tmp_path / ".lock").write_text("another-machine 1\n")
        with pytest.raises(EnvironmentUnready, match="E072: the run is process 1 on another-m"):
            halt.halt(tmp_path)


def test_words_are_folded_to_the_terminal() -> None:
    long = "    to do: " + "words " * 20 + "\n\n  end\n"
    lines = reasons.folded(long, 50).splitlines()
    assert max(map(len, lines)) <= 50
    assert lines[0].startswith("    to do: words")
    assert lines[1].startswith("      words"), "what goes on stands further in"
    assert lines[-2:] == ["", "  end"]
    assert " ".join(" ".join(lines).split()) == " ".join(long.split())
