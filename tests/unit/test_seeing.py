"""Seeing a study: how far it is, why a stage is as it is, its log, and what is tried again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from manystages import NASTY, fail, finish, many
from rich.console import Console
from typer.testing import CliRunner

from compiler.plan import Plan
from runtime import again, conduct, page, reasons, scheduler, standing
from runtime.cli import app
from runtime.lease import born
from runtime.logs import TAIL, end, fresh, harmless
from runtime.store import Store, host


@pytest.fixture
def half(tmp_path: Path) -> tuple[Plan, Store]:
    """Forty trainings with what follows: some done, one failed, one running."""
    plan, store = many(40), Store(tmp_path / "build" / "store")
    finish(plan, store, ["prepare-t-v1-aa", *named(plan, "train-a")[:20]])
    fail(store, named(plan, "train-a")[21])
    lease = {"host": host(), "pid": os.getpid(), "born": born(os.getpid())}
    told = {"step": 10, "steps": 40, "seconds_left": 30.0}
    path = store.root / "leases" / f"{named(plan, 'train-a')[22]}.json"
    path.write_text(json.dumps(lease | {"progress": told}))
    return plan, store


def named(plan: Plan, words: str) -> list[str]:
    return [key for key in plan.stages if key.startswith(words)]


def test_every_stage_is_in_one_state(half: tuple[Plan, Store]) -> None:
    seen = standing.look(*half, queue=False)
    assert sum(seen.counts.values()) == seen.total == 161
    assert seen.counts == {
        "done": 21, "running": 1, "failed": 1, "blocked": 3, "ready": 58, "waiting": 77,
    }  # fmt: skip
    assert [one.blocks for one in seen.failed] == [3]
    assert [one.told["step"] for one in seen.running] == [10]
    assert seen.exit_code == 3
    assert seen.spent == 21 * 36
    assert seen.left is None, "no score is done: what one takes cannot be known"


def test_what_is_left_is_guessed_once_each_kind_is_known(half: tuple[Plan, Store]) -> None:
    plan, store = half
    finish(plan, store, named(plan, "evaluate-a")[:4])
    seen = standing.look(plan, store, queue=False)
    open_ = seen.total - seen.counts["done"]
    assert seen.work_left == pytest.approx((open_ - 1) * 36 + 30)
    assert seen.left == pytest.approx(seen.work_left / 2)


@pytest.mark.parametrize("width", [80, 160])
def test_one_screen(half: tuple[Plan, Store], width: int) -> None:
    console = Console(width=width, record=True, file=Path(os.devnull).open("w"))
    with console.file:
        console.print(standing.view(standing.look(*half, queue=False), width))
    lines = console.export_text().splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= width
    said = "\n".join(lines)
    assert "21 done, 1 running, 1 failed, 3 blocked, 58 ready, 77 waiting" in said
    assert "blocks 3 stages" in said
    assert "step 10/40" in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünï 漢\n", "plain ünï 漢\n"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]0;never ended", ""),
        ("bell\x07 del\x7f", "bell\\x07 del\\x7f"),
        ("10%\r50%\r100%\r\nnext", "100%\nnext"),
        ("a\u202eb", "a\\u202eb"),
        ("\x9b2J", "\\x9b2J"),
        ("\x1b", "\\x1b"),
    ],
)
def test_control_characters_are_harmless(text: str, shown: str) -> None:
    assert harmless(text) == shown


def test_the_end_of_a_log_and_what_it_gets(tmp_path: Path) -> None:
    path = tmp_path / "job.log"
    path.write_bytes(b"x" * TAIL + b"\none\ntwo\n\xff\n")
    text, at = end(path, 3)
    assert text == "one\ntwo\n�\n"
    with path.open("ab") as stream:
        stream.write(b"three\nhal")
    text, at = fresh(path, at)
    assert text == "three\n"
    with path.open("ab") as stream:
        stream.write(b"f\n")
    assert fresh(path, at)[0] == "half\n"
    path.write_bytes(b"anew\n")
    assert fresh(path, at)[0] == "anew\n"


def test_why_says_the_cause_and_what_to_do(half: tuple[Plan, Store], tmp_path: Path) -> None:
    plan, store = half
    seen = standing.look(plan, store, queue=False)

    def why(key: str) -> str:
        return reasons.why(plan, seen, key, "s.yaml", tmp_path)

    failed = seen.failed[0].key
    said = why(failed)
    assert "oom: <script>" in said
    assert "\x1b" not in said
    assert "smaller micro-batch" in said
    assert f"stiltscale retry s.yaml {failed}" in said
    blocked = next(key for key, state in seen.states.items() if state == "blocked")
    assert failed in why(blocked)
    assert "waiting for what it needs: train-a" in why(named(plan, "evaluate-a")[30])
    assert "will not run again" in why("prepare-t-v1-aa")
    assert f"process {os.getpid()}" in why(seen.running[0].key)
    assert set(reasons.NEXT) == set(classes())


def classes() -> tuple[str, ...]:
    from typing import get_args

    from runtime.records import FailureClass

    return get_args(FailureClass)


def test_a_retry_chooses_its_jobs(half: tuple[Plan, Store]) -> None:
    plan, store = half
    states = standing.look(plan, store, queue=False).states
    assert again.of_failed(plan, states) == {"job-21"}
    assert again.of_stage(plan, states, named(plan, "train-b")[30]) == {"job-30"}
    assert again.of_stage(plan, states, "prepare-t-v1-aa") == set()
    part = again.part(plan, {"job-21"})
    assert [job.after for job in part.jobs] == [()]
    assert len(part.stages) == 4
    assert {job.name for job in scheduler.unfinished(part, store)} == {"job-21"}


@pytest.fixture
def line(
    half: tuple[Plan, Store], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., tuple[int, str]]:
    """Return a command line on the half-done study."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(conduct, "plan_to_report", lambda *_: half[0])
    logs = tmp_path / "build" / "many" / "logs"
    logs.mkdir(parents=True)
    (logs / "job-1.log").write_text(f"begin\n{NASTY}\n")

    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, [words[0], "s.yaml", *words[1:]])
        return done.exit_code, done.output

    return run


