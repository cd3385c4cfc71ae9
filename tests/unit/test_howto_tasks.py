"""What the page on adding a task shows is what the program takes, and does."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from compiler.check import check
from compiler.data import TaskSource
from compiler.entries import Task
from compiler.expand import expand
from compiler.source import read
from compiler.validate import validate
from runtime.cli import app
from runtime.data import DataInvalid, load

ROOT = Path(__file__).parents[2]
PATH = ROOT / "docs" / "how-to" / "add-a-task.md"
PAGE = PATH.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write every file that the page shows, and data as it shows it."""
    for text in blocks("yaml"):
        path = tmp_path / text.split("\n", 1)[0].removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    shown = {"reviews": (blocks("json")[0], "jsonl"), "species": (blocks("conllu")[0], "conllu")}
    for name, (text, ending) in shown.items():
        task = yaml.safe_load((tmp_path / "own" / "tasks" / f"{name}.yaml").read_text("utf-8"))
        folder = tmp_path / "own" / "tasks" / name
        folder.mkdir()
        files = [f"test.{x}" for x in task["languages"]] + ["train.en", "dev.en"]
        assert {f"{file}.{ending}" for file in files} == listed(name)
        for file in files:
            (folder / f"{file}.{ending}").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(name: str) -> set[str]:
    """Return the data files of a task that the page lists under "Where things go"."""
    (line,) = re.findall(rf"^own/tasks/{name}/(.*)$", blocks("text")[0], re.MULTILINE)
    return set(line.split(", "))


def test_the_commands_run(here: Path) -> None:
    commands = [shlex.split(line) for line in blocks("bash")[0].splitlines()]
    assert [words[:2] for words in commands] == [["stiltscale", "check"], ["stiltscale", "plan"]]
    for words in commands:
        ran = CliRunner().invoke(app, words[1:])
        assert ran.exit_code == 0, ran.output
        assert "error C" not in ran.output
    assert {f"own/tasks/{x}.yaml" for x in ("reviews", "species", "reviews_hub")} == {
        path.relative_to(here).as_posix() for path in here.glob("own/tasks/*.yaml")
    }


def test_the_rows_shown_are_read(here: Path) -> None:
    tasks = expand(check(Path("my-study.yaml"), installed=False)).tasks
    rows, _ = load(tasks["reviews"], "train", "en")
    assert rows[0] == {"id": "r-17", "text": "Good kite It flies in any wind.", "label": "up"}
    rows, _ = load(tasks["species"], "test", "de")
    assert rows == [
        {
            "id": "0",
            "tokens": ["Red", "kites", "circle"],
            "tags": ["B-SPECIES", "I-SPECIES", "O"],
        }
    ]


def test_the_refusal_shown_is_the_one_given(here: Path) -> None:
    task = dict(expand(check(Path("my-study.yaml"), installed=False)).tasks["reviews"])
    first = blocks("json")[0].splitlines()[0]
    (here / "own" / "tasks" / "reviews" / "test.de.jsonl").write_text(first, encoding="utf-8")
    with pytest.raises(DataInvalid) as caught:
        load(task, "test", "de")
    assert f"`{caught.value}`" in " ".join(PAGE.split())


def test_the_study_field_shown_is_one(here: Path) -> None:
    (shown,) = re.findall(r"`(counts: \[.*?\])`", " ".join(PAGE.split()))
    entry = yaml.safe_load(shown.replace('"..."', '"a row was withdrawn"'))
    study = yaml.safe_load(Path("my-study.yaml").read_text(encoding="utf-8")) | entry
    Path("my-study.yaml").write_text(json.dumps(study), encoding="utf-8")
    found = check(Path("my-study.yaml"), installed=False)
    assert [one.code for one in found.diagnostics if one.code == "C232"] == ["C232"]
    assert expand(found).tasks["reviews"]["counts"]["test"]["de"] == 1


def test_every_field_named_for_untidy_sources_exists() -> None:
    table = PAGE.split("## When the source is not tidy")[1]
    shown = [yaml.safe_load(text) for text in re.findall(r"`([a-z_]+: .*?)`[ ,;|]", table)]
    assert len(shown) >= 9
    for one in shown:
        TaskSource.model_validate(one | ({"files": {}} if "format" in one else {"hub": "a/b"}))


def test_the_task_of_the_hub_is_valid(here: Path) -> None:
    found = validate(read(here / "own" / "tasks" / "reviews_hub.yaml"), Task)
    assert found.source.named(str(found.source.config), "sw") == "reviews.Swahili"


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", PAGE))
def test_links_lead_somewhere(link: str) -> None:
    assert (PATH.parent / link).exists()
