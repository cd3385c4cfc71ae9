"""The settings of trainings: what contradicts itself is said, and recipes arrive in the plan."""

from __future__ import annotations

from typing import Any

import pytest
from studies import SMALL, plan_of, resolved

from compiler.errors import StudyInvalid
from compiler.training import Training


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"selection": "best_english_dev"}, "keeps the best English dev score and has no"),
        ({"patience": 3}, "counts dev scores and has no `evaluate_every`"),
        ({"average": 3}, "counts dev scores and has no `evaluate_every`"),
        (
            {"average": 3, "evaluate_every": 5, "selection": "best_english_dev"},
            "keeps both a mean of weights and those of the best English dev score",
        ),
        (
            {"average": 3, "evaluate_every": 5, "patience": 2},
            "keeps the mean of the last weights and may stop before these",
        ),
        (
            {"average": 3, "evaluate_every": 5, "chance_steps": 2},
            "keeps the mean of the last weights and may stop before these",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_said(
    changes: dict[str, Any], said: str, catalog: Any
) -> None:
    with pytest.raises(StudyInvalid) as caught:
        resolved(SMALL, recipe={"name": "short", "defaults": changes})
    found = [d for d in caught.value.diagnostics if d.code == "C115"]
    assert len(found) == 1
    assert said in found[0].message


@pytest.mark.parametrize(
    "changes",
    [
        {"patience": 3, "evaluate_every": 5},
        {"average": 3, "evaluate_every": 5, "selection": "last"},
        {"chance_steps": 5},
    ],
)
def test_settings_that_agree_are_taken(changes: dict[str, Any], catalog: Any) -> None:
    recipe = {"name": "short", "defaults": changes}
    trained = [s for s in plan_of(SMALL, recipe=recipe).stages.values() if s.kind == "train"]
    assert trained
    for stage in trained:
        assert changes.items() <= stage.identity["training"].items()


SQUAD = {"epochs": 3, "learning_rate": 3e-5, "max_length": 384, "warmup_steps": 500,
         "weight_decay": 1e-4, "schedule": "linear", "selection": "last"}  # fmt: skip
PUBLISHED: list[tuple[str, str, dict[str, Any]]] = [
    ("xtreme", "xnli", {"epochs": 5, "batch": 32, "learning_rate": 3e-5, "max_length": 128}),
    ("xtreme", "paws_x", {"epochs": 5, "batch": 32, "learning_rate": 2e-5}),
    ("xtreme", "xquad", SQUAD | {"batch": 32}),
    ("xtreme-r", "mlqa", SQUAD | {"batch": 32}),
    ("x-stilts", "xnli", {"epochs": 2, "batch": 32, "learning_rate": 1e-5, "warmup": 0.1,
                          "weight_decay": 0.01, "clip": 1.0, "evaluate_every": 1000,
                          "patience": 30, "selection": "best_english_dev"}),
    ("x-stilts", "paws_x", {"epochs": 5, "batch": 32, "max_length": 256}),
    ("x-stilts", "mlqa", {"epochs": 2, "batch": 16, "max_length": 384, "patience": 30}),
]  # fmt: skip


@pytest.mark.parametrize(("recipe", "target", "wanted"), PUBLISHED)
def test_what_is_published_of_a_recipe_is_in_the_plan(
    recipe: str, target: str, wanted: dict[str, Any]
) -> None:
    """See google-research/xtreme, scripts/train_*.sh; nyu-mll/jiant, guides/projects/xstilts.md."""
    plan = plan_of(
        {"study": "published", "models": {"family": "xlm-r", "sizes": ["base", "large"]},
         "intermediate": ["hellaswag"], "targets": [target], "languages": ["en", "de"],
         "seeds": [1, 2], "recipe": recipe}
    )  # fmt: skip
    trained = [
        s for s in plan.stages.values() if s.kind == "train" and s.task not in ("hellaswag",)
    ]
    assert trained
    for stage in trained:
        found = Training.model_validate(stage.identity["training"])
        assert {name: getattr(found, name) for name in wanted} == wanted
        assert found.decay == "matrices"
