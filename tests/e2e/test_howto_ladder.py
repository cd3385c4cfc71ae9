"""What the page on a ladder of one's own shows is what the program takes, and does."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from tinyscratch import corpus_rows
from typer.testing import CliRunner

from runtime.cli import app

PATH = Path(__file__).parents[2] / "docs" / "how-to" / "train-your-own-ladder.md"
PAGE = PATH.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write every file that the page shows, and sayings as it shows them."""
    for text in blocks("yaml"):
        path = tmp_path / text.split("\n", 1)[0].removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    folder = tmp_path / "own" / "corpora" / "sayings"
    folder.mkdir()
    shown = [json.loads(line) for line in blocks("json")[0].splitlines()]
    for language in ("de", "en", "fr"):
        rows = corpus_rows("parallel", language, 150)
        assert all(set(row) == set(rows[0]) for row in shown)
        lines = [json.dumps(row) + "\n" for row in rows]
        (folder / f"train.{language}.jsonl").write_text("".join(lines), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands() -> list[list[str]]:
    return [shlex.split(line) for line in blocks("bash")[0].splitlines()]


def test_the_study_is_sound(here: Path) -> None:
    assert [words[1] for words in commands()] == ["check", "plan", "run"]
    for words in commands()[:2]:
        done = CliRunner().invoke(app, words[1:])
        assert done.exit_code == 0, done.output
    assert "pretrain" in done.output


@pytest.mark.slow
def test_the_commands_run(here: Path) -> None:
    for words in commands():
        done = CliRunner().invoke(app, words[1:])
        assert done.exit_code == 0, done.output
    report = here / "build" / "pocket-ladder" / "report" / "report.md"
    text = report.read_text(encoding="utf-8")
    assert "Pretraining of each size" in text
    body = json.loads(report.with_suffix(".json").read_text(encoding="utf-8"))
    assert len(body["pretraining"]) == 4  # two sizes, once a seed
    for one in body["pretraining"]:
        found = one["alignment"]["sayings"]
        assert found["after"] > 3 * found["chance"]
        (folder,) = (here / "build" / "store" / "stages").glob(f"{one['stage']}/all")
        assert (folder / "model.safetensors").is_file()
        assert (folder / "config.json").is_file()
    tokenizers = list((here / "build" / "store" / "stages").glob("tokenizer-*/all"))
    assert len(tokenizers) == 1
