"""A sharding probe is really run both ways, and the report says how far the scores lie apart."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from e2e.test_processes import script_of, written
from e2e.test_study import plan_of, work
from safetensors.torch import load_file
from tiny import write_study

from runtime.collect import collect
from runtime.publish import publish
from runtime.store import Store, status

QUIET = {"steps": 20, "batch": 5, "dropout": 0.0, "learning_rate": 1e-3, "evaluate_every": 10}


@pytest.mark.slow
def test_a_probe_is_trained_both_ways_and_compared(tmp_path: Path) -> None:
    path = write_study(
        tmp_path, seeds=[1, 2], targets=["tags", "colours"], languages=["en", "de", "fr"],
        hardware={"device": "cpu", "threads": 1, "pack": "seed"},
        recipe={"name": "tiny", "defaults": QUIET},
        sharding_probe={"model": "tiny-1", "devices": 2}, analysis={"degenerate": "keep"},
    )  # fmt: skip
    plan, store = plan_of(path), Store(tmp_path / "store")
    (job,) = (job for job in plan.jobs if job.name.endswith("-probe"))
    own = replace(plan, jobs=tuple(other for other in plan.jobs if other != job))
    assert work(own, store) == 0
    before = collect(plan, store)
    script = next(s for s in written(tmp_path, plan, store) if s.stem == job.name)
    with script_of(script) as running:
        said = running.communicate(timeout=300)[0]
    assert set(status(store, plan).values()) == {"done"}, said
    assert collect(plan, store).equals(before), "the study's own scores are as they were"

    trained = [stage for key in job.stages if (stage := plan.stages[key]).kind == "train"]
    assert len(trained) == 5  # the intermediate, and two targets with and without it
    for stage in trained:
        record, twin = (store.record(key) for key in (stage.key, stage.probe["of"]))
        assert record is not None
        assert twin is not None
        assert record.result["divided"] == {"strategy": "fsdp2", "processes": 2}
        assert "divided" not in twin.result
        assert twin.provenance["accelerator"]["processes"] == 1
        left, whole = (
            load_file(store.folder(key) / "weights.safetensors") for key in (twin.stage, stage.key)
        )
        for name, value in whole.items():  # the same head, order and data: only rounding differs
            torch.testing.assert_close(left[name], value, rtol=0, atol=2e-3, msg=name)

    page = publish(plan, store, tmp_path / "report", "test")
    body = json.loads((page.parent / "report.json").read_text(encoding="utf-8"))
    found = body["sharding_probe"]
    assert (found["model"], found["seed"]) == ("tiny-1", 1)
    assert (found["whole"], found["divided"]) == ("one device on 1", "fsdp2 on 2")
    assert (found["planned"], found["finished"]) == (12, 12)
    pairs = {(pair["arm"], pair["target"]): pair for pair in found["pairs"]}
    assert len(pairs) == 6  # two arms, two targets and their mean
    for pair in pairs.values():
        assert abs(pair["difference"]) <= 6.0
        assert pair["seeds"] == 2
        assert pair["difference"] == pytest.approx(pair["divided"] - pair["whole"])
    assert body["counts"]["runs"] == len(plan.runs)
    text = (page.parent / "report.md").read_text(encoding="utf-8")
    assert "### Sharding probe" in text
    assert "a range, and no test" in text
    assert "Sharding probe" in page.read_text(encoding="utf-8")
