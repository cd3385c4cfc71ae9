"""Arms that are more than one task: chains, controls and data in another language really run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from e2e.test_study import plan_of, scores, work
from tiny import write_study

from compiler.errors import EnvironmentUnready
from runtime.abilities import refuse_unknown
from runtime.analysis.analyse import analyse
from runtime.batches import Examples
from runtime.collect import collect
from runtime.stages.train import shuffled
from runtime.store import Store


def test_chains_controls_and_languages_run(tmp_path: Path) -> None:
    arms = [
        "things",
        {"name": "both", "chain": ["things", "tags"]},
        {"name": "german", "task": "things", "language": "de"},
    ]
    controls = [{"kind": "step_matched", "of": "things"}, {"kind": "placebo", "of": "things"}]
    fields = {"seeds": [1, 2], "targets": ["colours", "pairs"], "languages": ["en", "fr"]}
    plan = plan_of(write_study(tmp_path, intermediate=arms, controls=controls, **fields))
    refuse_unknown(plan)
    store = Store(tmp_path / "store")
    assert work(plan, store) == 0
    assert len(scores(store, plan)) == sum(len(run.languages) for run in plan.runs)

    found = analyse(collect(plan, store), plan.study["analysis"])
    alone = analyse(
        collect(plan, store).filter(~collect(plan, store)["arm"].str.contains(".", literal=True)),
        plan.study["analysis"],
    )
    assert found.headline.estimate == alone.headline.estimate, "a control is in the average"
    assert {e.arm for e in found.estimates} >= {"things.placebo", "things.step_matched", "both"}


def test_a_placebo_keeps_the_labels_and_breaks_what_they_belong_to() -> None:
    labels = [0, 1, 2, 3] * 8
    data = Examples("sequence_classification", [[i] for i in range(32)], labels, [], 0)
    mixed = shuffled(data, 7)
    assert sorted(mixed.labels) == sorted(labels)
    assert mixed.labels != labels
    assert mixed.input_ids == data.input_ids
    assert shuffled(data, 7).labels == mixed.labels
    tags = Examples("token_classification", [[1, 2, 3]], [[0, 1, 2]], [[0, 1, 2]], 0)
    assert sorted(shuffled(tags, 3).labels[0]) == [0, 1, 2]


def test_what_cannot_run_is_refused_before_anything_starts(tmp_path: Path) -> None:
    plan = plan_of(write_study(tmp_path))
    models = {name: {**model, "tuning": "qlora"} for name, model in plan.models.items()}
    with pytest.raises(EnvironmentUnready, match=r"qlora tuning"):
        refuse_unknown(replace(plan, models=models))
