"""Shows diagnostics and plans in the terminal; the texts are plain, colour is added on top."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from compiler import calibration
from compiler.errors import Diagnostic, Severity
from compiler.fitting import short
from compiler.formats import KINDS
from compiler.plan import Plan
from compiler.prospects import Prospects, lines, points

_COLOURS: dict[Severity, str] = {"error": "bold red", "warning": "yellow", "note": "cyan"}


def diagnostic_text(diagnostic: Diagnostic) -> str:
    """Return a finding as plain text: place, code, what, the line with a caret, what to do."""
    span = diagnostic.span
    place = f"{span}: " if span else ""
    lines = [f"{place}{diagnostic.severity} {diagnostic.code}: {_one_line(diagnostic.message)}"]
    if span and span.text.strip():
        start = max(0, span.column - 60)
        shown = _visible(span.text[start : start + 100])
        before = span.column - 1 - start
        marked = shown[before : before + span.width]
        caret = " " * cell_len(shown[:before]) + "^" * max(1, cell_len(marked))
        gutter = f"{span.line:5d}"
        lines += [f"{gutter} | {shown}", f"{' ' * len(gutter)} | {caret}"]
    if diagnostic.hint:
        lines.append(f"      = {_one_line(diagnostic.hint)}")
    return "\n".join(lines)


def _visible(text: str) -> str:
    """Put a mark for what a terminal would not show or would take for a command."""
    return "".join(
        c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def _one_line(text: str) -> str:
    """Spell out what cannot be seen or would break a finding's lines, and cut what is long."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= 500 else text[:497] + "..."


def print_diagnostics(console: Console, diagnostics: Iterable[Diagnostic]) -> None:
    """Print findings in the order of the file, with a closing count."""
    found = sorted(diagnostics, key=Diagnostic.sort_key)
    for diagnostic in found:
        text = Text(diagnostic_text(diagnostic))
        text.highlight_regex(
            rf"{diagnostic.severity} {diagnostic.code}", _COLOURS[diagnostic.severity]
        )
        console.print(text, soft_wrap=True)
    counts = Counter(d.severity for d in found)
    if found:
        shown = [f"{counts[s]} {s}{'s' if counts[s] != 1 else ''}" for s in _COLOURS if counts[s]]
        console.print(Text(", ".join(shown), style="bold"))


def findings_json(diagnostics: Iterable[Diagnostic]) -> str:
    """Return findings as a JSON list; a finding about a file as a whole has no line."""
    rows = []
    for diagnostic in sorted(diagnostics, key=Diagnostic.sort_key):
        span = diagnostic.span
        placed = span is not None and span.line > 0
        rows.append(
            {
                "code": diagnostic.code,
                "severity": diagnostic.severity,
                "message": diagnostic.message,
                "hint": diagnostic.hint,
                "file": span.file if span else None,
                "line": span.line if span and placed else None,
                "column": span.column if span and placed else None,
                "end_column": span.column + span.width if span and placed else None,
            }
        )
    return json.dumps(rows, indent=1)


def findings_github(diagnostics: Iterable[Diagnostic]) -> str:
    """Return findings as workflow commands, which GitHub shows at their lines."""
    lines = []
    for diagnostic in sorted(diagnostics, key=Diagnostic.sort_key):
        span = diagnostic.span
        places: dict[str, object] = {"file": span.file} if span else {}
        if span and span.line > 0:
            end = span.column + span.width - 1
            places |= {"line": span.line, "col": span.column, "endColumn": end}
        places["title"] = diagnostic.code
        words = ",".join(f"{key}={_escaped(str(value), ':,')}" for key, value in places.items())
        message = "\n".join(part for part in (diagnostic.message, diagnostic.hint) if part)
        level = "notice" if diagnostic.severity == "note" else diagnostic.severity
        lines.append(f"::{level} {words}::{_escaped(message)}")
    return "\n".join(lines)


