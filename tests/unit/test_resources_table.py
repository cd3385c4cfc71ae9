"""The table of what sizes take: each of its lines is what its command says."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from runtime.cli import app

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "resources.md"
TEXT = PAGE.read_text(encoding="utf-8")
LINES = re.findall(r"^\| (\S+) \| (\S+) \| (full|lora|qlora) \| (.+) \|$", TEXT, re.MULTILINE)
WANTED = {"xlmr-base", "xlmr-large", "xlmr-xl", "xlmr-xxl", "llama-2-7b", "llama-2-70b"}


def command() -> str:
    """Return the command that the page shows above its table."""
    (found,) = re.findall(r"^    stiltscale (fit MODEL .+)$", TEXT, re.MULTILINE)
    return str(found)


def test_the_table_has_every_model_on_both_devices() -> None:
    shown = {(model, device) for model, device, tuning, _ in LINES if tuning == "full"}
    devices = ("a100-80gb", "h100-80gb")
    assert shown == {(model, d) for model in {*WANTED, "bloom-176b"} for d in devices}


@pytest.mark.parametrize(("model", "device", "tuning", "rest"), LINES)
def test_each_line_is_what_its_command_says(
    model: str, device: str, tuning: str, rest: str
) -> None:
    values = {"MODEL": model, "DEVICE": device, "TUNING": tuning}
    words = [values.get(word, word) for word in shlex.split(command())]
    said = CliRunner().invoke(app, [*words, "--format", "json"])
    assert said.exit_code == 0, said.output
    row = next(row for row in json.loads(said.output) if row["fits"])
    assert row["tuning"] == tuning
    hours = row["device_hours"]
    assert rest.split(" | ") == [
        row["strategy"],
        str(row["devices"]),
        f"{row['micro_batch']} x {row['accumulation']}",
        f"{row['memory_gib']:.1f} of {row['capacity_gib']:.1f}",
        f"{hours / row['devices']:,.1f}",
        f"{hours:,.1f}",
    ]
