"""Explains one stage of a plan: what made its key, who uses it, and why it will run or not."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from compiler.diff import Change, compare, definition, identity_changes, words_of
from compiler.errors import PlanInvalid
from compiler.formats import duration, stage_line, values_text
from compiler.plan import Plan, Run, Stage

LISTED = 12
"""Names in a list that is there to choose from."""

_EXECUTION = {
    "sharding_probe": "what is trained a second time, whose stages say so in their identity",
    "device": "the Accelerate configuration of the job",
    "nodes": "the Accelerate configuration of the job",
    "devices_per_node": "the Accelerate configuration of the job",
    "parallel": "how many jobs `run` starts at a time",
    "threads": "the launch script of the job",
    "pack": "which stages share a job",
    "evaluation_batch": "the batches of scoring",
    "checkpoint_minutes": "how often a training is saved on the way",
}


@dataclass(frozen=True)
class Seen:
    """What a store holds of a stage and of those that it reads."""

    store: str
    states: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    failures: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    owner: str = ""
    namesakes: tuple[str, ...] = ()
    compiled: Plan | None = None


def find(plan: Plan, words: str) -> str:
    """Return the one stage whose key is, starts with or contains ``words``; raises PlanInvalid."""
    if words in plan.stages:
        return words
    some = words.strip()
    starting = [key for key in plan.stages if some and key.startswith(some)]
    found = starting or [key for key in plan.stages if some and some in key]
    exact = [key for key in found if words_of(key) == some]
    if len(exact) == 1 or len(found) == 1:
        return (exact if len(exact) == 1 else found)[0]
    if found:
        more = f"\n  and {len(found) - LISTED:,} more" if len(found) > LISTED else ""
        listed = "".join(f"\n  {key}" for key in found[:LISTED])
        raise PlanInvalid(
            "P007",
            f"{len(found):,} stages fit {words!r}:{listed}{more}",
            hint="give more of the key; its hash alone is enough",
        )
    close = _close(plan, some)
    hint = f"did you mean {' or '.join(f'`{key}`' for key in close)}?" if close else ""
    raise PlanInvalid(
        "P008",
        f"no stage of `{plan.name}` fits {words!r}",
        hint=hint or "`stiltscale plan STUDY --cells` lists the stages that give scores",
    )


def reads(plan: Plan, key: str) -> tuple[str, ...]:
    """Return the stages that a stage needs, directly or through others, in the plan's order."""
    needed, pending = set[str](), [key]
    while pending:
        stage = plan.stages.get(pending.pop())
        fresh = [up for up in stage.inputs.values() if up not in needed] if stage else []
        needed.update(fresh)
        pending += fresh
    return tuple(up for up in plan.stages if up in needed)


def users(plan: Plan, key: str, runs: Iterable[Run] | None = None) -> tuple[Run, ...]:
    """Return the runs of a plan, or of those that are given, whose scores depend on a stage."""
    after = {key}
    for name, stage in plan.stages.items():  # inputs come first
        if not after.isdisjoint(stage.inputs.values()):
            after.add(name)
    return tuple(run for run in (plan.runs if runs is None else runs) if run.score in after)


def explain(plan: Plan, key: str, seen: Seen | None = None) -> str:
    """Return all that is known of a stage, in sections with a heading each."""
    stage = plan.stages[key]
    lines = [key, "", f"  {'kind':6} {stage.kind}: {stage_line(stage)}"]
    word = "corpus" if stage.reads_corpus else "task"
    lines += [f"  {'model':6} {stage.model}", f"  {word:6} {_task(plan, stage)}"]
    lines += [f"  {'parts':6} {part}" for part in _parts(stage, seen)]
    lines += ["", "What made the key", *_key(plan, stage, seen), ""]
    lines += ["What is not in the key", *_outside(plan), ""]
    lines += ["Where it runs", *_where(plan, key), ""]
    lines += ["Which scores need it", *_used(plan, key), *_probe(plan, stage)]
    if seen is not None:
        lines += ["", f"In the store {seen.store}", *_state(plan, stage, seen)]
        lines += _namesakes(plan, stage, seen)
    return "\n".join(lines) + "\n"


