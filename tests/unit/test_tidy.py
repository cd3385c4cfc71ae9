"""Any table of scores: read with row numbers in errors, and analysed as a study is."""

from __future__ import annotations

import io
import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner
from unit import synthetic

from compiler.errors import ReportImpossible
from runtime import tidy
from runtime.analysis.analyse import analyse
from runtime.cli import app
from runtime.publish import publish_table

HEAD = "model,params,intermediate,target,language,seed,metric,value"


def rows(*lines: str, head: str = HEAD) -> str:
    return "\n".join([head, *lines]) + "\n"


def put(folder: Path, text: str, name: str = "scores.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def small() -> str:
    lines = [
        f"{model},{size},{arm},{target},{language},{seed},accuracy,"
        f"{50 + place + (arm == 'mnli') * (2 - place) + 0.1 * seed + (target == 'A')}"
        for place, (model, size) in enumerate((("s", 10**8), ("m", 10**9), ("l", 10**10)))
        for arm in ("", "mnli")
        for target in ("A", "B")
        for language in ("en", "de", "zh")
        for seed in (1, 2)
    ]
    return rows(*lines)


def test_collected_scores_go_out_and_come_back_the_same(tmp_path: Path) -> None:
    plan = synthetic.plan()
    scores = synthetic.scores(plan)
    shown = tidy.table(scores)
    for suffix in (".csv", ".parquet", ".arrow"):
        path = tmp_path / f"scores{suffix}"
        path.write_bytes(tidy.written(shown, suffix))
        one, other = (
            analyse(frame, plan.study["analysis"], synthetic.facts())
            for frame in (scores, tidy.read(path))
        )
        assert one.estimates == other.estimates
        assert one.cells.equals(other.cells)


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    path = put(tmp_path, small())
    block = tidy.Block(title="T <b>", question="Why?")
    made = []
    for folder in ("one", "two"):
        html = publish_table(path, block, tmp_path / folder, "stiltscale analyse scores.csv")
        made.append({p.name: p.read_bytes() for p in html.parent.iterdir()})
    assert made[0] == made[1]
    assert b"T &lt;b&gt;" in made[0]["report.html"]
    body = json.loads(made[0]["report.json"])
    assert body["headline"]["estimate"]["estimate"] == pytest.approx(-1.0)
    runs = pl.read_parquet(io.BytesIO(made[0]["runs.parquet"]))
    assert runs["stage"][0] == "row 2"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("s,1e8,none,A,de,1,accuracy,50", "row 2: params `1e8` is no whole number"),
        ("s,100,none,A,de,1,accuracy,103", "row 2: value `103` is not from 0 to 100"),
        ("s,100,none,A,de,1,accuracy,nan", "row 2: value `nan` is not from 0 to 100"),
        ("s,0,none,A,de,1,accuracy,50", "row 2: params `0` is not above zero"),
        ("s,100,none,A,,1,accuracy,50", "row 2: language is empty"),
        ("s,100,none,A,de,one,accuracy,50", "row 2: seed `one` is no whole number"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, line: str, what: str) -> None:
    with pytest.raises(ReportImpossible, match="A006") as caught:
        tidy.read(put(tmp_path, rows(line)))
    assert what in str(caught.value)


def test_every_wrong_row_is_counted_and_some_are_listed(tmp_path: Path) -> None:
    lines = [f"s,100,none,A,de,{k},accuracy,{200 + k}" for k in range(25)]
    with pytest.raises(ReportImpossible, match="25 entries") as caught:
        tidy.read(put(tmp_path, rows("s,100,none,A,de,99,accuracy,1", *lines)))
    text = str(caught.value)
    assert "row 3:" in text
    assert "and 15 more" in text
    parquet = tmp_path / "scores.parquet"
    pl.read_csv(io.StringIO(rows(*lines))).write_parquet(parquet)
    with pytest.raises(ReportImpossible, match="row 1: value"):
        tidy.read(parquet)


@pytest.mark.parametrize(
    ("text", "name", "what"),
    [
        (rows("s,100,none,A,de,1,accuracy,50").replace("language", "lang"), "a.csv", "lacks"),
        (rows("s,100,none,A,de,1,accuracy,50,1", head=HEAD + ",weight"), "a.csv", "unknown weight"),
        ("", "a.csv", "A005"),
        ("x", "a.parquet", "A005"),
        ("x", "a.xlsx", "`.xlsx`"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path: Path, text: str, name: str, what: str) -> None:
    with pytest.raises(ReportImpossible) as caught:
        tidy.read(put(tmp_path, text, name))
    assert "A005" in str(caught.value)
    assert what in str(caught.value)


def test_self_pairs_come_from_the_training_data(tmp_path: Path) -> None:
    head = HEAD + ",train_data,flags"
    frame = tidy.read(put(tmp_path, rows(
        "s,100,mnli,A,de,1,accuracy,50,mnli,shared_text", "s,100,mnli,B,de,1,accuracy,50,B,",
        "s,100,none,A,de,1,accuracy,50,mnli,", head=head,
    )))  # fmt: skip
    assert frame["flags"].to_list() == ["shared_text;self_pair", "", ""]


def test_protocols_are_never_joined(tmp_path: Path) -> None:
    lines = [f"s,100,none,A,de,{k},accuracy,50,p{k}" for k in (1, 2)]
    frame = tidy.read(put(tmp_path, rows(*lines, head=HEAD + ",protocol")))
    with pytest.raises(ReportImpossible, match="A007"):
        tidy.as_plan(frame, tidy.Block(), "x")


def test_the_verb_reads_an_analysis_and_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    path = put(tmp_path, small())
    block = put(tmp_path, "margin: 0.5\nmargin_reason: seeds\ntitle: A table\n", "a.yaml")
    build = ["--build", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["analyse", str(path), "--analysis", str(block), *build])
    assert done.exit_code == 0, done.output
    body = json.loads((tmp_path / "out/scores/report/report.json").read_text("utf-8"))
    assert (body["title"], body["headline"]["estimate"]["margin"]) == ("A table", 0.5)
    wrong = put(tmp_path, "margn: 0.5\n", "b.yaml")
    done = CliRunner().invoke(app, ["analyse", str(path), "--analysis", str(wrong), *build])
    assert done.exit_code == 1


def test_one_size_without_seeds_still_makes_a_report(tmp_path: Path) -> None:
    lines = [f"s,100,{arm},A,de,1,accuracy,5{len(arm)}" for arm in ("none", "mnli")]
    html = publish_table(put(tmp_path, rows(*lines)), tidy.Block(), tmp_path / "out", "x")
    assert "not estimable" in html.read_text("utf-8")


def test_the_page_names_every_column() -> None:
    page = tidy.page("made")
    assert all(f"| `{name}` |" in page for name in tidy.COLUMNS)
