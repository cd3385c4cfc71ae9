"""The report: same bytes, well-formed and offline, hostile names harmless, numbers the same."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import polars as pl
import pytest
from unit import synthetic

from compiler.plan import Plan
from runtime.analysis.analyse import analyse
from runtime.analysis.estimate import (
    EQUIVALENT,
    INCONCLUSIVE,
    LARGER,
    NOT_ESTIMABLE,
    SMALLER,
    Findings,
)
from runtime.coding import coded, spelled
from runtime.report import curve, drawing, figures, heat, latex, ledger, tables, views, wording
from runtime.report.build import build_report, markdown, write_report
from runtime.report.wording import PLAINLY

HOSTILE = ' <script>alert(1)</script> | `x` [y](javascript:z) "q" \' & {{ 7*7 }}'
VOID = {"meta", "link", "br", "img", "hr"}


class Outline(HTMLParser):
    """Checks that tags are balanced, and collects what a browser would act on."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def outline(html: bytes) -> Outline:
    parser = Outline()
    parser.feed(html.decode("utf-8"))
    parser.close()
    return parser


def make(
    plan: Plan, title: str = "A study", hostile: str = ""
) -> tuple[Findings, dict[str, bytes]]:
    findings = analyse(synthetic.scores(plan), plan.study["analysis"], synthetic.facts(hostile))
    files = build_report(
        plan, findings, synthetic.provenance(), title=title, costs=synthetic.costs(plan)
    )
    return findings, files


@pytest.fixture(scope="module")
def made() -> tuple[Findings, dict[str, bytes]]:
    return make(synthetic.plan())


@pytest.fixture(scope="module")
def hostile() -> dict[str, bytes]:
    return make(synthetic.plan(hostile=HOSTILE), "T" + HOSTILE, HOSTILE)[1]


def test_files_and_bytes_are_the_same_twice(made: tuple[Findings, dict[str, bytes]]) -> None:
    again = make(synthetic.plan())[1]
    assert set(again) - {"report.pdf"} == {
        "report.html", "report.md", "report.json", "estimates.parquet", "cells.parquet",
        "runs.parquet", "report.schema.json", "tables.tex", "figure-gain.svg",
        "figure-forest.svg", "figure-heat.svg", "figure-pairs.svg", "figure-curve.svg",
    }  # fmt: skip
    assert [name for name in again if again[name] != made[1][name]] == []


def test_pdf_where_typst_is_installed(hostile: dict[str, bytes]) -> None:
    pytest.importorskip("typst")
    assert hostile["report.pdf"].startswith(b"%PDF-")
    assert len(hostile["report.pdf"]) > 20_000


def test_html_is_balanced_offline_and_without_scripts(
    made: tuple[Findings, dict[str, bytes]],
) -> None:
    html = made[1]["report.html"]
    page = outline(html)
    assert (page.wrong, page.open) == ([], [])
    assert "script" not in page.tags
    loads = {"src", "href", "xlink:href", "data", "action", "srcset", "poster"}
    targets = [value for _, name, value in page.attributes if name in loads]
    assert all(value.startswith(("#", "data:")) for value in targets)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert b"url(http" not in html
    assert b"@import" not in html
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert ("meta", "content", policy) in page.attributes
    assert ("html", "lang", "en") in page.attributes


def test_figures_have_names_and_unique_ids(made: tuple[Findings, dict[str, bytes]]) -> None:
    page = outline(made[1]["report.html"])
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert [v for tag, name, v in page.attributes if (tag, name) == ("svg", "role")] == ["img"] * 5
    assert all(v for tag, name, v in page.attributes if (tag, name) == ("svg", "aria-label"))
    assert page.tags.count("figcaption") == 5
    heads = page.tags.count("th")
    assert heads == sum((tag, name) == ("th", "scope") for tag, name, _ in page.attributes)
    for name in ("gain", "forest", "heat", "pairs", "curve"):
        assert f'id="{name}-title"'.encode() in made[1][f"figure-{name}.svg"]


