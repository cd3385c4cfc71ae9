"""Published scores: read with their rows, apart by protocol and source, reported by themselves."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any, cast

import jsonschema
import polars as pl
import pytest
from scipy import stats
from studies import SMALL, plan_of, resolved
from typer.testing import CliRunner
from unit import synthetic
from unit.test_report import outline

from compiler import lock as locks
from compiler.catalog import load
from compiler.check import check
from compiler.errors import ReportImpossible, StudyInvalid
from compiler.expand import expand
from compiler.plan import Plan
from runtime import published, tidy
from runtime.analysis.analyse import analyse
from runtime.analysis.claims import Judgement, Subset, estimates
from runtime.analysis.estimate import Estimate
from runtime.analysis.evidence import summary
from runtime.analysis.series import Series
from runtime.cli import app
from runtime.publish import languages, publish
from runtime.records import Record
from runtime.report.build import build_report
from runtime.report.evidence import Shown
from runtime.store import Store

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "specs" / "studies" / "published-bloom-p3.yaml"
HEAD = "model,params,intermediate,target,language,metric,value,source,verified"
ROWS = (
    "s,100M,none,A,de,accuracy[zero-shot],50,a paper,yes",
    "s,100M,mnli,A,de,accuracy[zero-shot],53,a paper,yes",
    "s,100M,none,B,fr,accuracy[zero-shot],50,a paper,yes",
    "s,100M,mnli,B,fr,accuracy[zero-shot],51,a paper,yes",
)
CATALOG = load()
HOSTILE = "<script>alert(1)</script> & \\input{x} $_{1}| ](javascript:1) {{ 7*7 }}"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the shipped study, made by the command line from an empty folder."""
    build = tmp_path_factory.mktemp("build")
    done = CliRunner().invoke(app, ["report", str(STUDY), "--build", str(build)])
    assert done.exit_code == 0, done.output
    return build / "published-bloom-p3" / "report"


def bloom(how: str) -> dict[str, dict[tuple[str, str], list[float]]]:
    """Return P3's gain at both sizes by target and language, by nothing but the csv module."""
    found: dict[tuple[str, str, str, str], float] = {}
    with (ROOT / "specs" / "evidence" / "xmtf2022.csv").open(encoding="utf-8", newline="") as file:
        for r in csv.DictReader(file):
            if r["model"] in ("bloom-7b1", "bloom-176b") and f"{how} over prompts" in r["protocol"]:
                place = (r["model"], r["intermediate"], r["target"], r["language"])
                assert place not in found
                found[place] = float(r["value"])
    gains: dict[str, dict[tuple[str, str], list[float]]] = defaultdict(dict)
    for (model, arm, target, language), _ in found.items():
        if model == "bloom-7b1" and arm == "P3" and language != "en":
            gains[target][target, language] = [
                found[size, "P3", target, language] - found[size, "none", target, language]
                for size in ("bloom-7b1", "bloom-176b")
            ]
    return gains


def by_hand(cells: dict[tuple[str, str], float]) -> tuple[float, float, float]:
    """Return the mean over tasks of means over languages, and its two-way clustered interval."""
    tasks = sorted({t for t, _ in cells})
    codes = sorted({x for _, x in cells})
    weight = {(t, x): 1 / len(tasks) / sum(other == t for other, _ in cells) for t, x in cells}
    mean = sum(weight[place] * value for place, value in cells.items())
    off = {place: weight[place] * (value - mean) for place, value in cells.items()}

    def spread(sums: list[float]) -> float:
        return len(sums) / (len(sums) - 1) * sum(x * x for x in sums)

    task = spread([sum(v for (t, _), v in off.items() if t == name) for name in tasks])
    language = spread([sum(v for (_, x), v in off.items() if x == name) for name in codes])
    variance = max(task + language - spread(list(off.values())), task, language)
    half = stats.t.ppf(0.975, min(len(tasks), len(codes)) - 1) * variance**0.5
    return mean, mean - half, mean + half


