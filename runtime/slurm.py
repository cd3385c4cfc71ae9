"""Speaks to Slurm by its own commands, and says what it answers in our words."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from compiler.errors import EnvironmentUnready
from compiler.shape import Shape

PATIENCE = 120.0
"""Seconds that a command of Slurm may take; a busy controller answers late."""

OVER = (
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
    "PREEMPTED", "REVOKED", "TIMEOUT",
)  # fmt: skip
"""States that a job does not leave again."""


@dataclass(frozen=True, slots=True)
class Queued:
    """What Slurm says of one job of an array."""

    state: str
    reason: str
    comment: str

    @property
    def over(self) -> bool:
        """Whether it will not run any more."""
        return self.state in OVER


def submit(words: Sequence[str], folder: Path, variables: Mapping[str, str]) -> str:
    """Submit a batch file from a folder; return the id. Raises EnvironmentUnready (E051)."""
    done = _call(["sbatch", "--parsable", *words], folder, variables)
    number = done.stdout.strip().split(";")[0]
    if done.returncode or not number.isdigit():
        raise EnvironmentUnready(
            "E051",
            f"Slurm did not take the jobs: {_said(done)}",
            where=str(folder / words[-1]),
            hint="mend what it says (`--cluster`, `hardware.slurm`), and run the same command "
            "again: what is submitted is kept; `--dry-run` asks without submitting",
        )
    return number


def refusal(words: Sequence[str], folder: Path) -> str:
    """Return why Slurm would not take a batch file, '' when it would; nothing is submitted."""
    done = _call(["sbatch", "--test-only", *words], folder)
    return _said(done) if done.returncode else ""


def queue() -> dict[str, Queued] | None:
    """Return what Slurm knows of this user's array jobs, by id; None when it does not answer."""
    form = "--format=%F_%K|%T|%r|%k"
    try:
        done = _call(["squeue", "--me", "--noheader", "--array", "--states=all", form])
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        return None
    rows = (line.split("|", 3) for line in done.stdout.splitlines())
    return {row[0]: Queued(*row[1:]) for row in rows if len(row) == 4}


def cancel(ids: Iterable[str]) -> None:
    """End jobs, queued or running; ids that Slurm knows no more are left out by it."""
    every = list(ids)
    for first in range(0, len(every), 500):
        done = _call(["scancel", "--quiet", *every[first : first + 500]])
        if done.returncode:
            raise EnvironmentUnready(
                "E051", f"Slurm did not cancel: {_said(done)}", hint="see `squeue --me`"
            )


def short(shape: Shape, partition: str | None) -> str:
    """Say what of a shape no partition has, '' when there is nothing that we can see."""
    done = _call(["sinfo", "--noheader", "--format=%R|%D|%G|%l"])
    rows = [line.split("|") for line in done.stdout.splitlines() if line.count("|") == 3]
    rows = [row for row in rows if partition in (None, row[0])]
    if done.returncode or not rows:
        return f"there is no partition {partition}" if partition and not done.returncode else ""
    wrong = []
    gpus = max(_gpus(row[2]) for row in rows)
    if shape.device == "gpu" and gpus < shape.per_node:
        wrong.append(f"{shape.per_node} GPUs on a machine, where the largest has {gpus}")
    machines = max(int(row[1]) for row in rows)
    if machines < shape.nodes:
        wrong.append(f"{shape.nodes} machines, where a partition has {machines}")
    limit = max(_minutes(row[3]) for row in rows)
    if limit < shape.minutes:
        wrong.append(f"{shape.minutes} minutes, where the limit is {limit:.0f}")
    return "it asks for " + ", and for ".join(wrong) if wrong else ""


def _gpus(text: str) -> int:
    """Read `gpu:8` or `gpu:h100:8(S:0-1),other:2`."""
    found = 0
    for entry in text.split(","):
        words = entry.split("(")[0].split(":")
        if words[0] == "gpu" and words[-1].isdigit():
            found += int(words[-1])
    return found


def _minutes(text: str) -> float:
    """Read Slurm's days-hours:minutes:seconds."""
    if text.strip() in ("infinite", "UNLIMITED", "n/a"):
        return float("inf")
    days, _, clock = text.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    hours, minutes, seconds = [0] * (3 - len(parts)) + parts
    return int(days or 0) * 1440 + hours * 60 + minutes + seconds / 60


def _call(
    words: Sequence[str], folder: Path | None = None, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            words, cwd=folder, env=os.environ | dict(variables or {}), text=True,
            capture_output=True, check=False, timeout=PATIENCE, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except OSError as error:
        raise EnvironmentUnready(
            "E050",
            f"{words[0]} cannot be started: {error.strerror or error}",
            hint="run this where Slurm's commands are: on a login node of the cluster",
        ) from error


def _said(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in f"{done.stderr}\n{done.stdout}".splitlines() if line.strip()]
    return "; ".join(lines)[:500] or f"exit code {done.returncode}, without a word"
