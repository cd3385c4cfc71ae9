"""Runs a plan in real schedulers and workers that are killed at random moments, many times.

Started as a program by `e2e/test_store_kills.py`. Everything heavy is imported once, and every
scheduler and worker is a fork of this process: otherwise two hundred kills would take an hour of
imports, and most would fall into them.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

SUBREAPER = 36
"""Of prctl: orphans of our children become our own."""


class Forked:
    """A process as `runtime.scheduler` knows it: of `subprocess.Popen` what it uses."""

    def __init__(self, do: Callable[[], int], log: Path) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            code = 70
            try:
                os.setsid()
                out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                os.dup2(out, 1)
                os.dup2(out, 2)
                code = do()
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)

    def poll(self) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                self.returncode = -9
                return self.returncode
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self) -> int:
        while self.poll() is None:
            time.sleep(0.002)
        assert self.returncode is not None
        return self.returncode


def schedule(plan_file: Path, root: Path, parallel: int) -> int:
    """Be a scheduler, as `stiltscale run` is one between compiling and reporting."""
    from compiler.plan import load
    from runtime import scheduler, worker
    from runtime.lease import born
    from runtime.store import Store, sweep

    plan, store = load(plan_file), Store(root)
    folder = plan_file.parent

    def launch(_folder: Path, job, store: Store) -> Forked:
        def work() -> int:
            os.environ["STILTSCALE_SCHEDULER"] = f"{os.getppid()}:{born(os.getppid())}"
            return worker.main(["--plan", str(plan_file), "--store", str(root), "--job", job.name])

        for key in job.stages:
            store.forgive(key)
        made = Forked(work, folder / "worker.log")
        (folder / "pids" / str(made.pid)).touch()
        return made

    scheduler.launch = launch
    scheduler.TICK = 0.02
    worker.LOOK = 0.02
    store.prepare()
    sweep(store)
    codes = scheduler.run(plan, folder, store, parallel, lambda progress: None)
    return 3 if any(codes.values()) else 0


def journal(path: Path) -> None:
    """Note each record that is moved into the store, with what its files are."""
    from runtime.store import Store

    real = Store._move_in

    def noted(self: Store, record, text: bytes, temporary: Path) -> bool:
        moved = real(self, record, text, temporary)
        line = f"{record.stage}/{record.part} {'new' if moved else 'second'}\n"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(handle, line.encode())
        os.close(handle)
        return moved

    Store._move_in = noted


def records(root: Path) -> dict[str, int]:
    """Return every record with the time it was written; some may come while this looks."""
    found = {}
    for path in (root / "stages").glob("*/*/record.json"):
        found[f"{path.parent.parent.name}/{path.parent.name}"] = path.stat().st_mtime_ns
    return found


def alive(folder: Path) -> list[int]:
    from runtime.lease import born

    found = []
    for path in (folder / "pids").iterdir():
        if born(int(path.name)):
            found.append(int(path.name))
        else:
            path.unlink(missing_ok=True)
    return found


def reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def main(plan_file: Path, root: Path, kills: int, longest: float, seed: int, until: float) -> int:
    """Kill until it has been done so often; after a pass that ends begin with an empty store."""
    import accelerate  # noqa: F401
    import polars  # noqa: F401
    import safetensors.torch  # noqa: F401
    import torch
    from transformers import AutoModel, AutoTokenizer, BertModel  # noqa: F401

    from runtime import checkpoint, provenance, tracking, worker  # noqa: F401
    from runtime.stages import evaluate, prepare, pretrain, retrieve, train  # noqa: F401

    torch.set_num_threads(1)
    provenance.software()
    provenance.git()
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    folder = plan_file.parent
    (folder / "pids").mkdir()
    draw = random.Random(seed)
    deadline = time.monotonic() + until
    done = {"scheduler": 0, "worker": 0, "all": 0}
    lost: list[str] = []
    passes = rounds = code = 0
    journal(folder / "journal.txt")
    while time.monotonic() < deadline and (sum(done.values()) < kills or not passes):
        store = root / str(passes)
        before: dict[str, int] = {}
        while time.monotonic() < deadline:
            rounds += 1
            process = Forked(partial(schedule, plan_file, store, 2), folder / "scheduler.log")
            enough = sum(done.values()) >= kills
            died = 0
            while process.poll() is None:
                end = time.monotonic() + (600 if enough else draw.uniform(0.0, longest))
                while process.poll() is None and time.monotonic() < min(end, deadline):
                    time.sleep(0.002)
                workers = alive(folder)
                what = draw.choice(["scheduler", "worker", "worker", "all"])
                if process.returncode is not None:
                    break
                if what == "worker" and time.monotonic() < deadline:
                    died += bool(workers) and kill(draw.choice(workers))
                    continue
                done["scheduler"] += kill(process.pid)
                if what == "all":
                    done["all"] += sum([kill(pid) for pid in workers])
                process.wait()
            done["worker"] += died
            reap()
            after = records(store)
            lost += [f"{key} in round {rounds}" for key in before if before[key] != after.get(key)]
            before = after
            code = process.wait()
            if code == 0 or (code > 0 and not died):
                break
        for pid in alive(folder):
            kill(pid)
        reap()
        if code != 0:
            break
        (folder / "journal.txt").rename(folder / f"journal-{passes}.txt")
        passes += 1
    print(json.dumps({"kills": done, "rounds": rounds, "passes": passes, "lost": lost,
                      "code": code}))  # fmt: skip
    return 0


if __name__ == "__main__":
    words = sys.argv[1:]
    sys.exit(main(Path(words[0]), Path(words[1]), int(words[2]), *map(float, words[3:4]),
                  int(words[4]), float(words[5])))  # fmt: skip