def _escaped(text: str, more: str = "") -> str:
    """Escape what ends a workflow command, or in a property's value what ends that."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    for character in more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def prospects_view(found: Prospects) -> RenderableType:
    """Return which slope a design can be expected to detect at each level."""
    head = ("level", "half the noise", "noise as assumed", "twice the noise", "smallest margin")
    title = "detectable slope in four of five studies, points per tenfold parameters"
    return _titled(title, head, lines(found))


def power_view(found: Prospects) -> RenderableType:
    """Return the whole outlook: levels, sources of variance, and what one more of each buys."""
    ladder = found.ladder
    sizes = " + ".join(str(len(family)) for family in ladder.families) or "0"
    on = f" on {found.device}" if found.device else ""
    hours = f"about {ladder.hours:,.1f} device hours of training{on}" if ladder.hours else (
        "hours are not known: the device has no rate in the catalog, or the steps no number"
    )  # fmt: skip
    shown: list[RenderableType] = [
        Text(
            f"sizes {sizes}, intermediates {ladder.intermediates}, tasks {ladder.tasks}, "
            f"zero-shot languages {ladder.languages:.1f}, seeds {ladder.seeds}; {hours}"
        ),
        Text(""),
        prospects_view(found),
    ]
    if found.sources is not None:
        total = sum(vars(found.sources).values()) or 1.0
        ordered = sorted(vars(found.sources).items(), key=lambda item: -item[1])
        shares = [(name, f"{100 * value / total:.0f} %") for name, value in ordered]
        shown.append(_titled("variance of the slope by source", ("source", "share"), shares))
    rows = []
    # Of the size of the study itself, so that the column has numbers that can be read.
    steps = ((100.0, "100 hours"), (1.0, "hour"), (1 / 60, "minute"))
    span, unit = next((step for step in steps if ladder.hours >= step[0]), steps[-1])
    for each in found.additions:
        per = each.per_hour
        fall = "free" if per == math.inf else points(None if per is None else span * per)
        further = f"{each.hours - ladder.hours:,.2f}"
        rows.append((each.what, points(each.detectable), further, fall))
    head = ("addition", "detectable", "further hours", f"fall per {unit}")
    shown.append(_titled("one more of each, best buy first (L2)", head, rows))
    shown.append(Text("L1: new seeds. L2: new tasks and languages. L3: other checkpoints."))
    return Group(*shown)


def _titled(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> RenderableType:
    """Return a table of texts under a title that may be wider than it."""
    table = Table(box=box.SIMPLE)
    for place, name in enumerate(head):
        table.add_column(name, justify="right" if place else "left")
    for row in rows:
        table.add_row(*row)
    return Group(Text(title, style="italic"), table)


def plan_view(
    plan: Plan,
    states: Mapping[str, str] | None = None,
    outlook: Prospects | None = None,
    takes: Mapping[str, Mapping[str, Any]] | None = None,
) -> RenderableType:
    """Return the plan as tables: the design, the stages, and what to know before launch.

    ``outlook`` is the slope that it can be expected to detect; ``takes`` says of models what was
    recorded of the time that they take.
    """
    published = _published(plan)
    if published and not plan.runs:
        return Group(f"{plan.name}: 0 stages, nothing is run", *published)
    targets = list(dict.fromkeys(run.target for run in plan.runs))
    design = Table(title=f"{plan.name}: arms", box=box.SIMPLE, title_justify="left")
    design.add_column("arm", overflow="fold")
    design.add_column("targets", justify="right")
    design.add_column("runs", justify="right")
    design.add_column("to know", overflow="fold")
    for arm in plan.arms:
        design.add_row(arm, *_arm_row(plan, arm, targets))

    sizes = Table(title="sizes", box=box.SIMPLE, title_justify="left")
    for name in ("model", "non-embedding", "total", "layers"):
        sizes.add_column(name, justify="left" if name == "model" else "right")
    if any("pretrain" in model for model in plan.models.values()):
        sizes.add_column("pretrained here", overflow="fold")
    for name, model in plan.models.items():
        counts = model["parameters"]
        depth = model.get("architecture", {}).get("num_hidden_layers", "all")
        sizes.add_row(
            name,
            f"{counts['non_embedding']:,}",
            f"{counts['total']:,}",
            str(depth if "pretrain" in model else model.get("layers", "all")),
            *([_pretraining(model["pretrain"])] if "pretrain" in model else []),
        )

    stages = Table(title="stages", box=box.SIMPLE, title_justify="left")
    for name in ("kind", "stages", "without sharing", "done"):
        stages.add_column(name, justify="left" if name == "kind" else "right")
    naive = naive_stages(plan)
    for kind in KINDS:
        if kind in ("tokenizer", "pretrain") and not naive.get(kind):
            continue  # a study of checkpoints has neither
        keys = [key for key, s in plan.stages.items() if s.kind == kind and not s.probe]
        done = sum((states or {}).get(key) == "done" for key in keys)
        stages.add_row(kind, str(len(keys)), str(naive[kind]), str(done) if states else "?")

    cells = sum(len(run.languages) for run in plan.runs)
    summary = Text(
        f"{cells:,} cells from {len(plan.runs):,} runs: {len(plan.models)} sizes x "
        f"{len(plan.arms)} arms x {len(targets)} targets x {len(plan.study['seeds'])} seeds, "
        f"{len(plan.study['languages'])} languages. {len(plan.stages):,} stages in "
        f"{len(plan.jobs):,} jobs."
    )
    parts: list[RenderableType] = [summary, Text(""), design]
    parts += [sizes, *_resources(plan, takes or {}), stages, *_probe(plan, states)]
    parts += [_tasks(plan)] if any(_known(task) for task in plan.tasks.values()) else []
    if outlook is not None:
        parts.append(prospects_view(outlook))
    parts += published
    for confound in plan.confounds:
        parts.append(
            Text.assemble(("confound ", "yellow"), f"{confound['what']}: {confound['detail']}")
        )
    for note in plan.notes:
        colour = {str(k): v for k, v in _COLOURS.items()}[str(note["severity"])]
        parts.append(
            Text.assemble((f"{note['severity']} {note['code']} ", colour), note["message"])
        )
    return Group(*parts)


def _published(plan: Plan) -> list[RenderableType]:
    """Return a line for each table of published scores, and one for the claims."""
    study = plan.study
    lines = [
        f"published scores: {x['label']}, sha256 {x['digest'][:16]}"
        for x in study.get("evidence", ())
    ]
    claims = len(study.get("claims", ()))
    lines += [f"published claims to judge: {claims}"] if claims else []
    return [Text(line) for line in lines]


def _resources(plan: Plan, recorded: Mapping[str, Mapping[str, Any]]) -> Iterator[RenderableType]:
    """Yield how each size is trained and what that takes, where it is known."""
    known: Mapping[str, Mapping[str, Any]] = plan.execution.get("resources", {})
    if not known:
        yield from _measured(recorded)
        if plan.stages and not recorded and (device := plan.execution.get("device_name")):
            yield Text(_nothing_known(str(device)), style="dim")
        return
    table = Table(title="resources", box=box.SIMPLE, title_justify="left", padding=0)
    size = f"GiB of\n{next(iter(known.values()))['capacity_gib']:.1f}"
    powered = any("kwh" in takes for takes in known.values())
    heads = ("model", "strategy", "devices", "micro\nx acc.", size, "device\nhours")
    for name in (*heads, *(["kWh"] if powered else [])):
        words = name in ("model", "strategy")  # these alone are broken where a line is too short
        justify: JustifyMethod = "left" if words else "right"
        table.add_column(name, justify=justify, overflow="fold", no_wrap=not words)
    if priced := any("price" in takes for takes in known.values()):
        table.add_column("price", justify="right")
    hours: dict[str, Any] = {model: takes.get("device_hours") for model, takes in known.items()}
    hours |= {model: took["device_hours"] for model, took in recorded.items()}
    for model, takes in known.items():
        kwh, planned, took = takes.get("kwh"), takes.get("device_hours"), recorded.get(model, {})
        by = took["device_hours"] / planned if took and planned else 1.0
        whole = took.get("measured_share") == 1.0
        table.add_row(
            model,
            str(takes["strategy"]),
            str(takes["devices"]),
            f"{takes['micro_batch']} x {takes['accumulation']}",
            f"{takes['memory_gib']:.1f}",
            f"{hours[model]:,.2f}" if whole else _at_most(hours[model]),
            *([_at_most(None if kwh is None else by * kwh)] if powered else []),
            *([f"{by * takes.get('price', 0):,.0f}"] if priced else []),
        )
    every = [hours[model] for model in known]
    if len(every) > 1 and None not in every:
        table.add_section()
        table.add_row("all sizes", "", "", "", "", _at_most(sum(every)))
    yield table
    for model, takes in known.items():
        for other in takes["rejected"][-1:]:
            yield Text(
                f"{model}: {other['strategy']} would take {other['memory_gib']:.1f} GiB of "
                f"{takes['capacity_gib']:.1f} ({takes['heaviest']})"
            )
    how = next(iter(known.values()))["source"]
    said = (
        f"Memory is that of the heaviest training, hours of all; {how}, every text at full length"
    )
    said += ", but where they were measured." if recorded else "."
    yield Text(said, style="dim")
    yield from _measured(recorded)
    if recorded and None not in hours.values():
        part = sum(took["device_hours"] * took["measured_share"] for took in recorded.values())
        yield Text(f"Of all device hours, {part / sum(hours.values()):.0%} are measured.")


def _measured(taken: Mapping[str, Mapping[str, Any]]) -> Iterator[RenderableType]:
    """Yield for each size that was measured its hours, by what, and what that says of estimates."""
    for model, took in taken.items():
        more = f"; {said}" if (said := calibration.reached(took)) else ""
        hours, by = short(took["device_hours"]), calibration.words(took)
        yield Text(f"{model}: {hours} device hours, {by}{more}.")


def _probe(plan: Plan, states: Mapping[str, str] | None) -> Iterator[RenderableType]:
    """Yield what the sharding probe trains, and what that takes, beside the study's own runs."""
    if not plan.probe:
        return
    said: Mapping[str, Any] = plan.execution["sharding_probe"]
    keys = [key for key, stage in plan.stages.items() if stage.probe]
    done = sum((states or {}).get(key) == "done" for key in keys)
    takes = [f"device hours {_at_most(said.get('device_hours'))}"]
    takes += [f"price {_at_most(said['price'])}"] if "price" in said else []
    takes += [f"{said['memory_gib']:.1f} GiB"] if "memory_gib" in said else []
    yield Text(
        f"sharding probe: {said['model']} on seed {said['seed']} by {said['strategy']} on "
        f"{said['devices']} beside {said['whole']['strategy']} on {said['whole']['devices']}: "
        f"{len(plan.probe):,} further runs, {sum(len(r.languages) for r in plan.probe):,} scores "
        f"that are in no estimate, {len(keys):,} stages ({done if states else '?'} done); "
        f"{', '.join(takes)}"
    )


