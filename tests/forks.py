"""Forks processes that train, from one that has loaded the libraries: to be killed at low cost.

Run as a program it reads orders from its input, a line of JSON each. It computes nothing itself, so
that there are no threads of torch when it forks.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

PIECES = 40
"""How many pieces a file of a checkpoint is written in, when that shall take a while."""


class Forks:
    """Starts processes that run stages of a plan, and says how they ended."""

    def __init__(self) -> None:
        here = Path(__file__)
        paths = [str(here.parents[1]), str(here.parent)]
        self.server = subprocess.Popen(
            [sys.executable, str(here)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def start(
        self, plan: Path, store: Path, keys: list[str], ranks: int = 1, writing: float = 0.0
    ) -> list[int]:
        """Start a job of so many processes; return them by rank.

        With ``writing`` the files of a checkpoint grow slowly, over so many seconds in all. What
        the job says is added to ``<plan>.log``.
        """
        words = {"plan": str(plan), "store": str(store), "keys": keys, "writing": writing}
        found = self.ask({"start": words | {"ranks": ranks}})
        assert isinstance(found, list)
        return found

    def wait(self, process: int) -> int:
        """Wait until a process has ended; return its exit code, or minus the signal."""
        return int(self.ask({"wait": process}))

    def ask(self, order: dict[str, Any]) -> Any:
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps(order) + "\n")
        self.server.stdin.flush()
        return json.loads(self.server.stdout.readline())

    def close(self) -> None:
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.close()
        self.server.wait()
        self.server.stdout.close()


def serve() -> None:
    """Do what the lines of the input say, and answer each."""
    import accelerate
    import polars
    import torch
    import transformers

    from runtime import checkpoint, provenance, session, stages, tracking, worker  # noqa: F401
    from runtime.stages import evaluate, prepare, train  # noqa: F401

    assert accelerate, (polars, torch, transformers)
    for line in sys.stdin:
        order = json.loads(line)
        if "start" in order:
            answer: Any = start(**order["start"])
        else:
            answer = os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1])
        print(json.dumps(answer), flush=True)


def start(plan: str, store: str, keys: list[str], ranks: int, writing: float) -> list[int]:
    """Fork a job; its processes find each other as those that Accelerate launches do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = []
    for rank in range(ranks):
        process = os.fork()
        if process:
            found.append(process)
            continue
        code = 1
        try:
            with Path(f"{plan}.log").open("a") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            if ranks > 1:
                os.environ |= {
                    "ACCELERATE_USE_CPU": "true", "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks), "RANK": str(rank),
                    "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(ranks),
                }  # fmt: skip
            code = work(Path(plan), Path(store), keys, ranks, rank, writing)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return found


def work(plan: Path, place: Path, keys: list[str], ranks: int, rank: int, writing: float) -> int:
    """Run the stages in a process of its own."""
    from compiler.plan import load
    from runtime.store import Store
    from runtime.worker import Worker

    if writing:
        slow_down(writing)
    store = Store(place)
    worker = Worker(load(plan), store, tuple(keys), ranks, place.parent)
    if rank:
        return worker.follow()
    store.prepare()
    return worker.run()


def slow_down(seconds: float) -> None:
    """Let the files of a checkpoint grow piece by piece, so that a kill can fall anywhere in it."""
    from safetensors.torch import save

    from runtime import checkpoint

    def poured(path: Path, content: bytes) -> None:
        size = -(-len(content) // PIECES)
        with path.open("wb", buffering=0) as file:
            for begin in range(0, len(content), size):
                file.write(content[begin : begin + size])
                time.sleep(seconds / 2 / PIECES)

    def tensors(content: dict[str, Any], path: Path) -> None:
        poured(path, save(content))

    whole: Callable[[Path, bytes], None] = checkpoint.atomic_write

    def state(path: Path, content: bytes) -> None:
        poured(path, content)  # as if it were not atomic: what is torn must not be read
        whole(path, content)

    checkpoint.save_file = tensors
    checkpoint.atomic_write = state


if __name__ == "__main__":
    serve()
