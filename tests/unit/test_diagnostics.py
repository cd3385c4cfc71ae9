"""Every code is documented, and findings come as text, JSON and GitHub's workflow commands."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from compiler.codes import CODES
from compiler.display import findings_github, findings_json
from compiler.errors import Diagnostic, Span
from compiler.remedies import REMEDIES
from runtime.cli import app

ROOT = Path(__file__).parents[2]
GOOD = ROOT / "specs" / "studies" / "quickstart.yaml"


def test_every_code_of_the_source_is_documented() -> None:
    used: set[str] = set()
    for folder in ("compiler", "runtime"):
        for path in (ROOT / folder).rglob("*.py"):
            used |= set(re.findall(r'"([SCPERFA]\d{3})"', path.read_text(encoding="utf-8")))
    assert used - set(CODES) == set()


def test_every_code_has_an_example_and_a_remedy() -> None:
    assert set(REMEDIES) == set(CODES)
    for code, (severity, meaning) in CODES.items():
        assert severity in ("error", "warning", "note")
        assert meaning.endswith("."), code
        assert all(REMEDIES[code]), code
        assert REMEDIES[code][1].endswith("."), code


FOUND = [
    Diagnostic("C206", "warning", "one seed,\n50% of it", "add: seeds",
               Span("a,b:c.yaml", 3, 5, "x", 4)),
    Diagnostic("S002", "error", "not UTF-8", "", Span("a.yaml", 0, 0)),
    Diagnostic("C214", "note", "nothing", "", None),
]  # fmt: skip


def test_json() -> None:
    nothing, placed, other = json.loads(findings_json(FOUND))
    assert placed == {
        "code": "C206", "severity": "warning", "message": "one seed,\n50% of it",
        "hint": "add: seeds", "file": "a,b:c.yaml", "line": 3, "column": 5, "end_column": 9,
    }  # fmt: skip
    assert (other["file"], other["line"], other["end_column"]) == ("a.yaml", None, None)
    assert nothing["file"] is None
    assert json.loads(findings_json([])) == []


def test_github_escapes() -> None:
    assert findings_github(FOUND).split("\n") == [
        "::notice title=C214::nothing",
        "::warning file=a%2Cb%3Ac.yaml,line=3,col=5,endColumn=8,title=C206::"
        "one seed,%0A50%25 of it%0Aadd: seeds",
        "::error file=a.yaml,title=S002::not UTF-8",
    ]


@pytest.mark.parametrize("form", ["text", "json", "github"])
def test_exit_codes_do_not_depend_on_the_format(form: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(GOOD.read_text(encoding="utf-8").replace("e5-depth", "e5-dept"))
    words = ["check", "--format", form]
    assert CliRunner().invoke(app, [*words, str(GOOD)]).exit_code == 0
    ran = CliRunner().invoke(app, [*words, str(bad)])
    assert ran.exit_code == 1
    assert "C101" in ran.output
    if form == "json":
        assert {row["severity"] for row in json.loads(ran.output)} >= {"error"}
