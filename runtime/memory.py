"""Measures the most memory that a stage has at a time: of a device, or of the host."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


def begin(device: torch.device) -> bool:
    """Forget what earlier stages of this process had; tell whether a peak can be measured here.

    On CUDA it is that of the tensors; on a CPU the largest resident size, which Linux counts anew
    when it is told to (proc(5), `clear_refs`), for `provenance.peak_memory` too. Elsewhere there
    is none.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return True
    if device.type == "cpu":
        with contextlib.suppress(OSError):
            _RESET.write_text("5", encoding="ascii")
            return _resident() is not None
    return False


def peak(accelerator: Accelerator) -> dict[str, Any]:
    """Return the highest peak of any process since `begin`, and what was counted.

    Every process of the job calls it.
    """
    device = accelerator.device
    if device.type == "cuda":
        kind, own = "allocated", torch.cuda.max_memory_allocated(device)
    else:
        kind, own = "resident", _resident() or 0
    found = accelerator.gather(torch.tensor([own], dtype=torch.int64, device=device))
    return {"memory_bytes": int(found.max()), "memory": kind}


def _resident() -> int | None:
    found = re.search(r"^VmHWM:\s+(\d+) kB$", _STATUS.read_text(encoding="utf-8"), re.MULTILINE)
    return int(found.group(1)) * 1024 if found else None
