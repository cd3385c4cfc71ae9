"""What several test folders need."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from compiler import catalog as catalogs

os.environ.pop("COLUMNS", None)  # tests that run beside each other are given a width of 80


@pytest.fixture
def catalog(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the catalog of the tests in the place of ours, so that ours may change."""
    folder = Path(__file__).parent / "catalog"
    monkeypatch.setattr(catalogs, "specs_folder", lambda: folder)
    return folder


@pytest.fixture(scope="module")
def fixed_catalog() -> Iterator[Path]:
    """Like ``catalog``, for properties with many examples: read once for a module."""
    folder = Path(__file__).parent / "catalog"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogs, "specs_folder", lambda: folder)
        known, load = catalogs.load(), catalogs.load
        patch.setattr(catalogs, "load", lambda own=None, **k: load(own, **k) if own else known)
        yield folder
