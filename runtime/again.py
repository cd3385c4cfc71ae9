"""Chooses the jobs that a retry runs: those of failed stages, of what these need and block."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from compiler.plan import Plan


def of_failed(plan: Plan, states: Mapping[str, str]) -> set[str]:
    """Return the jobs that have a failed stage, or one that a failed stage blocks."""
    stuck = {key for key, state in states.items() if state in ("failed", "blocked")}
    return {job.name for job in plan.jobs if not stuck.isdisjoint(job.stages)}


def of_stage(plan: Plan, states: Mapping[str, str], key: str) -> set[str]:
    """Return the job of a stage that is not done, and those of the open stages that it needs."""
    pending, wanted = [key], set[str]()
    while pending:
        one = pending.pop()
        if states.get(one) != "done" and one not in wanted:
            wanted.add(one)
            pending += plan.stages[one].inputs.values()
    return {job.name for job in plan.jobs if not wanted.isdisjoint(job.stages)}


def part(plan: Plan, jobs: Collection[str]) -> Plan:
    """Return a plan of some jobs and their stages; what they wait for besides is taken as ended."""
    chosen = tuple(
        replace(job, after=tuple(name for name in job.after if name in jobs))
        for job in plan.jobs
        if job.name in jobs
    )
    keys = {key for job in chosen for key in job.stages}
    stages = {key: stage for key, stage in plan.stages.items() if key in keys}
    return replace(plan, jobs=chosen, stages=stages)
