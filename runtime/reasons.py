"""Why a stage waits, failed, runs or will run again, in a few lines, and what to do next."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compiler.explain import reads
from compiler.formats import stage_line
from compiler.plan import Plan
from runtime.logs import harmless
from runtime.standing import Standing, causes

NEXT: Mapping[str, str] = {
    "oom": "it ran out of memory, and will again unless something is smaller: fewer jobs at once "
    "(`hardware: {parallel: 1}`), a smaller micro-batch or `max_length`, or another device. "
    "`stiltscale plan` shows what each size takes",
    "timeout": "it had no time left, or said nothing for too long. A training goes on from its "
    "last checkpoint; give jobs more time (`hardware: {slurm: {minutes: ...}}`) if it recurs",
    "preempted": "the machine was taken away. Run the same command: it goes on from its last "
    "checkpoint",
    "diverged": "its loss is no number any more. The same settings give the same end: lower the "
    "learning rate or lengthen the warm-up in the recipe, for every size alike",
    "data": "a file, a row or a label is not as the task says. Mend the data or the task's file; "
    "the message names the place",
    "disk": "the disk is full, or a quota is. Free space, then run the same command: nothing that "
    "was finished is lost",
    "code": "a library or this program failed. Read the log; if the cause lies outside (network, "
    "permissions, a driver), mend it and retry",
}
"""What to do after a failure of each class."""


def why(plan: Plan, seen: Standing, key: str, study: str, folder: Path) -> str:
    """Return why a stage is in the state that it is in; ends with what to do next."""
    stage, state = plan.stages[key], seen.states[key]
    lines = [key, f"  {stage_line(stage)}", f"  {_state(plan, seen, key)}"]
    failures = {failed.key: failed for failed in seen.failed}
    origins = [key] if state == "failed" else causes(plan, seen.states, key)
    for origin in origins[:5]:
        failed = failures.get(origin)
        if failed is None:
            continue
        lines += ["", f"  {'it failed' if origin == key else origin} ({failed.when})"]
        message = harmless(failed.message).splitlines()[:12]
        lines += [f"    {failed.failure_class}: {message[0] if message else ''}"]
        lines += [f"    {line}" for line in message[1:]]
        lines += [f"    log: {(folder / failed.log).as_posix()}"] if failed.log else []
        lines += [f"    to do: {NEXT.get(failed.failure_class, NEXT['code'])}"]
    if len(origins) > 5:
        lines.append(f"  and {len(origins) - 5} more that it needs failed")
    begun = state in ("ready", "waiting") and bool(seen.running)
    advice = "a run is on, and comes to it" if begun else _next(state, key, study)
    lines += ["", f"  {advice}"]
    return "\n".join(lines) + "\n"


def folded(text: str, width: int) -> str:
    """Break lines that are longer than a terminal is wide; what goes on stands as far in."""
    lines = []
    for line in text.splitlines():
        inner = " " * (len(line) - len(line.lstrip()) + 2)
        lines += textwrap.wrap(
            line, max(width, 40), subsequent_indent=inner, break_long_words=False,
            break_on_hyphens=False,
        ) or [""]  # fmt: skip
    return "\n".join(lines) + "\n"


def _state(plan: Plan, seen: Standing, key: str) -> str:
    state = seen.states[key]
    if state == "done":
        return "done: every part has a record under this key, so it will not run again"
    if state == "running":
        who = next((stage.owner for stage in seen.running if stage.key == key), "")
        return f"running now{f', {who}' if who else ''}"
    if state == "failed":
        return "failed: its latest attempt left no result"
    open_ = [up for up in reads(plan, key) if seen.states.get(up) != "done"]
    if state == "blocked":
        number = len(causes(plan, seen.states, key))
        return f"blocked: {number} of the stages that it needs failed"
    if state == "ready":
        return "ready: all that it reads is there, and no job has come to it yet"
    return f"waiting for what it needs: {_some(open_, seen.states)}"


def _next(state: str, key: str, study: str) -> str:
    if state == "done":
        return f"what its key is made of: stiltscale explain {study} {key}"
    if state == "running":
        return f"follow it: stiltscale logs {study} {key} --follow"
    if state in ("failed", "blocked"):
        return f"after mending the cause: stiltscale retry {study} {key}"
    return f"to run it: stiltscale run {study}"


def _some(keys: list[str], states: Mapping[str, Any]) -> str:
    shown = ", ".join(f"{key} ({states[key]})" for key in keys[:3])
    return shown + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
