"""The time of a job is that of its stages, and not told where one of them is unknown."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.check import check
from compiler.duration import FORWARD, LOADING, STARTING
from compiler.expand import expand
from compiler.plan import Job, Plan, language_of

STUDIES = Path(__file__).parents[2] / "specs" / "studies"


@pytest.fixture(scope="module")
def plan() -> Plan:
    return expand(check(STUDIES / "xtreme-xlmr.yaml"))


def job(plan: Plan, name: str) -> Job:
    (found,) = [job for job in plan.jobs if job.name == name]
    return found


def test_a_job_takes_what_its_stages_take(plan: Plan) -> None:
    resolved = check(STUDIES / "xtreme-xlmr.yaml")
    fit = resolved.strategies["xlmr-xl"].fits[("target", "xnli")]
    assert fit.seconds is not None
    rows = resolved.task("xnli").counts["test"]
    scored = job(plan, "xlmr_xl-none-xnli-s1")
    (evaluation,) = [key for key in scored.stages if plan.stages[key].kind == "evaluate"]
    forward = fit.step_seconds / fit.work.batch * FORWARD
    each = sum(rows[language_of(part)] for part in plan.stages[evaluation].parts) * forward
    assert len(scored.stages) == 2
    assert scored.seconds == round(STARTING + 2 * LOADING + fit.seconds + each)


def test_larger_sizes_take_longer(plan: Plan) -> None:
    names = [f"xlmr_{size}-none-xnli-s1" for size in ("base", "large", "xl")]
    times = [job(plan, name).seconds or 0 for name in names]
    assert 0 < times[0] < times[1] < times[2]


def test_what_is_not_known_is_not_told(plan: Plan) -> None:
    kinds = {
        plan.stages[key].kind for job in plan.jobs if job.seconds is not None for key in job.stages
    }
    assert kinds == {"train", "evaluate"}
    assert any(job.seconds is None for job in plan.jobs)
