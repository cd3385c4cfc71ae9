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
