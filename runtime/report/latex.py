"""Writes the report's tables as LaTeX with booktabs; every text is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable

from runtime.report.tables import Cell, Table

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "\N{MINUS SIGN}": "$-$", "\N{EN DASH}": "--", "†": r"\dag{}", "‡": r"\ddag{}",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'", "“": "``", "”": "''", "×": r"$\times$",
    "[": "{[}", "]": "{]}", "`": r"\textasciigrave{}",
}  # fmt: skip
_FOUND = re.compile("|".join(map(re.escape, _SPECIAL)))
_PREAMBLE = """% Needs \\usepackage[T1]{fontenc}
% and \\usepackage{booktabs,longtable,array,textcomp}.
"""


def escape(text: object) -> str:
    """Escape a text so that LaTeX prints it as it is, on one line.

    Every character that LaTeX takes for a command is replaced; control characters become spaces, so
    that no name can end a line or a comment.
    """
    shown = "".join(c if c.isprintable() else " " for c in str(text))
    return _FOUND.sub(lambda match: _SPECIAL[match.group()], " ".join(shown.split()))


def document(tables: Iterable[Table]) -> str:
    """Return all tables one after the other, to be taken over as they are."""
    return _PREAMBLE + "\n".join(_table(table) for table in tables)


def _table(table: Table) -> str:
    columns = "".join(
        "r" if numeric else r">{\raggedright\arraybackslash}p{" + _width(table) + "}"
        for numeric in table.numeric
    )
    head = " & ".join(rf"\textbf{{{escape(each)}}}" for each in table.head)
    rows = "\n".join(" & ".join(_cell(cell) for cell in row) + r" \\" for row in table.rows)
    count = len(table.head)
    return (
        f"\\begin{{longtable}}{{@{{}}{columns}@{{}}}}\n"
        f"\\caption{{{escape(table.heading)}}}\\\\\n\\toprule\n{head} \\\\\n\\midrule\n"
        f"\\endhead\n\\bottomrule\n\\multicolumn{{{count}}}{{r}}{{}}\\\\\n\\endfoot\n"
        f"{rows}\n\\end{{longtable}}\n"
    )


def _width(table: Table) -> str:
    wide = sum(not numeric for numeric in table.numeric)
    return f"{0.72 / max(1, wide):.2f}\\linewidth"


def _cell(cell: Cell) -> str:
    note = f" ({escape(cell.note)})" if cell.note and cell.text else escape(cell.note)
    return escape(cell.text) + note