SEEN = {
    "all": None,
    "seen": set("fr pt zh ar es hi sw ur vi id ta eu te".split()),
    "unseen": set("ja ru bg de el th tr et ht it qu my".split()),
}


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("subset", ["all", "seen", "unseen"])
def test_bloom_by_an_independent_count(report: Path, place: int, subset: str) -> None:
    series = json.loads((report / "report.json").read_text("utf-8"))["evidence"][place]
    kept = SEEN[subset]
    cells = {
        key: pair
        for target in bloom(("median", "best")[place]).values()
        for key, pair in target.items()
        if kept is None or key[1] in kept
    }
    wanted = {
        ("gain", "bloom-7b1"): by_hand({k: v[0] for k, v in cells.items()}),
        ("gain", "bloom-176b"): by_hand({k: v[1] for k, v in cells.items()}),
        ("difference", "*"): by_hand({k: v[1] - v[0] for k, v in cells.items()}),
    }
    for (estimand, model), numbers in wanted.items():
        (found,) = (
            e for e in series["estimates"]
            if (e["estimand"], e["model"], e["level"], e["subset"])
            == (estimand, model, "L2", subset)
        )  # fmt: skip
        assert [found[x] for x in ("estimate", "lo", "hi")] == pytest.approx(numbers, abs=1e-9)
        assert found["n_tasks"] == 4


def test_the_numbers_of_the_shipped_report(report: Path) -> None:
    """Pinned, so that a change of them is seen; where they come from is in the test above."""
    body = json.loads((report / "report.json").read_text("utf-8"))
    head = body["headline"]
    assert round(head["estimate"]["estimate"], 4) == 3.5841
    gap = head["levels"]["L2"]["estimate"] * math.log10(176 / 7.1)
    assert gap == pytest.approx(sum(sum(b - a for a, b in each.values()) / len(each)
                                    for each in bloom("median").values()) / 4)  # fmt: skip
    assert [round(head["estimate"][x], 2) for x in ("lo", "hi")] == [-3.26, 10.43]
    assert head["estimate"]["verdict"] == "inconclusive"
    assert head["levels"]["L1"]["verdict"] == head["levels"]["L3"]["verdict"] == "not estimable"
    assert "one published value of each score, without seeds" in head["sentence"]
    (claim,) = body["claims"]
    assert claim["verdict"] == "inconclusive"
    assert [len(body["evidence"]), body["counts"]["seeds"]] == [2, 1]


def test_the_shipped_report_says_what_it_cannot(report: Path) -> None:
    html = (report / "report.html").read_text("utf-8")
    text = (report / "report.md").read_text("utf-8")
    for words in (
        "What these numbers cannot support", "L1 is not estimable", "L3 is not estimable",
        "not seen in pretraining", "median over prompts", "best over prompts",
    ):  # fmt: skip
        assert words in html
        assert words in text
    assert "larger minus smaller" in (report / "tables.tex").read_text("utf-8")
    body = json.loads((report / "report.json").read_text("utf-8"))
    jsonschema.validate(body, json.loads((report / "report.schema.json").read_text("utf-8")))
    assert str(ROOT) not in json.dumps(body["study"])
    scores = pl.read_parquet(report / "evidence.parquet")
    assert scores.height == 2 * 168
    assert scores["stage"].str.contains(r"^xmtf2022 row \d+$").all()
    digest = body["provenance"]["published scores"]["xmtf2022"]
    assert digest.removeprefix("sha256 ") in text


def test_the_page_is_sound_and_tells_nothing_of_runs(report: Path) -> None:
    html = (report / "report.html").read_bytes()
    page = outline(html)
    assert (page.wrong, page.open) == ([], [])
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = {value for _, name, value in page.attributes if name == "href" and value[0] == "#"}
    assert {link.removeprefix("#") for link in links} <= set(ids)
    for words in (b"Collapsed", b"Planned", b"Every row of every split", b"degenerate runs in"):
        assert words not in html
    frame = pl.read_parquet(report / "estimates.parquet")
    assert not set(frame["estimand"]) & {"collapse_rate", "run_gain", "detectable", "noise"}


