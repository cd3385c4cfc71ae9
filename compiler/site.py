"""What a cluster wants to be told: partition, account, limits, modules, container, environment."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from compiler.terms import Frozen

_WORD = r"^[A-Za-z0-9][A-Za-z0-9_.,:=@+/-]{0,199}$"
Word = Annotated[str, Field(pattern=_WORD)]
"""A word of an #SBATCH line: nothing in it ends the line, opens a quote or a comment."""

Constraint = Annotated[str, Field(pattern=r"^[A-Za-z0-9(\[][A-Za-z0-9_.,:=@+/|&*()\[\]-]{0,199}$")]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
Option = Annotated[str, Field(pattern=r"^[a-z][a-z-]{1,39}$")]
Text = Annotated[str, Field(min_length=1, max_length=4096)]

OURS = (
    "array", "begin", "chdir", "comment", "cpus-per-task", "dependency", "error", "export",
    "gpus-per-node", "gres", "help", "input", "job-name", "kill-on-invalid-dep", "nodes", "ntasks",
    "ntasks-per-node", "open-mode", "output", "parsable", "requeue", "signal", "test-only", "time",
    "wait", "wrap",
)  # fmt: skip
"""Options of sbatch that the compiler decides."""

SCRIPT = (
    "again", "child", "code", "hosts", "job", "jobs", "root", "run", "state", "states",
    "BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "UID",
)  # fmt: skip
"""Variables that the batch file works with, and those that bash lets nobody set."""


def _no_control(words: Iterable[str]) -> None:
    """Raise ValueError at a character that a shell script cannot hold, or holds otherwise."""
    if any(re.search(r"[\x00\r]", word) for word in words):
        raise ValueError("a value holds a control character")


class Container(Frozen):
    """An image that the jobs run in, called by its name."""

    image: Annotated[Text, Field(pattern=r"^[^-]")] = Field(
        description="Its name, such as `docker://registry/name:tag`."
    )
    by: Literal["apptainer", "singularity", "pyxis"] = Field(
        "apptainer", description="What starts it; `pyxis` is Slurm's own `--container-image`."
    )
    mounts: tuple[Text, ...] = Field(
        (), description="Folders to see in it besides the study's and the store."
    )

    @field_validator("image", "mounts")
    @classmethod
    def _clean(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        _no_control((value,) if isinstance(value, str) else value)
        return value


class Site(Frozen):
    """Settings of a Slurm cluster, in a study's `hardware` or in a file of the user's.

    Nothing of it is part of any stage's identity. Every field has a meaning to `sbatch` or to the
    script that it starts; values are quoted, or of a form that needs no quotes.
    """

    partition: Word | None = Field(None, description="`sbatch --partition`.")
    account: Word | None = Field(None, description="`sbatch --account`.")
    qos: Word | None = Field(None, description="`sbatch --qos`.")
    constraint: Constraint | None = Field(None, description="`sbatch --constraint`.")
    gpu: Word | None = Field(None, description="Type of a GPU as Slurm calls it; default: any.")
    memory_gib: float | None = Field(
        None, gt=0, description="Memory of a machine, `sbatch --mem`; default: the cluster's."
    )
    cpus_per_device: int | None = Field(
        None, gt=0, le=1024, description="CPUs for each process; default: its threads, or as set."
    )
    options: dict[Option, Word | None] = Field(
        {}, description="Other options of `sbatch` by name, null for those without a value."
    )
    minutes: int = Field(
        1440,
        gt=0,
        le=525600,
        description="Time limit of a job that has no estimate, such as one that prepares data.",
    )
    headroom: float = Field(
        1.5, ge=1, le=10, description="Time limit as a multiple of the estimate, rounded up."
    )
    most_minutes: int | None = Field(
        None, gt=0, description="Longest time limit that the cluster takes; jobs go on by requeue."
    )
    notice_seconds: int = Field(
        300,
        ge=10,
        le=3600,
        description="Time before the limit at which a job saves and requeues; at most half of it.",
    )
    requeues: int = Field(
        50, ge=0, le=1000, description="How often a job that reaches its limit may go on."
    )
    at_once: int | None = Field(
        None, gt=0, description="Jobs of one array at a time, `sbatch --array=...%N`."
    )
    array: int = Field(
        1000, gt=0, le=1_000_000, description="Jobs of one array; below Slurm's MaxArraySize."
    )
    poll_seconds: float = Field(
        15.0, gt=0, le=3600, description="Time between two looks at the queue."
    )
    modules: tuple[Text, ...] = Field((), description="Names for `module load`.")
    source: tuple[Text, ...] = Field(
        (), description="Shell files to source on the compute node, such as an environment's."
    )
    environment: dict[Variable, str] = Field({}, description="Variables of every job.")
    offline: bool = Field(False, description="Sets HF_HUB_OFFLINE=1: compute nodes ask no hub.")
    python: Text | None = Field(
        None, description="The Python of the compute node; default: the one that compiled."
    )
    container: Container | None = Field(None, description="An image to run in.")

    @field_validator("options")
    @classmethod
    def _free(cls, value: dict[str, str | None]) -> dict[str, str | None]:
        ours = (*OURS, "partition", "account", "qos", "constraint", "mem")
        # sbatch takes the beginning of a name for the name; `gpus` is one of its own.
        meant = {name: [own for own in ours if own.startswith(name)] for name in value}
        taken = sorted({own for name, found in meant.items() if name != "gpus" for own in found})
        if taken:
            raise ValueError(f"the compiler sets {', '.join(f'`--{name}`' for name in taken)}")
        return value

    @field_validator("modules", "source", "environment", "python")
    @classmethod
    def _clean(cls, value: object) -> object:
        words = value.values() if isinstance(value, dict) else value
        _no_control((words,) if isinstance(words, str) else words or ())  # type: ignore[arg-type]
        return value

    @field_validator("environment")
    @classmethod
    def _not_ours(cls, value: dict[str, str]) -> dict[str, str]:
        if taken := [name for name in value if name in SCRIPT]:
            raise ValueError(f"{', '.join(f'`{name}`' for name in taken)}: the script's own")
        return value

    def over(self, other: Site) -> Site:
        """Return these settings, and the other's where these say nothing.

        Mappings are merged by name; what is said here wins.
        """
        said = {name: getattr(self, name) for name in self.model_fields_set}
        for name in ("options", "environment"):
            if name in said:
                said[name] = {**getattr(other, name), **said[name]}
        return other.model_copy(update=said)


def cluster_file(environment: dict[str, str]) -> Path:
    """Return where a user's own cluster settings are looked for."""
    home = environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME", "~")) / ".config"
    return Path(home) / "stiltscale" / "cluster.yaml"
