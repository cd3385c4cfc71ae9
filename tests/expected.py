"""Compares a text with the file that holds what is expected; or writes the file, when asked to."""

from __future__ import annotations

import os
from pathlib import Path

WRITING = os.environ.get("STILTSCALE_GOLDEN") == "write"


def agree(path: Path, text: str) -> None:
    """Fail unless ``path`` holds exactly ``text``; with STILTSCALE_GOLDEN=write, make it so."""
    if WRITING:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
        return
    assert path.is_file(), f"{path} is not there; write it with `make golden` and read it"
    assert text.encode() == path.read_bytes(), f"{path} differs; read the diff after `make golden`"