def _nothing_known(device: str) -> str:
    """Say why a plan tells neither strategy nor memory nor hours, and what to write."""
    if device in ("auto", "cuda"):
        return (
            f"resources: strategy, memory and hours are not known, as `hardware.device: {device}` "
            "names no device of the catalog; write one of `stiltscale hardware`, such as "
            "`device: a100-80gb`, or add your own (a YAML file with its memory)."
        )
    return (
        f"resources: what the models take of `{device}` is not known: none was traced for it "
        "(`stiltscale trace FAMILY`), or none fits."
    )


def _at_most(value: float | None) -> str:
    if value is None:
        return "?"
    return f"<= {short(value)}"


def naive_stages(plan: Plan) -> dict[str, int]:
    """Count the stages that running every run by itself would need, nothing shared."""
    naive: Counter[str] = Counter()
    for run in plan.runs:
        stage = plan.stages[run.score]
        naive[stage.kind] += 1
        naive["prepare"] += 1
        up = stage.inputs.get("weights")
        while up is not None:
            stage = plan.stages[up]
            naive[stage.kind] += 1
            read = sum(name.split(":")[0] in ("data", "replay") for name in stage.inputs)
            naive["prepare"] += read if stage.kind == "pretrain" else 1
            naive["tokenizer"] += stage.kind == "pretrain"
            up = stage.inputs.get("start")
    return dict(naive) | {kind: naive.get(kind, 0) for kind in KINDS}


