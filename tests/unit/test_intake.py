"""What was done to the data is read from the records, and said in every form of the report."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from unit import synthetic

from compiler.check import check
from compiler.display import plan_view
from compiler.expand import expand
from compiler.plan import Plan, Stage
from runtime.analysis.analyse import analyse
from runtime.batches import Examples
from runtime.intake import Entry, intake, totals
from runtime.kinds import token_classification
from runtime.metrics.classification import f1
from runtime.records import Failure, Record
from runtime.report import custody, ledger, views
from runtime.report.build import build_report
from runtime.score import score

STUDIES = Path(__file__).parents[2] / "specs" / "studies"
LOST = {"rows": 8, "source_rows": 10, "rows_dropped": {"placeholder": 2}, "unknown_share": 0.0004}
WORSE = LOST | {"unknown_share": 0.25}
PLACED = {"rows": 9, "source_rows": 9, "labels_by_position": 9}
ABSENT = {"rows": 5, "labels_absent": ["X", "SYM"], "answers_moved": 3, "answer_cut": 1}
PLAIN = {"rows": 7, "source_rows": 7, "unknown_share": 0.0009, "answer_cut": 0}


@dataclass
class Shelf:
    """A store of what is put into it."""

    results: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def record(self, key: str, part: str) -> Record | None:
        found = self.results.get((key, part))
        return found and Record(key, part, "prepare", "t0", "t1", 1.0, found)

    def failure(self, key: str) -> Failure | None:
        return None


def study() -> Plan:
    """Return the synthetic plan with the data of its first task, by two tokenizers."""
    plan = synthetic.plan()
    task, (one, two, *_) = next(iter(plan.tasks)), plan.models
    parts = ("train.en@0a1b", "test.de", "test.fr", "dev.en")
    made = {
        key: Stage(key=key, kind="prepare", model=model, task=task, identity={}, inputs={},
                   parts=parts)
        for key, model in (("prepare-1", one), ("prepare-2", two))
    }  # fmt: skip
    return replace(plan, stages={**plan.stages, **made})


@pytest.fixture
def shelf() -> Shelf:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for part, results in {
        "train.en@0a1b": (PLACED, PLACED), "test.de": (LOST, WORSE), "test.fr": (ABSENT, ABSENT),
        "dev.en": (PLAIN, PLAIN),
    }.items():  # fmt: skip
        found["prepare-1", part], found["prepare-2", part] = results
    return Shelf(found)


@pytest.fixture
def entries(shelf: Shelf) -> list[Entry]:
    return intake(study(), shelf)


def test_splits_with_something_to_say(entries: list[Entry]) -> None:
    plan = study()
    assert [(x["split"], x["language"]) for x in entries] == [
        ("train", "en"), ("test", "de"), ("test", "fr"),
    ]  # fmt: skip
    train, german, french = entries
    assert train["placed"] == 9
    assert german["dropped"] == {"placeholder": 2}
    assert (german["rows"], german["found"]) == (8, 10)
    assert (german["unknown"], german["model"]) == (0.25, list(plan.models)[1])
    assert (french["absent"], french["moved"], french["cut"]) == (["X", "SYM"], 3, 1)


def test_sums(entries: list[Entry]) -> None:
    assert totals(entries) == {
        "dropped": {"placeholder": 2}, "test_rows_dropped": 2, "moved": 3, "placed": 9, "cut": 1,
        "splits_with_absent_labels": 1,
    }  # fmt: skip


def test_the_report_says_it_in_every_form(entries: list[Entry]) -> None:
    plan = study()
    findings = analyse(synthetic.scores(plan), plan.study["analysis"])
    table = custody.data_table(entries, views.names(plan))
    assert [cell.text for cell in table.rows[1][1:5]] == ["test", "de", "8", "2 (placeholder)"]
    assert table.rows[-1][4].note == "2 of them test rows"
    assert table.rows[-1][7].text == "in 1 split"
    made = build_report(plan, findings, synthetic.provenance(), title="S", intake=entries)
    for name in ("report.html", "report.md"):
        text = made[name].decode("utf-8")
        assert "What was done to the data" in text
        assert "2 (placeholder)" in text
        assert "25 %" in text
        assert "2 of them test rows" in text
    body = json.loads(made["report.json"])["data"]
    assert body == {"splits": entries, "totals": totals(entries)}
    plain = build_report(plan, findings, synthetic.provenance(), title="S")
    assert "Every row of every split was used as it is." in plain["report.md"].decode("utf-8")


def test_caveats_are_listed_where_a_language_is_scored() -> None:
    plan = study()
    run = plan.runs[0]
    language = next(x for x in run.languages if x != "en")
    flawed = {"caveats": {language: "half of it is old", "xx": "not scored"}}
    told = {"limitations": "Short, and all of it is shown."}
    tasks = {**plan.tasks, run.target: {**plan.tasks[run.target], **flawed, **told}}
    plan = replace(plan, tasks=tasks)
    assert ledger.caveats(plan) == [(run.target, language, "half of it is old")]
    (found,) = [x for x in ledger.limitations(plan, views.names(plan)) if "old" in x[1]]
    assert found == (f"{views.names(plan).tasks[run.target]}, {language}", "half of it is old.")
    findings = analyse(synthetic.scores(plan), plan.study["analysis"])
    made = build_report(plan, findings, synthetic.provenance(), title="S")
    assert "half of it is old" in made["report.html"].decode("utf-8")
    assert json.loads(made["report.json"])["caveats"] == [
        {"task": run.target, "language": language, "caveat": "half of it is old"}
    ]


def test_a_plan_shows_limitations_short_and_caveats_whole() -> None:
    plan = expand(check(STUDIES / "xtreme-xlmr.yaml", installed=False))
    screen = io.StringIO()
    Console(file=screen, width=300).print(plan_view(plan))
    shown = screen.getvalue()
    assert "tasks: what to know" in shown
    assert "see the caveats. [...]" in shown
    assert "el: 2,353 of the 2,809 test sentences (84 %) are Ancient Greek" in shown
    limits = [" ".join(task["limitations"].split()) for task in plan.tasks.values()]
    assert all(text[:60] in shown for text in limits)
    assert not any(text in shown for text in limits if len(text) > 600)


# --- more scores, and chance


def labelled(labels: list[int], groups: list[str] | None = None) -> Examples:
    more = {"group": groups} if groups else {}
    ids = [[1]] * len(labels)
    return Examples("sequence_classification", ids, labels, [], 0, more=more)


def test_scores_by_split_and_of_one_label() -> None:
    task = {"metric": "accuracy", "labels": ["no", "yes"], "f1_of": "yes"}
    data = labelled([0, 1, 1, 0, 1], ["r1", "r1", "r2", "r2", "r2"])
    found = score(data, task, {"predicted": [0, 0, 1, 0, 1], "scores": [0.0] * 5}, "en")
    # Of "yes" 2 are found, 3 there and 2 said: 2 * 2 / 5.
    assert found == {"accuracy": 80.0, "f1": 80.0, "accuracy.r1": 50.0, "accuracy.r2": 100.0}
    assert next(iter(found)) == "accuracy"
    assert score(labelled([0, 1]), {"metric": "accuracy", "labels": ["no", "yes"]},
                 {"predicted": [0, 0]}, "en") == {"accuracy": 50.0}  # fmt: skip


def test_the_f1_of_a_label() -> None:
    gold = {"a": 1, "b": 0, "c": 1}
    assert f1(gold, {"a": 1, "b": 1, "c": 0}, 1) == {"f1": 50.0}
    assert f1(gold, {"a": 1}, 1)["f1"] == pytest.approx(200 / 3)
    assert f1(gold, {"a": 0, "b": 0, "c": 0}, 1) == {"f1": 0.0}


def test_chance_of_xtremes_f1_is_that_of_the_best_constant_tagger() -> None:
    labels = ["NOUN", "SCONJ", "VERB"]
    task = {"metric": "xtreme_f1", "labels": labels}
    # Always SCONJ, of which each word is a span: 1 right of 2 + 4; always NOUN: none of 1 + 1
    # in the first sentence is right, and its one run in the second is.
    tags = [[0, 1, 2], [0]]
    data = Examples("token_classification", [[1], [1]], tags, [[0, 1, 2], [0]], 0)
    best = {
        "NOUN": 100 * 2 * 1 / (4 + 2), "SCONJ": 100 * 2 * 1 / (4 + 4), "VERB": 0.0,
    }  # fmt: skip
    assert token_classification.chance(task, data) == pytest.approx(max(best.values()))
