"""The plan as JSON, as a graph, and as one row a cell."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from studies import SMALL, plan_of
from typer.testing import CliRunner

from compiler.errors import PlanInvalid
from compiler.formats import MOST_STAGES, cells, chunks, dot, mermaid
from compiler.plan import Plan
from runtime.cli import app
from runtime.records import Failure, Record
from runtime.states import states
from runtime.store import Store, status

pytestmark = pytest.mark.usefixtures("fixed_catalog")

RUN = CliRunner()
TINY = {"models": {"family": "ladder", "sizes": ["s"]}, "seeds": [1], "targets": ["topics"]}

MERMAID = """\
flowchart LR
  subgraph j0["prepare-ladder"]
    s0[("prepare-topics")]
    s3[("prepare-pairs")]
  end
  subgraph j1["ladder_s-none-topics-s1"]
    s1["train-topics-ladder_s-s1"]
    s2(["evaluate-topics-ladder_s-s1"])
  end
  subgraph j2["ladder_s-pairs-s1"]
    s4["train-pairs-ladder_s-s1"]
  end
  subgraph j3["ladder_s-pairs-topics-s1"]
    s5["train-topics-after_pairs-ladder_s-s1"]
    s6(["evaluate-topics-after_pairs-ladder_s-s1"])
  end
  s0 --> s1
  s0 --> s2
  s1 --> s2
  s3 --> s4
  s0 --> s5
  s4 --> s5
  s0 --> s6
  s5 --> s6
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(json.dumps(SMALL), encoding="utf-8")
    return path


def test_mermaid() -> None:
    drawn = mermaid(plan_of(SMALL, **TINY))
    assert re.sub(r"-v\d+-[0-9a-f]{10}", "", drawn) == MERMAID


def test_the_graphs_are_the_plan() -> None:
    plan = plan_of(SMALL)
    names = dict(re.findall(r'(s\d+) \[label="([^"]+)"', dot(plan)))
    edges = {(names[up], names[key]) for up, key in re.findall(r"(s\d+) -> (s\d+);", dot(plan))}
    assert sorted(names.values()) == sorted(plan.stages)
    assert edges == {(up, key) for key, s in plan.stages.items() for up in s.inputs.values()}
    drawn = mermaid(plan)
    assert set(re.findall(r"(s\d+) --> (s\d+)", drawn)) == set(
        re.findall(r"(s\d+) -> (s\d+)", dot(plan))
    )
    assert drawn.count("subgraph") == dot(plan).count("subgraph") == len(plan.jobs)
    assert dot(plan).count("{") == dot(plan).count("}")


def test_a_large_plan_is_not_drawn() -> None:
    plan = plan_of(SMALL)
    stage = next(iter(plan.stages.values()))
    many = replace(plan, stages={f"s{i}": stage for i in range(MOST_STAGES + 1)})
    for draw in (mermaid, dot):
        with pytest.raises(PlanInvalid) as caught:
            draw(many)
        assert caught.value.code == "P006"
        assert "2,001 stages" in str(caught.value)
        assert "--format json" in str(caught.value)


def test_plan_prints_what_compile_writes(study: Path, tmp_path: Path) -> None:
    where = [str(study), "--build", str(tmp_path / "build")]
    assert RUN.invoke(app, ["compile", *where]).exit_code == 0
    printed = RUN.invoke(app, ["plan", *where, "--format", "json"])
    assert printed.exit_code == 0
    assert printed.stdout_bytes == (tmp_path / "build" / "small" / "plan.json").read_bytes()


def test_the_graph_verbs(study: Path) -> None:
    plan = plan_of(SMALL)
    for name, text in (("mermaid", mermaid(plan)), ("dot", dot(plan))):
        assert RUN.invoke(app, ["plan", str(study), "--format", name]).stdout == text
    assert RUN.invoke(app, ["plan", str(study), "--format", "svg"]).exit_code == 2


# Cells


def rows(plan: Plan, store: Store) -> list[list[str]]:
    lines = "".join(cells(plan, *states(store, plan))).splitlines()
    return [line.split("\t") for line in lines]


def test_one_row_a_cell(study: Path, tmp_path: Path) -> None:
    plan = plan_of(SMALL)
    head, *body = rows(plan, Store(tmp_path))
    assert head == ["model", "arm", "target", "language", "seed", "stage", "state"]
    assert [row[:6] for row in body] == [[str(x) for x in cell] for cell in plan.cells()]
    assert {row[6] for row in body} == {"waiting"}
    printed = RUN.invoke(app, ["plan", str(study), "--cells", "--store", str(tmp_path)])
    assert printed.stdout == "".join(cells(plan, {}, {}))


def test_states_of_cells(tmp_path: Path) -> None:
    plan, store = plan_of(SMALL), Store(tmp_path)
    first = plan.runs[0]
    done = plan.stages[first.score]
    with store.writing(done.key, done.parts[0]) as folder:
        store.commit(Record(done.key, done.parts[0], done.kind, "a", "b", 1.0, {}), folder)
    other = next(run for run in plan.runs if run.arm == "pairs")
    start = plan.stages[str(other.train)].inputs["start"]
    store.fail(Failure(start, "oom", "no memory left", "now"))
    found = {tuple(row[:5]): row[6] for row in rows(plan, store)[1:]}
    state = {
        language: found[first.model, first.arm, first.target, language, str(first.seed)]
        for language in first.languages
    }
    assert state == {"de": "done", "en": "waiting", "zh": "waiting"}
    assert found[other.model, other.arm, other.target, "de", str(other.seed)] == "blocked"
    assert states(store, plan)[0] == status(store, plan)


@pytest.mark.slow
def test_a_million_cells(tmp_path: Path) -> None:
    plan = plan_of(SMALL)
    many = replace(plan, runs=plan.runs * (1_000_000 // len(list(plan.cells())) + 1))
    start = time.perf_counter()
    size = sum(len(text) for text in chunks(cells(many, *states(Store(tmp_path), many))))
    assert size > 60_000_000
    assert time.perf_counter() - start < 20