def test_the_verbs(half: tuple[Plan, Store], line: Callable[..., tuple[int, str]]) -> None:
    failed = named(half[0], "train-a")[21]
    code, said = line("status", "--json")
    assert code == 3
    body = json.loads(said)
    assert body["states"]["failed"] == 1
    assert body["failed"][0]["key"] == failed
    assert line("status")[0] == 3
    assert line("status", "--json", "--watch")[0] == 2
    code, said = line("why", failed[:-2])
    assert (code, failed in said) == (0, True)
    code, said = line("logs", failed)
    assert code == 0
    assert "begin" in said
    assert "\x1b" not in said
    assert "\x07" not in said
    assert line("logs", failed, "--follow")[0] == 0, "it has ended: following ends too"
    code, said = line("logs", named(half[0], "train-b")[30])
    assert (code, "E070" in said) == (2, True)
    code, said = line("why", "train-a-m1-s99")
    assert (code, "did you mean" in said) == (1, True)
    assert line("why", "train-a")[0] == 1
    assert line("retry", "--failed", "train-a")[0] == 2


def test_a_log_outside_is_not_shown(
    half: tuple[Plan, Store], line: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("token")
    key = named(half[0], "train-a")[21]
    for log in ("../../../secret", str(secret), "logs/link.log"):
        fail(half[1], key, log=log)
        (tmp_path / "build" / "many" / "logs" / "link.log").unlink(missing_ok=True)
        (tmp_path / "build" / "many" / "logs" / "link.log").symlink_to(secret)
        code, said = line("logs", key)
        assert code == 2
        assert "token" not in said


def test_ten_thousand_stages_are_grouped_and_quick(tmp_path: Path) -> None:
    plan, store = many(2500, models=16), Store(tmp_path / "store")
    assert len(plan.stages) == 10_001
    finish(plan, store, ["prepare-t-v1-aa", *named(plan, "train-a")[:50]])
    fail(store, named(plan, "train-a")[60])
    found = page.graph(plan)
    assert len(found.groups) <= 40, "readable"
    started = time.process_time()
    text = page.overview(plan, standing.look(plan, store, queue=False), found, False)
    assert time.process_time() - started < 2.0
    assert "51 of 10001 stages" in text
    assert len(text) < 100_000
