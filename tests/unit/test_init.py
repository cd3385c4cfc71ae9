"""`stiltscale init`: a commented study that passes `check`, from answers or from flags."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from compiler.check import check
from compiler.study import Study
from runtime.cli import app

ROOT = Path(__file__).parents[2]
HEADER = "# yaml-language-server: $schema="


def init(*words: str, said: str = "") -> tuple[int, str]:
    ran = CliRunner().invoke(app, ["init", *words], input=said)
    return ran.exit_code, ran.output


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def study(path: str) -> Study:
    return check(Path(path), installed=False).study


def test_defaults() -> None:
    code, text = init("--yes")
    assert code == 0
    assert "stiltscale check   my-study.yaml" in text
    assert "stiltscale schema study > study.schema.json" in text
    written = Path("my-study.yaml").read_text(encoding="utf-8")
    assert study("my-study.yaml").study == "my-study"
    assert written.count("# ") >= 10
    assert HEADER not in written
    assert os.sep + "tmp" not in written


@pytest.mark.parametrize("family", ["e5-depth", "xlm-r", "mt5-encoder", "mbert"])
def test_defaults_of_a_family_pass(family: str) -> None:
    code, text = init("--yes", "--family", family, "own.yaml")
    assert code == 0, text
    assert study("own.yaml").models.ladders[0].family == family
    assert study("own.yaml").study == "own"


def test_flags() -> None:
    code, text = init(
        "--yes", "--name", "ours", "--family", "xlm-r", "--sizes", "base,large",
        "--intermediate", "mnli", "--benchmark", "xtreme-r", "--languages", "en, de, sw",
        "--seeds", "7", "--recipe", "xtreme-r", "--device", "cuda",
        "--question", 'Is it "so": 50 % # of it?',
    )  # fmt: skip
    assert code == 0, text
    made = study("ours.yaml")
    assert made.question == 'Is it "so": 50 % # of it?'
    assert made.targets.benchmark == "xtreme-r"
    assert made.languages == ("en", "de", "sw")
    assert (made.seeds, made.recipe.name, made.hardware.device) == ((7,), "xtreme-r", "cuda")


def test_every_field_in_a_comment_is_valid(tmp_path: Path) -> None:
    init("--yes", "--family", "xlm-r", "own.yaml")
    text = Path("own.yaml").read_text(encoding="utf-8")
    lines = text.splitlines()
    for number, line in enumerate(lines):
        for field in ("controls", "recipe", "analysis"):
            if line.startswith(f"# {field}: "):
                kept = [x for x in lines if not x.startswith(f"{field}: ")]
                changed = "\n".join([*kept, lines[number][2:]])
                (tmp_path / "changed.yaml").write_text(changed, encoding="utf-8")
                assert field in yaml.safe_load(changed)
                study("changed.yaml")


def test_questions_are_asked_again_until_the_answer_fits() -> None:
    said = "My Study\nasked\nxlmr\nxlm-r\nbase, huge\nbase, large\n\n\n\n1,x\n1, 2\n\ngpu\ncpu\n"
    code, text = init(said=said)
    assert code == 0, text
    assert "did you mean `xlm-r`?" in text
    made = study("asked.yaml")
    assert made.models.ladders[0].sizes == ("base", "large")
    assert (made.seeds, made.hardware.device) == ((1, 2), "cpu")


def test_input_that_ends_writes_nothing() -> None:
    code, _ = init(said="asked\n")
    assert code == 1
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["--family", "xlmr"],
        ["--seeds", "one"],
        ["--targets", "xnli", "--benchmark", "xtreme"],
        ["--languages", "xx"],
        ["--name", "My Study"],
    ],
)
def test_wrong_flags(words: list[str]) -> None:
    code, text = init("--yes", *words)
    assert code == 2, text
    assert not list(Path().iterdir())


def test_a_study_that_does_not_pass_is_not_written() -> None:
    code, text = init("--yes", "--family", "xlm-r", "--intermediate", "mnli, mnli")
    assert code == 1
    assert "my-study.yaml" in text
    assert not list(Path().iterdir())


def test_no_overwriting() -> None:
    Path("my-study.yaml").write_text("mine")
    code, text = init("--yes")
    assert (code, "E012" in text) == (2, True)
    assert Path("my-study.yaml").read_text() == "mine"
    assert init("--yes", "--force")[0] == 0
    assert study("my-study.yaml").study == "my-study"


@pytest.mark.parametrize(
    ("beside", "path", "line"),
    [
        ("specs", "specs/studies/own.yaml", "../study.schema.json"),
        ("specs", "own.yaml", "specs/study.schema.json"),
        (".", "own.yaml", "study.schema.json"),
    ],
)
def test_the_schema_is_named_when_it_is_near(beside: str, path: str, line: str) -> None:
    Path(beside).mkdir(exist_ok=True)
    shutil.copy(ROOT / "specs" / "study.schema.json", beside)
    assert init("--yes", path)[0] == 0
    assert Path(path).read_text(encoding="utf-8").splitlines()[0] == HEADER + line
    study(path)
