"""Makes the report as PDF, where typst is installed: figures and tables, set on A4."""

from __future__ import annotations

import importlib.util
import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from compiler.render import templates_folder
from runtime.report.tables import Table


def available() -> bool:
    """Whether the package typst is installed, which the extra `pdf` brings."""
    return importlib.util.find_spec("typst") is not None


def document(
    context: Mapping[str, Any], figures: Mapping[str, Mapping[str, Any]], tables: Iterable[Table]
) -> bytes:
    """Return the PDF. The same inputs and version of typst give the same bytes.

    It has the fonts that typst brings and no others, so that a machine's own do not change it; it
    carries no date.
    """
    import typst

    data = {
        "title": context["title"],
        "question": context["question"],
        "verdict": f"Verdict, level {context['headline'].level}: {context['headline'].verdict}",
        "sentence": context["sentence"],
        "figures": [
            {"file": f"{name}.svg", "title": figure["title"], "caption": figure["caption"]}
            for name, figure in figures.items()
        ],
        "tables": [
            {
                "caption": table.heading,
                "head": table.head,
                "numeric": table.numeric,
                "rows": [
                    [{"text": cell.text, "note": cell.note} for cell in row] for row in table.rows
                ],
            }
            for table in tables
        ],
    }
    with tempfile.TemporaryDirectory() as at:
        folder = Path(at)
        source = (templates_folder() / "report" / "report.typ").read_text(encoding="utf-8")
        (folder / "report.typ").write_text(source, encoding="utf-8")
        (folder / "data.json").write_text(json.dumps(data), encoding="utf-8")
        for name, figure in figures.items():
            (folder / f"{name}.svg").write_text(str(figure["svg"]), encoding="utf-8")
        made = typst.compile(folder / "report.typ", root=folder, ignore_system_fonts=True)
    return bytes(made)
