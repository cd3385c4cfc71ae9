"""Exit codes of the real command, and that no wrong input ends in a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from compiler.render import alone

ROOT = Path(__file__).parents[2]
GOOD = """study: small
models: {family: xlm-r}
intermediate: [mnli]
targets: [xnli, paws_x]
seeds: [1, 2, 3]
recipe: {name: xtreme, defaults: {learning_rate: 1e-5}}
"""


def stiltscale(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "runtime.cli", *words],
        cwd=cwd, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "bad.yaml").write_text(GOOD.replace("mnli", "mnl"))
    (tmp_path / "store.yaml").write_text(GOOD.replace("study: small", "study: store"))
    (tmp_path / "file").write_text("not a folder")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("check good.yaml", 0, "good.yaml: no errors"),
        ("check bad.yaml", 1, "did you mean `mnli`?"),
        ("check nowhere.yaml", 1, "there is no such file"),
        ("check .", 1, "this is a folder"),
        ("plan bad.yaml", 1, "did you mean `mnli`?"),
        ("check", 2, "Missing argument"),
        ("chek good.yaml", 2, "No such command"),
        ("compile good.yaml --build file/build", 2, "choose another folder with --build"),
        ("compile store.yaml", 2, "would lie in the store"),
        ("run store.yaml", 2, "give the study another name"),
        ("compile good.yaml --store build/small", 2, "would lie in the store"),
    ],
)
def test_exit_codes(folder: Path, words: str, code: int, said: str) -> None:
    before = sorted(folder.rglob("*"))
    ended = stiltscale(*words.split(), cwd=folder)
    assert ended.returncode == code, ended.stderr
    assert said in (ended.stderr if code else ended.stdout)
    assert "Traceback" not in ended.stderr
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("verb", ["compile", "run"])
def test_a_folder_in_use_is_left_alone(folder: Path, verb: str) -> None:
    with alone(folder / "build" / "small"):
        before = sorted(folder.rglob("*"))
        ended = stiltscale(verb, "good.yaml", cwd=folder)
        assert ended.returncode == 2
        assert "E003" in ended.stderr
        assert sorted(folder.rglob("*")) == before
        elsewhere = stiltscale("compile", "good.yaml", "--build", "other", cwd=folder)
        assert elsewhere.returncode == 0, elsewhere.stderr


def test_unknown_job(folder: Path) -> None:
    assert stiltscale("compile", "good.yaml", cwd=folder).returncode == 0
    worker = [sys.executable, "-m", "runtime.worker", "--plan", "build/small/plan.json"]
    ended = subprocess.run(
        [*worker, "--store", "build/store", "--job", "nobody"],
        cwd=folder, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "no job 'nobody'" in ended.stderr
    assert "Traceback" not in ended.stderr
