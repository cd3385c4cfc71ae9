"""A pilot measures the pace of every kind of training, and changes nothing of the study."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from e2e.test_study import plan_of
from tiny import write_study
from typer.testing import CliRunner

from compiler.pilot import STEPS, piloting, pilots, steps_of
from compiler.plan import Plan
from runtime.cli import app
from runtime.recorded import measured, piloted
from runtime.states import states
from runtime.store import Store, status


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan, Store, str]:
    folder = tmp_path_factory.mktemp("pilot")
    study = write_study(folder, layers=(1,), seeds=[1, 2])
    words = ["pilot", str(study), "--build", str(folder / "build"), "--parallel", "2"]
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 0, ended.output
    return study, plan_of(study), Store(folder / "build" / "store"), ended.output


def test_every_kind_of_training_has_a_pace(done: tuple[Path, Plan, Store, str]) -> None:
    _, plan, store, said = done
    trained = [stage for stage in plan.stages.values() if stage.kind == "train"]
    keys = {pilot.key for pilot in piloting(plan).values()}
    assert len(keys) < len(trained)  # seeds, and arms before one target, share theirs
    for key in keys:
        record = store.record(key)
        assert record is not None
        assert record.result["steps"] == STEPS
        assert record.result["english_dev"] is None
        assert record.result["pilot"]["step_seconds"] > 0
        assert record.outputs == {}  # no weights
        assert record.provenance["peak_memory_bytes"] > 0
        told, peak = record.result["pilot"], record.provenance["peak_memory_bytes"]
        assert told["memory_bytes"] == pytest.approx(peak, rel=0.1)
        assert told["memory"] == "resident"
        assert told["of"]["training"]["batch"] == 8
        assert (told["of"]["device"], told["of"]["strategy"]) == ("cpu", "one device")
    assert all(model in said for model in plan.models)
    assert "s a step" in said


def test_the_study_is_as_undone_as_before(done: tuple[Path, Plan, Store, str]) -> None:
    _, plan, store, _ = done
    for key, state in status(store, plan).items():
        assert state != "done" or plan.stages[key].kind == "prepare"
    assert not {pilot.key for pilot in piloting(plan).values()} & set(plan.stages)


def test_hours_come_from_the_pace_until_they_are_recorded(
    done: tuple[Path, Plan, Store, str],
) -> None:
    study, plan, store, _ = done
    found = piloted(store, plan)
    assert set(found) == set(plan.models)
    name = next(iter(plan.models))
    trained = [s for s in plan.stages.values() if s.kind == "train" and s.model == name]
    seconds = 0.0
    for stage in trained:
        record, steps = store.record(piloting(plan)[stage.key].key), steps_of(plan, stage)
        assert record is not None
        assert steps is not None
        seconds += steps * record.result["pilot"]["device_seconds"]
    assert found[name]["device_hours"] == pytest.approx(seconds / 3600)
    assert measured(store, plan, states(store, plan)[0])[name]["source"] == "piloted"
    told = CliRunner(env={"COLUMNS": "200"}).invoke(
        app, ["plan", str(study), "--store", str(store.root)]
    )
    assert told.exit_code == 0
    assert re.search(rf"{name}: [\d.]+ device hours, measured by pilot, \d+ steps", told.output)
    body = CliRunner().invoke(
        app, ["plan", str(study), "--store", str(store.root), "--format", "json"]
    )
    assert json.loads(body.output)["execution"]["measured"][name] == found[name]


def test_a_pilot_of_what_was_measured_runs_nothing(done: tuple[Path, Plan, Store, str]) -> None:
    study, _, store, _ = done
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("record.json")}
    words = ["pilot", str(study), "--build", str(store.root.parent), "--store", str(store.root)]
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 0, ended.output
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "s a step" in ended.output


def test_gc_keeps_what_a_pilot_measured(
    done: tuple[Path, Plan, Store, str], tmp_path: Path
) -> None:
    _, plan, store, _ = done
    pilot = next(iter(piloting(plan).values())).key
    words = ["store", "gc", "--build", str(tmp_path), "--store", str(store.root), "--yes"]
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 0, ended.output
    assert store.record(pilot) is not None


def test_a_pilot_needs_only_what_it_reads(done: tuple[Path, Plan, Store, str]) -> None:
    _, plan, _, _ = done
    made = pilots(plan)
    assert made.runs == ()
    assert {stage.kind for stage in made.stages.values()} == {"prepare", "train"}
    names = {job.name for job in made.jobs}
    assert all(set(job.after) <= names for job in made.jobs)
    placed = [key for job in made.jobs for key in job.stages]
    assert sorted(placed) == sorted(made.stages)
