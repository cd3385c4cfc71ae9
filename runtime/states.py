"""What the verbs that only read ask of a store: states, missing parts, seconds, reasons."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from compiler.diff import words_of
from compiler.explain import Seen, reads
from compiler.plan import Plan
from runtime.store import Store, status


def states(store: Store, plan: Plan) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Return the state of each stage, and the missing parts of those that have some records.

    Like `status`, but a stage without a folder is not looked into: most of a large plan.
    """
    present = store.present() | store.running().keys()
    some = replace(plan, stages={k: s for k, s in plan.stages.items() if k in present})
    found = status(store, some)
    result: dict[str, str] = {}
    for key, stage in plan.stages.items():
        state = found.get(key, "waiting")
        stuck = any(result.get(up) in ("failed", "blocked") for up in stage.inputs.values())
        result[key] = "blocked" if state == "waiting" and stuck else state
    lacking = {k: store.missing(s) for k, s in some.stages.items() if result[k] != "done"}
    return result, lacking


def seconds(store: Store, plans: Iterable[Plan]) -> dict[str, dict[str, float]]:
    """Return what each finished part of the plans' stages took: stage -> part -> seconds."""
    present = store.present()
    found: dict[str, dict[str, float]] = {}
    for plan in plans:
        for key, stage in plan.stages.items():
            if key in present:
                records = (store.record(key, part) for part in stage.parts)
                found.setdefault(key, {}).update({r.part: r.seconds for r in records if r})
    return found


def seen(store: Store, plan: Plan, key: str, compiled: Plan | None) -> Seen:
    """Return what a store holds of one stage, of those it reads, and of its namesakes."""
    stage = plan.stages[key]
    around = {up: plan.stages[up] for up in reads(plan, key)} | {key: stage}
    records = (store.record(key, part) for part in stage.parts)
    failures = {}
    for name in around:
        failure = store.failure(name)
        if failure is not None:
            first = failure.message.splitlines()[0][:300] if failure.message else ""
            failures[name] = (
                f"{failure.failure_class}: {first} ({failure.when})",
                failure.log,
            )
    lease = store.running().get(key, {})
    words = words_of(key)
    return Seen(
        store=str(store.root),
        states=status(store, replace(plan, stages=around)),
        missing=store.missing(stage),
        seconds={r.part: r.seconds for r in records if r},
        failures=failures,
        owner=f"process {lease['pid']} on {lease['host']}" if "pid" in lease else "",
        namesakes=tuple(
            name
            for name in sorted(store.present())
            if name not in plan.stages and words_of(name) == words
        ),
        compiled=compiled,
    )
