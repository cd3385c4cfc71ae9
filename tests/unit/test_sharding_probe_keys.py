"""A sharding probe adds stages of its own, and changes nothing of what a study has without it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from studies import SMALL, plan_of

from compiler.render import render

CPU = {"device": "cpu"}


@pytest.mark.usefixtures("fixed_catalog")
@settings(max_examples=15, deadline=None)
@given(
    model=st.sampled_from([None, "s", "ladder-m"]), seed=st.sampled_from([None, 1, 2]),
    pack=st.sampled_from(["target", "seed"]), controls=st.sampled_from([[], ["placebo"]]),
    targets=st.lists(st.sampled_from(["topics", "tags", "twins"]), min_size=1, unique=True),
)  # fmt: skip
def test_a_probe_changes_no_other_key(
    model: str | None, seed: int | None, pack: str, controls: list[str], targets: list[str]
) -> None:
    fields: dict[str, Any] = {
        "hardware": {**CPU, "pack": pack}, "controls": controls, "targets": targets,
    }  # fmt: skip
    asked = {k: v for k, v in {"model": model, "seed": seed, "devices": 2}.items() if v is not None}
    plain = plan_of(SMALL, **fields)
    plan = plan_of(SMALL, **fields, sharding_probe=asked)
    kept = {key: stage for key, stage in plan.stages.items() if not stage.probe}
    assert kept == plain.stages
    assert tuple(job for job in plan.jobs if not job.name.endswith("-probe")) == plain.jobs
    assert (plan.runs, list(plan.cells())) == (plain.runs, list(plain.cells()))
    second = [stage for stage in plan.stages.values() if stage.probe]
    assert {stage.model for stage in second} == {"ladder-s" if model == "s" else "ladder-m"}
    for stage in second:
        twin = plain.stages[stage.probe["of"]]
        own = {k: v for k, v in stage.identity.items() if k != "sharding_probe"}
        assert (own, stage.kind, stage.parts) == (twin.identity, twin.kind, twin.parts)
        ups = {r: plan.stages[up].probe.get("of", up) for r, up in stage.inputs.items()}
        assert ups == twin.inputs
    placed = [key for job in plan.jobs for key in job.stages]
    assert sorted(placed) == sorted(plan.stages)
    assert {run.arm for run in plan.probe} <= {"none", "pairs"}
    assert all(run.train and run.seed == (seed or 1) for run in plan.probe)
    files, before = render(plan), render(plain)
    assert {name: files[name] for name in before if name.startswith(("launch", "accel"))} == {
        name: text for name, text in before.items() if name.startswith(("launch", "accel"))
    }


@pytest.mark.usefixtures("fixed_catalog")
def test_another_way_is_another_key() -> None:
    keys = [
        {k for k, s in plan_of(SMALL, hardware=CPU, sharding_probe={"devices": n}).stages.items()
         if s.probe}
        for n in (2, 4)
    ]  # fmt: skip
    assert keys[0]
    assert not keys[0] & keys[1]
