"""The light verbs load nothing heavy, and our packages are ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import compiler
import runtime

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "transformers", "accelerate", "datasets", "polars"}
MODULES = sorted(path.stem for path in (ROOT / "compiler").glob("[a-z]*.py"))
LOADED = (
    "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
)


def loaded_by(code: str) -> set[str]:
    """Run code in a fresh interpreter, and return the top-level packages that it has loaded."""
    ended = subprocess.run(
        [sys.executable, "-c", f"{code}\n{LOADED}"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return set(ended.stderr.splitlines()[-1].split())


def verb(*words: str) -> str:
    lines = ["from runtime.cli import app", f"try: app({list(words)!r})"]
    return "\n".join([*lines, "except SystemExit as end: assert not end.code"])


@pytest.mark.parametrize(
    "code",
    [
        "import " + ", ".join(f"compiler.{name}" for name in MODULES),
        verb("--help"),
        verb("check", "specs/studies/xnli-hub.yaml"),
        verb("plan", "specs/studies/xnli-hub.yaml"),
    ],
    ids=["compiler", "help", "check", "plan"],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    loaded = loaded_by(code)
    assert "compiler" in loaded or "runtime" in loaded
    assert not loaded & HEAVY


def test_heavy_packages_would_be_seen() -> None:
    assert "polars" in loaded_by("import polars")


def test_packages_are_ours() -> None:
    assert Path(compiler.__file__).parent == ROOT / "compiler"
    assert Path(runtime.__file__).parent == ROOT / "runtime"


@pytest.mark.parametrize("folder", ["build", "specs", "templates", "tests"])
def test_folders_that_are_no_packages(folder: str) -> None:
    assert not list((ROOT / folder).glob("**/__init__.py"))