def test_the_same_table_gives_the_same_bytes(report: Path, tmp_path: Path) -> None:
    plan = expand(check(STUDY))
    command = f"stiltscale report {STUDY.as_posix()}"
    publish(plan, Store(tmp_path / "store"), tmp_path / "report", command)
    for path in report.iterdir():
        if path.suffix != ".pdf":
            assert path.read_bytes() == (tmp_path / "report" / path.name).read_bytes(), path.name


def test_a_study_of_published_scores_plans_nothing() -> None:
    plan = expand(check(STUDY))
    assert (plan.stages, plan.jobs, plan.runs) == ({}, (), ())
    done = CliRunner().invoke(app, ["plan", str(STUDY)])
    assert done.exit_code == 0, done.output
    assert "0 stages, nothing is run" in done.output
    assert "published scores: xmtf2022" in done.output


def put(folder: Path, *rows: str, head: str = HEAD, **entry: Any) -> Path:
    """Write a table of published scores and a study of it alone."""
    (folder / "scores.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    study = {"study": "told", "evidence": [{"file": "scores.csv"} | entry]}
    path = folder / "study.yaml"
    path.write_text(json.dumps(study), encoding="utf-8")
    return path


def test_the_format_of_published_tables(tmp_path: Path) -> None:
    (one,) = published.series(expand(check(put(tmp_path, *ROWS))))
    assert (one.protocol, one.source, one.frame.height, one.left_out) == (
        "zero-shot", "a paper", 4, 0
    )  # fmt: skip
    assert one.frame["params_total"].to_list() == [100_000_000] * 4
    assert one.frame["metric"].unique().to_list() == ["accuracy"]
    assert one.frame["stage"].to_list() == [f"scores.csv row {i}" for i in range(2, 6)]
    (said,) = published.series(expand(check(put(tmp_path, *ROWS, protocol="by us"))))
    assert said.protocol == "by us: zero-shot"


def test_what_cannot_enter_an_estimate_is_counted(tmp_path: Path) -> None:
    rows = (
        *ROWS, "s,,none,A,fr,accuracy[zero-shot],50,a paper,yes",
        "s,100M,none,A,it,accuracy[zero-shot],50,a paper,no",
        "s,100M,none,A,de,em[zero-shot],50,a paper,yes",
        "s,100M,none,A,es,accuracy[zero-shot],,a paper,yes",
    )  # fmt: skip
    (one,) = published.series(expand(check(put(tmp_path, *rows))))
    assert (one.frame.height, one.left_out, one.sized.height) == (8, 4, 4)


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("s,1e8,none,A,de,accuracy[x],50,a paper,yes", "row 6: params `1e8` is no whole number"),
        ("s,100M,none,A,de,accuracy[x],150,a paper,yes", "row 6: value `150` is not from 0 to 100"),
        ("s,100M,none,A,de,accuracy[x],50,,yes", "row 6: source is empty"),
        ("s,100M,none,A,de,accuracy[x],50,a paper,maybe", "verified `maybe` is none of yes, no"),
        ("s,100M,none,A,de,[x],50,a paper,yes", "row 6: metric is empty"),
    ],
)
def test_check_names_wrong_rows(tmp_path: Path, row: str, what: str) -> None:
    done = CliRunner().invoke(app, ["check", str(put(tmp_path, *ROWS, row))])
    assert done.exit_code != 0
    assert "A006" in str(done.exception) + done.output
    assert what in " ".join((str(done.exception) + done.output).split())


