"""A full disk: the reason is said, nothing finished is lost, and the study goes on later."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.test_study import plan_of, records, work
from tiny import write_study

from runtime.store import Store, status


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 KiB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user may not mount a tmpfs")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_loses_nothing(
    small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_of(write_study(tmp_path / "study", seeds=[1]))
    store = Store(small_disk / "store")
    assert work(plan, store) == 3
    said = capsys.readouterr().out
    assert "disk:" in said
    before = records(store)
    assert before, "nothing was finished before the disk was full: make it larger"
    assert len(before) < sum(len(stage.parts) for stage in plan.stages.values())

    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert work(plan, store) == 0
    after = records(store)
    assert {key: after[key] for key in before} == before
    assert set(status(store, plan).values()) == {"done"}