def test_hostile_names_are_escaped(hostile: dict[str, bytes]) -> None:
    page = outline(hostile["report.html"])
    assert (page.wrong, page.open) == ([], [])
    assert "script" not in page.tags
    assert "alert(1)" in "".join(page.text)
    assert "{{ 7*7 }}" in "".join(page.text)
    for name in ("gain", "forest", "heat", "pairs", "curve"):
        assert b"<script" not in hostile[f"figure-{name}.svg"]
    text = hostile["report.md"].decode()
    assert "<script" not in text
    assert not re.search(r"(?<!\\)\]\(javascript", text)
    assert json.loads(hostile["report.json"])["title"] == "T" + HOSTILE


def test_markdown_tables_keep_their_columns(hostile: dict[str, bytes]) -> None:
    widths: list[int] = []
    for line in [*hostile["report.md"].decode().splitlines(), ""]:
        if line.startswith("|"):
            widths.append(len(re.findall(r"(?<!\\)\|", line)))
        else:
            assert len(set(widths)) <= 1, line
            widths = []


def test_markdown_escapes() -> None:
    assert markdown("a|b `c` [d] <e> *f* g_h\ni") == (r"a\|b \`c\` \[d\] &lt;e> \*f\* g\_h i")


def test_headline_numbers_are_the_same_everywhere(
    made: tuple[Findings, dict[str, bytes]],
) -> None:
    findings, files = made
    body = json.loads(files["report.json"], parse_constant=_refuse)
    text = "".join(outline(files["report.html"]).text)
    assert body["schema"] == "stiltscale/report/1"
    assert body["headline"]["sentence"] in text
    assert markdown(body["headline"]["sentence"]) in files["report.md"].decode()
    head = body["headline"]["estimate"]
    assert head["estimate"] == findings.headline.estimate
    for field in ("estimate", "lo", "hi"):
        assert wording.number(head[field]) in body["headline"]["sentence"]
    frame = pl.read_parquet(io.BytesIO(files["estimates.parquet"]))
    assert frame.height == len(body["estimates"])
    assert frame["estimate"].to_list() == [row["estimate"] for row in body["estimates"]]
    for level, row in body["headline"]["levels"].items():
        span = wording.interval(row["lo"], row["hi"])
        assert span in text, level
        assert span in files["figure-forest.svg"].decode()


def test_the_json_follows_its_schema(made: tuple[Findings, dict[str, bytes]]) -> None:
    schema = json.loads(made[1]["report.schema.json"])
    jsonschema.Draft202012Validator.check_schema(schema)
    body = json.loads(made[1]["report.json"])
    jsonschema.validate(body, schema)
    wrong = body | {"estimates": [body["estimates"][0] | {"estimate": "much"}]}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema)


def test_what_stands_around_the_verdict_is_in_the_page(
    made: tuple[Findings, dict[str, bytes]],
) -> None:
    findings, files = made
    text = "".join(outline(files["report.html"]).text)
    markdown_text = files["report.md"].decode()
    around = {
        e.estimand: e for e in findings.estimates
        if e.lo is not None and e.level == "L2" and e.panel == "trained" and e.scale == "points"
        and e.arm == "*"
    }  # fmt: skip
    for name in (
        "prediction", "group_slope", "group_difference", "moderator", "size_difference",
        "english_gap_change", "language_slope", "run_gain",
    ):  # fmt: skip
        span = wording.interval(around[name].lo, around[name].hi)
        assert span in text, name
        assert span in markdown_text, name
    for level in ("L1", "L2", "L3"):
        (e,) = findings.select(estimand="detectable", variant="planned_base", level=level)
        assert f"{e.estimate:.2f}" in text
    order = [
        "verdict", "gain", "tasks", "sizes", "cells", "differences", "comparisons", "sensitivity",
        "runs", "collapses", "design", "scores", "cost", "provenance",
    ]  # fmt: skip
    page = [v for tag, n, v in outline(files["report.html"]).attributes
            if (tag, n) == ("section", "id")]  # fmt: skip
    assert [name for name in page if name in order] == order


def test_deviations_from_the_lock_stand_under_the_verdict() -> None:
    plan = synthetic.plan()
    row = {"what": "analysis: margin", "locked": "2.0", "now": "1.0"}
    off = replace(plan, study={**plan.study, "lock": {"file": "f"}, "deviations": [row]})
    as_locked = replace(plan, study={**plan.study, "lock": {"file": "f"}})
    pages = [make(each)[1]["report.html"].decode("utf-8") for each in (plan, as_locked, off)]
    assert ["Not as it was locked" in page for page in pages] == [False, False, True]
    assert ["are as they were locked" in page for page in pages] == [False, True, False]
    assert "analysis: margin" in pages[2]


