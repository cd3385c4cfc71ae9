"""The kernel's counts of what its out-of-memory killer ended, and which stage is blamed for it."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from manystages import fail, finish, many

from compiler.plan import Job, Plan
from compiler.site import Site
from runtime import cluster, killer, slurm
from runtime.killer import Kills, blame, count, counter
from runtime.lease import born, host
from runtime.store import Store, status
from runtime.submissions import load

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
V1 = (
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)
EVENTS = "low 0\nhigh 0\nmax 12\noom 3\noom_kill {}\noom_group_kill 0\n"
CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"


def system(root: Path, groups: str, mounts: str, **files: str) -> Path:
    """Write what a kernel tells of control groups into a folder."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    (root / "proc/self/mountinfo").write_text(mounts)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "mounts", "place", "text"),
    [
        ("0::/user.slice/job\n", V2, "user.slice/job/memory.events", EVENTS),
        ("0::/user.slice/job\n", V2, "user.slice/memory.events", EVENTS),  # the nearest above
        ("0::/\n", V2, "memory.events", EVENTS),  # a container's own view
        ("0::/../outside\n", V2, "memory.events", EVENTS),
        ("1:cpu:/\n4:memory:/job\n0::/\n", V1, "memory/job/memory.oom_control", CONTROL),
        ("4:cpu,memory:/job\n0::/\n", V1, "memory/job/memory.oom_control", CONTROL),
        (
            "4:memory:/docker/a b\n",
            V1.replace("0:32 / ", r"0:32 /docker/a\040b "),
            "memory/memory.oom_control",
            CONTROL,
        ),
    ],
)
def test_the_count_of_a_group_is_found(
    tmp_path: Path, groups: str, mounts: str, place: str, text: str
) -> None:
    system(tmp_path, groups, mounts, **{place: text.format(7)})
    found = counter(tmp_path)
    assert found == tmp_path / "sys/fs/cgroup" / place
    assert count(found) == 7


def test_what_says_nothing_is_not_guessed(tmp_path: Path) -> None:
    assert counter(tmp_path) is None, "no /proc"
    system(tmp_path, "0::/job\n", V2, **{"job/memory.events": "low 0\n"})
    assert counter(tmp_path) is None, "a kernel that does not count kills"
    (tmp_path / "odd").write_text("oom_kill many\n")
    assert count(tmp_path / "odd") is None
    kills = Kills(None)
    kills.look()
    kills.look()
    assert not kills.recent(0.0)


def test_a_kill_counts_when_it_was_seen_lately(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "memory.events"
    path.write_text(EVENTS.format(5))
    kills, begun = Kills(path), time.monotonic()
    kills.look()
    assert not kills.recent(0.0), "what was killed before the first look is another's"
    path.write_text(EVENTS.format(6))
    kills.look()
    assert kills.recent(begun)
    assert not kills.recent(time.monotonic() + 1), "a job that began later was not meant"
    later = time.monotonic() + killer.RECENT + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert not kills.recent(begun)


@pytest.fixture
def prepared() -> tuple[Plan, Job]:
    """A plan, and a job of it with several stages that wait for its data alone."""
    plan = many(4)
    stages = {
        key: replace(stage, identity={**stage.identity, "data": ["all"]})
        for key, stage in plan.stages.items()
    }
    plan = replace(plan, stages=stages)
    return plan, next(job for job in plan.jobs if job.stages[0].startswith("train"))


def lease(store: Store, key: str, machine: str) -> None:
    (store.root / "leases").mkdir(parents=True, exist_ok=True)
    owner = {"host": machine, "pid": 2**22 + 1, "born": "1", "name": "0" * 16}
    (store.root / "leases" / f"{key}.json").write_text(json.dumps(owner))


def test_the_stage_in_hand_is_blamed(prepared: tuple[Plan, Job], tmp_path: Path) -> None:
    plan, job = prepared
    job = replace(job, stages=tuple(key for key in plan.stages if key.startswith("train-a")))
    one, two, three, four = job.stages
    store = Store(tmp_path)
    assert blame(plan, store, job, "logs/x.log", "killed") == "", "its data is not there"
    finish(plan, store, ["prepare-t-v1-aa", one])
    lease(store, three, host())
    heir = store.root / "leases" / f".{three}.json.{'0' * 16}.heir"
    owner = {"host": host(), "pid": os.getpid(), "born": born(os.getpid()), "name": "1" * 16}
    heir.write_text(json.dumps(owner))
    assert blame(plan, store, replace(job, stages=(three,)), "", "killed") == "", "it has an heir"
    heir.unlink()
    assert blame(plan, store, job, "logs/x.log", "killed") == three
    failure = store.failure(three)
    assert failure is not None
    assert (failure.failure_class, failure.log) == ("oom", "logs/x.log")
    assert failure.message == "killed; this stage was in hand"
    assert blame(plan, store, job, "", "killed") == two, "no lease: the first that could run"
    fail(store, four)
    assert blame(plan, store, job, "", "killed") == "", "what is open has failed by itself"


def test_slurms_word_counts_also_when_a_lease_looks_alive(
    prepared: tuple[Plan, Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, job = prepared
    store = Store(tmp_path / "store")
    finish(plan, store, ["prepare-t-v1-aa"])
    key = job.stages[0]
    lease(store, key, "another-machine")
    assert blame(plan, store, job, "", "killed") == "", "it may be another run's"
    kept = load(store, plan.name)
    kept.intend("t", "array", "2026-01-01T00:00:00+00:00", {0: job.name})
    kept.settle("t", "77")
    answers = iter(["RUNNING", "OUT_OF_MEMORY"])
    monkeypatch.setattr(
        slurm, "queue", lambda: {"77_0": slurm.Queued(next(answers), "OutOfMemory", "")}
    )
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    ended = cluster.follow(plan, store, Site(), lambda progress: None)
    assert "OUT_OF_MEMORY" in ended[job.name]
    failure = store.failure(key)
    assert failure is not None
    assert failure.failure_class == "oom"
    assert failure.message == f"{cluster.KILLED}; this stage was in hand"
    (store.root / "leases" / f"{key}.json").unlink()
    assert status(store, plan)[key] == "failed"
