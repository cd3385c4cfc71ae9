"""What a launch script starts: runs the stages of one job in order, and writes their records."""

from __future__ import annotations

import argparse
import contextlib
import errno
import faulthandler
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from compiler.errors import PlanInvalid, StiltscaleError, StoreDamaged
from compiler.plan import Plan, Stage, load
from runtime import leave
from runtime.inputs import needs
from runtime.lease import Lease, born
from runtime.lineage import roots
from runtime.records import Failure, FailureClass, Record
from runtime.store import Store

Outcome = Literal["done", "kept", "failed", "blocked", "busy", "waiting"]
Say = Callable[[str], None]


LOOK = 1.0
"""Seconds between two looks at whether the run that started this job is still there."""


PARTING = 20.0
"""Seconds that a process of a job that another one leads stays when it is asked to leave."""


COMPUTING = timedelta(hours=2)
"""How long a process of a job waits for another one in what they compute together."""


class Stopped(BaseException):
    """The process was asked to stop; the stage in hand is given up, what is done is kept."""


_asked = threading.Event()
"""Set when this process was asked to stop: an exception raised inside C code can get lost."""

_open = threading.Event()
"""Set while being cut short at any instruction leaves nothing half done, see `interruptible`."""


def main(argv: list[str] | None = None) -> int:
    """Run one job; return 0 when all its stages are done, 3 when some are not.

    The code is also left in the file that the launch script names, see its last lines.
    """
    code = work(argv)
    if os.environ.get("STILTSCALE_EXIT_CODE") and not _follows():
        with contextlib.suppress(OSError):
            Path(os.environ["STILTSCALE_EXIT_CODE"]).write_text(f"{code}\n", encoding="utf-8")
    return code


def work(argv: list[str] | None) -> int:
    """Run one job, and turn what goes wrong into its text and exit code."""
    parser = argparse.ArgumentParser(prog="runtime.worker", description=__doc__)
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--job", required=True)
    words = parser.parse_args(argv)
    try:
        listen()
        plan = load(words.plan)
        job = next((job for job in plan.jobs if job.name == words.job), None)
        if job is None:
            raise PlanInvalid(
                "P004",
                f"the plan has no job {words.job!r}",
                where=str(words.plan),
                hint=f"choose from: {', '.join(job.name for job in plan.jobs[:12])}",
            )
        store = Store(words.store)
        if _follows():
            return Worker(plan, store, job.stages, job.processes, words.plan.parent).follow()
        store.prepare()
        return Worker(plan, store, job.stages, job.processes, words.plan.parent).run()
    except StiltscaleError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code
    except (Stopped, KeyboardInterrupt):
        print("stopped; finished stages are kept, the one in hand will run again", flush=True)
        return 3


