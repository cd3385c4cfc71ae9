"""A run that ends early is recorded with its class, which says if trying again makes sense."""

from __future__ import annotations

import errno

import pytest
import torch

from runtime.invalid import DataInvalid
from runtime.loop import Diverged
from runtime.worker import classify


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Diverged("the loss was nan at step 3 of 9"), "diverged"),
        (torch.OutOfMemoryError("CUDA out of memory"), "oom"),
        (MemoryError(), "oom"),
        (DataInvalid("no rows"), "data"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk"),
        (RuntimeError("anything else"), "code"),
    ],
)
def test_failures_have_a_class(error: Exception, expected: str) -> None:
    assert classify(error) == expected
