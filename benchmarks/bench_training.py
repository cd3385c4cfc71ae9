"""Speed and memory of our training loop against a plain Trainer, in one run, and where time goes.

    OMP_NUM_THREADS=1 python benchmarks/bench_training.py [--rounds 3]

The same random model learns the same made-up examples, in batches of equal size: by our loop, with
batches of so many examples and of so many tokens, and by a script on the Transformers Trainer that
pads each batch, with examples in random order and grouped by length. The ways take turns, round by
round, and a ratio is the median of those of the rounds. Seconds of the processor are those of this
process alone: other work on the machine changes them less than it does the clock.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from accelerate import Accelerator
from evaluation import LANGUAGES, ROWS, ratios
from plain import IGNORED, Item, fit
from transformers import BertConfig, BertModel
from transformers.trainer_pt_utils import get_length_grouped_indices

from runtime.batches import Examples, Source, token_batches, token_steps, training_batches
from runtime.kinds import TRAINED
from runtime.loop import train
from runtime.model import Model

VOCABULARY, WIDTH, LAYERS, LABELS = 8000, 256, 2, 5
WARM = 2
"""Steps of each way before those that count."""

BRIEF = 24
"""Steps that memory is measured in."""

BATCHES = 64
"""Batches of a run, one epoch: the pools that the Trainer sorts are then as large as ours."""


@dataclass(frozen=True)
class Shape:
    """What the examples of a kind of task look like: their lengths, and how many are in a batch."""

    kind: str
    median: float
    spread: float
    longest: int
    batch: int


SHAPES = {
    "classification": Shape("sequence_classification", 38, 0.6, 128, 8),
    "tagging": Shape("token_classification", 28, 0.6, 128, 8),
    "QA": Shape("span_extraction", 160, 0.4, 384, 4),
}


def data_of(shape: Shape, seed: int = 0, batches: int = BATCHES) -> tuple[Examples, list[Item]]:
    """Return made-up examples for our loop, and the same ones for the Trainer."""
    draw = np.random.default_rng(seed)
    count = shape.batch * batches
    drawn = np.exp(np.log(shape.median) + shape.spread * draw.standard_normal(count))
    lengths = np.clip(drawn, 8, shape.longest).astype(int)
    ids = [draw.integers(4, VOCABULARY, n, dtype=np.int32) for n in lengths]
    if shape.kind == "span_extraction":
        spans = [tuple(sorted(draw.integers(1, n, 2).tolist())) for n in lengths]
        ours = Examples(shape.kind, ids, [[] for _ in ids], spans, 0)
        labels: list[Any] = spans
    elif shape.kind == "token_classification":
        places = [list(range(1, n - 1)) for n in lengths]
        tags = [draw.integers(0, LABELS, len(p)).tolist() for p in places]
        ours = Examples(shape.kind, ids, tags, places, 0, more={"starts": [0] * len(ids)})
        labels = [[IGNORED, *t, IGNORED] for t in tags]
    else:
        labels = draw.integers(0, LABELS, count).tolist()
        ours = Examples(shape.kind, ids, labels, [], 0)
    items = [{"input_ids": i.tolist(), "labels": x} for i, x in zip(ids, labels, strict=True)]
    return ours, items


def task_of(kind: str) -> dict[str, Any]:
    """Return the part of a task that training reads."""
    return {"kind": kind, "labels": [str(n) for n in range(LABELS)], "metric": "accuracy"}


def config() -> BertConfig:
    """Return what the model is like."""
    return BertConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=4,
        intermediate_size=4 * WIDTH, max_position_embeddings=512,
    )  # fmt: skip


def model_of(kind: str) -> Model:
    """Return a random model of some four million weights, two layers."""
    torch.manual_seed(0)
    backbone = BertModel(config(), add_pooling_layer=False)
    head = TRAINED[kind].head(backbone, task_of(kind), {})
    return Model(backbone, head, TRAINED[kind].logits, "mean", 0.1)


def settings_of(shape: Shape, precision: str) -> dict[str, Any]:
    """Return what both ways train with."""
    return {
        "steps": BATCHES, "batch": shape.batch, "learning_rate": 1e-4, "warmup": 0.1,
        "weight_decay": 0.01, "clip": 1.0, "precision": precision,
    }  # fmt: skip


def ours(shape: Shape, data: Examples, settings: dict[str, Any]) -> dict[str, Any]:
    """Train by our loop; return what it says."""
    source = Source("made-up", shape.kind, data, task_of(shape.kind))
    accelerator = Accelerator(cpu=True)
    model = model_of(shape.kind)
    return train(model, [source], None, settings, 0, accelerator, 64, lambda **_: None)


def resident(field: str) -> float:
    """Return a size of this process in MiB (Linux)."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise KeyError(field)