SHOWN = 200
"""Characters of a task's limitations in a table, up to the end of a sentence if one is near."""


def _tasks(plan: Plan) -> Table:
    """Say what a reader of scores must know of each task, short, and of its languages in full."""
    table = Table(title="tasks: what to know", box=box.SIMPLE, title_justify="left")
    table.add_column("task", no_wrap=True)
    table.add_column("limitations", overflow="fold")
    for name, task in plan.tasks.items():
        scored = {x for run in plan.runs if run.target == name for x in run.languages}
        own = {x: text for x, text in task.get("caveats", {}).items() if x in scored}
        lines = [_shortened(_known(task)), *(f"{x}: {text}" for x, text in own.items())]
        if any(lines):
            table.add_row(name, Text("\n".join(line for line in lines if line)))
    table.caption = "[...]: whole in the report and in `stiltscale plan --format json`"
    table.caption_justify = "left"
    return table


def _known(task: Mapping[str, Any]) -> str:
    return " ".join(str(task.get("limitations", "")).split())


def _shortened(text: str) -> str:
    if len(text) <= SHOWN:
        return text
    end = max(text.rfind(sign, 0, SHOWN) for sign in (". ", ": ", "; "))
    end = end + 1 if end > SHOWN // 3 else text.rfind(" ", 0, SHOWN)
    return f"{text[:end].rstrip(':;')} [...]"


def _pretraining(settings: Mapping[str, Any]) -> str:
    """Say what a model from scratch is pretrained on, and for how long."""
    corpus = settings["corpus"]
    corpora = corpus if isinstance(corpus, str) else ", ".join(corpus)
    each = ", for each seed" if settings["seeds"] == "per_seed" else ""
    return f"{settings['tokens']:,} tokens of {corpora}{each}"


def _arm_row(plan: Plan, arm: str, targets: list[str]) -> tuple[str, str, str]:
    runs = [run for run in plan.runs if run.arm == arm]
    reached = {run.target for run in runs}
    marks = (
        ("self-pair (not in the primary estimate)", "self_pair"),
        ("same English sentences", "shared_text"),
    )
    known = []
    for words, flag in marks:
        named = [t for t in targets if any(r.target == t and flag in r.flags for r in runs)]
        known += [f"{words}: {', '.join(named)}"] if named else []
    absent = [t for t in targets if t not in reached]
    known += [f"not run: {', '.join(absent)}"] if absent else []
    role = str(plan.arms[arm].get("role", ""))
    if role in ("step_matched", "placebo") or any("exploratory" in r.flags for r in runs):
        known.insert(0, "shown apart, not in the average over arms")
    return str(len(reached)), str(len(runs)), "; ".join(known)
