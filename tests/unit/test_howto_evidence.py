"""What the page on published scores shows is what the program takes, and does."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from compiler.catalog import load
from runtime.cli import app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "bring-evidence.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (study,) = blocks("yaml")
    (tmp_path / study.split("\n", 1)[0].removeprefix("# ")).write_text(study, encoding="utf-8")
    (tmp_path / "told.csv").write_text(blocks("csv")[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    commands = [shlex.split(line) for line in blocks("bash")[0].splitlines()]
    assert [words[1] for words in commands] == ["check", "plan", "report"]
    for words in commands:
        done = CliRunner().invoke(app, words[1:])
        assert done.exit_code == 0, done.output
    body = json.loads((tmp_path / "build/told/report/report.json").read_text("utf-8"))
    (series,) = body["evidence"]
    assert series["protocol"] == "fine-tuned in English: zero-shot"
    helps, less = body["claims"]
    gains = {"small": (2.5 + 2.0 + 4.0 + 3.5) / 4, "large": (1.0 + 0.5 + 2.5 + 2.0) / 4}
    assert helps["estimate"]["estimate"] == pytest.approx(sum(gains.values()) / 2)
    assert less["estimate"]["estimate"] == pytest.approx(gains["large"] - gains["small"])
    assert (helps["verdict"], less["verdict"]) == ("inconclusive", "replicated")
    assert helps["published_within_interval"] is True


def test_every_shipped_set_is_named() -> None:
    assert all(f"`{name}`" in PAGE for name in load().evidence)