def test_a_long_table_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = synthetic.plan()
    findings = analyse(synthetic.scores(plan), plan.study["analysis"])
    whole = ledger.seed_table(findings, views.names(plan))
    monkeypatch.setattr(ledger, "CAP", 5)
    cut = ledger.seed_table(findings, views.names(plan))
    assert whole.cut == ""
    assert cut.rows == whole.rows[:5]
    assert cut.cut == f"The first 5 of {len(whole.rows):,} rows; all are in runs.parquet."


def test_five_words_and_no_others(made: tuple[Findings, dict[str, bytes]]) -> None:
    words = {LARGER, SMALLER, EQUIVALENT, INCONCLUSIVE, NOT_ESTIMABLE}
    slopes = [e for e in made[0].estimates if e.estimand == "slope"]
    assert {e.verdict for e in slopes} <= words
    assert {e.verdict for e in made[0].estimates if e.estimand != "slope"} == {""}


def test_latex_is_balanced_and_nothing_in_it_is_a_command(hostile: dict[str, bytes]) -> None:
    evil = "\\input{/etc/passwd} $x$ % & # _ ^ ~ {a}\n\\end{longtable}"
    shown = latex.escape(evil)
    bare = re.sub(r"\\(text[a-z]+\{\}|[{}$&#%_])", "", shown)
    assert not set(bare) & set("\\{}$&#%_^~\n")
    text = hostile["tables.tex"].decode()
    assert text.count("\\begin{longtable}") == text.count("\\end{longtable}") > 20
    depth = 0
    for sign in re.sub(r"\\[{}\\]", "", text):
        depth += (sign == "{") - (sign == "}")
        assert depth >= 0
    assert depth == 0
    for line in text.splitlines():
        if line.endswith(r"\\") and not line.startswith(("\\caption", "\\multicolumn")):
            assert len(re.findall(r"(?<!\\)&", line)) >= 1
    assert "<script" not in text


def test_every_score_carries_its_stage(made: tuple[Findings, dict[str, bytes]]) -> None:
    findings, files = made
    shown = {v for tag, name, v in outline(files["report.html"]).attributes if name == "title"}
    assert set(findings.scores["stage"]) <= shown


def test_missing_cells_are_blank_and_said() -> None:
    plan = synthetic.plan()
    names = views.names(plan)
    findings = analyse(synthetic.scores(plan), plan.study["analysis"])
    rows = [
        [cell.text for cell in row]
        for row in tables.pair_table(findings, names).rows
        if row[0].text == "WikiANN"
    ]
    squad = 2 + names.intermediates.index("squad")
    assert [row[squad] for row in rows] == [rows[0][squad], "", rows[2][squad]]
    assert rows[0][squad].startswith("(")
    gaps = [[cell.text for cell in row] for row in ledger.missing_table(findings, names).rows]
    assert ["failed", "oom: 79 GiB of 80 GiB in use"] in [row[-2:] for row in gaps]
    assert {row[-2] for row in gaps} == {"failed", "missing", "degenerate"}


def test_an_unfinished_study_says_so_above_all_numbers() -> None:
    plan = synthetic.plan()
    scores = synthetic.scores(plan)
    lost = {status: scores.filter(pl.col("status") == status).height for status in
            ("missing", "failed")}  # fmt: skip
    assert min(lost.values()) > 0
    said = f"{lost['missing']:,} missing and {lost['failed']:,} failed"
    findings, files = make(plan)
    page, text = (files[name].decode("utf-8") for name in ("report.html", "report.md"))
    assert said in ledger.unfinished(findings)
    assert page.index(said) < page.index("<table")
    assert text.index(said) < text.index("| --- |" if "| --- |" in text else "|---|")
    whole = analyse(scores.filter(~pl.col("status").is_in(list(lost))), plan.study["analysis"])
    assert ledger.unfinished(whole) == ""


