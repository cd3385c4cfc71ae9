"""A study that names a tracker: what its trainings say of themselves can be read back from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.test_study import plan_of, work
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