@pytest.mark.parametrize(
    ("rows", "head", "entry", "code"),
    [
        (ROWS, HEAD.replace("source", "from"), {}, "A005"),
        (ROWS, HEAD, {"keep": {"models": ["t"]}}, "A020"),
        (ROWS, HEAD, {"keep": {"targets": ["A"], "languages": ["fr"]}}, "A020"),
        ([r.replace("[zero-shot]", "") for r in ROWS], HEAD, {}, "A020"),
        ([*ROWS, ROWS[0].replace("50", "51")], HEAD, {}, "A002"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, rows: list[str], head: str, entry: dict[str, Any], code: str
) -> None:
    plan = expand(check(put(tmp_path, *rows, head=head, **entry)))
    with pytest.raises(ReportImpossible, match=code):
        published.series(plan)


def test_a_table_that_changed_since_the_plan(tmp_path: Path) -> None:
    plan = expand(check(put(tmp_path, *ROWS)))
    put(tmp_path, *ROWS[:3])
    with pytest.raises(ReportImpossible, match="A021"):
        published.series(plan)


def test_protocols_and_publications_are_apart(tmp_path: Path) -> None:
    rows = [r.replace("a paper", "another") for r in ROWS]
    rows += [r.replace("zero-shot", "translate-train") for r in ROWS]
    found = published.series(expand(check(put(tmp_path, *ROWS, *rows))))
    assert [(s.protocol, s.source) for s in found] == [
        ("zero-shot", "a paper"), ("zero-shot", "another"), ("translate-train", "a paper"),
    ]  # fmt: skip


def test_series_are_never_joined(tmp_path: Path) -> None:
    (one,) = published.series(expand(check(put(tmp_path, *ROWS))))
    own = synthetic.scores(synthetic.plan())
    other = one.sized.with_columns(pl.lit("another paper").alias("source"))
    elsewhere = one.sized.with_columns(pl.lit("few-shot").alias("protocol"))
    analysis = {"size_axis": "total"}
    for joined in (
        pl.concat([own, one.sized], how="diagonal_relaxed"),
        pl.concat([one.sized, other]),
        pl.concat([one.sized, elsewhere]),
    ):
        with pytest.raises(ReportImpossible, match="A007"):
            analyse(joined, analysis)
        with pytest.raises(ReportImpossible, match="A007"):
            list(estimates(joined, Subset(), analysis, {}, ("gain",)))


def test_published_scores_change_no_key(tmp_path: Path) -> None:
    put(tmp_path, *ROWS)
    entry = [{"file": str(tmp_path / "scores.csv")}]
    claims = [
        {"claim": "c", "says": "it does help", "estimand": "gain", "direction": "positive",
         "source": "a paper"}
    ]  # fmt: skip
    small = SMALL | {"catalog": str(ROOT / "tests" / "catalog")}
    one, other = plan_of(small), plan_of(small, evidence=entry, claims=claims)
    assert list(one.stages) == list(other.stages)
    assert one.runs == other.runs
    assert "evidence" not in one.study
    assert other.study["evidence"][0]["digest"]
    plain, more = resolved(small), resolved(small, evidence=entry, claims=claims)
    assert locks.study_digest(plain) == locks.study_digest(more)


def test_the_lock_holds_the_digest(tmp_path: Path) -> None:
    path = put(tmp_path, *ROWS)
    made = locks.make(check(path, locked=False), lambda *_: "0" * 40)
    assert list(made.files) == ["evidence/scores.csv"]
    locks.lock_path(path).write_text(locks.as_yaml(made, path.name), encoding="utf-8")
    assert not check(path).diagnostics
    put(tmp_path, *ROWS[:3])
    assert [d.code for d in check(path).diagnostics] == ["C215"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"evidence": [{"name": "xmtf"}]}, "C180"),
        ({"evidence": [{"file": "none.csv"}]}, "C180"),
        ({"evidence": [{"file": "a.csv", "name": "mt5"}]}, "S013"),
        ({"evidence": [{"name": "mt5"}], "seeds": [1]}, "S013"),
        ({"evidence": []}, "S012"),
        ({"evidence": [{"name": "mt5", "keep": {"model": ["x"]}}]}, "S011"),
    ],
)
def test_wrong_studies_of_published_scores(fields: dict[str, Any], code: str) -> None:
    with pytest.raises(StudyInvalid) as caught:
        resolved({"study": "told", **fields})
    assert code in {d.code for d in caught.value.diagnostics}