class Worker:
    """Runs stages one by one, and keeps what they share in one session."""

    def __init__(
        self, plan: Plan, store: Store, keys: tuple[str, ...], processes: int, folder: Path
    ) -> None:
        self.plan = plan
        self.folder = folder
        self.store = store
        self.keys = keys
        self.pending = list(keys)
        self.processes = processes
        self.session: Any = None
        self.ranks: Any = None
        self.full = False
        self.parted = False

    def run(self) -> int:
        """Run what is missing; a failed stage blocks only what depends on it."""
        if self.processes > 1:
            self.session = self.open_session()
        outcomes: dict[str, Outcome] = {}
        while self.pending:
            moved = False
            for key in list(self.pending):
                check()
                outcome = (
                    "blocked" if self.full or self.parted else self.guarded(self.plan.stages[key])
                )
                if outcomes.get(key) != outcome:
                    _say(f"{outcome:8} {key}")
                outcomes[key] = outcome
                if outcome not in ("busy", "waiting"):
                    self.pending.remove(key)
                    moved = True
            if not moved:
                time.sleep(1.0)
        if self.ranks is not None and not self.parted:
            self.ranks.lead(None)
            self.ranks.together(failed=False)
            self.ranks.part()  # what they talk by goes with this process
        bad = sum(outcome in ("failed", "blocked") for outcome in outcomes.values())
        return 3 if bad else 0

    def follow(self) -> int:
        """Do this process's share of what the main one runs; nothing is written here.

        Ends with 1 when a part failed here and not elsewhere: Accelerate then ends the others.
        """
        self.session = self.open_session()
        while (word := self.ranks.follow()) is not None:
            key, part = word
            failed = False
            try:
                with interruptible():
                    self.module(self.plan.stages[key]).run(
                        self.session, self.plan.stages[key], part, self.folder, lambda **_: check()
                    )
            except Exception:
                _say(traceback.format_exc())
                failed = True
            if not self.ranks.together(failed):
                return 1
        self.ranks.together(failed=False)
        self.ranks.part()
        return 0

    def guarded(self, stage: Stage) -> Outcome:
        """Attempt a stage; what goes wrong around its parts is its failure, not the job's end."""
        try:
            return self.attempt(stage)
        except Exception as error:
            self.keep_failure(stage, "all", error)
            return "failed"

    def attempt(self, stage: Stage) -> Outcome:
        """Run the missing parts of a stage whose inputs are there, under its lease."""
        missing = self.store.missing(stage)
        if not missing:
            return "kept"
        ready = {part for part in missing if not self.lacking(stage, part)}
        if not ready:
            return self.why_not(stage)
        lease = self.store.lease(stage.key)
        if lease is None:
            return "busy"
        failed = False
        try:
            self.store.forgive(stage.key)
            for part in self.store.missing(stage):
                check()
                if part not in ready or self.full:
                    continue
                try:
                    self.run_part(stage, part, lease)
                except Exception as error:  # the boundary: every failure becomes a record
                    self.keep_failure(stage, part, error)
                    failed = True
        finally:
            lease.release()
        if failed:
            return "failed"
        return "done" if not self.store.missing(stage) else self.why_not(stage)

    def run_part(self, stage: Stage, part: str, lease: Lease) -> None:
        """Run one part and commit its record."""
        from runtime import checkpoint, provenance, tracking, watchdog

        if self.session is None:
            with interruptible():
                self.session = self.open_session()
        aside = self.store.set_aside(stage.key, part)
        if aside is not None:
            _say(f"damaged  {stage.key}/{part} is made anew; what was there: {aside}")
        started, clock = _now(), time.perf_counter()

        tracked = tracking.tracked(
            self.session.accelerator, self.plan, stage, self.folder / "tracking"
        )
        with (
            tracked as log,
            self.store.writing(stage.key, part) as folder,
            watchdog.watching(lambda seconds: self.give_up(stage, part, lease, seconds)) as watch,
        ):

            def tell(**progress: Any) -> None:
                check()
                watch.word()
                lease.tell(**progress)
                log(progress)

            kept = stage.kind == "train" and not stage.identity.get("pilot")
            with interruptible(), leave.keeping(kept), self.joined(stage, part):
                result = self.module(stage).run(self.session, stage, part, folder, tell)
            if result.get("english_dev"):
                log({"step": result["steps"], "english_dev": result["english_dev"]["value"]})
            record = Record(
                stage=stage.key,
                part=part,
                kind=stage.kind,
                started=started,
                finished=_now(),
                seconds=round(time.perf_counter() - clock, 3),
                result=result,
                provenance={
                    "software": provenance.software(),
                    "machine": provenance.machine(),
                    "git": provenance.git(),
                    "accelerator": provenance.accelerator_state(self.session.accelerator),
                    "peak_memory_bytes": provenance.peak_memory(),
                },
            )
            self.store.commit(record, folder)
            checkpoint.clear(self.store.root, stage.key)

    def give_up(self, stage: Stage, part: str, lease: Lease, seconds: float) -> None:
        """End this process, whose stage hangs; its main thread cannot be interrupted.

        What it has written so far is swept by the next run.
        """
        faulthandler.dump_traceback()  # to the log: where every thread is
        message = f"{part}: no progress and no computing for {seconds:.0f} seconds"
        log = os.environ.get("STILTSCALE_LOG", "")
        _say(f"timeout: {message}")
        with contextlib.suppress(OSError):
            self.store.fail(Failure(stage.key, "timeout", message, _now(), log))
            lease.release()
        os._exit(3)

    @contextlib.contextmanager
    def joined(self, stage: Stage, part: str) -> Iterator[None]:
        """Let the other processes of the job do their share of a part."""
        from runtime.ranks import shared

        if self.ranks is None or not shared(stage):
            yield
            return
        self.ranks.lead([stage.key, part])
        try:
            yield
        except Exception:
            self.parted = not self.ranks.together(failed=True)
            raise
        self.parted = not self.ranks.together(failed=False)
        if self.parted:
            raise RuntimeError("another process of the job failed; the log says why")

    def module(self, stage: Stage) -> Any:
        """Return what runs the stages of a kind."""
        from runtime.stages import evaluate, prepare, pretrain, retrieve, tokenizer, train

        module = {
            "tokenizer": tokenizer, "prepare": prepare, "pretrain": pretrain, "train": train,
            "evaluate": evaluate, "retrieve": retrieve,
        }  # fmt: skip
        return module[stage.kind]

    def open_session(self) -> Any:
        """Load the libraries once; raises EnvironmentUnready when it does not run as planned."""
        import torch
        from accelerate import Accelerator
        from accelerate.utils import InitProcessGroupKwargs

        from runtime import ranks, strategy
        from runtime.session import Session

        threads = self.plan.execution.get("threads")
        if threads:
            torch.set_num_threads(int(threads))
        accelerator = Accelerator(
            cpu=self.plan.execution.get("device") == "cpu",
            log_with=list(self.plan.execution.get("tracking", ())) or None,
            project_dir=self.folder / "tracking",
            kwargs_handlers=[InitProcessGroupKwargs(timeout=COMPUTING)]
            if self.processes > 1
            else [],
        )
        sharded = any(
            strategy.strategy_of(self.plan, self.plan.stages[key]).startswith("fsdp2")
            for key in self.keys
            if self.plan.stages[key].kind == "train"
        )
        device = str(self.plan.execution.get("device"))
        strategy.compare(accelerator, device, self.processes, sharded)
        if self.processes > 1:
            self.ranks = ranks.connect(accelerator)
        return Session(self.plan, self.store, accelerator)

    def lacking(self, stage: Stage, part: str) -> list[tuple[str, str]]:
        """Name the parts of other stages that a part needs and that are not there yet."""
        return [
            (key, needed)
            for key, needed in [*needs(stage, part), *roots(self.plan, stage)]
            if self.store.record(key, needed) is None
        ]

    def why_not(self, stage: Stage) -> Outcome:
        """Tell whether missing inputs are still to come (from this job or another process)."""
        running = self.store.running(patient=True)
        lacking = {key for part in stage.parts for key, _ in self.lacking(stage, part)}
        if lacking & (set(self.pending) | set(running)) - {stage.key}:
            return "waiting"
        if not {key for part in stage.parts for key, _ in self.lacking(stage, part)}:
            return "waiting"  # it has come meanwhile
        _say(f"         {stage.key} lacks {', '.join(sorted(lacking))}")
        return "blocked"

    def keep_failure(self, stage: Stage, part: str, error: Exception) -> None:
        """Record why a stage failed."""
        failure = Failure(
            stage=stage.key,
            failure_class=classify(error),
            message=f"{part}: {type(error).__name__}: {error}"[:2000],
            when=_now(),
            log=os.environ.get("STILTSCALE_LOG", ""),
            trace=traceback.format_exc()[-8000:],
        )
        _say(f"{failure.failure_class}: {failure.message}")
        _say(failure.trace)
        self.full = failure.failure_class == "disk"
        try:
            self.store.fail(failure)
        except OSError as unwritten:
            _say(f"the failure could not be recorded: {unwritten}")


