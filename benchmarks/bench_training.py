"""Speed and memory of our training loop against a plain Trainer, in one run, and where time goes.

    OMP_NUM_THREADS=1 python benchmarks/bench_training.py [--rounds 3] [--profile]

The same random model learns the same made-up examples, in batches of equal size: by our loop, with
batches of so many examples and of so many tokens, and by a script on the Transformers Trainer that
pads each batch, with examples in random order and grouped by length. The ways take turns, round by
round, and a ratio is the median of those of the rounds. Seconds of the processor are those of this
process alone: other work on the machine changes them less than it does the clock.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from accelerate import Accelerator
from plain import IGNORED, Item, fit
from transformers import AutoModel, BertConfig, BertModel

from runtime.batches import Examples, Source, token_steps
from runtime.kinds import TRAINED
from runtime.loop import train
from runtime.model import Model
from runtime.score import predict

VOCABULARY, WIDTH, LAYERS, LABELS = 8000, 256, 2, 5
BATCHES = 64
"""Batches of a run, one epoch: the pools that the Trainer sorts are then as large as ours."""

LANGUAGES = 6


@dataclass(frozen=True)
class Shape:
    """What the examples of a kind of task look like: their lengths, and how many are in a batch."""

    kind: str
    median: float
    spread: float
    longest: int
    batch: int


SHAPES = {
    "classification": Shape("sequence_classification", 38, 0.6, 128, 16),
    "tagging": Shape("token_classification", 28, 0.6, 128, 16),
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


def model_of(kind: str, backbone: BertModel | None = None) -> Model:
    """Return a random model of some four million weights, two layers."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=4,
        intermediate_size=4 * WIDTH, max_position_embeddings=512,
    )  # fmt: skip
    backbone = backbone or BertModel(config, add_pooling_layer=False)
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


def reset() -> None:
    """Begin to look for the largest resident size anew (Linux)."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def resident(field: str) -> float:
    """Return a size of this process in MiB."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise KeyError(field)


def measured(work: Callable[[], Any]) -> dict[str, Any]:
    """Return seconds of clock and processor, the peak above the start, and the result."""
    reset()
    before = resident("VmRSS")
    clock, processor = time.perf_counter(), time.process_time()
    result = work()
    return {
        "clock": time.perf_counter() - clock,
        "processor": time.process_time() - processor,
        "memory": resident("VmHWM") - before,
        "result": result,
    }


def compare(name: str, rounds: int, precision: str) -> None:
    """Print a table of the four ways to train on one shape of data."""
    shape = SHAPES[name]
    data, items = data_of(shape)
    tokens = sum(len(item["input_ids"]) for item in items)
    settings = settings_of(shape, precision)
    full = tokens // BATCHES
    while token_steps(data, full, 1, 0) > BATCHES:  # as many steps as the other ways take
        full += max(1, full // 100)
    by_tokens = settings | {"steps": token_steps(data, full, 1, 0), "batch_tokens": full}
    ways: dict[str, Callable[[], Any]] = {
        "ours": lambda: ours(shape, data, settings),
        "ours, batches of tokens": lambda: ours(shape, data, by_tokens),
        "Trainer": lambda: fit(model_of(shape.kind), shape.kind, items, settings, 0),
        "Trainer, by length": lambda: fit(
            model_of(shape.kind), shape.kind, items, settings, 0, grouped=True
        ),
    }
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for number in range(rounds + 1):  # the first round warms up and does not count
        for way, work in ways.items():
            one = measured(work)
            if number:
                found[way].append(one)
    print(f"\n{name}: {tokens} tokens in {BATCHES} batches of {shape.batch}, {precision}\n")
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
            f"| {statistics.median(r['memory'] for r in runs):.0f} |",
            flush=True,
        )


def score(folder: Path, languages: list[int]) -> None:
    """Load a model as a stage does, and predict the test sets of some languages."""
    kind = "sequence_classification"
    model = model_of(kind, AutoModel.from_pretrained(folder, add_pooling_layer=False))
    for language in languages:
        data, _ = data_of(SHAPES["classification"], language, 32)
        predict(model, data, task_of(kind), 128, torch.device("cpu"))


def evaluation() -> None:
    """Print how long all languages of a target take in one process, and in one each."""
    with tempfile.TemporaryDirectory() as name:
        model_of("sequence_classification").backbone.save_pretrained(name)  # type: ignore[operator]

        def process(languages: list[int]) -> float:
            started = time.perf_counter()
            words = [sys.executable, __file__, "--score", name, *map(str, languages)]
            subprocess.run(words, check=True, capture_output=True)
            return time.perf_counter() - started

        every = list(range(LANGUAGES))
        process([0])
        rounds = [(process(every), sum(process([one]) for one in every)) for _ in range(2)]
        together, apart = (statistics.median(x) for x in zip(*rounds, strict=True))
        ratio = statistics.median(y / x for x, y in rounds)
        print(f"\n{LANGUAGES} languages of 512 examples: one pass {together:.1f} s, a process each")
        print(f"{apart:.1f} s, ratio {ratio:.1f}", flush=True)


def profile(name: str) -> None:
    """Print the operations that our loop spends the processor's time in."""
    shape = SHAPES[name]
    data, _ = data_of(shape)
    settings = settings_of(shape, "fp32") | {"steps": 24}
    ours(shape, data, settings)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        ours(shape, data, settings)
    events = sorted(seen.key_averages(), key=lambda e: -e.self_cpu_time_total)
    whole = sum(event.self_cpu_time_total for event in events)
    print(f"\nWhere the time of our loop goes, {name}, 24 steps\n\n| operation | share | calls |")
    print("|---|---|---|")
    for event in events[:16]:
        share = event.self_cpu_time_total / whole
        print(f"| `{event.key}` | {share:.1%} | {event.count} |")


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--profile", action="store_true", help="only the table of operations")
    parser.add_argument("--score", nargs="+", help=argparse.SUPPRESS)
    words = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    if words.score:
        return score(Path(words.score[0]), [int(one) for one in words.score[1:]])
    for name in words.shapes:
        if words.profile:
            profile(name)
        else:
            compare(name, words.rounds, words.precision)
    if not words.profile:
        evaluation()


if __name__ == "__main__":
    main()
