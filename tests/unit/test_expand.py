"""Counts stages, jobs, runs and cells by a formula that knows nothing of the expansion."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from studies import SMALL, plan_of

from compiler.plan import Plan

pytestmark = pytest.mark.usefixtures("fixed_catalog")

HAS = {
    "topics": {"de", "en", "fr", "zh"}, "tags": {"de", "en", "zh"}, "pairs": {"en"},
    "pairs_abroad": {"de", "en"}, "twins": {"de", "fr", "zh"},
}  # fmt: skip


def counts(
    sizes: int, arms: set[str], targets: set[str], seeds: int, languages: set[str],
    same: bool, pack: str,
) -> dict[str, int]:  # fmt: skip
    """Count by the design; ``same``: an arm is trained as a target of the same task is."""
    trained, found = targets - {"twins"}, targets & {"twins"}
    both = [(a, t) for a in arms for t in targets if a != t]
    useful = {a for a, _ in both}
    fresh = useful - trained if same else useful
    onto = sum(t in trained for _, t in both)
    afterwards = len(both) - onto
    each = sizes * seeds
    scored = {t: len(HAS[t] & languages) for t in targets}
    per_target = {
        "prepare": 1,
        "direct": each * len(trained) + sizes * len(found),
        "arms": each * len(fresh),
        "after": each * len(both),
    }
    return {
        "runs": each * (len(targets) + len(both)),
        "cells": each * (sum(scored.values()) + sum(scored[t] for _, t in both)),
        "prepare": sizes * len(trained | useful | found),
        "train": each * (len(trained) + len(fresh) + onto),
        "evaluate": each * (len(trained) + onto),
        "retrieve": sizes * len(found) + each * afterwards,
        "jobs": sum(per_target.values()) if pack == "target" else 1 + each,
    }


def counted(plan: Plan) -> dict[str, int]:
    kinds = Counter(stage.kind for stage in plan.stages.values())
    kinds.update(runs=len(plan.runs), cells=len(list(plan.cells())), jobs=len(plan.jobs))
    return dict(kinds)


def some(*names: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(names), min_size=1, unique=True)


@settings(max_examples=60, deadline=None)
@given(
    sizes=some("s", "m", "l"),
    arms=some("pairs", "topics", "tags", "pairs_abroad"),
    targets=some(*HAS),
    seeds=st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True),
    languages=some("de", "fr", "zh").map(lambda chosen: ["en", *chosen]),
    recipe=st.sampled_from(["short", "phased"]),
    pack=st.sampled_from(["target", "seed"]),
)
def test_counts_and_order(
    sizes: list[str], arms: list[str], targets: list[str], seeds: list[int], languages: list[str],
    recipe: str, pack: str,
) -> None:  # fmt: skip
    if "de" not in languages:
        targets = [t for t in targets if t != "twins"] or ["topics"]
    models = {"family": "ladder", "sizes": sizes}
    plan = plan_of(
        SMALL, models=models, targets=targets, seeds=seeds, languages=languages,
        intermediate=[{"name": f"first_{task}", "task": task} for task in arms],
        recipe=recipe, hardware={"pack": pack},
    )  # fmt: skip
    expected = counts(
        len(sizes), set(arms), set(targets), len(seeds), set(languages), recipe == "short", pack
    )
    assert counted(plan) == {name: count for name, count in expected.items() if count}
    holds_together(plan, seeds)


def holds_together(plan: Plan, seeds: list[int]) -> None:
    order = [key for job in plan.jobs for key in job.stages]
    assert sorted(order) == sorted(plan.stages)  # each stage in exactly one job
    place = {key: job.name for job in plan.jobs for key in job.stages}
    done: set[str] = set()
    for job in plan.jobs:
        needs = set()
        for key in job.stages:
            inputs = set(plan.stages[key].inputs.values())
            assert inputs <= done  # what is read was made before
            needs |= {place[up] for up in inputs} - {job.name}
            done.add(key)
        assert set(job.after) == needs
    for run in plan.runs:
        assert run.train is None or run.train in plan.stages
        assert plan.stages[run.score].inputs.get("weights") == run.train
        assert set(plan.stages[run.score].parts) >= set(run.languages)
    assert [run.seed for run in plan.runs] == sorted((r.seed for r in plan.runs), key=seeds.index)
    # A study that stops early is balanced over the sizes: in order of jobs too, seed by seed.
    trained = [
        plan.stages[key].identity["seed"] for key in order if plan.stages[key].kind == "train"
    ]
    assert trained == sorted(trained, key=seeds.index)


def test_a_worked_example() -> None:
    plan = plan_of(
        SMALL, intermediate=["pairs", "topics"], targets=["topics", "tags", "twins"],
        seeds=[1, 2, 3],
    )  # fmt: skip
    # 2 sizes x 3 seeds x (none: 3 targets, pairs: 3, topics: 2).
    # Training: topics, tags; pairs; topics again is the direct one; after pairs 2, after topics 1.
    # Found untuned once a size; found after both arms for each seed.
    # Languages de, en, zh: topics 3, tags 3, twins 2.
    assert counted(plan) == {
        "runs": 48, "cells": 6 * (8 + 8 + 5), "prepare": 2 * 4, "train": 6 * 6, "evaluate": 6 * 5,
        "retrieve": 2 + 6 * 2, "jobs": 1 + (6 * 2 + 2) + 6 + 6 * 5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arm", "target", "flags"),
    [
        ("pairs", "pairs_abroad", ("self_pair",)),
        ("tags", "topics", ("shared_text",)),
        ("pairs", "topics", ()),
        ("pairs", "twins", ("untuned",)),
    ],
)
def test_flags(arm: str, target: str, flags: tuple[str, ...]) -> None:
    plan = plan_of(SMALL, intermediate=[arm], targets=[target])
    assert {run.flags for run in plan.runs if run.arm == arm} == {flags}
    untuned = ("untuned",) if target == "twins" else ()
    assert {run.flags for run in plan.runs if run.arm == "none"} == {untuned}


def test_the_untouched_model_is_searched_once_for_all_seeds() -> None:
    plan = plan_of(SMALL, targets=["twins"], seeds=[1, 2, 3])
    for name in ("ladder-s", "ladder-m"):
        runs = [r for r in plan.runs if r.model == name and r.arm == "none"]
        assert len(runs) == 3
        assert len({r.score for r in runs}) == 1
        assert {r.train for r in runs} == {None}


def test_a_study_has_all_its_definitions() -> None:
    study: dict[str, Any] = SMALL | {"intermediate": ["pairs", {"name": "t", "task": "topics"}]}
    plan = plan_of(study)
    assert list(plan.arms) == ["none", "pairs", "t"]
    assert set(plan.tasks) == {"pairs", "topics", "twins"}
    assert {s.task for s in plan.stages.values()} == set(plan.tasks)
    assert {s.model for s in plan.stages.values()} == set(plan.models)