def peak_of(work: Callable[[], Any]) -> float:
    """Return by how many MiB a process of its own grows at most.

    It is forked from one that has loaded the libraries and computed nothing.
    """
    reader, writer = os.pipe()
    process = os.fork()
    if not process:
        try:
            before = resident("VmRSS")
            work()
            os.write(writer, str(resident("VmHWM") - before).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        found = said.read()
    os.waitpid(process, 0)
    return float(found)


def measured(work: Callable[[], Any]) -> dict[str, Any]:
    """Return seconds of clock and processor, and the result."""
    gc.collect()
    clock, processor = time.perf_counter(), time.process_time()
    result = work()
    return {
        "clock": time.perf_counter() - clock,
        "processor": time.process_time() - processor,
        "result": result,
    }


def padding(shape: Shape, data: Examples, items: list[Item], full: int, steps: int) -> str:
    """Return how many tokens with padding there are for each real one, in each way."""
    whole = sum(len(item["input_ids"]) for item in items)
    collate = TRAINED[shape.kind].collate
    ways: dict[str, Iterable[int]] = {
        "ours": (
            batch.input_ids.numel()
            for batch in training_batches(data, collate, shape.batch, BATCHES, 0)
        ),
        "ours, batches of tokens": (
            batch.input_ids.numel() for batch in token_batches(data, collate, full, steps, 0)
        ),
        "all of the longest length": [shape.longest * len(items)],
    }
    for grouped in (False, True):
        name = "Trainer, by length" if grouped else "Trainer"
        ways[name] = (
            shape.batch * max(len(items[row]["input_ids"]) for row in rows)
            for rows in order_of(items, shape.batch, grouped)
        )
    return ", ".join(f"{way} {sum(sizes) / whole:.2f}" for way, sizes in ways.items())


def order_of(items: list[Item], batch: int, grouped: bool) -> list[list[int]]:
    """Return the rows of each batch of a Trainer."""
    lengths = [len(item["input_ids"]) for item in items]
    draw = torch.Generator().manual_seed(0)
    rows = (
        get_length_grouped_indices(lengths, batch, generator=draw)  # type: ignore[no-untyped-call]
        if grouped
        else torch.randperm(len(items), generator=draw).tolist()
    )
    return [rows[begin : begin + batch] for begin in range(0, len(rows), batch)]


def ways_of(
    shape: Shape, precision: str, most: int = BATCHES
) -> tuple[dict[str, Callable[[], Any]], int, str]:
    """Return the four ways to train on one shape of data, its tokens, and how much is padding.

    ``most`` is how many steps are taken at most.
    """
    data, items = data_of(shape)
    tokens = sum(len(item["input_ids"]) for item in items)
    settings = settings_of(shape, precision) | {"steps": min(most, BATCHES)}
    full = tokens // BATCHES
    while token_steps(data, full, 1, 0) > BATCHES:  # as many steps as the other ways take
        full += max(1, full // 100)
    steps = token_steps(data, full, 1, 0)
    by_tokens = settings | {"steps": min(most, steps), "batch_tokens": full}
    ways: dict[str, Callable[[], Any]] = {
        "ours": lambda: ours(shape, data, settings),
        "ours, batches of tokens": lambda: ours(shape, data, by_tokens),
        "Trainer": lambda: fit(model_of(shape.kind), shape.kind, items, settings, 0),
        "Trainer, by length": lambda: fit(
            model_of(shape.kind), shape.kind, items, settings, 0, grouped=True
        ),
    }
    return ways, tokens, padding(shape, data, items, full, steps)


def compare(name: str, rounds: int, precision: str, peaks: Mapping[str, float]) -> None:
    """Print a table of the four ways to train on one shape of data."""
    shape = SHAPES[name]
    ways, tokens, padded = ways_of(shape, precision)
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for work in ways_of(shape, precision, WARM)[0].values():
        work()
    for _ in range(rounds):
        for way, work in ways.items():
            found[way].append(measured(work))
    print(f"\n{name}: {tokens} tokens in {BATCHES} batches of {shape.batch}, {precision}")
    print(f"Tokens with padding for each real one: {padded}\n")
    print("| way | tokens/s, clock | tokens/s, processor | ours is faster by | MFU | peak MiB |")
    print("|---|---|---|---|---|---|")
    for way, runs in found.items():
        ratios = [
            f"{statistics.median(x[unit] / y[unit] for x, y in pairs):.2f}"
            for unit in ("clock", "processor")
            for pairs in [list(zip(runs, found["ours"], strict=True))]
        ]
        mfu = [f"{run['result']['mfu']:.0%}" for run in runs if isinstance(run["result"], dict)]
        print(
            f"| {way} | {tokens / statistics.median(r['clock'] for r in runs):.0f} "
            f"| {tokens / statistics.median(r['processor'] for r in runs):.0f} "
            f"| {' clock, '.join(ratios)} processor | {', '.join(mfu) or '-'} "
            f"| {peaks[way]:.0f} |",
            flush=True,
        )


def evaluation(rounds: int) -> None:
    """Print how long all languages of a target take in one process, and in one each."""
    shape = SHAPES["classification"]
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
        lengths = (shape.median, shape.spread, shape.longest)
        together, apart = ratios(Path(name), config(), lengths, rounds)
    ratio = statistics.median(y / x for x, y in zip(together, apart, strict=True))
    print(
        f"\n{len(LANGUAGES)} languages of {ROWS} examples, imports and loading counted: one stage"
    )
    print(f"{statistics.median(together):.1f} s, a process for each language", end=" ")
    print(f"{statistics.median(apart):.1f} s, ratio {ratio:.1f}", flush=True)


GROUPS = {
    "matrix products of the layers": ("addmm", "mm", "linear"),
    "attention": ("bmm", "baddbmm", "_softmax", "_scaled_dot", "_safe_softmax"),
    "dropout": ("bernoulli_", "dropout", "div_"),
    "activations and norms": ("gelu", "layer_norm"),
    "AdamW": ("_fused_adamw_",),
    "clipping": ("linalg_vector_norm", "mul_", "stack"),
    "embeddings": ("embedding", "index_put"),
    "gradients set to nothing or made": ("zero_", "fill_", "zeros"),
    "copies": ("copy_", "clone", "contiguous"),
    "sums and products of single numbers": ("add", "add_", "mul", "sub", "sum", "where", "div"),
}
"""What operations of torch serve, by the beginning of their names; the longest one counts."""


def group_of(operation: str) -> str:
    """Return what an operation serves."""
    name = operation.removeprefix("aten::").removeprefix("native_")
    found = [
        (len(word), group)
        for group, words in GROUPS.items()
        for word in words
        if name == word or (len(word) > 4 and name.startswith(word))
    ]
    return max(found)[1] if found else "other operations"


def profile(name: str) -> None:
    """Print what our loop spends the processor's time on; outside operations is Python's part."""
    shape = SHAPES[name]
    data, _ = data_of(shape)
    settings = settings_of(shape, "fp32") | {"steps": 16}
    ours(shape, data, settings)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        ours(shape, data, settings)
    events = seen.key_averages()
    whole = sum(event.self_cpu_time_total for event in events)
    shares: dict[str, list[float]] = {}
    for event in events:
        group = shares.setdefault(group_of(event.key), [0.0, 0])
        group[0] += event.self_cpu_time_total / whole
        group[1] += event.count
    print(f"\nWhere the time of our loop goes, {name}, 16 steps\n")
    print("| what for | share of the time in operations | calls a step |\n|---|---|---|")
    for what, (share, count) in sorted(shares.items(), key=lambda item: -item[1][0]):
        print(f"| {what} | {share:.1%} | {count / 16:.0f} |")
    made = measured(
        lambda: list(training_batches(data, TRAINED[shape.kind].collate, shape.batch, 16, 0))
    )
    print(f"\nBatches are made in {made['processor'] / 16 * 1e3:.2f} ms a step", end=", ")
    print(f"operations take {whole / 16 / 1e3:.1f} ms", flush=True)


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    words = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    peaks = {
        name: {
            way: peak_of(work)
            for way, work in ways_of(SHAPES[name], words.precision, BRIEF)[0].items()
        }
        for name in words.shapes
    }
    for name in words.shapes:
        compare(name, words.rounds, words.precision, peaks[name])
    for name in words.shapes:
        profile(name)
    evaluation(min(2, words.rounds))


if __name__ == "__main__":
    main()
