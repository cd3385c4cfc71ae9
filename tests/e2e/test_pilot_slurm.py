"""A pilot on a real Slurm: submitted, followed, and what it measured in the limits of the study."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cluster import lacking, slurm
from e2e.test_study import plan_of
from tiny import write_study
from typer.testing import CliRunner

from compiler.pilot import piloting, pilots
from runtime.cli import app
from runtime.store import Store
from runtime.submissions import load

ROOT = Path(__file__).parents[2]
CPU = {"device": "cpu", "threads": 1, "pack": "target"}

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(lacking()), reason=lacking() or "it is")]


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with (
        slurm(tmp_path_factory.mktemp("slurm") / "cluster", nodes=2) as variables,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in {**variables, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}.items():
            patch.setenv(name, value)
        yield


@pytest.mark.usefixtures("queue")
def test_a_cluster_measures_its_own_pace(tmp_path: Path) -> None:
    path = write_study(
        tmp_path, layers=(1,), seeds=[1], targets=["colours"], languages=["en"], hardware=CPU
    )
    site = tmp_path / "site.yaml"
    site.write_text(yaml.safe_dump({"minutes": 10, "poll_seconds": 0.2}))
    build = tmp_path / "build"
    words = [str(path), "--build", str(build)]
    engine = ["--engine", "slurm", "--cluster", str(site)]

    def said(*more: str) -> str:
        done = CliRunner().invoke(app, [*more])
        assert done.exit_code == 0, done.output + logs(build)
        return done.output

    asked = said("pilot", *words, *engine, "--dry-run")
    assert asked.count("accepted") == 2
    assert "nothing submitted" in asked
    store, plan = Store(build / "store"), plan_of(path)
    assert not load(store, "tiny-pilot").jobs
    sent = said("pilot", *words, *engine, "--detach")
    assert "2 jobs submitted in 2 arrays, 0 were there already" in sent
    followed = said("pilot", *words, *engine)
    assert "0 jobs submitted in 0 arrays" in followed or "nothing to run" in followed
    keys = {pilot.key for pilot in piloting(plan).values()}
    assert followed.count("s a step, at most") == len(keys) == 2
    for key in keys:
        record = store.record(key)
        assert record is not None
        assert record.result["pilot"]["of"]["device"] == "cpu"
        assert record.result["pilot"]["memory_bytes"] > 2**20
    assert set(load(store, "tiny-pilot").jobs) == {job.name for job in pilots(plan).jobs}
    assert "nothing to run" in said("pilot", *words, *engine)
    said("compile", *words, "--cluster", str(site))
    body = json.loads((build / "tiny" / "plan.json").read_text())
    assert body["execution"]["measured"]["tiny-1"]["measured_share"] == 1.0
    files = [file.read_text() for file in (build / "tiny" / "slurm").iterdir()]
    limits = {word for text in files for word in text.split() if word.startswith("--time=")}
    assert limits == {"--time=10", "--time=15"}  # without an estimate, and by the pilot's
    assert "nothing is queued or runs" in said("cancel", *words)
    said("compile", *words, "--pilot")
    assert (build / "tiny-pilot" / "submit.sh").is_file()


def logs(build: Path) -> str:
    return "\n".join(f"== {path}\n{path.read_text()}" for path in build.rglob("logs/**/*.*"))
