"""A plan of any number of stages, and a store that has some of their records, without running."""

from __future__ import annotations

from compiler.plan import Job, Plan, Run, Stage
from runtime.records import Failure, Record
from runtime.store import Store

NASTY = "<script>document.title='owned'</script>\x1b]0;owned\x07\x1b[2Jfine"
"""What a hostile row could bring into a message: HTML, a terminal's title, a cleared screen."""


def many(trainings: int, models: int = 4, jobs: int = 40) -> Plan:
    """Return a plan of a preparation, trainings, a second training after each, and two scores."""
    stages = {"prepare-t-v1-aa": Stage("prepare-t-v1-aa", "prepare", "m0", "t", {}, {})}
    made: dict[int, list[str]] = {}
    runs = []
    for number in range(trainings):
        model, before = f"m{number % models}", "prepare-t-v1-aa"
        one, two = f"train-a-{model}-s{number}-v1-{number:06x}", f"train-b-{number}-v1-b{number:x}"
        keys = [
            one,
            two,
            f"evaluate-a-{number}-v1-c{number:x}",
            f"evaluate-b-{number}-v1-d{number:x}",
        ]
        reads = [
            {"data": before},
            {"weights": one, "data": before},
            {"weights": one},
            {"weights": two},
        ]
        kinds = ("train", "train", "evaluate", "evaluate")
        for key, kind, inputs in zip(keys, kinds, reads, strict=True):
            stages[key] = Stage(key, kind, model, "t", {"seed": number}, inputs)  # type: ignore[arg-type]
        made.setdefault(number % jobs, []).extend(keys)
        runs.append(Run(model, "none", "t", number, ("en",), one, keys[2]))
    first = Job("prepare", ("prepare-t-v1-aa",), ())
    others = tuple(Job(f"job-{n}", tuple(keys), ("prepare",)) for n, keys in made.items())
    return Plan(
        study={"name": "many", "question": "does it <b>scale</b>?"}, models={}, arms={}, tasks={},
        recipes={}, stages=stages, jobs=(first, *others), runs=tuple(runs),
        execution={"parallel": 2, "device": "cpu"},
    )  # fmt: skip


def finish(plan: Plan, store: Store, keys: list[str]) -> None:
    """Leave a record of each stage, as if it had taken 36 seconds."""
    store.prepare()
    for key in keys:
        with store.writing(key, "all") as folder:
            record = Record(key, "all", plan.stages[key].kind, "then", "later", 36.0, {})
            store.commit(record, folder)


def fail(store: Store, key: str, message: str = NASTY, log: str = "logs/job-1.log") -> None:
    """Leave the reason of a failed attempt."""
    store.prepare()
    store.fail(Failure(key, "oom", message, "2026-01-01T00:00:00+00:00", log))
