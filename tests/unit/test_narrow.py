"""Tables of resources in 80 columns: no word is cut, and no column is lost."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from runtime.cli import app


def test_what_fits_is_told_whole_in_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = CliRunner().invoke(app, ["fit", "llama-2:70b", "--device", "a100-80gb"]).output
    assert "…" not in said
    assert "checkpointing" in said
    assert "kWh" in said
    table = said.split("llama-2-70b ")[0]
    assert max(map(len, table.splitlines())) <= 80


def test_memory_is_said_of_each_way_where_ways_differ_in_it() -> None:
    """Four processes on a CPU have a quarter of its memory each; GPUs have the same in any way."""
    both = {
        device: CliRunner().invoke(
            app, ["fit", "xlm-r:base", "--device", device, "--devices", "4"], env={"COLUMNS": "80"}
        ).output
        for device in ("cpu", "a100-80gb")
    }  # fmt: skip
    assert "14.5 of 15.0" in both["cpu"]
    assert "7.6 of 3.8" in both["cpu"]
    assert "GiB of" in both["a100-80gb"]
    assert " of 79.0  yes" not in both["a100-80gb"]
