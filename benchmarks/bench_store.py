"""Processor time and memory of a rerun, the scheduler, `status` and pages, by stages."""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from compiler.check import check
from compiler.expand import expand
from compiler.plan import Plan
from runtime import conduct, page, scheduler, standing
from runtime.records import Record
from runtime.store import Store, status

SEEDS = (10, 50, 175)
"""Seeds of the quickstart as it is grown: the last makes 10,000 stages of five parts each."""

OUTPUT = b"x" * 2000


def grown(seeds: int, into: Path) -> Path:
    """Write the quickstart with so many seeds; return its file."""
    text = Path("specs/studies/quickstart.yaml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("seeds:")]
    study = into / "grown.yaml"
    study.write_text("\n".join([*lines, f"seeds: {list(range(1, seeds + 1))}", ""]))
    return study


def fill(plan: Plan, root: Path) -> None:
    """Leave a record and one file for each part, as a finished study has; not synced one by one."""
    output = {"bytes": len(OUTPUT), "sha256": hashlib.sha256(OUTPUT).hexdigest()}
    for key, stage in plan.stages.items():
        for part in stage.parts:
            folder = root / "stages" / key / part
            folder.mkdir(parents=True)
            (folder / "output.bin").write_bytes(OUTPUT)
            result = {"metric": "accuracy", "value": 50.0, "n": 1000, "scores": {"accuracy": 50.0}}
            files = {"output.bin": output}
            record = Record(key, part, stage.kind, "then", "later", 36.0, result, files)
            (folder / "record.json").write_text(record.to_json(), encoding="utf-8")


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of processor that something took, and what it returned.

    All of it is the work of one process; waiting for the disk is not in it, nor for other work.
    """
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def floor(plan: Plan, root: Path) -> float:
    """Return the seconds of reading and parsing the same files and asking for the sizes."""

    def work() -> None:
        for key, stage in plan.stages.items():
            for part in stage.parts:
                folder = root / "stages" / key / part
                json.loads((folder / "record.json").read_bytes())
                (folder / "output.bin").stat()

    return timed(work)[0]


def rerun(folder: Path, seeds: int) -> dict[str, float]:
    """Return what `run` does on a finished study, by step, until it says that nothing is left."""
    study, build = grown(seeds, folder), folder / "build"
    took: dict[str, float] = {}
    took["compile"], plan = timed(lambda: expand(check(study, installed=True)))
    took["write, tidy"], store = timed(
        lambda: conduct._opened(plan, build / plan.name, build, None)
    )
    took["what is left"], todo = timed(lambda: scheduler.unfinished(plan, store))
    took["states"], states = timed(lambda: status(store, plan))
    assert not todo
    assert set(states.values()) == {"done"}
    return took | {"stages": len(plan.stages), "peak": peak()}


def look(folder: Path, seeds: int) -> dict[str, float]:
    """Return what one look of `status` and one answer of `serve` take, in a fresh process."""
    plan = expand(check(grown(seeds, folder), installed=False))
    store = Store(folder / "build" / "store")
    took: dict[str, float] = {"stages": len(plan.stages)}
    took["first look"], seen = timed(lambda: standing.look(plan, store, queue=False))
    took["next look"], seen = timed(lambda: standing.look(plan, store, queue=False))
    graph = page.graph(plan)
    took["overview"], text = timed(lambda: page.overview(plan, seen, graph, False))
    took["overview, kB"] = len(text) / 1000
    took["list"], text = timed(lambda: page.listing(plan, seen, graph, {}, 0))
    took["list, kB"] = len(text) / 1000
    return took | {"peak": peak()}


def schedule(folder: Path, seeds: int) -> dict[str, float]:
    """Return what the scheduler costs a stage: its jobs move finished parts into place at once."""
    plan = expand(check(grown(seeds, folder), installed=False))
    ready, root, out = folder / "build/store/stages", folder / "new", folder / "out"
    store = Store(root)
    store.prepare()
    (out / "launch").mkdir(parents=True)
    for job in plan.jobs:
        lines = [f"mv {ready / key} {root / 'stages'}/" for key in job.stages]
        (out / "launch" / f"{job.name}.sh").write_text("\n".join([*lines, ""]))
    looks = 0

    def tell(_: object) -> None:
        nonlocal looks
        looks += 1

    spent, codes = timed(lambda: scheduler.run(plan, out, store, 2, tell))
    assert not any(codes.values())
    assert not scheduler.unfinished(plan, store)
    stages = len(plan.stages)
    return {"stages": stages, "jobs": len(plan.jobs), "looks": looks, "seconds": spent,
            "ms a stage": 1000 * spent / stages, "ms a look": 1000 * spent / looks}  # fmt: skip


def peak() -> float:
    """Return the largest memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


STEPS: dict[str, Callable[[Path, int], dict[str, float]]] = {
    "rerun": rerun, "look": look, "schedule": schedule,
}  # fmt: skip
"""The last empties the finished store."""


def alone(step: str, folder: Path, seeds: int) -> dict[str, float]:
    """Do one measurement in a process of its own, which has read nothing yet."""
    words = [sys.executable, __file__, step, str(folder), str(seeds)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print a table of each measurement."""
    rows: dict[str, list[dict[str, float]]] = {step: [] for step in STEPS}
    for seeds in SEEDS:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            plan = expand(check(grown(seeds, folder), installed=False))
            fill(plan, folder / "build" / "store")
            bare = floor(plan, folder / "build" / "store")
            for step in STEPS:
                found = alone(step, folder, seeds)
                if step == "rerun":
                    steps = ("compile", "write, tidy", "what is left", "states")
                    found |= {"whole": sum(found[name] for name in steps), "bare reading": bare}
                rows[step].append(found)
                print(step, found, file=sys.stderr, flush=True)
    for found_rows in rows.values():
        names = sorted(found_rows[0], key=lambda name: name != "stages")
        print("\n| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|")
        for row in found_rows:
            print("| " + " | ".join(f"{row[name]:.4g}" for name in names) + " |")


if __name__ == "__main__":
    if len(sys.argv) == 4:
        print(json.dumps(STEPS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))))
    else:
        main()
