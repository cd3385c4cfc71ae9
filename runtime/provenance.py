"""Says what really ran: versions, git state, machine, devices and memory."""

from __future__ import annotations

import importlib.metadata
import platform
import resource
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

_PACKAGES = (
    "stiltscale", "torch", "transformers", "accelerate", "datasets", "tokenizers", "sentencepiece",
    "polars", "safetensors", "numpy", "scipy",
)  # fmt: skip


@cache
def software() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


@cache
def machine() -> dict[str, str]:
    """Return what kind of machine this is; no user name, no path."""
    return {
        "host": platform.node(),
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor(),
    }


@cache
def git() -> dict[str, Any]:
    """Return commit and cleanliness of the checkout that the code runs from; {} outside of one."""
    folder = Path(__file__).parent
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"commit": commit, "clean": not changed}


def accelerator_state(accelerator: Any) -> dict[str, Any]:
    """Return the strategy that is in force, not the one that was asked for."""
    import torch

    return {
        "distributed_type": str(accelerator.distributed_type).rsplit(".", 1)[-1],
        "processes": accelerator.num_processes,
        "device": str(accelerator.device),
        "mixed_precision": str(accelerator.mixed_precision),
        "threads": torch.get_num_threads(),
    }


def peak_memory() -> int:
    """Return the largest resident size of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