def _close(plan: Plan, words: str) -> list[str]:
    """Return the keys nearest to some words: those that share most words with it, then letters."""
    wanted = set(words_of(words).split("-"))
    shared = Counter({key: len(wanted & set(key.split("-"))) for key in plan.stages})
    likely = {words_of(key): key for key, _ in reversed(shared.most_common(200))}
    close = difflib.get_close_matches(words_of(words), likely, n=3, cutoff=0.6)
    return [likely[name] for name in close]


def _task(plan: Plan, stage: Stage) -> str:
    title = plan.define(stage).get("title")
    return f"{stage.task} ({title})" if title else stage.task


def _parts(stage: Stage, seen: Seen | None) -> Iterator[str]:
    width = max(len(part) for part in stage.parts)
    for part in stage.parts:
        if seen is None:
            yield part
        elif part in seen.missing:
            yield f"{part:{width}}  missing"
        else:
            taken = seen.seconds.get(part)
            yield f"{part:{width}}  done" + (f" in {duration(taken)}" if taken is not None else "")


def _key(plan: Plan, stage: Stage, seen: Seen | None) -> Iterator[str]:
    yield "  the hash of: the kind, the fields of the identity, and the keys of what it reads"
    yield "  identity"
    yield from _tree(dict(stage.identity), 4, plan, stage)
    if not stage.inputs:
        yield "  reads no other stage"
        return
    yield "  reads"
    for name, up in stage.inputs.items():
        source = plan.stages.get(up)
        what = f": {stage_line(source)}" if source else ""
        state = seen.states.get(up) if seen else None
        yield f"    {name}{what}" + (f" ({state})" if state else "")
        yield f"      {up}"


def _tree(value: Mapping[str, Any], indent: int, plan: Plan, stage: Stage) -> Iterator[str]:
    """Write a mapping one value a line, what is nested further in; a digest with what it is of."""
    space = " " * indent
    for name, inner in value.items():
        if indent == 4 and name in ("model", "tokenizer") and isinstance(inner, str):
            yield f"{space}{name}: {inner}, the hash of"
            yield from _tree(definition(plan, stage, name), indent + 2, plan, stage)
        elif isinstance(inner, Mapping) and inner:
            yield f"{space}{name}"
            yield from _tree(inner, indent + 2, plan, stage)
        elif isinstance(inner, list | tuple) and any(isinstance(x, Mapping) for x in inner):
            for number, item in enumerate(inner):
                yield f"{space}{name}[{number}]"
                nested = item if isinstance(item, Mapping) else {"": item}
                yield from _tree(nested, indent + 2, plan, stage)
        else:
            shown = "{}" if isinstance(inner, Mapping) else values_text(inner)
            yield f"{space}{name}: {shown}"


def _outside(plan: Plan) -> Iterator[str]:
    yield "  the study's name, question and analysis; the other models, arms, targets and seeds;"
    yield "  the parts: one that is added runs alone; and how it is executed:"
    for name, value in plan.execution.items():
        use = _EXECUTION.get(name)
        yield f"    {name}: {values_text(value)}" + (f" ({use})" if use else "")


def _where(plan: Plan, key: str) -> Iterator[str]:
    for job in plan.jobs:
        if key in job.stages:
            place = job.stages.index(key) + 1
            yield f"  job {job.name}, stage {place} of {len(job.stages)}"
            yield f"  bash build/{plan.name}/launch/{job.name}.sh"
            if job.after:
                yield f"  after {_some(job.after)}"
            return
    yield "  in no job of this plan"


