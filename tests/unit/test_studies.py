"""The shipped studies: each passes, and the main one's numbers are right by another count."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from compiler.check import check
from compiler.expand import expand
from compiler.plan import Plan

STUDIES = sorted((Path(__file__).parents[2] / "specs" / "studies").glob("*.yaml"))
NAMES = {
    "x-stilts", "xtreme-xlmr", "xtreme-r-xlmr", "llama-7b-70b", "bloom-ladder", "weekend",
    "published-bloom-p3",
    "mt5-encoder-ladder", "quickstart", "e5-depth", "xnli-hub", "scratch-ladder",
}  # fmt: skip


def plan_of(name: str) -> Plan:
    path = next(p for p in STUDIES if p.stem == name)
    return expand(check(path, installed=False))


def test_every_study_is_there() -> None:
    assert {path.stem for path in STUDIES} >= NAMES


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_a_shipped_study_passes_and_says_what_it_answers(path: Path) -> None:
    plan = expand(check(path, installed=False))
    assert plan.name == path.stem
    assert plan.study["question"].endswith("?")
    assert plan.stages or plan.study["evidence"]
    assert [line for line in path.read_text().splitlines()[:3] if line.startswith("# ")]


def test_the_main_studys_numbers_by_another_count() -> None:
    """XLM-R base to XXL over XTREME, counted from the benchmark's published language numbers."""
    plan = plan_of("xtreme-xlmr")
    trained = {"xnli": 15, "paws_x": 7, "udpos": 33, "pan_x": 40, "xquad": 11, "mlqa": 7,
               "tydiqa_goldp": 9}  # fmt: skip
    retrieved = {"bucc2018": 4, "tatoeba": 36}
    blocks = 4 * 3  # sizes x seeds
    whole, matched = 6, 1  # none, four arms and the placebo; the step-matched control
    per_block = whole * (sum(trained.values()) + sum(retrieved.values()))
    per_block += matched * sum(trained.values())
    assert sum(len(run.languages) for run in plan.runs) == blocks * per_block == 13_128
    assert len(plan.runs) == blocks * (whole * 9 + matched * 7)

    kinds = Counter(stage.kind for stage in plan.stages.values())
    own_trainings = len(trained) - 1  # XQuAD and MLQA are both trained on SQuAD v1.1
    intermediates = 3 + 1 + 1  # three tasks, their mix, the placebo
    assert kinds["train"] == blocks * (intermediates + own_trainings + own_trainings * 7)
    assert kinds["evaluate"] == blocks * len(trained) * 7
    assert kinds["retrieve"] == blocks * 2 * 5 + 4 * 2  # the untouched encoder needs no seed
    # One tokenizer for all four sizes: the tasks trained on and the targets, at their lengths.
    tasks = {"mnli", "squad_v2", "hellaswag", "squad_v1", *trained, *retrieved}
    assert {s.task for s in plan.stages.values() if s.kind == "prepare"} == tasks


def test_two_arms_share_what_they_have_in_common() -> None:
    plan = plan_of("x-stilts")
    naive = sum(1 for run in plan.runs) * 2
    assert sum(s.kind == "train" for s in plan.stages.values()) < naive


def test_a_ladder_from_scratch_shares_all_but_size() -> None:
    plan = plan_of("scratch-ladder")
    kinds = Counter(stage.kind for stage in plan.stages.values())
    sizes, seeds, languages = 3, 3, 9
    trained, pairs = 3, 3 + 2  # targets that are trained; (arm, trained target) after an arm
    corpora, tasks = 2, 5  # tokenised once for all sizes
    assert kinds == {
        "tokenizer": 1,
        "prepare": corpora + tasks,
        "pretrain": sizes * seeds,
        # Emoji category as an arm is its own direct training: one intermediate of its own is left.
        "train": sizes * seeds * (trained + 1 + pairs),
        "evaluate": sizes * seeds * (trained + pairs),
        "retrieve": sizes * seeds * 3,  # the untouched model too: each seed has its own
    }
    names = {name: model["parameters"]["non_embedding"] for name, model in plan.models.items()}
    assert names == {"scratch-32": 25_408, "scratch-64": 149_952, "scratch-96": 447_360}
    assert [entry["what"] for entry in plan.confounds] == ["pretraining"]
    assert sum(len(run.languages) for run in plan.runs) == sizes * seeds * (
        (trained + pairs) * languages + 3 * (languages - 1)
    )
