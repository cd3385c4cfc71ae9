"""Writes plans and differences in the form that a reader asks for: graph, rows, tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from compiler.diff import Change, Difference
from compiler.errors import PlanInvalid
from compiler.plan import Plan, Stage, language_of

MOST_STAGES = 2_000
"""Stages of a graph: above this no drawing program shows anything that can be read."""

MERMAID_EDGES = 500
"""Edges that Mermaid draws unless its `maxEdges` is raised."""

SHOWN = 12
"""Entries of a list in a table; JSON has them all."""

KINDS = ("tokenizer", "prepare", "pretrain", "train", "evaluate", "retrieve")

COLUMNS = ("model", "arm", "target", "language", "seed", "stage", "state")

_MERMAID = {
    "tokenizer": '[("{}")]', "prepare": '[("{}")]', "pretrain": '[["{}"]]', "train": '["{}"]',
    "evaluate": '(["{}"])', "retrieve": '(["{}"])',
}  # fmt: skip
_DOT = {
    "tokenizer": "cylinder", "prepare": "cylinder", "pretrain": "box3d", "train": "box",
    "evaluate": "ellipse", "retrieve": "ellipse",
}  # fmt: skip


def mermaid(plan: Plan) -> str:
    """Return the stages as a Mermaid flowchart, one subgraph a job; refuses a large plan (P006)."""
    names = _numbered(plan)
    edges = list(_edges(plan))
    lines = ["flowchart LR"]
    if len(edges) > MERMAID_EDGES:
        lines.insert(0, f"%% {len(edges)} edges: raise maxEdges and maxTextSize of Mermaid")
    for number, job in enumerate(plan.jobs):
        lines.append(f'  subgraph j{number}["{job.name}"]')
        for key in job.stages:
            shape = _MERMAID[plan.stages[key].kind].format(key)
            lines.append(f"    {names[key]}{shape}")
        lines.append("  end")
    lines += [f"  {names[up]} --> {names[key]}" for up, key in edges]
    return "\n".join(lines) + "\n"


def dot(plan: Plan) -> str:
    """Return the stages in Graphviz's language, one cluster a job; refuses a large plan (P006)."""
    names = _numbered(plan)
    lines = [f"digraph {_quoted(plan.name)} {{", "  rankdir=LR;", "  node [fontsize=10];"]
    for number, job in enumerate(plan.jobs):
        lines += [f"  subgraph cluster_{number} {{", f"    label={_quoted(job.name)};"]
        for key in job.stages:
            shape = _DOT[plan.stages[key].kind]
            lines.append(f"    {names[key]} [label={_quoted(key)}, shape={shape}];")
        lines.append("  }")
    lines += [f"  {names[up]} -> {names[key]};" for up, key in _edges(plan)]
    return "\n".join([*lines, "}"]) + "\n"


def cells(
    plan: Plan, states: Mapping[str, str], missing: Mapping[str, Iterable[str]]
) -> Iterator[str]:
    """Yield the cells as lines of tab-separated values, the names of the columns first.

    ``states`` are those of the stages, and ``missing`` the parts that have no record, of every
    stage that has some: a cell is done when its part is, though its stage may be waiting.
    """
    yield "\t".join(COLUMNS) + "\n"
    for run in plan.runs:
        key = run.score
        state = states.get(key, "waiting")
        head = f"{run.model}\t{run.arm}\t{run.target}\t"
        tail = f"\t{run.seed}\t{key}\t"
        if state == "done" or key not in missing:
            for language in run.languages:
                yield f"{head}{language}{tail}{state}\n"
            continue
        lacking = {language_of(part) for part in missing[key]}
        for language in run.languages:
            yield f"{head}{language}{tail}{state if language in lacking else 'done'}\n"


def chunks(lines: Iterable[str], size: int = 4096) -> Iterator[str]:
    """Join lines so that a million of them need few writes."""
    walk = iter(lines)
    while some := "".join(islice(walk, size)):
        yield some


def diff_view(found: Difference) -> RenderableType:
    """Return a difference as tables: counts, causes, what is new in the design, what it costs."""
    parts: list[RenderableType] = [_counts(found)]
    lines: list[tuple[str, str]] = []
    for name, change in found.design.items():
        signed = [f"+{x}" for x in change["added"]] + [f"-{x}" for x in change["dropped"]]
        if signed:
            lines.append((name, _some(signed, " ")))
    if lines:
        parts += [_pairs_table("the design", lines)]
    if found.causes:
        parts.append(_causes(found))
    for title, by_stage in (
        ("parts added to stages that are kept", found.parts_added),
        ("parts dropped from stages that are kept", found.parts_dropped),
    ):
        if by_stage:
            shown = [(key, " ".join(names)) for key, names in islice(by_stage.items(), SHOWN)]
            parts.append(_pairs_table(title, shown, len(by_stage)))
    for title, keys in (("stages added", found.added), ("stages dropped", found.dropped)):
        if keys:
            parts.append(_pairs_table(title, [(key, "") for key in keys[:SHOWN]], len(keys)))
    if found.settings:
        settings = [(c.field, _arrow(c)) for c in found.settings[:SHOWN]]
        title = "definitions that differ, in a key or not"
        parts.append(_pairs_table(title, settings, len(found.settings)))
    parts.append(Text(_cost(found)))
    return Group(*parts)