_NO_MEMORY = ("can't allocate memory", "cannot allocate memory", "bad_alloc", "not enough memory")
"""What PyTorch, the system and C++ say where Python has no MemoryError."""


def classify(error: Exception) -> FailureClass:
    """Return the class of a failure, which decides whether trying again makes sense."""
    try:
        import torch

        from runtime.data import DataInvalid
        from runtime.loop import Diverged
    except ImportError:  # which is then the failure
        return "code"
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return "oom"
    if isinstance(error, Diverged):
        return "diverged"
    if isinstance(error, (DataInvalid, StoreDamaged)):
        return "data"
    full = (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, OSError) and error.errno in full:
        return "disk"
    if "No space left" in str(error):  # safetensors and polars wrap the error of the system
        return "disk"
    words = str(error).lower()
    return "oom" if any(said in words for said in _NO_MEMORY) else "code"


def listen() -> None:
    """Stop when asked to, and when the `stiltscale run` that started this job is gone.

    A launch script started by hand depends on nobody. What is ignored (nohup) stays ignored.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    place = os.environ.get("STILTSCALE_LEAVE")
    if place:  # whatever started this process heeds no signal, and we do
        signal.signal(signal.SIGTERM, _leave)
        signal.signal(signal.SIGUSR1, _leave)
        threading.Thread(target=_await, args=(Path(place),), daemon=True).start()
    pid, _, start = os.environ.get("STILTSCALE_SCHEDULER", "").partition(":")
    if pid.isdigit():
        threading.Thread(target=_watch, args=(int(pid), start), daemon=True).start()
    script = os.environ.get("STILTSCALE_SCRIPT", "")
    # A signal to the launch script alone, or its death, would leave us running unseen.
    if script.isdigit() and (start := born(int(script))):
        threading.Thread(target=_watch, args=(int(script), start), daemon=True).start()


def check() -> None:
    """Raise Stopped when this process was asked to stop."""
    if _asked.is_set() or (leave.due() and not _follows()):
        raise Stopped


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let a signal raise Stopped at once, in work that takes long and leaves nothing behind.

    Elsewhere it waits for the next `check`: raised between taking a lease and noting it, or while
    giving one back, it would leave the lease in the store.
    """
    _open.set()
    try:
        check()
        yield
    finally:
        _open.clear()


def _watch(pid: int, start: str) -> None:
    while born(pid) == start:
        time.sleep(LOOK)
    with contextlib.suppress(OSError):  # a full disk must not keep it running
        _say("the run that started this job is gone, or its launch script")
    os.kill(os.getpid(), signal.SIGTERM)


def _await(place: Path) -> None:
    """Wait for the file by which a job is asked to leave: it reaches all of its machines."""
    while not place.exists():
        time.sleep(LOOK)
    os.kill(os.getpid(), signal.SIGUSR1)


def _leave(number: int, frame: FrameType | None) -> None:
    """Save the training in hand and stop; without one, stop at once.

    A process that another one leads does its share of the saving: it ends with that one, or when
    it was told to end some seconds ago.
    """
    leave.ask()
    if _follows():
        if number == signal.SIGTERM:
            threading.Timer(PARTING, os._exit, [128 + number]).start()
    elif leave.due():
        _stop(number, frame)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    again = _asked.is_set()
    _asked.set()
    if _open.is_set() and not again:  # a second signal must not cut short the tidying up
        raise Stopped


def _follows() -> bool:
    """Tell whether this is a process of a job that another one leads."""
    return os.environ.get("RANK", "0") != "0"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
