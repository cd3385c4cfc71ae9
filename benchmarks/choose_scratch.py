"""Compares settings of the ladder from scratch by its probe and English dev scores alone.

The probe retrieves rows of the parallel corpus that the pretraining keeps from itself; no row of a
test set is read, and no score in another language is computed. Run from the repository after the
data of `specs/studies/scratch-ladder.yaml` has been prepared:

    .venv/bin/python benchmarks/choose_scratch.py --build build

With `--ceiling` nothing is trained: it prints what sums of decomposed tokens retrieve, which has no
layer, position or norm in the way, also where the rows to be found were themselves counted.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from compiler.plan import Plan, Stage, load
from runtime.batches import Source
from runtime.kinds import TRAINED
from runtime.kinds.retrieval import top1
from runtime.loop import train
from runtime.model import Model
from runtime.pretraining import Built, Texts, alignment
from runtime.pretraining.decomposition import Floats, counts, vectors, weighted
from runtime.pretraining.texts import translated
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
WIDTHS = (32, 96, 256)


def main() -> None:
    """Pretrain each size in each way, then fine-tune what was chosen, and print two tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--seed", type=int, default=100, help="not one of the study's seeds")
    parser.add_argument("--models", nargs="+", default=["scratch-32", "scratch-64", "scratch-96"])
    parser.add_argument("--ceiling", action="store_true", help="train nothing")
    words = parser.parse_args()
    torch.set_num_threads(1)
    plan = load(words.build / "scratch-ladder" / "plan.json")
    session = Session(plan, Store(words.build / "store"), Accelerator(cpu=True))
    if words.ceiling:
        stage = next(s for s in plan.stages.values() if s.kind == "pretrain")
        ceiling(texts_of(session, stage), len(session.tokenizer(stage)))
        return
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


def ceiling(texts: Texts, vocabulary: int) -> None:
    """Print what bags of tokens retrieve of the held-out rows, by the width of their vectors."""
    apart = counts(texts, vocabulary)
    every = {k: {**rows, **texts.held[k]} for k, rows in texts.documents.items()}
    spread = np.asarray((apart > 0).sum(axis=1)).ravel()
    rare = np.log((apart.shape[1] + 1) / (spread + 1))[:, None]
    within = counts(replace(texts, documents=every), vocabulary)
    print(
        "| width | log counts | PPMI | PPMI, rare tokens count more | PPMI, held-out rows counted |"
    )
    print("|---|---|---|---|---|")
    for width in WIDTHS:
        log, own, seen = (
            vectors(weighted(x, how), width, 0.5)
            for x, how in ((apart, "log"), (apart, "ppmi"), (within, "ppmi"))
        )
        found = [f"{bags(texts, x):.1f}" for x in (log, own, own * rare, seen)]
        print(f"| {width} | " + " | ".join(found) + " |", flush=True)


def bags(texts: Texts, table: Floats) -> float:
    """Return the mean retrieval between English and the others by the mean of token vectors."""
    scores = []
    for documents in texts.held.values():
        known = list(dict.fromkeys(x for rows in documents.values() for x in rows))
        for language in (x for x in known if x != "en"):
            both = translated(documents, "en", language)
            sides = [
                torch.from_numpy(np.stack([table[texts.inner(p[n])].mean(axis=0) for p in both]))
                for n in (1, 0)
            ]
            scores.append(top1(*sides)["top1_both"])
    return sum(scores) / len(scores)


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
