"""What takes minutes on Slurm: the embedded study here and there, and thousands of real stages."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cluster import lacking, slurm
from e2e.test_slurm import ROOT, SETTINGS, begun, call, result, training
from e2e.test_study import plan_of, work
from tiny import write_study

from compiler.site import Site
from runtime.store import Store, status

pytestmark = [pytest.mark.long, pytest.mark.skipif(bool(lacking()), reason=lacking() or "it is")]


@pytest.fixture(scope="module", autouse=True)
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("long") / "cluster"
    with slurm(folder) as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in {**variables, "PYTHONPATH": str(ROOT)}.items():
            patch.setenv(name, value)
        yield


def run(study: Path, build: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "runtime.cli", "run", str(study), "--build", str(build), *words],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=3 * 3600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    return done.stdout


def on_slurm(folder: Path, **settings: object) -> tuple[str, ...]:
    file = folder / "site.yaml"
    file.write_text(yaml.safe_dump(SETTINGS | {"minutes": 240} | settings))
    return ("--engine", "slurm", "--cluster", str(file))


CAPTION = re.compile(
    r"^(?:\*\*(.+)\*\*|## (.+)|.*<h2[^>]*>(.+)</h2>|"
    r"<caption><span>(.+)</span></caption>|\\caption\{(.+)\}.*)$"
)
CLOCKS = ("Hours spent, and gain in points for each hour of intermediate training", "Compute")
"""Tables of a report that tell of hours and memory."""


def differences(one: Path, other: Path) -> list[str]:
    """Return what differs between two reports, but for what a clock or a gauge said.

    The PDF, which is compressed, is made from the same tables.
    """
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    found = []
    for name in set(names) - {"report.pdf"}:
        pair = [(folder / name).read_bytes() for folder in (one, other)]
        if name == "report.json":
            bodies = [json.loads(text) for text in pair]
            for body in bodies:
                del body["costs"], body["provenance"]["compute"], body["provenance"]["last record"]
            if bodies[0] != bodies[1]:
                found.append(name)
        elif pair[0] != pair[1] and Path(name).suffix in (".html", ".md", ".tex"):
            found += [f"{name}: {line}" for line in unlike(*(text.decode() for text in pair))]
        elif pair[0] != pair[1]:
            found.append(name)
    return found


def unlike(one: str, other: str) -> list[str]:
    """Return the lines that differ, but in those tables and in the time of the last record."""
    found, caption = [], ""
    for left, right in zip(one.splitlines(), other.splitlines(), strict=True):
        if said := CAPTION.match(left):
            caption = next(word for word in said.groups() if word)
        if left != right and caption not in CLOCKS and "Last record" not in left:
            found.append(f"{caption}: {left[:300]} | {right[:300]}")
    return found


def test_the_embedded_study_is_reported_as_if_it_had_run_here(tmp_path: Path) -> None:
    study = ROOT / "specs/studies/quickstart.yaml"
    said = run(study, tmp_path / "there", *on_slurm(tmp_path))
    assert "10 jobs submitted in 2 arrays, 0 were there already" in said
    run(study, tmp_path / "here")
    plan = plan_of(study)
    assert len(plan.stages) == 179
    for key, stage in plan.stages.items():
        for part in stage.parts:
            one, other = (
                Store(tmp_path / side / "store").record(key, part) for side in ("here", "there")
            )
            assert one is not None
            assert other is not None
            assert {k: v["sha256"] for k, v in one.outputs.items()} == {
                k: v["sha256"] for k, v in other.outputs.items()
            }, (key, part)
    assert differences(*(tmp_path / side / "quickstart/report" for side in ("here", "there"))) == []


def test_a_job_that_saves_too_late_goes_on_by_the_same_command(tmp_path: Path) -> None:
    study, _, key = training(tmp_path / "whole")
    assert work(study.plan, study.store) == 0
    whole = result(study, key)
    soon = Site.model_validate({**SETTINGS, "notice_seconds": 10})
    study, job, key = training(tmp_path / "study", soon)
    study.submit()
    begun(study, key)
    pid = int(study.store.running()[key]["pid"])
    os.kill(pid, signal.SIGSTOP)
    minutes = int(call("squeue", "-h", "-j", study.id(job), "-o", "%M").split(":")[0]) + 1
    call("scontrol", "update", f"JobId={study.id(job)}", f"TimeLimit={minutes}")
    while study.state(job) in ("RUNNING", "COMPLETING"):  # Slurm itself lets it go on, to end it
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
        time.sleep(0.01)
    assert study.follow() == {}, "nothing is left to follow"
    assert study.state(job) == "TIMEOUT"
    assert study.submit() == (1, 1, 0)
    assert study.follow() == {}, study.logs()
    assert result(study, key) == whole


ASKED = ("sbatch", "squeue", "sacct", "scontrol", "scancel", "sinfo")


def counted(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Let Slurm's commands write a line each time they are called; return where."""
    log = folder / "asked.txt"
    (folder / "bin").mkdir()
    for name in ASKED:
        script = folder / "bin" / name
        real = shutil.which(name) or "/bin/false"
        script.write_text(f'#!/bin/sh\necho {name} >>"{log}"\nexec {real} "$@"\n')
        script.chmod(0o755)
    patch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    return log


def test_thousands_of_stages_run_and_the_controller_is_left_in_peace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write_study(
        tmp_path, layers=(1, 2), seeds=list(range(1, 15)), controls=["placebo", "step_matched"],
        intermediate=["things", "colours", "tags", {"name": "both", "mix": ["things", "tags"]},
                      {"name": "then", "chain": ["tags", "things"]}],
        recipe={"name": "tiny", "defaults": {"steps": 2, "batch": 4}},
    )  # fmt: skip
    plan, store = plan_of(study), Store(tmp_path / "build/store")
    assert len(plan.stages) > 2000
    words = on_slurm(tmp_path, poll_seconds=5.0)
    log = counted(tmp_path, monkeypatch)
    started = time.monotonic()
    said = run(study, tmp_path / "build", *words)
    took = time.monotonic() - started
    assert f"{len(plan.jobs)} jobs submitted in 2 arrays, 0 were there already" in said
    assert set(status(store, plan).values()) == {"done"}
    asked = Counter(log.read_text().split())
    print(f"{len(plan.stages)} stages, {len(plan.jobs)} jobs, {took:.0f} s, {dict(asked)}")
    assert asked["sbatch"] == 2
    assert asked["squeue"] <= took / 5 + 2, "one look at the whole queue at a time"
    assert set(asked) == {"sbatch", "squeue"}
