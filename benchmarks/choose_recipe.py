"""Compares training settings of the quickstart by English dev scores alone, and prints a table.

No score in another language is computed, so the choice cannot leak into the zero-shot results.
Run from the repository after `make demo` has prepared the data:

    .venv/bin/python benchmarks/choose_recipe.py --build build
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from compiler.plan import load
from runtime.batches import Source
from runtime.loop import train
from runtime.session import Session
from runtime.stages.train import new_model
from runtime.store import Store

RATES = (3e-4, 6e-4, 1.2e-3)
SHAPES = ((32, 75), (16, 150), (16, 200))


def main() -> None:
    """Train every (size, task, rate, batch x steps) once and print the English dev score."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--seed", type=int, default=100, help="not one of the study's seeds")
    parser.add_argument("--models", nargs="+", default=["e5-1", "e5-4"])
    words = parser.parse_args()
    torch.set_num_threads(1)
    plan = load(words.build / "quickstart" / "plan.json")
    session = Session(plan, Store(words.build / "store"), Accelerator(cpu=True))
    print("| model | task | batch x steps | learning rate | English dev | seconds |")
    print("|---|---|---|---|---|---|")
    for name, (batch, steps), rate in itertools.product(words.models, SHAPES, RATES):
        for stage in plan.stages.values():
            if stage.kind != "train" or stage.model != name or stage.identity["seed"] != 1:
                continue
            if "start" in stage.inputs:
                continue
            settings: dict[str, Any] = dict(stage.identity["training"])
            settings |= {"batch": batch, "steps": steps, "learning_rate": rate}
            backbone = session.backbone(stage)
            torch.manual_seed(words.seed)
            data, dev = (session.examples(stage, part) for part in stage.identity["data"])
            result = train(
                new_model(backbone, stage, session),
                [Source(stage.task, data.kind, data, plan.tasks[stage.task])],
                dev,
                settings,
                words.seed,
                session.accelerator,
                128,
                lambda **_: None,
            )
            dev = result["english_dev"]
            print(
                f"| {name} | {stage.task} | {batch} x {steps} | {rate:g} "
                f"| {dev['value']:.1f} | {result['training_seconds']:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
