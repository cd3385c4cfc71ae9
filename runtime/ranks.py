"""The processes of one job: the main one decides what is run, the others do their share of it."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # it is documented

from compiler.plan import Stage

PATIENT = timedelta(days=30)
"""How long a process waits for what the main one does alone."""

BRIEF = timedelta(seconds=60)
"""How long a process that failed waits to hear that the others failed too."""


@dataclass
class Ranks:
    """Passes words between the processes of a job, beside what they compute together.

    The words go by a store of their own, not as collectives: a process that failed does not take
    part in what the others compute.
    """

    accelerator: Accelerator
    store: TCPStore
    said: int = 0

    def lead(self, word: list[str] | None) -> None:
        """Tell the others which part of a stage comes next, or that there is none."""
        self.said += 1
        self.store.set(f"todo/{self.said}", json.dumps(word))

    def follow(self) -> list[str] | None:
        """Wait for what comes next."""
        self.said += 1
        name = f"todo/{self.said}"
        self.store.wait([name], PATIENT)
        word: list[str] | None = json.loads(self.store.get(name))
        return word

    def together(self, failed: bool) -> bool:
        """Tell whether the part went alike in all processes; all of them ask, once a part.

        When it did not they are out of step for good, and the job has to end.
        """
        names = [f"went/{self.said}/{rank}" for rank in range(self.accelerator.num_processes)]
        self.store.set(names[self.accelerator.process_index], str(failed))
        try:
            self.store.wait(names, BRIEF if failed else PATIENT)
        except RuntimeError:  # torch.distributed.DistStoreError: nobody came
            return False
        return len({self.store.get(name) for name in names}) == 1

    def part(self) -> None:
        """End the talk: the main process, which keeps the words, waits until all have read them."""
        names = [f"parted/{rank}" for rank in range(1, self.accelerator.num_processes)]
        if not self.accelerator.is_main_process:
            self.store.set(names[self.accelerator.process_index - 1], "")
            return
        with contextlib.suppress(RuntimeError):  # one that is gone reads nothing any more
            self.store.wait(names, BRIEF)


def connect(accelerator: Accelerator) -> Ranks:
    """Return what the processes of a job talk by; the main process keeps it."""
    host = os.environ["MASTER_ADDR"]
    port: list[Any] = [0]
    kept = None
    if accelerator.is_main_process:
        kept = TCPStore(host, 0, is_master=True, wait_for_workers=False)
        port = [kept.port]
    broadcast_object_list(port)
    return Ranks(accelerator, kept or TCPStore(host, port[0], is_master=False))


def shared(stage: Stage) -> bool:
    """Tell whether the processes of a job run a stage together; else the main one does alone.

    Preparation is a matter of one process, and so are searches in a pool of vectors.
    """
    return stage.kind == "train" or (stage.kind == "evaluate" and not stage.identity.get("pool"))
