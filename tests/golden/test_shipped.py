"""What the studies that we ship are launched by: every batch file, and a launch of each shape.

The hashes in the names of stages are left out: they change with the catalogs, the launches do not.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from expected import WRITING, agree

from compiler.check import check
from compiler.expand import expand
from compiler.render import render
from compiler.shape import shape

HERE = Path(__file__).parent / "shipped"
STUDIES = sorted((Path(__file__).parents[2] / "specs/studies").glob("*.yaml"))


@pytest.mark.parametrize("study", STUDIES, ids=[path.stem for path in STUDIES])
def test_the_launches(study: Path) -> None:
    plan = expand(check(study, installed=False))
    first = {shape(plan, job): job.name for job in reversed(plan.jobs)}
    wanted = {f"launch/{name}.sh" for name in first.values()}
    wanted |= {f"accelerate/{name}.yaml" for name in first.values()}
    files = {
        name: re.sub(r"-v(\d+)-[0-9a-f]{10}\b", r"-v\1-KEY", text)
        for name, text in render(plan).items()
        if name in wanted or name.startswith(("slurm/", "submit"))
    }
    folder = HERE / study.stem
    if WRITING:
        for path in folder.rglob("*.*"):
            path.unlink()
    for file, text in files.items():
        agree(folder / file, text)
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert there == set(files)