def test_each_verdict_has_its_plain_answer(made: tuple[Findings, dict[str, bytes]]) -> None:
    assert set(PLAINLY) == {LARGER, SMALLER, EQUIVALENT, INCONCLUSIVE, NOT_ESTIMABLE}
    assert PLAINLY[made[0].headline.verdict] in made[1]["report.html"].decode("utf-8")


def test_a_language_without_runs_is_blank_in_table_and_figure() -> None:
    plan = synthetic.plan()
    scores = synthetic.scores(plan).filter(pl.col("language") != "th")
    findings = analyse(scores, plan.study["analysis"])
    names = views.names(plan)
    row = next(r for r in tables.heat_data(findings, names).rows if r[0].text == "th")
    assert [cell.text for cell in row[1:]] == ["", "", ""]
    assert ">th</text>" in figures.heat_figure(findings, names, "heat")


def test_two_sizes_say_not_estimable() -> None:
    _, files = make(synthetic.plan(sizes=2))
    text = "".join(outline(files["report.html"]).text)
    assert "not estimable" in text
    assert not re.search(r"\b(nan|None|inf)\b", text)
    levels = json.loads(files["report.json"])["headline"]["levels"]
    assert levels["L3"]["lo"] is None


def test_one_size_still_makes_a_report() -> None:
    _, files = make(synthetic.plan(sizes=1))
    text = "".join(outline(files["report.html"]).text)
    assert "not estimable" in text
    assert not re.search(r"\b(nan|None|inf)\b", text)


def test_charts_keep_to_the_schema_and_another_process_draws_the_same(
    made: tuple[Findings, dict[str, bytes]], capfd: pytest.CaptureFixture[str]
) -> None:
    findings, _ = made
    names = views.names(synthetic.plan())
    with drawing.beside() as pen:
        for draw in (  # drawn outside a report, Altair checks what they are made of
            figures.gain_figure, figures.forest_figure, figures.heat_figure, heat.pair_figure,
            curve.curve_figure,
        ):  # fmt: skip
            assert draw(findings, names, "a title", pen) == draw(findings, names, "a title")
        with pytest.raises(RuntimeError, match="has ended"):
            pen("no specification")
    assert "no specification" not in capfd.readouterr().out


def test_names_are_numbers_within_and_texts_outside() -> None:
    scores = synthetic.scores(synthetic.plan())
    within = coded(scores)
    assert within.schema["target"] == pl.Categorical
    assert within.sort("target", "language", "seed")["target"].to_list() == sorted(scores["target"])
    assert spelled(within).equals(scores)
    assert coded(within).equals(within)


def test_parquet_frames_are_the_findings(made: tuple[Findings, dict[str, bytes]]) -> None:
    findings, files = made
    assert pl.read_parquet(io.BytesIO(files["runs.parquet"])).equals(spelled(findings.scores))
    assert pl.read_parquet(io.BytesIO(files["cells.parquet"])).equals(findings.cells)


def test_marks_are_put_and_explained(made: tuple[Findings, dict[str, bytes]]) -> None:
    text = "".join(outline(made[1]["report.html"]).text)
    assert re.search(r"\([+−]\d+\.\d\d\)†", text)
    assert re.search(r"\d‡", text)
    assert "self-pair: the intermediate" in text


@pytest.mark.parametrize(
    ("count", "text"),
    [(1_800_000, "1.8M"), (270e6, "270M"), (3.5e9, "3.5B"), (10.7e9, "10.7B"),
     (999_900_000, "1B"), (950, "950"), (12_345, "12.3k"), (1.2e12, "1.2T")],
)  # fmt: skip
def test_parameters(count: float, text: str) -> None:
    assert wording.parameters(count) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(-0.001, "0.00"), (0.004, "0.00"), (-1.239, "\N{MINUS SIGN}1.24"), (2.0, "+2.00"),
     (None, ""), (float("nan"), "")],
)  # fmt: skip
def test_number(value: float | None, text: str) -> None:
    assert wording.number(value) == text


def test_write_report_leaves_whole_files_only(tmp_path: Path) -> None:
    write_report({"a.txt": b"1", "b.txt": b"2"}, tmp_path / "new" / "report")
    assert sorted(p.name for p in (tmp_path / "new" / "report").iterdir()) == ["a.txt", "b.txt"]


def _refuse(word: str) -> Mapping[str, Any]:
    raise AssertionError(f"{word} in report.json")