@pytest.mark.parametrize("name", sorted(CATALOG.evidence))
def test_every_shipped_set_is_read_and_has_its_source(name: str) -> None:
    plan = plan_of({"study": "told", "evidence": [{"name": name}]})
    for one in published.series(plan):
        assert one.frame["verified"].unique().to_list() == ["yes"]
        assert re.search(r"arXiv \d{4}\.\d{5}|github [\w-]+/[\w-]+@[0-9a-f]{7}", one.source)
        assert one.citation
        assert one.limitations
        assert one.frame["value"].null_count() == 0
        summary(one, plan.study["analysis"], languages(one.sized, CATALOG))


def told(name: str) -> list[Estimate]:
    """Return what the first series of a shipped set shows by itself."""
    plan = plan_of({"study": "told", "evidence": [{"name": name}]})
    first = published.series(plan)[0]
    return list(summary(first, {"size_axis": "total"}, languages(first.sized, CATALOG)))


def test_each_intermediate_has_the_sizes_that_have_it() -> None:
    found = {
        (e.arm, e.subset): e.n_sizes for e in told("xmtf2022")
        if (e.estimand, e.level) == ("slope", "L2")
    }  # fmt: skip
    wanted = {"P3": 2, "xP3": 6, "xP3mt": 2}
    assert found == {(a, s): n for a, n in wanted.items() for s in ("all", "seen", "unseen")}


def test_a_published_mean_is_no_language() -> None:
    found = told("phang2020")
    assert {e.subset for e in found} == {"all"}
    (gain,) = (e for e in found if e.model != "*" and e.level == "L2")
    six = [(80.4, 79.2), (87.7, 86.4), (64.7, 65.4), (77.2, 76.6), (72.3, 71.6), (76.0, 65.1)]
    assert gain.estimate == pytest.approx(sum(a - b for a, b in six) / 6)
    assert gain.lo is None


@cache
def beside(hostile: str = "") -> tuple[Plan, dict[str, bytes]]:
    """Report a study with runs of its own, and scores of a paper beside them."""
    plan = synthetic.plan(sizes=2, hostile=hostile)
    scores = synthetic.scores(plan)
    told = scores.filter((pl.col("seed") == 1) & pl.col("value").is_not_null()).with_columns(
        pl.col("value") - 2.0, pl.lit(f"few-shot{hostile}").alias("protocol"),
        pl.lit(f"a paper{hostile}").alias("source"), pl.lit("yes").alias("verified"),
    )  # fmt: skip
    series = Series(
        f"label{hostile}", f"title{hostile}", f"few-shot{hostile}", f"a paper{hostile}", told,
        limitations=(f"limits{hostile}",),
    )  # fmt: skip
    claim = {
        "claim": f"claim{hostile}", "says": f"says{hostile}", "estimand": "gain",
        "direction": "positive", "level": "L2", "margin": None, "value": 1.0, "against": [],
        "average": "zero_shot", "source": f"a paper{hostile}", "untestable": "",
        "of": {"models": [f"m{hostile}"], "intermediates": [], "targets": [f"t{hostile}"],
               "languages": "all"},
    }  # fmt: skip
    shown = Shown(series, summary(series, plan.study["analysis"], synthetic.facts()))
    files = build_report(
        plan, analyse(scores, plan.study["analysis"]), synthetic.provenance(), title="T",
        published=[shown],
        judged=[Judgement(claim, "not testable here", f"because{hostile}")],
    )  # fmt: skip
    return plan, files


