"""The pages of a study for a browser: overview with its graph, lists of stages, one stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from compiler.errors import EnvironmentUnready
from compiler.formats import stage_line
from compiler.plan import Plan, Stage
from compiler.render import templates_folder
from runtime import progress, reasons, standing
from runtime.logs import end, log_of
from runtime.standing import ORDER, Standing
from runtime.store import Store

ROWS = 200
"""Stages on one page of a list."""

LINES = 300
"""Lines of a log that the page of a stage shows."""

FILTERS = ("state", "kind", "model", "level", "word")
"""What a list of stages can be asked by."""

BOXES = 10
"""Boxes in a column of the graph; where a level has more groups, models share one."""

BOX, GAP, COLUMN, HIGH = 190, 70, 260, 58
"""Widths and heights of the graph, in its own units."""


@dataclass(frozen=True)
class Group:
    """Stages of one level, kind and model: a box of the graph."""

    level: int
    kind: str
    model: str
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """The groups of a plan, by level, and which of them read from which."""

    groups: tuple[Group, ...]
    edges: tuple[tuple[int, int], ...]
    levels: Mapping[str, int]


def graph(plan: Plan) -> Graph:
    """Group the stages by their level, the longest way to them, then by kind and model."""
    levels: dict[str, int] = {}
    for key, stage in plan.stages.items():  # inputs come first
        above = (levels[up] for up in stage.inputs.values() if up in levels)
        levels[key] = 1 + max(above, default=-1)
    names: dict[int, set[tuple[str, str]]] = {}
    for key, stage in plan.stages.items():
        names.setdefault(levels[key], set()).add((stage.kind, stage.model))
    crowded = {level for level, found in names.items() if len(found) > BOXES}
    places: dict[tuple[int, str, str], list[str]] = {}
    of: dict[str, tuple[int, str, str]] = {}
    for key, stage in plan.stages.items():
        level = levels[key]
        place = (level, stage.kind, "" if level in crowded else stage.model)
        of[key] = place
        places.setdefault(place, []).append(key)
    order = sorted(places, key=lambda place: (place[0], list(places).index(place)))
    number = {place: index for index, place in enumerate(order)}
    edges = {
        (number[of[up]], number[of[key]])
        for key, stage in plan.stages.items()
        for up in stage.inputs.values()
        if up in of
    }
    groups = tuple(Group(*place, tuple(places[place])) for place in order)
    return Graph(groups, tuple(sorted(edges)), levels)


def drawn(found: Graph, seen: Standing) -> dict[str, Any]:
    """Return the graph as boxes and lines with their places, for the template."""
    rows: dict[int, int] = {}
    boxes: list[dict[str, Any]] = []
    for group in found.groups:
        row = rows.get(group.level, 0)
        rows[group.level] = row + 1
        counts = dict.fromkeys(ORDER, 0)
        for key in group.keys:
            counts[seen.states[key]] += 1
        boxes.append(
            {
                "x": 10 + group.level * COLUMN,
                "y": 26 + row * (HIGH + 12),
                "title": group.kind,
                "model": group.model,
                "level": group.level,
                "done": counts["done"],
                "total": len(group.keys),
                "strips": list(_strips(counts, len(group.keys))),
                "words": ", ".join(f"{n} {state}" for state, n in counts.items() if n),
            }
        )
    lines = [
        {
            "x1": boxes[a]["x"] + BOX,
            "y1": boxes[a]["y"] + HIGH // 2,
            "x2": boxes[b]["x"],
            "y2": boxes[b]["y"] + HIGH // 2,
        }
        for a, b in found.edges
    ]
    columns = 1 + max(rows, default=0)
    return {
        "boxes": boxes,
        "lines": lines,
        "width": columns * COLUMN - GAP + 20,
        "height": 30 + max(rows.values(), default=1) * (HIGH + 12),
        "levels": [{"x": 10 + level * COLUMN, "number": level + 1} for level in sorted(rows)],
    }


def overview(plan: Plan, seen: Standing, found: Graph, report: bool) -> str:
    """Return the first page: counts, graph, what runs, what failed, the way to the report."""
    return _rendered(
        "overview",
        plan,
        up="",
        seen=seen,
        times=standing.times(seen),
        graph=drawn(found, seen),
        running=[
            (one.key, one.owner, "  ".join(progress.words(one.told).values()))
            for one in seen.running[:ROWS]
        ],
        failed=[(one, standing.first_line(one.message)) for one in seen.failed[:ROWS]],
        report=report,
    )


def listing(plan: Plan, seen: Standing, found: Graph, asked: Mapping[str, str], number: int) -> str:
    """Return a list of stages: those of a state, kind, model, level, or with a word in the key."""
    rows = [
        (key, seen.states[key], stage_line(stage))
        for key, stage in plan.stages.items()
        if _fits(stage, seen.states[key], found.levels[key], asked)
    ]
    first = number * ROWS
    return _rendered(
        "listing",
        plan,
        up="",
        rows=rows[first : first + ROWS],
        count=len(rows),
        first=first,
        number=number,
        last=max(0, (len(rows) - 1) // ROWS),
        asked=dict(asked),
        states=ORDER,
        kinds=list(seen.kinds),
    )


def single(plan: Plan, seen: Standing, store: Store, folder: Path, key: str, study: str) -> str:
    """Return the page of one stage: why it is as it is, what it reads, its log."""
    stage = plan.stages[key]
    users = [name for name, one in plan.stages.items() if key in one.inputs.values()]
    try:
        log = log_of(plan, store, folder, key)
        path, text = log.name, end(log, LINES)[0]
    except EnvironmentUnready as none:  # shown in its place
        path, text = "", none.what
    return _rendered(
        "single",
        plan,
        up="../",
        key=key,
        state=seen.states[key],
        line=stage_line(stage),
        why=reasons.why(plan, seen, key, study, folder),
        reads=[(name, up, seen.states.get(up, "waiting")) for name, up in stage.inputs.items()],
        users=[(name, seen.states[name]) for name in users[:ROWS]],
        more=max(0, len(users) - ROWS),
        log=path,
        text=text,
    )


def _fits(stage: Stage, state: str, level: int, asked: Mapping[str, str]) -> bool:
    have = {"state": state, "kind": stage.kind, "model": stage.model, "level": str(level)}
    return all(have[name] == value for name, value in asked.items() if name in have) and (
        asked.get("word", "") in stage.key
    )


def _strips(counts: Mapping[str, int], total: int) -> Iterator[dict[str, Any]]:
    at = 0.0
    for state in ORDER:
        if counts[state]:
            wide = (BOX - 16) * counts[state] / total
            yield {"x": round(8 + at, 1), "width": round(wide, 1), "state": state}
            at += wide


def _rendered(kind: str, plan: Plan, **context: Any) -> str:
    return _template().render(
        page=kind, study=plan.name, question=plan.study.get("question", ""), box=BOX, high=HIGH,
        **context,
    )  # fmt: skip


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_folder()),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page/page.html.j2")


def asset(name: str) -> bytes:
    """Return the style sheet or the script of the pages."""
    known: Sequence[str] = ("page.css", "page.js")
    if name not in known:
        raise KeyError(name)
    return (templates_folder() / "page" / name).read_bytes()
