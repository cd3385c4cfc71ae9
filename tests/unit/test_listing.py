"""The lists of the catalogs: every entry, its file, and tables that can be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from compiler import catalog as catalogs
from compiler.listing import KINDS, entries, table
from runtime.cli import app

RUN = CliRunner()


@pytest.fixture(scope="module")
def ours() -> catalogs.Catalog:
    return catalogs.load()


def shown(catalog: catalogs.Catalog, kind: str, width: int) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(table(catalog, kind, width))
    return capture.get().splitlines()


NAMES = {
    "tasks": "task", "corpora": "corpus", "models": "family", "languages": "language",
    "hardware": "device", "recipes": "recipe", "benchmarks": "benchmark",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_entry_with_its_file(ours: catalogs.Catalog, kind: str) -> None:
    rows = entries(ours, kind)
    assert rows
    for row in rows:
        path = catalogs.specs_folder().parent / row["file"]
        assert path.is_file()
        assert str(row[NAMES[kind]]) in path.read_text(encoding="utf-8")
    json.dumps(rows, allow_nan=False)


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("kind", KINDS)
def test_a_table_fits_and_loses_nothing(ours: catalogs.Catalog, kind: str, width: int) -> None:
    lines = shown(ours, kind, width)
    assert max(len(line.rstrip()) for line in lines) <= width
    assert not any("…" in line for line in lines)
    text = "\n".join(lines)
    for row in entries(ours, kind):
        names = [str(m["name"]) for m in row["members"]] if kind == "models" else []
        for name in names or [str(row[NAMES[kind]])]:
            assert len(name) > 36 or f" {name} " in text


def test_of_the_author(catalog: Path, tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    text = (catalog / "tasks" / "topics.yaml").read_text(encoding="utf-8")
    (tmp_path / "tasks" / "mine.yaml").write_text(text, encoding="utf-8")
    ended = RUN.invoke(app, ["tasks", "--catalog", str(tmp_path), "--format", "json"])
    assert ended.exit_code == 0
    files = {row["task"]: row["file"] for row in json.loads(ended.stdout)}
    assert files["topics"] == f"{tmp_path.as_posix()}/tasks/mine.yaml"
    assert files["tags"] == "specs/tasks/tags.yaml"


def test_languages_of_the_author(tmp_path: Path) -> None:
    text = (catalogs.specs_folder() / "languages.yaml").read_text(encoding="utf-8")
    (tmp_path / "languages.yaml").write_text(
        text.replace("name: Afrikaans", "name: Mine"), encoding="utf-8"
    )
    files = {row["language"]: row["file"] for row in entries(catalogs.load(tmp_path), "languages")}
    assert files["af"] == f"{tmp_path}/languages.yaml"


@pytest.mark.parametrize("kind", KINDS)
def test_the_verbs(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    ended = RUN.invoke(app, [kind])
    assert ended.exit_code == 0
    assert "\x1b" not in ended.stdout  # no colours away from a terminal
    first = [line for line in ended.stdout.splitlines() if f"specs/{kind}" in line]
    assert first


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    ended = RUN.invoke(app, ["tasks", "--catalog", str(tmp_path / "none")])
    assert ended.exit_code == 2
    assert "E011" in ended.stderr


def test_an_empty_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogs, "specs_folder", lambda: tmp_path)
    assert shown(catalogs.load(), "hardware", 80)
