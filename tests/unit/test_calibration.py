"""Hours, time limits and rates of a plan come from its pilots, as far as there are any."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator
from typer.testing import CliRunner
from unit import synthetic

from compiler import calibration
from compiler.calibration import GIB, LONGER, UNSURE, Pace
from compiler.diff import compare
from compiler.duration import FORWARD, LOADING, STARTING
from compiler.pilot import STEPS, piloting, pilots, steps_of
from compiler.plan import Plan, Stage
from compiler.render import render
from compiler.schema import schema
from compiler.shape import minutes
from compiler.site import Site
from compiler.training import SHAPE, Training
from runtime.analysis.analyse import analyse
from runtime.cli import app
from runtime.conduct import calibrated, expanded
from runtime.pace import Pace as Clock
from runtime.recorded import measured, paces
from runtime.records import Record
from runtime.report.build import build_report
from runtime.store import Store

STUDY = {
    "study": "paced",
    "models": {"family": "xlm-r", "sizes": ["base", "large"]},
    "intermediate": ["mnli"],
    "targets": ["paws_x", "xquad"],
    "languages": ["en", "de"],
    "seeds": [1, 2],
    "recipe": "x-stilts",
    "hardware": {"device": "h100-80gb", "devices_per_node": 2, "pack": "target"},
}
RATE = 40e12
"""Operations a second that the made-up pilots reach on a device."""


def planned(folder: Path, **changes: Any) -> tuple[Path, Plan]:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY | changes))
    return path, expanded(path)


def piloted(store: Store, plan: Plan, pilot: Stage, **more: Any) -> None:
    """Put the record of a pilot into a store: 0.5 s a step, in which two devices are at a rate."""
    training = Training.model_validate(pilot.identity["training"])
    where = pilot.identity["pilot"]
    told = {
        "step_seconds": 0.5, "device_seconds": 0.5 * where["processes"], "steps": 48, "pieces": 4,
        "standard_error": 0.01, "memory_bytes": 9 * GIB, "memory": "allocated",
        "of": {"model": pilot.model, "tasks": [pilot.task], "tuning": "full",
               "training": training.model_dump(include=set(SHAPE), exclude_none=True), **where},
        "tokens_per_second": 3200.0,
    }  # fmt: skip
    result = {
        "steps": STEPS, "tokens_per_second": 3200.0, "training_seconds": 32.0,
        "flops_per_token": 0.5 * RATE * where["processes"] / 1600, "peak_flops": 1e14, "mfu": 0.4,
        "pilot": {name: value for name, value in (told | more).items() if value is not None},
    }  # fmt: skip
    store.prepare()
    with store.writing(pilot.key, "all") as folder:
        now = "2026-01-01T00:00:00+00:00"
        record = Record(pilot.key, "all", "train", now, now, 40.0, result)
        store.commit(record, folder)


def all_piloted(store: Store, plan: Plan, **more: Any) -> None:
    for pilot in {pilot.key: pilot for pilot in piloting(plan).values()}.values():
        piloted(store, plan, pilot, **more)


def test_a_pilot_is_of_a_way_on_a_device(tmp_path: Path) -> None:
    keys = []
    for change in ({}, {"device": "a100-80gb"}, {"devices_per_node": 4}):
        _, plan = planned(tmp_path, hardware={**STUDY["hardware"], **change})
        keys.append({pilot.key for pilot in piloting(plan).values()})
    assert all(len(each) == 6 for each in keys)  # two sizes, one intermediate and two targets
    assert not keys[0] & keys[1] | keys[0] & keys[2] | keys[1] & keys[2]
    _, plan = planned(tmp_path, seeds=[3])
    assert {pilot.key for pilot in piloting(plan).values()} == keys[0]


def test_what_is_trained_only_after_another_training_has_a_pilot_too(tmp_path: Path) -> None:
    _, plan = planned(tmp_path, intermediate=[{"name": "two", "chain": ["mnli", "squad_v2"]}])
    assert {pilot.task for pilot in piloting(plan).values()} == {
        "mnli", "squad_v2", "paws_x", "squad_v1",
    }  # fmt: skip
    assert all("start" not in pilot.inputs for pilot in piloting(plan).values())


def test_a_pilots_own_limit_allows_for_doubt(tmp_path: Path) -> None:
    _, plan = planned(tmp_path)
    made = {job.name: job for job in pilots(plan).jobs}
    assert made["prepare-xlm_r"].seconds is None
    small, large = made["pilot-xlmr_base"].seconds, made["pilot-xlmr_large"].seconds
    assert small is not None
    assert large is not None
    assert STARTING + 3 * LOADING < small < large < 1200
    assert {job.processes for job in made.values() if job.name.startswith("pilot")} == {2}


def test_hours_limits_and_rates_follow_the_pilots(tmp_path: Path) -> None:
    path, plan = planned(tmp_path)
    store = Store(tmp_path / "build" / "store")
    all_piloted(store, plan)
    found = measured(store, plan, {})
    for model, took in found.items():
        steps = sum(
            steps_of(plan, s) or 0
            for s in plan.stages.values() if s.kind == "train" and s.model == model
        )  # fmt: skip
        assert took["device_hours"] == pytest.approx(steps * 0.5 * 2 / 3600)
        assert took["measured_share"] == 1.0
        assert (took["source"], took["pilots"], took["steps"]) == ("piloted", 3, 3 * 48)
        assert took["mfu"] == pytest.approx(RATE / 67e12, rel=0.01)
        assert took["assumed_mfu"] == 0.3
        parts = plan.execution["resources"][model]["parts_gib"]
        whole = plan.execution["resources"][model]["memory_gib"]
        assert took["peak_memory_gib"] == 9.0
        traced = whole - parts["kept"] - parts["process"]
        assert took["traced_memory_gib"] == pytest.approx(traced, abs=0.01)
    words = [str(path), "--build", str(tmp_path / "build")]
    files = render(calibrated(plan, tmp_path / "build", None))
    body = json.loads(files["plan.json"])
    assert body["execution"]["measured"] == json.loads(json.dumps(found))
    assert not list(Draft7Validator(schema("plan")).iter_errors(body))
    jobs = {job["name"]: job for job in body["jobs"]}
    pace = paces(store, plan)[next(iter(piloting(plan)))]
    trained = next(s for s in plan.stages.values() if s.kind == "train" and s.task == "mnli")
    wanted = STARTING + LOADING + (steps_of(plan, trained) or 0) * pace.slowest
    assert jobs["xlmr_base-mnli-s1"]["seconds"] == pytest.approx(wanted, abs=1)
    scored = jobs["xlmr_base-none-paws_x-s1"]["seconds"]
    train = next(s for s in plan.stages.values() if s.kind == "train" and s.task == "paws_x")
    rows = 2 * 2000 / 32 * FORWARD * LONGER
    wanted = STARTING + 2 * LOADING + ((steps_of(plan, train) or 0) + rows) * pace.slowest
    assert scored == pytest.approx(wanted, abs=1)
    limits = {
        int(re.search(r"--time=(\d+)", text)[1])  # type: ignore[index]
        for name, text in files.items()
        if name.endswith(".sbatch") and "mnli" in name
    }
    jobs_ = [
        replace(plan.jobs[0], seconds=jobs[name]["seconds"]) for name in jobs if "mnli" in name
    ]
    assert max(limits) == max(minutes(job, Site()) for job in jobs_)
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["plan", *words])
    assert "measured by pilot, 144 steps; MFU 0.6 where 0.3 was assumed" in shown.output
    assert "Of all device hours, 100% are measured." in shown.output


def test_what_has_no_pilot_stays_assumed(tmp_path: Path) -> None:
    path, plan = planned(tmp_path)
    store = Store(tmp_path / "build" / "store")
    (pilot,) = {
        p.key: p for p in piloting(plan).values() if (p.task, p.model) == ("mnli", "xlmr-base")
    }.values()
    piloted(store, plan, pilot)
    took = measured(store, plan, {})
    assert set(took) == {"xlmr-base"}
    assert took["xlmr-base"]["source"] == "partly"
    assert 0.2 < took["xlmr-base"]["measured_share"] < 0.9
    known = paces(store, plan)
    made = calibration.calibrated(plan, known, took)
    changed = {a.name for a, b in zip(made.jobs, plan.jobs, strict=True) if a != b}
    assert changed == {"xlmr_base-mnli-s1", "xlmr_base-mnli-s2"}
    assert compare(plan, made).settings == ()
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(
        app, ["plan", str(path), "--store", str(store.root)]
    )
    assert "measured by pilot, 48 steps; the rest assumed MFU 0.3" in shown.output
    assert re.search(r"Of all device hours, [1-9]\d?% are measured", shown.output)
    assert calibration.calibrated(plan, {}, {}) == plan


def test_finished_trainings_go_before_pilots(tmp_path: Path) -> None:
    _, plan = planned(tmp_path)
    store = Store(tmp_path / "store")
    all_piloted(store, plan)
    keys = [s.key for s in plan.stages.values() if s.kind == "train" and s.task == "mnli"]
    for key in keys[:1]:
        with store.writing(key, "all") as folder:
            now = "2026-01-01T00:00:00+00:00"
            where = {"accelerator": {"processes": 2}}
            result = {"training_seconds": 3600.0}
            store.commit(Record(key, "all", "train", now, now, 9.0, result, {}, where), folder)
    before = measured(store, plan, {})["xlmr-large"]
    took = measured(store, plan, dict.fromkeys(keys[:1], "done"))["xlmr-large"]
    assert plan.stages[keys[0]].model == "xlmr-base" or took != before
    for model, each in measured(store, plan, dict.fromkeys(keys[:1], "done")).items():
        mine = model == plan.stages[keys[0]].model
        assert (each["finished_share"] > 0) == mine
        assert ("by finished trainings" in calibration.words(each)) == mine


def test_fit_tells_a_measurement_from_an_assumption(tmp_path: Path) -> None:
    hardware = {"device": "h100-80gb", "devices_per_node": 1}
    _, plan = planned(tmp_path, hardware=hardware)
    store = Store(tmp_path / "store")
    words = ["fit", "xlmr-base", "--device", "h100-80gb", "--devices", "1", "--store",
             str(store.root)]  # fmt: skip
    line = CliRunner(env={"COLUMNS": "200"})
    before = json.loads(line.invoke(app, [*words, "--format", "json"]).output)
    assert not any("measured" in row for row in before)
    assert "Hours: assumed MFU 0.3, at most" in line.invoke(app, words).output
    all_piloted(store, plan)
    after = json.loads(line.invoke(app, [*words, "--format", "json"]).output)
    told = [row for row in after if "measured" in row]
    assert [(row["tuning"], row["strategy"]) for row in told] == [("full", "one device")]
    assert told[0]["device_hours"] == round(24544 * 0.5 / 3600, 2)
    assert [row for row in after if "measured" not in row] == before[1:]
    shown = line.invoke(app, words).output
    assert "Hours of full, one device: measured by pilot, 48 steps, MFU 0.6 where 0.3" in shown
    assert "peak 9.00 GiB allocated where" in shown
    assert "All other hours: assumed MFU 0.3" in shown
    (pilot,) = {
        p.key: p for p in piloting(plan).values() if p.task == "mnli" and "base" in p.model
    }.values()
    cut = replace(
        pilot,
        key=pilot.key[:-1] + "x",
        identity={**pilot.identity, "pilot": {**pilot.identity["pilot"], "micro_batch": 8}},
    )
    piloted(store, plan, cut, step_seconds=9.0)  # another way to compute a step
    assert json.loads(line.invoke(app, [*words, "--format", "json"]).output) == after
    for other in (["--batch", "16"], ["--task", "qqp"], ["--length", "64"]):
        rows = json.loads(line.invoke(app, [*words, *other, "--format", "json"]).output)
        assert not any("measured" in row for row in rows)


def test_older_pilots_stay_readable(tmp_path: Path) -> None:
    _, plan = planned(tmp_path)
    store = Store(tmp_path / "store")
    new = ("steps", "pieces", "standard_error", "memory_bytes", "memory", "of")
    all_piloted(store, plan, **dict.fromkeys(new))
    pace = next(iter(paces(store, plan).values()))
    assert (pace.processes, pace.memory_bytes, pace.error) == (2, None, None)
    assert pace.slowest == UNSURE * pace.step_seconds
    took = measured(store, plan, {})["xlmr-base"]
    assert "peak_memory_gib" not in took
    assert took["mfu"] == pytest.approx(RATE / 67e12, rel=0.01)


def test_options_of_the_other_engine_are_refused(tmp_path: Path) -> None:
    path, _ = planned(tmp_path)
    for words in (["--detach"], ["--dry-run"], ["--engine", "slurm", "--parallel", "2"]):
        ended = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["pilot", str(path), *words])
        assert ended.exit_code == 2
        assert words[-2:][0] in ended.output
    assert not (tmp_path / "build").exists()


def test_limits_widen_with_the_spread() -> None:
    calm = Pace(1.0, 1, 48, 1e12, 100, error=0.01, pieces=12)
    assert 1.0 < calm.slowest < 1.05
    assert calm.slowest < replace(calm, error=0.1).slowest
    assert calm.slowest < replace(calm, pieces=2).slowest  # of two pieces little is known


def test_a_clock_tells_the_spread_of_its_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(times: list[float], together: int) -> dict[str, float]:
        clock = Clock()
        for step, at in enumerate(times, 1):
            seen = times[min(len(times), -(-step // together) * together) - 1]
            clock.marks.append((step, seen + 1e-6 * step))
            assert at <= seen
        return clock.result(1.0, 2)

    even = [float(step) for step in range(1, 65)]
    for together, pieces in ((1, 48), (4, 12), (16, 3)):
        found = told(even, together)
        assert (found["steps"], found["pieces"]) == (48, pieces)
        assert found["step_seconds"] == pytest.approx(1.0, abs=1e-5)
        assert found["standard_error"] == pytest.approx(0.0, abs=1e-5)
        assert found["device_seconds"] == pytest.approx(2.0, abs=1e-4)
    uneven = [1.5 * s if s % 2 else 1.5 * s + 0.5 for s in range(1, 65)]
    assert told(uneven, 1)["standard_error"] == pytest.approx(0.5 / 48**0.5, rel=0.03)
    late = [100.0 + s if s > 8 else 12.5 * s for s in range(1, 65)]
    assert told(late, 1)["step_seconds"] == pytest.approx(1.0, abs=1e-4)
    assert told(late, 32)["pieces"] == 1
    assert "standard_error" not in told(late, 32)


def test_the_report_shows_what_pilots_reached() -> None:
    plan = synthetic.plan()
    model = next(iter(plan.models))
    took = {
        "model": model, "device_hours": 12.0, "source": "partly", "measured_share": 0.75,
        "finished_share": 0.0, "pilots": 2, "steps": 96, "assumed_mfu": 0.3, "mfu": 0.21,
        "memory": "resident", "peak_memory_gib": 1.5, "traced_memory_gib": 1.25,
    }  # fmt: skip
    assert set(took) - {"model"} == set(calibration.TAKEN) | set(calibration.MAYBE)
    findings = analyse(synthetic.scores(plan), plan.study["analysis"], synthetic.facts())
    given: dict[str, Any] = {"costs": synthetic.costs(plan), "title": "A study"}
    files = build_report(plan, findings, synthetic.provenance(), pilots=[took], **given)
    body = json.loads(files["report.json"])
    Draft202012Validator(json.loads(files["report.schema.json"])).validate(body)
    assert body["pilots"] == [took]
    page = files["report.md"].decode()
    assert "Pace of training by the pilots" in page
    assert "| 12 | 75% | 96 | 0.21 | 0.3 | 1.50 | 1.25 |" in page