def test_own_and_published_stand_side_by_side() -> None:
    plan, files = beside()
    text = files["report.md"].decode()
    (line,) = (x for x in text.splitlines() if x.startswith("| PAWS-X; accuracy | Invented large")
               and "| none |" in x)  # fmt: skip
    scores = synthetic.scores(plan).filter(
        (pl.col("model") == "large") & (pl.col("arm") == "none") & (pl.col("target") == "pawsx")
    )
    own = scores.group_by("language").agg(pl.col("value").mean())["value"].mean()
    told = scores.filter(pl.col("seed") == 1)["value"].mean()
    assert isinstance(own, float)
    assert isinstance(told, float)
    assert f"| {own:.2f}; 5 languages, 3 seeds | {told - 2:.2f}; 5 languages |" in line
    runs = pl.read_parquet(io.BytesIO(files["runs.parquet"]))
    assert runs.equals(synthetic.scores(plan))
    assert "What these numbers cannot support" not in text


def test_hostile_words_stay_words() -> None:
    files = beside(HOSTILE)[1]
    html, text, latex = (files[x].decode() for x in ("report.html", "report.md", "tables.tex"))
    assert "<script" not in html
    assert "<script" not in text
    assert "alert(1)" in html
    assert "{{ 7*7 }}" in html
    assert not re.search(r"(?<!\\)\]\(javascript", text)
    assert "\\input" not in latex
    assert r"\textbackslash{}input\{x\}" in latex
    widths: list[int] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            widths.append(len(re.findall(r"(?<!\\)\|", line)))
        else:
            assert len(set(widths)) <= 1, line
            widths = []


def test_tidy_tables_of_ones_own_still_need_seeds(tmp_path: Path) -> None:
    put(tmp_path, *ROWS)
    with pytest.raises(ReportImpossible, match="lacks seed"):
        tidy.read(tmp_path / "scores.csv")
    assert tidy.read(tmp_path / "scores.csv", published=True)["seed"].to_list() == [0] * 4


def test_evidence_parquet_keeps_every_row() -> None:
    frame = pl.read_parquet(io.BytesIO(beside()[1]["evidence.parquet"]))
    assert frame["set"].unique().to_list() == ["label"]


class Shelf:
    """A store whose scoring stages have a record for every language."""

    def __init__(self, plan: Plan) -> None:
        self.scored = {run.score: run for run in plan.runs}

    def record(self, key: str, part: str) -> Record | None:
        run = self.scored.get(key)
        if run is None:
            return None
        value = 50.0 + 5 * (run.arm != "none") + run.seed * 0.1 + (run.target == "twins")
        return Record(key, part, "evaluate", "t0", "t1", 1.0, {"value": value, "n": 100})

    def failure(self, key: str) -> None:
        return None


def test_a_study_with_runs_evidence_and_claims(tmp_path: Path) -> None:
    small = SMALL | {"catalog": str(ROOT / "tests" / "catalog")}
    models = list(plan_of(small).models)
    put(
        tmp_path,
        f"{models[0]},1M,none,topics,avg,accuracy[few-shot],40,a paper,yes",
        f"{models[0]},1M,pairs,topics,avg,accuracy[few-shot],44.25,a paper,yes",
    )
    claim = {"claim": "helps", "says": "pairs are of help", "estimand": "gain", "level": "L1",
             "direction": "positive", "of": {"targets": ["topics"]}, "value": 4.25,
             "source": "a paper"}  # fmt: skip
    evidence = [{"file": str(tmp_path / "scores.csv")}]
    plan = plan_of(small, evidence=evidence, claims=[claim])
    html = publish(plan, cast(Store, Shelf(plan)), tmp_path / "report", "stiltscale report x")
    body = json.loads((html.parent / "report.json").read_text("utf-8"))
    (judged,) = body["claims"]
    assert (judged["verdict"], judged["published_within_interval"]) == ("replicated", False)
    assert judged["estimate"]["estimate"] == pytest.approx(5.0)
    assert {e["model"] for e in body["estimates"]} <= {"*", *models}
    text = (html.parent / "report.md").read_text("utf-8")
    (line,) = (x for x in text.splitlines() if "44.25" in x)
    assert "| 55.15; 3 languages, 2 seeds | 44.25; avg |" in line
    assert "Judged by this study's runs" in text
    assert "All of this report is about series A" not in text
