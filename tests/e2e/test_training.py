"""What training leaves is what scoring loads, whatever is frozen in which phase."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from e2e.test_study import plan_of, work
from tiny import write_study

from runtime.store import Store

FREEZES = ("none", "embeddings")


@pytest.mark.parametrize("first", FREEZES)
@pytest.mark.parametrize("second", FREEZES)
def test_the_score_of_the_dev_rows_is_the_dev_score(
    tmp_path: Path, first: str, second: str
) -> None:
    phases: dict[str, Any] = {"intermediate": {"freeze": first}, "target": {"freeze": second}}
    fields = {"seeds": [1], "targets": ["colours", "tags"], "languages": ["en"]}
    study = write_study(tmp_path, recipe={"name": "tiny", "phases": phases}, **fields)
    data = tmp_path / "own" / "data"
    for name in ("colours", "tags"):
        shutil.copy(data / f"{name}.dev.en.jsonl", data / f"{name}.test.en.jsonl")
    plan = plan_of(study)
    store = Store(tmp_path / "store")
    assert work(plan, store) == 0
    for run in plan.runs:
        assert run.train is not None
        trained = store.record(run.train)
        scored = store.record(run.score, plan.part_of(run.score, "en"))
        assert trained is not None
        assert scored is not None
        assert scored.result["value"] == pytest.approx(trained.result["english_dev"]["value"])
