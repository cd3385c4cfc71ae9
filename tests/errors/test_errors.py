"""Broken studies, and exactly what `stiltscale check` says of each: NAME.yaml beside NAME.txt."""

from __future__ import annotations

import importlib.metadata
import io
import platform
from pathlib import Path

import pytest
from expected import agree
from rich.console import Console

from compiler.check import check
from compiler.display import print_diagnostics
from compiler.errors import StudyInvalid

HERE = Path(__file__).parent
NAMES = sorted({path.stem for kind in ("*.yaml", "*.txt") for path in HERE.glob(kind)})
INSTALLED = {"aged-package": "0.9"}


def version(package: str) -> str:
    if package not in INSTALLED:
        raise importlib.metadata.PackageNotFoundError(package)
    return INSTALLED[package]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_said_of_a_broken_study(
    name: str, catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(HERE)
    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(StudyInvalid) as caught:
        check(Path(f"{name}.yaml"))
    screen = io.StringIO()
    print_diagnostics(Console(file=screen, width=80), caught.value.diagnostics)
    agree(HERE / f"{name}.txt", screen.getvalue().replace(str(catalog), "CATALOG"))


def test_the_gallery_is_complete() -> None:
    texts = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("*.txt"))
    for code in (
        *("S001 S002 S003 S004 S005 S006 S007 S008 S011 S012 S013".split()),
        *("C001 C101 C102 C103 C104 C105 C106 C108 C110 C111 C112 C113 C114 C115".split()),
        *("C122 C123 C124 C125 C126 C127 C150 C151".split()),
        *("C301 C302 C303 C304".split()),
    ):
        assert f"error {code}: " in texts
