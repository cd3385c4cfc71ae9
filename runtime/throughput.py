"""Measures how fast a training goes: tokens a second, the FLOPs they need, and what is left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from accelerate import Accelerator
from torch.utils.flop_counter import (
    FlopCounterMode,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

from runtime.batches import Batch
from runtime.model import Model
from runtime.sharding import divided

SIZES = {"cpu": 1024, "cuda": 8192}
"""Rows and columns of the matrices whose product the peak is measured by, by device."""

REPEATS = 5
"""Products that are timed, after one that is not; the fastest one counts."""

ITEMS = 4
"""Items of a batch that FLOPs are counted on."""

WINDOW = 20.0
"""Seconds, at least, that the speed shown of a running stage is a mean over."""

TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


@dataclass
class Speed:
    """Counts tokens and the FLOPs they need, and says how fast they go by.

    Tokens are those that are not padding, in all processes.
    """

    peak: float = field(default=0.0, init=False)
    tokens: int = field(default=0, init=False)
    step: int = field(default=0, init=False)
    flops: float = field(default=0.0, init=False)
    _marks: deque[tuple[float, int, float, int]] = field(default_factory=deque, init=False)

    def begin(self, step: int, reached: float) -> None:
        """Start the clock on devices that reach so many FLOPs a second, before the next step."""
        self.peak, self.step = reached, step
        self._marks.append((time.perf_counter(), 0, 0.0, step))

    def note(self, step: int, tokens: int, flops: float) -> None:
        """Note what a step read and needed."""
        self.tokens += tokens
        self.flops += flops
        self.step = step

    def telling(self, tell: Callable[..., None]) -> Callable[..., None]:
        """Return what tells the speed beside what is told of a step."""

        def also(**progress: Any) -> None:
            tell(**progress, **(self.speed(progress["steps"]) if "steps" in progress else {}))

        return also

    def speed(self, steps: int) -> dict[str, float]:
        """Return tokens a second, MFU and the seconds left, by the last ``WINDOW`` seconds."""
        now = (time.perf_counter(), self.tokens, self.flops, self.step)
        if self._marks[-1][-1] < self.step:
            self._marks.append(now)
        while len(self._marks) > 2 and now[0] - self._marks[1][0] > WINDOW:
            self._marks.popleft()
        since, last = self._marks[0], self._marks[-1]
        seconds, done = last[0] - since[0], last[3] - since[3]
        if not done or seconds <= 0:
            return {}
        return {
            "tokens_per_second": round((last[1] - since[1]) / seconds, 1),
            "mfu": round((last[2] - since[2]) / seconds / self.peak, 4),
            "seconds_left": round((steps - self.step) * seconds / done, 1),
        }

    def result(self, tokens_per_second: float) -> dict[str, float]:
        """Return what a record keeps: FLOPs of a token, peak of all devices, and the MFU."""
        each = self.flops / max(1, self.tokens)
        return {
            "flops_per_token": round(each),
            "peak_flops": round(self.peak),
            "mfu": round(each * tokens_per_second / self.peak, 4),
        }


@dataclass
class Meter(Speed):
    """Measures a training: the FLOPs of a token once for each source.

    They are measured again when other weights begin to learn.
    """

    model: Model
    accelerator: Accelerator
    precision: str
    _each: dict[tuple[str, int], float] = field(default_factory=dict, init=False)

    def start(self, step: int) -> None:
        """Measure the peak of the device; the first step comes after ``step``."""
        each = peak(self.accelerator.device, self.precision)
        self.begin(step, each * self.accelerator.num_processes)

    def count(self, step: int, batch: Batch, head: str) -> int:
        """Note that a step was trained on a batch, and return its tokens."""
        known = (head, sum(p.requires_grad for p in self.model.parameters()))
        if known not in self._each:
            self._each[known] = flops_per_token(self.model, batch, head)
        tokens = int(batch.attention_mask.sum())
        self.note(step, tokens, tokens * self._each[known])
        return tokens


def flops_per_token(model: Model, batch: Batch, head: str = "head") -> float:
    """Return the FLOPs of a token in training, forward and backward, at the shape of a batch.

    The matrix products are counted as they are run on a few of its items, attention among them; an
    embedding is a look-up and costs none. Weights that do not learn cost no gradient; layers that
    are computed twice to save memory count once. Counting changes no weight, gradient or random
    state, and leaves the model in training. Products in kernels of other libraries, as those of
    4-bit weights, are not seen.
    """
    some = batch.part(slice(0, ITEMS)).to(next(model.parameters()).device)
    trained = [p for p in model.parameters() if p.requires_grad]
    model.train()  # some heads give other things in scoring
    model.backbone.eval()
    model.dropout.eval()
    with torch.enable_grad(), counter() as counted:
        logits = model(some.input_ids, some.attention_mask, some.chosen, head)
        if divided(model):  # whose weights are others while they are whole
            logits.float().sum().backward()
            model.zero_grad()
        else:
            torch.autograd.grad(logits.float().sum(), trained, allow_unused=True)
    model.train()
    return float(counted.get_total_flops()) / some.input_ids.numel()


def counter() -> FlopCounterMode:
    """Return what counts the matrix products that are run under it, attention among them."""
    return FlopCounterMode(display=False, custom_mapping=_FORMULAS)


def peak(device: torch.device, precision: str) -> float:
    """Return the FLOPs a second that a device reaches in a product of two square matrices.

    It is measured once in a process for each device, precision and number of threads.
    """
    return _peak(device.type, device.index, precision, torch.get_num_threads())


@cache
def _peak(kind: str, index: int | None, precision: str, _threads: int) -> float:
    device = torch.device(kind if index is None else f"{kind}:{index}")
    size = SIZES.get(kind, SIZES["cpu"])
    draw = torch.Generator(device).manual_seed(0)
    left, right = (
        torch.rand(size, size, generator=draw, device=device).to(TYPES[precision]) for _ in "ab"
    )
    best = float("inf")
    with torch.inference_mode():
        for repeat in range(REPEATS + 1):
            _wait(device)
            started = time.perf_counter()
            left @ right
            _wait(device)
            if repeat:
                best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


def _attention_back(gradient: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    found = sdpa_backward_flop_count(gradient, query, key, value)  # type: ignore[no-untyped-call]
    return int(found)


_FORMULAS = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_back,
}
"""FLOPs of the kernels that torch has no formula for: attention on a CPU."""
