"""Of all that people write, names of a plain form alone reach a script; the rest cannot be told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from studies import SMALL, plan_of

from compiler.errors import StudyInvalid
from compiler.plan import Plan, from_json
from compiler.render import render

HOSTILE = "$(touch X)`touch X`;touch X\n#SBATCH --wrap=X\ntouch X \"'\u2028\\ {{ 7 * 7 }} %j -x"


def names_of(plan: Plan) -> set[str]:
    """Return the names in a plan that scripts are made from; a study's are of a plain form."""
    found = {plan.name, *plan.stages, *plan.models, *plan.tasks, *plan.arms, *plan.corpora}
    for job in plan.jobs:
        found |= {job.name, *job.after}
    for stage in plan.stages.values():
        found |= {stage.kind, *stage.parts}
    return found


def spoilt(value: Any, keep: set[str]) -> Any:
    """Replace every text of a value that is no name, and no number in words."""
    if isinstance(value, dict):
        return {key: spoilt(item, keep) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [spoilt(item, keep) for item in value]
    return HOSTILE if isinstance(value, str) and value not in keep else value


def scripts(plan: Plan) -> dict[str, str]:
    return {name: text for name, text in render(plan).items() if name != "plan.json"}


@pytest.mark.parametrize("section", [f.name for f in fields(Plan) if f.name not in ("jobs",)])
def test_no_text_of_a_plan_reaches_a_script(section: str, fixed_catalog: Path) -> None:
    hardware = {"device": "cuda", "devices_per_node": 2, "slurm": {"partition": "long"}}
    plan = plan_of(SMALL, hardware=hardware, sharding_probe={"devices": 2}, question="what?")
    body = json.loads(plan.to_json())
    before = body[section]
    keep = names_of(plan) | {"long", "cuda", "fsdp2", body["schema"]}
    body[section] = spoilt(before, keep)
    if section not in ("corpora", "catalog", "notes"):
        assert body[section] != before
    changed = from_json(json.dumps(body))
    assert scripts(changed) == scripts(plan)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p, t: replace(p, study={**p.study, "name": t}),
        lambda p, t: replace(p, jobs=(replace(p.jobs[0], name=t), *p.jobs[1:])),
        lambda p, t: replace(p, jobs=(replace(p.jobs[0], after=(t,)), *p.jobs[1:])),
        lambda p, t: replace(
            p,
            jobs=(replace(p.jobs[0], stages=(t,)), *p.jobs[1:]),
            stages={**p.stages, t: next(iter(p.stages.values()))},
        ),
    ],
)
@pytest.mark.parametrize("text", [HOSTILE, "a\ntouch X", "a b", "../x", "-x", "$(x)", "a;b", "x\r"])
def test_a_plan_with_a_name_of_another_form_is_not_rendered(
    spoil: Callable[[Plan, str], Plan], text: str, fixed_catalog: Path
) -> None:
    """No study gives such a plan; a plan.json that somebody has edited could."""
    with pytest.raises(ValueError, match="not a safe"):
        render(spoil(plan_of(SMALL), text))


@pytest.mark.parametrize("text", [HOSTILE, "a\nb", "a b", "../x", "-x", "$(x)", "a;b", "x\x00"])
@pytest.mark.parametrize(
    "field",
    [
        {"study": "T"},
        {"models": {"family": "T"}},
        {"models": [{"name": "T", "checkpoint": {"hub": "a/b"}, "parameters": {"total": 2}}]},
        {"intermediate": ["T"]},
        {"intermediate": [{"name": "T", "task": "pairs"}]},
        {"intermediate": [{"name": "x", "mix": ["pairs", "T"]}]},
        {"intermediate": [{"task": "pairs", "language": "T"}]},
        {"controls": [{"kind": "placebo", "of": "T"}]},
        {"targets": ["T"]},
        {"targets": {"benchmark": "T"}},
        {"languages": ["en", "T"]},
        {"seeds": ["T"]},
        {"recipe": "T"},
        {"hardware": {"device": "T"}},
        {"sharding_probe": {"model": "T"}},
        {"tracking": ["T"]},
        {"catalog": "T"},
        {"extends": "T"},
    ],
    ids=lambda field: next(iter(field)) if isinstance(field, dict) else None,
)
def test_a_name_of_another_form_is_an_error(
    field: dict[str, Any], text: str, catalog: Path
) -> None:
    def put(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: put(item) for key, item in value.items()}
        if isinstance(value, list):
            return [put(item) for item in value]
        return text if value == "T" else value

    with pytest.raises(StudyInvalid):
        plan_of(SMALL, **put(field))
