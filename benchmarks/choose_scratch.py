"""Compares settings of the ladder from scratch by its probe and English dev scores alone.

The probe retrieves rows of the parallel corpus that the pretraining keeps from itself; no row of a
test set is read, and no score in another language is computed. Run from the repository after the
data of `specs/studies/scratch-ladder.yaml` has been prepared:

    .venv/bin/python benchmarks/choose_scratch.py --build build
"""

from __future__ import annotations

import argparse
import copy
import itertools
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from compiler.plan import Plan, Stage, load
from runtime.batches import Source
from runtime.kinds import TRAINED
from runtime.loop import train
from runtime.model import Model
from runtime.pretraining import Built, Texts, alignment
from runtime.session import Session
from runtime.stages.pretrain import pretrained, texts_of
from runtime.store import Store
from runtime.vectors import Encoder

Settings = Mapping[str, Any]
MLM, PAIRS = {"mlm": {"masked": 0.15, "weight": 1.0}}, {"temperature": 0.05, "weight": 1.0}
BOTH = MLM | {"translation_pairs": PAIRS}
WAYS: tuple[tuple[str, Settings], ...] = (
    ("as chosen", {}),
    ("random embeddings", {"initialisation": "random"}),
    ("without translation pairs", {"objectives": MLM}),
    ("learning rate 1e-3", {"learning_rate": 1e-3}),
    ("learning rate 1e-2", {"learning_rate": 1e-2}),
    ("1.5 times the tokens", {"tokens": 750_000}),
)
RATES = (1e-3, 3e-3)
FREEZES = ("embeddings", "none")
STEPS = (200, 400)


def main() -> None:
    """Pretrain each size in each way, then fine-tune what was chosen, and print two tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--seed", type=int, default=100, help="not one of the study's seeds")
    parser.add_argument("--models", nargs="+", default=["scratch-32", "scratch-64", "scratch-96"])
    words = parser.parse_args()
    torch.set_num_threads(1)
    plan = load(words.build / "scratch-ladder" / "plan.json")
    session = Session(plan, Store(words.build / "store"), Accelerator(cpu=True))
    print("| model | pretraining | probe before | after | mlm | pairs | CPU seconds |")
    print("|---|---|---|---|---|---|---|")
    chosen: dict[str, tuple[Stage, Texts, Built]] = {}
    for name in words.models:
        stage = next(s for s in plan.stages.values() if (s.kind, s.model) == ("pretrain", name))
        texts = texts_of(session, stage)
        for title, change in WAYS:
            settings = {**stage.identity, **change}
            started = time.process_time()
            made, found = pretrained(session, stage, settings, texts, words.seed, lambda **_: None)
            spent = time.process_time() - started
            before, after = (mean(found["alignment"][when]) for when in ("before", "after"))
            last = [found["losses"].get(x, {}).get("last", "") for x in BOTH]
            shown = (name, title, before, after, *last, f"{spent:.0f}")
            print("| " + " | ".join(map(str, shown)) + " |", flush=True)
            if not change:
                chosen[name] = (stage, texts, made)
    print(
        "\n| model | task | frozen | learning rate | steps | English dev | chance | probe | CPU |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for stage, texts, made in chosen.values():
        for row in tuned(plan, session, stage, texts, made, words.seed):
            print("| " + " | ".join(map(str, row)) + " |", flush=True)


def tuned(
    plan: Plan, session: Session, pretraining: Stage, texts: Texts, made: Built, seed: int
) -> Iterator[tuple[Any, ...]]:
    """Fine-tune a pretrained model on each task in each way; yield the rows of the table."""
    done = set()
    for stage in plan.stages.values():
        if stage.kind != "train" or stage.model != pretraining.model or stage.task in done:
            continue
        done.add(stage.task)
        for freeze, rate, steps in itertools.product(FREEZES, RATES, STEPS):
            settings = dict(stage.identity["training"])
            settings |= {"learning_rate": rate, "freeze": freeze, "steps": steps}
            backbone = copy.deepcopy(made.backbone)
            backbone.requires_grad_(True)
            torch.manual_seed(seed)
            data, dev = (session.examples(stage, part) for part in stage.identity["data"])
            task = session.task(stage)
            kind = TRAINED[str(task["kind"])]
            model = Model(backbone, kind.head(backbone, task, {}), kind.logits, "mean", 0.1)
            started = time.process_time()
            source = Source(stage.task, data.kind, data, task, "head")
            score = train(
                model, [source], dev, settings, seed, session.accelerator, 128, lambda **_: None
            )["english_dev"]
            spent = time.process_time() - started
            encoder = Encoder(
                backbone, "mean", texts.examples.pad, 128, torch.device("cpu"), session.scratch
            )
            probe = mean(alignment(texts, encoder, ["", ""], 8))
            own = (f"{score['value']:.1f}", f"{score['chance']:.1f}", probe, f"{spent:.1f}")
            yield (stage.model, stage.task, freeze, f"{rate:g}", steps, *own)


def mean(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the mean retrieval of the parallel corpora."""
    return f"{sum(x['mean'] for x in found.values()) / len(found):.1f}"


if __name__ == "__main__":
    main()
