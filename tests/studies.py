"""Small studies over the catalog of the tests, from a mapping or a text to a plan."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from compiler.check import check
from compiler.expand import expand
from compiler.plan import Plan
from compiler.resolve import Resolved

SMALL: dict[str, Any] = {
    "study": "small",
    "models": {"family": "ladder", "sizes": ["s", "m"]},
    "intermediate": ["pairs"],
    "targets": ["topics", "twins"],
    "languages": ["de", "en", "zh"],
    "seeds": [1, 2],
    "recipe": "short",
}


def resolved(base: dict[str, Any] | str, **fields: Any) -> Resolved:
    """Check a study; ``fields`` replace some of its own (JSON is YAML)."""
    text = base if isinstance(base, str) else json.dumps(base | fields)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.yaml"
        path.write_text(text, encoding="utf-8")
        return check(path, installed=False)


def plan_of(base: dict[str, Any] | str, **fields: Any) -> Plan:
    """Return the plan of a study; ``fields`` replace some of its own."""
    return expand(resolved(base, **fields))