def _used(plan: Plan, key: str) -> Iterator[str]:
    runs = users(plan, key)
    cells = sum(len(run.languages) for run in runs)
    yield f"  {len(runs):,} of {len(plan.runs):,} runs, {cells:,} cells"
    for name in ("model", "arm", "target", "seed"):
        values = tuple(dict.fromkeys(str(getattr(run, name)) for run in runs))
        yield f"  {name + ('s' if len(values) != 1 else ''):8} {_some(values)}"


def _probe(plan: Plan, stage: Stage) -> Iterator[str]:
    runs = users(plan, stage.key, plan.probe)
    if runs:
        cells = sum(len(run.languages) for run in runs)
        many = f"{len(runs):,} of {len(plan.probe):,} runs"
        yield f"  {many} of the sharding probe, {cells:,} scores that are in no estimate"
    if stage.probe:
        yield "  It repeats, with the same data, seed and random numbers,"
        yield f"    {stage.probe['of']}"
        yield "  by " + f"{stage.probe['strategy']} on {stage.probe['devices']} devices"


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _state(plan: Plan, stage: Stage, seen: Seen) -> Iterator[str]:
    state = seen.states.get(stage.key, "waiting")
    lacking = f"{len(seen.missing)} of {len(stage.parts)} parts have no record"
    yield f"  {state}" + (f": {seen.owner}" if state == "running" and seen.owner else "")
    for up in (stage.key, *reads(plan, stage.key)):
        reason = seen.failures.get(up)
        if reason is None or (up != stage.key and state != "blocked"):
            continue
        yield f"  failed: {reason[0]}" if up == stage.key else f"  blocked by {up}: {reason[0]}"
        if reason[1]:
            yield f"    log: {reason[1]}"
    undone = [up for up in stage.inputs.values() if seen.states.get(up, "waiting") != "done"]
    if state == "done":
        yield "  will not run again: every part has a record under this key. It runs when a field"
        yield "  above changes, which makes another key, or when its folder is deleted"
    elif state == "running":
        yield f"  is running now: {lacking}"
    elif state == "failed":
        yield f"  will run again at the next `run`: a failed stage is tried anew, and {lacking}"
    elif state == "blocked":
        yield "  will run when what it reads is there; `run` tries the failed stage again first"
    elif undone:
        yield f"  will run: {lacking}. First it waits for"
        yield from (f"    {up} ({seen.states.get(up, 'waiting')})" for up in undone)
    else:
        yield f"  will run at the next `run`: {lacking}, and all that it reads is there"


def _namesakes(plan: Plan, stage: Stage, seen: Seen) -> Iterator[str]:
    """Say why the store has other stages of the same words, as far as this can be known."""
    known = seen.compiled.stages if seen.compiled else {}
    described = [key for key in seen.namesakes if key in known]
    others = [key for key in seen.namesakes if key not in known]
    if seen.compiled is not None and described:
        difference = compare(seen.compiled, plan)
        former = {item.old: item for item in difference.rekeyed if item.new == stage.key}
        for key in described:
            yield ""
            yield f"The store has the same words under the key of the plan compiled last: {key}"
            item = former.get(key)
            own = item.changes if item else ()
            yield from _told(own or identity_changes(known[key], stage, seen.compiled, plan), "  ")
            if item and not own:
                yield "  it follows what it reads, and nothing of its own differs:"
                for number in item.causes:
                    cause = difference.causes[number]
                    yield from _told(cause.changes, f"    {cause.kind} of {cause.task}, ")
    if others:
        yield ""
        yield "The store has the same words under other keys. No record holds an identity, and the"
        yield "plan compiled last does not describe them, so which field differs is not known:"
        yield from (f"  {key}" for key in others[:LISTED])
        if len(others) > LISTED:
            yield f"  and {len(others) - LISTED:,} more"


def _told(changes: Iterable[Change], before: str) -> Iterator[str]:
    for change in changes:
        ends = f"{values_text(change.old)} there, {values_text(change.new)} here"
        yield f"{before}{change.field}: {ends}"
