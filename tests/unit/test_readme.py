"""What the README shows is what the program does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from compiler.check import check
from compiler.display import diagnostic_text
from compiler.errors import StudyInvalid
from compiler.expand import expand
from runtime.cli import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found
    return found.group(1)


def test_every_verb_and_target_exists() -> None:
    verbs = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    shown = set(re.findall(r"^stiltscale +([a-z]+)", README, re.MULTILINE))
    assert shown >= {"check", "plan", "compile", "run", "report"}
    assert shown <= verbs
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`make ([a-z-]+)`", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_study_shown_is_the_embedded_one(tmp_path: Path) -> None:
    shown = tmp_path / "quickstart.yaml"
    shown.write_text(block("yaml"), encoding="utf-8")
    embedded = ROOT / "specs" / "studies" / "quickstart.yaml"
    ours, theirs = (expand(check(path, installed=False)) for path in (shown, embedded))
    assert ours.stages == theirs.stages
    assert ours.execution == theirs.execution


def test_the_mistake_shown_is_what_check_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "study: my-study\nquestion: why?\nmodels: {family: e5-dept, sizes: [1, 2, 4]}\n"
    rest = "intermediate: [intent_pairs]\ntargets: [intents]\nseeds: [1, 2]\nrecipe: quickstart\n"
    Path("my-study.yaml").write_text(text + rest, encoding="utf-8")
    with pytest.raises(StudyInvalid) as caught:
        check(Path("my-study.yaml"), installed=False)
    shown = block("text").split("\n", 1)[1].rsplit("\n1 error", 1)[0]
    assert [diagnostic_text(d) for d in caught.value.diagnostics] == [shown]


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", README))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
