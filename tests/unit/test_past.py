"""Reports of an earlier day, and two reports side by side."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner
from unit import synthetic
from unit.test_report import outline

from compiler.check import check
from compiler.expand import expand
from compiler.plan import Plan
from runtime.analysis.analyse import analyse
from runtime.analysis.steps import steps
from runtime.cli import app
from runtime.past import Past, brief, moment, shown, stamp
from runtime.publish import publish, publish_comparison
from runtime.records import Failure, Record
from runtime.report.compared import build_comparison
from runtime.report.versus import Side

START = datetime(2026, 5, 1, tzinfo=UTC)
HOSTILE = '<script>x</script>"|[a](b)'


class Kept:
    """A store in memory: what has a record, what failed, and when."""

    def __init__(self, records: dict[tuple[str, str], Record], failures: dict[str, Failure]):
        self.records, self.failures = records, failures

    def record(self, key: str, part: str = "all") -> Record | None:
        return self.records.get((key, part))

    def failure(self, key: str) -> Failure | None:
        return self.failures.get(key)

    def until(self, last: datetime) -> Kept:
        """What the store held then, cut out by hand."""
        text = last.isoformat()
        return Kept(
            {at: r for at, r in self.records.items() if r.finished <= text},
            {key: f for key, f in self.failures.items() if f.when <= text},
        )


def finished(plan: Plan) -> Kept:
    """Finish a plan, a stage a minute; the last scoring fails."""
    records, failures = {}, {}
    scorings = [stage for stage in plan.stages.values() if stage.kind == "evaluate"]
    for minute, stage in enumerate(plan.stages.values()):
        when = (START + timedelta(minutes=minute)).isoformat()
        if stage is scorings[-1]:
            failures[stage.key] = Failure(stage.key, "oom", "too large", when)
            continue
        for part in stage.parts:
            value = 40.0 + zlib.crc32(f"{stage.key}{part}".encode()) % 3000 / 100
            result: dict[str, Any] = {"value": value, "n": 500, "rows": 10, "metric": "accuracy"}
            if stage.kind == "train":
                result["english_dev"] = {
                    "metric": "accuracy",
                    "value": 90.0,
                    "chance": 10.0,
                    "n": 99,
                }
            records[stage.key, part] = Record(
                stage.key, part, stage.kind, when, when, 60.0, result, {}, {}
            )
    return Kept(records, failures)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return expand(check(Path("specs/studies/quickstart.yaml"), installed=False))


@pytest.fixture(scope="module")
def store(plan: Plan) -> Kept:
    return finished(plan)


@pytest.fixture(scope="module")
def middle(plan: Plan) -> datetime:
    return START + timedelta(minutes=len(plan.stages) - 60)


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2026-05-31", "2026-05-31T23:59:59+00:00"),
        ("2026-05-31T18:00", "2026-05-31T18:00:00+00:00"),
        ("2026-05-31T18:00:00+02:00", "2026-05-31T16:00:00+00:00"),
    ],
)
def test_moments(text: str, when: str) -> None:
    assert stamp(moment(text)) == when


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", ""])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match="is no date or time"):
        moment(text)


def test_a_report_of_then_is_what_a_report_then_was(
    plan: Plan, store: Kept, middle: datetime, tmp_path: Path
) -> None:
    now, then = tmp_path / "now", tmp_path / "then"
    publish(plan, store, now, "c", until=middle)
    publish(plan, store.until(middle), then, "c")
    assert {p.name for p in now.iterdir()} == {p.name for p in then.iterdir()}
    for path in sorted(now.iterdir()):
        if path.name in ("report.html", "report.md"):
            text = path.read_text(encoding="utf-8")
            assert shown(middle) in text
            lines = [line for line in text.splitlines() if "As it was at" not in line]
            old = (then / path.name).read_text(encoding="utf-8").splitlines()
            assert [x for x in lines if x and x not in old] == []
        elif path.name != "report.pdf":
            assert path.read_bytes() == (then / path.name).read_bytes(), path.name
    counts = json.loads((now / "report.json").read_text(encoding="utf-8"))["counts"]
    assert 0 < counts["scores_missing"] < counts["scores"]
    assert counts["scores_failed"] == 0


def test_a_failure_counts_from_its_time_on(store: Kept) -> None:
    (key,) = store.failures
    when = datetime.fromisoformat(store.failures[key].when)
    assert Past(store, when).failure(key) == store.failures[key]
    assert Past(store, when - timedelta(seconds=1)).failure(key) is None


def test_two_days_side_by_side(plan: Plan, store: Kept, middle: datetime, tmp_path: Path) -> None:
    sides = [("before", plan, None, middle), ("after", plan, None, None)]
    page = publish_comparison(sides, store, tmp_path, "c")
    read = outline(page.read_bytes())
    assert (read.wrong, read.open) == ([], [])
    assert "script" not in read.tags
    body = json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))
    assert body["scores"]["changed"] == body["scores"]["only first"] == 0
    assert body["scores"]["only second"] > 0
    assert body["stages"]["rekeyed"] == []
    frame = pl.read_parquet(tmp_path / "comparison-scores.parquet")
    assert frame.height == sum(body["scores"].values())
    again = tmp_path / "again"
    publish_comparison(sides, store, again, "c")
    for path in again.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def sides(change: Callable[[pl.DataFrame], pl.DataFrame], label: str = "second") -> list[Side]:
    made = synthetic.plan()
    scores = synthetic.scores(made)
    analysis = made.study["analysis"]
    return [
        Side("first", made, analyse(scores, analysis)),
        Side(label, made, analyse(change(scores), analysis)),
    ]


def body(pair: list[Side]) -> dict[str, Any]:
    files = build_comparison(*pair, [{"command": "a"}, {"command": "b"}])
    found: dict[str, Any] = json.loads(files["comparison.json"])
    return found


def test_the_same_study_twice_differs_in_nothing() -> None:
    found = body(sides(lambda frame: frame))
    assert {pair["difference"] for pair in found["estimates"]} <= {0.0, None}
    assert found["why"][-1].startswith("Both rest on the same scores, value by value")
    assert found["scores"]["changed"] == 0


def test_the_steps_sum_to_the_difference() -> None:
    def other(frame: pl.DataFrame) -> pl.DataFrame:
        raised = pl.when(pl.col("arm") != "none").then(pl.col("value") + pl.col("seed") * 0.1)
        return frame.filter(pl.col("seed") != 1).with_columns(
            raised.otherwise(pl.col("value")).alias("value")
        )

    first, second = sides(other)
    plans = (first.plan.study["analysis"],) * 2
    way = [step.levels["L2"].estimate for step in steps(
        first.findings.scores, second.findings.scores, plans
    )]  # fmt: skip
    assert way[0] == first.findings.headline.estimate
    assert way[-1] == second.findings.headline.estimate
    assert way[2] == way[3]  # the second has nothing that the first lacks
    assert way[0] != way[1]
    found = body([first, second])
    assert found["scores"]["only first"] > 0
    told = [x["difference"] for x in found["estimates"] if x["estimand"] == "slope"
            and x["level"] == "L2" and x["variant"] == "primary" and x["arm"] == "*"
            and x["scale"] == "points" and x["average"] == "zero_shot"]  # fmt: skip
    assert told[0] == pytest.approx(way[-1] - way[0])


def test_a_hostile_label_stays_text() -> None:
    files = build_comparison(*sides(lambda frame: frame, HOSTILE), [{}, {}])
    assert b"<script" not in files["comparison.html"]
    assert b"<script" not in files["comparison.md"]


def test_a_re_keyed_study_says_why(plan: Plan, store: Kept) -> None:
    analysis = {**plan.study["analysis"], "margin": 9.0, "margin_reason": "other"}
    other = replace(plan, study={**plan.study, "analysis": analysis})
    from runtime.publish import find

    pair = [Side("a", plan, find(plan, store)), Side("b", other, find(other, store))]
    found = body(pair)
    assert any(c["field"] == "study.analysis.margin" for c in found["settings"])
    assert any("analysis plan" in sentence for sentence in found["why"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["specs/studies/quickstart.yaml", "--as-of", "soon"], "is no date or time"),
        ([], "name a study"),
        (["specs/studies/quickstart.yaml", "--as-of", "2026-05-01", "--compare", "2026-05-01",
          "2026-05-02"], "no --as-of"),
    ],
)  # fmt: skip
def test_what_the_command_line_refuses(words: list[str], said: str) -> None:
    found = CliRunner().invoke(app, ["report", *words])
    assert found.exit_code == 2
    assert said in " ".join(found.output.replace("│", " ").split())


def test_folders_of_moments_sort_by_time() -> None:
    assert brief(moment("2026-05-31T18:00:00+02:00")) == "20260531T160000Z"
