"""What a plan can detect: the counts of the plan, the noise of a pilot, and what is printed."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner
from unit import synthetic

from compiler.catalog import load
from compiler.errors import ReportImpossible
from compiler.planning import Noise, detectable
from compiler.prospects import ladder_of, piloted, points, prospects
from runtime.analysis.analyse import analyse
from runtime.analysis.design import planned
from runtime.cli import app
from runtime.report.build import build_report

QUICKSTART = Path(__file__).parents[2] / "specs" / "studies" / "quickstart.yaml"


def test_plan_and_scores_have_the_same_counts() -> None:
    plan = synthetic.plan(sizes=4)
    from_plan, from_scores = ladder_of(plan), planned(synthetic.scores(plan), "non_embedding")
    assert from_plan == from_scores
    assert (from_plan.tasks, from_plan.seeds, from_plan.intermediates) == (3, 3, 3)
    found = prospects(plan, load(), Noise())
    for level in ("L1", "L2", "L3"):
        assert found.detectable[level]["base"] == detectable(from_plan, level, Noise())


def test_self_pairs_and_english_do_not_count() -> None:
    plan = synthetic.plan()
    ladder = ladder_of(plan)
    only = replace(plan, runs=tuple(r for r in plan.runs if "self_pair" not in r.flags))
    assert ladder_of(only) == ladder
    foreign = replace(plan, runs=tuple(replace(r, languages=("en",)) for r in plan.runs))
    assert ladder_of(foreign).tasks == 0
    assert math.isinf(detectable(ladder_of(foreign), "L2", Noise()))


def test_a_pilot_gives_its_noise(tmp_path: Path) -> None:
    plan = synthetic.plan(sizes=4)
    findings = analyse(synthetic.scores(plan), plan.study["analysis"])
    files = build_report(plan, findings, synthetic.provenance(), title="A pilot")
    path = tmp_path / "report.json"
    path.write_bytes(files["report.json"])
    noise = piloted(path)
    (run,) = findings.select(estimand="noise", subset="run")
    assert noise.spread.run == run.estimate
    assert noise.family == Noise().family
    (ahead,) = findings.select(estimand="detectable", variant="next_study", level="L2")
    assert detectable(ladder_of(plan), "L2", noise) == pytest.approx(ahead.estimate)


@pytest.mark.parametrize("text", ["", "{}", '{"estimates": []}', '{"estimates": [1]}'])
def test_a_pilot_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ReportImpossible, match="A010"):
        piloted(path)


def test_the_verb_prints_a_table_and_json() -> None:
    shown = CliRunner().invoke(app, ["power", str(QUICKSTART)])
    assert shown.exit_code == 0, shown.output
    body = json.loads(
        CliRunner().invoke(app, ["power", str(QUICKSTART), "--format", "json"]).output
    )
    assert body["design"]["sizes"] == [3]
    assert set(body["detectable"]) == {"L1", "L2", "L3"}
    for level, by in body["detectable"].items():
        assert by["low"] < by["base"] < by["high"], level
        assert points(by["base"]) in shown.output
    assert {"seed", "task", "language"} <= {row["what"] for row in body["additions"]}
    assert body["design"]["device_hours"] > 0
