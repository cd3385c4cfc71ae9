"""The system's out-of-memory killer ends a worker: the stage is classed, and can run again."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from e2e.test_study import plan_of, work
from tiny import write_study

from compiler.render import machine, render, write
from runtime import killer
from runtime.store import Store, status

GREEDY = """
import sys
from runtime import worker
from runtime.stages import train

def greedy(session, stage, part, folder, tell):
    tell(step=0, steps=1)
    held = []
    while True:
        held.append(b"x" * 2**24)

train.run = greedy
sys.exit(worker.main(sys.argv[1:]))
"""

RUN = """
import sys
from pathlib import Path
from compiler.plan import load
from runtime import conduct, scheduler
from runtime.store import Store, status

plan, store = load(Path(sys.argv[1])), Store(Path(sys.argv[2]))
codes = scheduler.run(plan, Path(sys.argv[1]).parent, store, 2, lambda progress: None)
print(conduct.failures(plan, store, status(store, plan), codes))
"""

LIMITS = {
    Path("/sys/fs/cgroup/memory"): ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
    Path("/sys/fs/cgroup"): ("memory.max", "memory.swap.max"),
}
"""Where the control groups of version 1 and 2 usually are, and what limits memory and swap."""


@pytest.fixture
def group() -> Iterator[Path]:
    """A memory control group of one GiB, made for the test."""
    for top, (limit, swap) in LIMITS.items():
        made = top / f"stiltscale-test-{os.getpid()}"
        try:
            made.mkdir()
        except OSError:
            continue
        try:
            (made / limit).write_text(str(2**30))
            if (made / swap).exists():
                (made / swap).write_text("0" if swap == "memory.swap.max" else str(2**30))
            yield made
            return
        except OSError:
            continue
        finally:
            for _ in range(100):  # until the last of its processes is gone
                with contextlib.suppress(OSError):
                    made.rmdir()
                    break
                time.sleep(0.1)
    pytest.skip("this user may not make a memory control group with a limit")


@pytest.mark.slow
def test_what_the_killer_ends_is_classed(tmp_path: Path, group: Path) -> None:
    plan = plan_of(
        write_study(tmp_path, layers=(1,), seeds=[1], targets=["colours"], languages=["en"])
    )
    folder, store = tmp_path / "build" / "tiny", Store(tmp_path / "build" / "store")
    write(render(plan) | {"env.sh": machine(sys.executable, store.root, folder)}, folder)
    first = replace(plan, jobs=tuple(job for job in plan.jobs if not job.after))
    assert work(first, store) == 0
    at = ["--plan", str(folder / "plan.json"), "--store", str(store.root), "--job"]
    (tmp_path / "greedy.py").write_text(GREEDY)
    for job in plan.jobs:
        words = " ".join([sys.executable, str(tmp_path / "greedy.py"), *at, job.name])
        (folder / "launch" / f"{job.name}.sh").write_text(f"{words}\n")

    done = subprocess.run(
        [sys.executable, "-c", RUN, str(folder / "plan.json"), str(store.root)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())) and None,
    )
    assert done.returncode == 0, done.stderr
    states = status(store, plan)
    failed = [key for key, state in states.items() if state == "failed"]
    assert failed
    assert {plan.stages[key].kind for key in failed} == {"train"}
    for key in failed:
        failure = store.failure(key)
        assert failure is not None
        assert failure.failure_class == "oom"
        assert failure.message.endswith("; this stage was in hand"), "its lease was left behind"
        assert failure.log.startswith("logs/")
    assert "oom: the system's out-of-memory killer" in done.stdout
    assert "ended early" not in done.stdout
    counts = [killer.count(group / name) for name in killer.COUNTS.values()]
    assert [number for number in counts if number is not None] == [len(failed)]
    assert work(plan, Store(store.root)) == 0
