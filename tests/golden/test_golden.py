"""Whole output folders of small studies, byte for byte; `make golden` writes them anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from expected import WRITING, agree

from compiler.check import check
from compiler.expand import expand
from compiler.render import render

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in HERE.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_output(name: str, catalog: Path) -> None:
    files = render(expand(check(HERE / f"{name}.yaml", installed=False)))
    folder = HERE / name
    if WRITING:
        for path in folder.rglob("*.*"):
            path.unlink()
    for file, text in files.items():
        agree(folder / file, text.replace(str(catalog), "CATALOG"))
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert there == set(files)


def test_there_are_golden_studies() -> None:
    assert len(NAMES) >= 2
