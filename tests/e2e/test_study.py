"""A whole study with tiny random models: from the file to the records, and what survives what."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from tiny import rows, write_rows, write_study

from compiler.check import check
from compiler.expand import expand
from compiler.plan import Plan
from runtime.store import Store, status
from runtime.worker import Worker


def plan_of(study: Path) -> Plan:
    return expand(check(study))


def work(plan: Plan, store: Store) -> int:
    """Run every job of a plan in this process, in order; return the worst exit code."""
    store.prepare()
    folder = store.root.parent
    return max(Worker(plan, store, job.stages, job.processes, folder).run() for job in plan.jobs)


def records(store: Store) -> dict[str, int]:
    """Return every record of a store with the time it was written."""
    return {
        f"{path.parent.parent.name}/{path.parent.name}": path.stat().st_mtime_ns
        for path in (store.root / "stages").glob("*/*/record.json")
    }


def scores(store: Store, plan: Plan) -> dict[str, float]:
    found = {}
    for cell in plan.cells():
        parts = [p for p in plan.stages[cell.stage].parts if p.split("@")[0] == cell.language]
        record = store.record(cell.stage, parts[0])
        assert record is not None
        found[f"{cell.model}/{cell.arm}/{cell.target}/{cell.language}/{cell.seed}"] = record.result[
            "value"
        ]
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan, Store]:
    """A study that has been run in this process."""
    folder = tmp_path_factory.mktemp("finished")
    study = write_study(folder)
    plan = plan_of(study)
    store = Store(folder / "store")
    assert work(plan, store) == 0
    return study, plan, store


def test_every_cell_has_a_score(finished: tuple[Path, Plan, Store]) -> None:
    _, plan, store = finished
    assert set(status(store, plan).values()) == {"done"}
    found = scores(store, plan)
    assert len(found) == 2 * 2 * 2 * (3 + 3 + 2)
    assert all(0 <= value <= 100 for value in found.values())


def test_training_learns(finished: tuple[Path, Plan, Store]) -> None:
    _, plan, store = finished
    fell = []
    for key, stage in plan.stages.items():
        if stage.kind == "train":
            record = store.record(key)
            assert record is not None
            fell.append(record.result["loss_first"] - record.result["loss_last"])
            assert record.provenance["accelerator"]["distributed_type"] == "NO"
            assert record.provenance["accelerator"]["processes"] == 1
    # Twelve steps of eight examples: a single loss may rise by the luck of its last batches.
    assert sum(fall > 0 for fall in fell) >= 0.9 * len(fell)


def test_a_second_run_starts_no_stage(finished: tuple[Path, Plan, Store]) -> None:
    _, plan, store = finished
    before = records(store)
    assert work(plan, store) == 0
    assert records(store) == before


def test_the_same_study_elsewhere_gives_the_same_scores(
    finished: tuple[Path, Plan, Store], tmp_path: Path
) -> None:
    _, plan, store = finished
    again = plan_of(write_study(tmp_path))
    other = Store(tmp_path / "store")
    assert work(again, other) == 0
    assert again.stages.keys() == plan.stages.keys(), "a key depends on where the study lies"
    assert scores(other, again) == scores(store, plan)


def test_a_language_and_a_seed_run_only_what_is_new(tmp_path: Path) -> None:
    study = write_study(tmp_path, seeds=[1], targets=["colours", "pairs"])
    store = Store(tmp_path / "store")
    assert work(plan_of(study), store) == 0
    before = records(store)

    write_study(
        tmp_path, seeds=[1], targets=["colours", "pairs"], languages=["en", "de", "fr", "ru"]
    )
    assert work(plan_of(study), store) == 0
    language = records(store)
    assert {k: language[k] for k in before} == before, "an old record was written again"
    new = set(language) - set(before)
    assert new, "the new language left no record"
    assert all(key.split("@")[0].endswith("ru") for key in new)

    write_study(tmp_path, seeds=[1, 5], targets=["colours", "pairs"])
    assert work(plan_of(study), store) == 0
    seed = records(store)
    assert {k: seed[k] for k in language} == language
    assert all("-s5-" in key for key in set(seed) - set(language))


def test_a_failure_blocks_only_what_depends_on_it(tmp_path: Path) -> None:
    study = write_study(tmp_path, seeds=[1])
    data = tmp_path / "own" / "data"
    broken = [dict(row, label="mauve") for row in rows("things", "en", 8, 1)]
    (data / "things.train.en.jsonl").write_text("\n".join(map(json.dumps, broken)))
    plan = plan_of(study)
    store = Store(tmp_path / "store")
    assert work(plan, store) == 3
    states = status(store, plan)
    failed = [key for key, state in states.items() if state == "failed"]
    assert [plan.stages[key].kind for key in failed] == ["prepare"]
    failure = store.failure(failed[0])
    assert failure is not None
    assert failure.failure_class == "data"
    assert "'mauve'; expected one of: cup" in failure.message
    direct = {r.score for r in plan.runs if r.arm == "none"}
    after = {r.score for r in plan.runs if r.arm != "none"}
    assert {states[key] for key in direct} == {"done"}
    assert {states[key] for key in after} == {"blocked"}

    write_rows(tmp_path / "own", "things", "train", "en", 64)
    mended = plan_of(study)
    assert work(mended, store) == 0
    assert set(status(store, mended).values()) == {"done"}


def test_one_bad_language_does_not_stop_the_others(tmp_path: Path) -> None:
    study = write_study(tmp_path, seeds=[1], targets=["colours"], intermediate=["things"])
    (tmp_path / "own" / "data" / "colours.test.de.jsonl").write_text('{"text": "x"}\n')
    plan = plan_of(study)
    store = Store(tmp_path / "store")
    assert work(plan, store) == 3
    for run in plan.runs:
        parts = {p.split("@")[0] for p in plan.stages[run.score].parts}
        missing = {p.split("@")[0] for p in store.missing(plan.stages[run.score])}
        assert parts - missing == {"en", "fr"}


def cli(study: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "runtime.cli", "run", str(study),
            "--build", str(study.parent / "build"), *words]  # fmt: skip


def test_the_command_runs_a_study_and_its_scripts_do_the_same(tmp_path: Path) -> None:
    study = write_study(tmp_path, seeds=[1], targets=["colours", "pairs"])
    build = tmp_path / "build"
    done = subprocess.run(cli(study), capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    plan = plan_of(study)
    store = Store(build / "store")
    assert set(status(store, plan).values()) == {"done"}
    report = (build / "tiny" / "report" / "report.html").read_bytes()

    by_hand = tmp_path / "by hand"
    for job in plan.jobs:
        script = build / "tiny" / "launch" / f"{job.name}.sh"
        env = {**os.environ, "STILTSCALE_STORE": str(by_hand)}
        subprocess.run(["bash", str(script)], check=True, env=env, timeout=240, capture_output=True)
    assert set(records(Store(by_hand))) == set(records(store))
    assert scores(Store(by_hand), plan) == scores(store, plan)

    before = records(store)
    again = subprocess.run(cli(study), capture_output=True, text=True, check=False, timeout=240)
    assert again.returncode == 0
    assert "nothing to run" in again.stdout
    assert records(store) == before
    assert (build / "tiny" / "report" / "report.html").read_bytes() == report


@pytest.mark.slow
def test_two_runs_on_one_store_do_nothing_twice(tmp_path: Path) -> None:
    study = write_study(tmp_path, seeds=[1, 2], targets=["colours"])
    both = [
        subprocess.Popen(
            [*cli(study)[:-1], str(tmp_path / name), "--store", str(tmp_path / "store")],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in ("one", "two")
    ]
    for process in both:
        out, _ = process.communicate(timeout=300)
        assert process.returncode == 0, out
    lines = [
        line
        for log in tmp_path.glob("*/tiny/logs/*.log")
        for line in log.read_text().splitlines()
        if line.startswith("done ")
    ]
    assert Counter(lines).most_common(1)[0][1] == 1
    assert len(lines) == len(plan_of(study).stages)
