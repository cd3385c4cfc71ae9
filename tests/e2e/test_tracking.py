"""A study that names a tracker: what its trainings say of themselves can be read back from it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import struct
import subprocess
from pathlib import Path

import pytest
from e2e.test_study import cli, plan_of, work
from tiny import write_study

from runtime.store import Store


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read what TensorBoard would draw."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: dict[str, list[tuple[int, float]]] = {}
    for path in folder.rglob("events.out.tfevents.*"):
        events = EventAccumulator(str(path))
        events.Reload()
        for name in events.Tags()["scalars"]:
            found[name] = [(event.step, event.value) for event in events.Scalars(name)]
    return found


def test_each_training_logs_its_losses_and_its_dev_score(tmp_path: Path) -> None:
    fields = {"seeds": [1], "targets": ["colours"], "languages": ["en"]}
    plan = plan_of(write_study(tmp_path, (1,), tracking=["tensorboard"], **fields))
    store = Store(tmp_path / "store")
    assert work(plan, store) == 0
    trained = [key for key, stage in plan.stages.items() if stage.kind == "train"]
    assert {path.name for path in (tmp_path / "tracking").iterdir()} == set(trained)
    for key in trained:
        record = store.record(key)
        assert record is not None
        drawn = curves(tmp_path / "tracking" / key)
        steps = record.result["steps"]
        assert [step for step, _ in drawn["loss"]] == list(range(1, steps + 1))
        late = [value for _, value in drawn["loss"][-8:]]
        assert sum(late) / 8 == pytest.approx(record.result["loss_last"], abs=0.01)
        dev = record.result["english_dev"]["value"]
        assert drawn["english_dev"] == [(steps, pytest.approx(dev, abs=0.001))]


@pytest.mark.filterwarnings("ignore:.log_with=")
def test_a_tracker_that_is_not_there_fails_the_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"seeds": [1], "targets": ["colours"], "languages": ["en"]}
    plan = plan_of(write_study(tmp_path, (1,), tracking=["tensorboard"], **fields))
    monkeypatch.setattr("accelerate.tracking.get_available_trackers", lambda: [])
    store = Store(tmp_path / "store")
    assert work(plan, store) == 3
    failure = next(found for key in plan.stages if (found := store.failure(key)))
    assert "not installed here: tensorboard" in failure.message


Curves = dict[str, dict[str, list[tuple[int, float]]]]
"""By the name of a run and of a number: its values in order of steps."""


def offline(folder: Path) -> Curves:
    """Read the files that Weights & Biases would send: records in the log format of LevelDB."""
    from wandb.proto.wandb_internal_pb2 import Record

    found: Curves = {}
    for path in folder.rglob("run-*.wandb"):
        content, place, held, name = path.read_bytes(), 7, b"", ""
        while place + 7 <= len(content):
            left = 32768 - place % 32768
            if left < 7:
                place += left
                continue
            size, kind = struct.unpack("<HB", content[place + 4 : place + 7])
            held += content[place + 7 : place + 7 + size]
            place += 7 + size
            if kind not in (1, 4):  # whole, or the last piece of one
                continue
            record, held = Record.FromString(held), b""
            name = record.run.display_name or name
            values = {i.key or i.nested_key[0]: i.value_json for i in record.history.item}
            for key, value in values.items():
                if not key.startswith("_"):
                    step = record.history.step.num
                    found.setdefault(name, {}).setdefault(key, []).append((step, float(value)))
    return found


def of_mlflow(folder: Path) -> Curves:
    """Read the store of MLflow."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"file:{folder / 'mlruns'}")
    found: Curves = {}
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            own = found.setdefault(str(run.info.run_name), {})
            for name in run.data.metrics:
                history = client.get_metric_history(run.info.run_id, name)
                own[name] = [(metric.step, metric.value) for metric in history]
    return found


def of_trackio(folder: Path) -> Curves:
    """Read the database of Trackio."""
    found: Curves = {}
    for path in (folder / "trackio").glob("*.db"):
        with contextlib.closing(sqlite3.connect(path)) as database:
            rows = database.execute("SELECT run_name, step, metrics FROM metrics").fetchall()
        for name, step, metrics in rows:
            for key, value in json.loads(metrics).items():
                found.setdefault(name, {}).setdefault(key, []).append((step, value))
    return found


READERS = {"wandb": offline, "mlflow": of_mlflow, "trackio": of_trackio}


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_one_line_names_a_tracker(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run the command on a study that names it, without a network, and read what was tracked."""
    pytest.importorskip(name, reason=f"{name} is not here: pip install 'stiltscale[trackers]'")
    fields = {"seeds": [1], "targets": ["colours"], "languages": ["en"]}
    study = write_study(tmp_path, (1,), tracking=[name], **fields)
    for variable, value in {
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(tmp_path),
        "MLFLOW_TRACKING_URI": f"file:{tmp_path / 'mlruns'}",
        "MLFLOW_ALLOW_FILE_STORE": "true",  # the smaller package has no database
        "TRACKIO_DIR": str(tmp_path / "trackio"),
        "HF_HUB_OFFLINE": "1",
    }.items():
        monkeypatch.setenv(variable, value)
    done = subprocess.run(cli(study), capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    plan, store = plan_of(study), Store(tmp_path / "build" / "store")
    found = READERS[name](tmp_path)
    trained = [key for key, stage in plan.stages.items() if stage.kind == "train"]
    assert set(found) == set(trained)
    for key in trained:
        record = store.record(key)
        assert record is not None
        steps = record.result["steps"]
        assert [step for step, _ in sorted(found[key]["loss"])] == list(range(1, steps + 1))
        late = [value for _, value in sorted(found[key]["loss"])[-8:]]
        assert sum(late) / 8 == pytest.approx(record.result["loss_last"], abs=0.01)
        dev = record.result["english_dev"]["value"]
        assert found[key]["english_dev"] == [(steps, pytest.approx(dev, abs=0.001))]
