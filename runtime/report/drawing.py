"""Draws a chart's specification as SVG text, here or in a process beside this one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import vl_convert

Draw = Callable[[str], str]
"""Returns the SVG of a Vega-Lite specification in JSON."""

_CHILD = """
import json, sys, vl_convert
for line in sys.stdin:
    print(json.dumps(vl_convert.vegalite_to_svg(line)), flush=True)
"""


def here(specification: str) -> str:
    """Draw in this process; no other thread of Python's gets on meanwhile."""
    return str(vl_convert.vegalite_to_svg(specification))


@contextmanager
def beside() -> Iterator[Draw]:
    """Start a process that draws, so that this one can go on; the pictures are the same.

    Its start costs half a second of computing, which a long table is worth. A picture that it
    cannot draw raises RuntimeError; what it said of it is on standard error.
    """
    with subprocess.Popen(
        [sys.executable, "-P", "-c", _CHILD],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8",
    ) as child:  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        asked, answer = child.stdin, child.stdout

        def draw(specification: str) -> str:
            asked.write(f"{specification}\n")
            asked.flush()
            line = answer.readline()
            if not line:
                raise RuntimeError("the process that draws figures has ended")
            return str(json.loads(line))

        yield draw