def values_text(value: Any) -> str:
    """Return a value of a definition as people write it; what is not there is `not set`."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(values_text(item) for item in value) + "]"
    return str(value)


def duration(seconds: float) -> str:
    """Return a time span in the unit that suits it."""
    for unit, length in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def _numbered(plan: Plan) -> dict[str, str]:
    if len(plan.stages) > MOST_STAGES:
        raise PlanInvalid(
            "P006",
            f"{len(plan.stages):,} stages cannot be drawn: more than {MOST_STAGES:,} "
            "are not readable",
            where=plan.name,
            hint="take one seed and fewer sizes or arms in a study that extends this one, or use "
            "--format json or --cells",
        )
    return {key: f"s{number}" for number, key in enumerate(plan.stages)}


def _edges(plan: Plan) -> Iterator[tuple[str, str]]:
    for key, stage in plan.stages.items():
        for up in dict.fromkeys(stage.inputs.values()):
            yield up, key


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _counts(found: Difference) -> Table:
    title = f"{found.before} -> {found.after}"
    table = _table(title, ("", "kept", "re-keyed", "added", "dropped"))
    columns = (found.kept, [r.new for r in found.rekeyed], found.added, found.dropped)
    by_kind = [Counter(key.split("-", 1)[0] for key in keys) for keys in columns]
    for kind in KINDS:
        if any(counts[kind] for counts in by_kind):
            table.add_row(f"{kind} stages", *(f"{counts[kind]:,}" for counts in by_kind))
    table.add_row("stages", *(f"{len(keys):,}" for keys in columns))
    for name, sizes in (("runs", found.runs), ("cells", found.cells)):
        table.add_row(
            name, f"{sizes['kept']:,}", "", f"{sizes['added']:,}", f"{sizes['dropped']:,}"
        )
    return table


def _causes(found: Difference) -> Table:
    table = Table(title="re-keyed by", box=box.SIMPLE, title_justify="left")
    table.add_column("change", overflow="fold")
    table.add_column("in", overflow="fold")
    table.add_column("stages", justify="right")
    table.add_column("followers", justify="right")
    for cause in found.causes[:SHOWN]:
        said = "\n".join(f"{c.field}: {_arrow(c)}" for c in cause.changes)
        where = f"{cause.kind} of {cause.task}"
        table.add_row(Text(said), Text(where), f"{cause.stages:,}", f"{cause.followers:,}")
    _caption(table, len(found.causes))
    return table


def _cost(found: Difference) -> str:
    parts = sum(cost.parts for cost in found.costs)
    if not parts:
        return (
            f"nothing new to run: the store has all {found.stored:,} new parts"
            if found.stored
            else "nothing new to run"
        )
    known = [(c, c.mean_seconds) for c in found.costs if c.mean_seconds is not None]
    total = sum(cost.parts * mean for cost, mean in known)
    unknown: dict[str, list[Any]] = {}
    for cost in found.costs:
        if cost.mean_seconds is None:
            unknown.setdefault(cost.kind, []).append(cost)
    text = f"new work: {parts:,} parts"
    if found.stored:
        text += f" ({found.stored:,} more are in the store)"
    if known:
        records = sum(cost.records for cost, _ in known)
        text += f"; {duration(total)} for {sum(c.parts for c, _ in known):,} of them, by the mean "
        text += f"of {records:,} records of the same kind and model"
    for kind, costs in unknown.items():
        models = _some([cost.model for cost in costs], ", ")
        text += f"\ncost unknown: {sum(c.parts for c in costs):,} parts of {kind} on {models}"
        text += " (the store has no record to go by)"
    return text


def _arrow(change: Change) -> str:
    return f"{values_text(change.old)} -> {values_text(change.new)}"


def _some(words: list[str], joint: str) -> str:
    more = f"{joint}and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return joint.join(words[:SHOWN]) + more


def _table(title: str, columns: Iterable[str]) -> Table:
    table = Table(title=title, box=box.SIMPLE, title_justify="left")
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    return table


def _pairs_table(title: str, rows: Iterable[tuple[str, str]], count: int = 0) -> Table:
    table = Table(title=title, box=box.SIMPLE, title_justify="left", show_header=False)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(name), Text(value))
    _caption(table, count)
    return table


def _caption(table: Table, count: int) -> None:
    if count > SHOWN:
        table.caption = f"and {count - SHOWN:,} more; --format json lists all"
        table.caption_justify = "left"


def stage_line(stage: Stage) -> str:
    """Say in words what a stage leaves to those that read it."""
    seed = stage.identity.get("seed")
    drawn = f", seed {seed}" if seed is not None else ""
    others = len(stage.identity.get("corpora", ())) - 1
    corpora = stage.task + (f" and {others} more" if others > 0 else "")
    return {
        "tokenizer": f"a tokenizer trained on {corpora}",
        "prepare": f"tokenised data of {stage.task}",
        "pretrain": f"{stage.model} pretrained on {corpora}{drawn}",
        "train": f"{stage.model} trained on {stage.task}{drawn}",
        "evaluate": f"scores of {stage.model} on {stage.task}",
        "retrieve": f"retrieval scores of {stage.model} on {stage.task}",
    }[stage.kind]
