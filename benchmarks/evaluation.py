"""A made-up study of one task in several languages, whose evaluation is timed in two ways."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from compiler.check import check
from compiler.expand import expand
from compiler.plan import Plan
from runtime.model import parameter_counts
from runtime.store import Store
from runtime.worker import Worker

LANGUAGES = ("en", "de", "fr", "es", "ru", "zh")
ROWS = 300
"""Test examples of a language."""

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def study(folder: Path, config: BertConfig, lengths: tuple[float, float, int]) -> Plan:
    """Write a study with a random model; test texts have about so many words: median, spread, most.

    What is trained is one step on a few examples: an evaluation takes as long after it.
    """
    catalog = folder / "own"
    for name in ("tasks", "models", "recipes", "data"):
        (catalog / name).mkdir(parents=True)
    words = [*SPECIAL, *(f"w{n}" for n in range(config.vocab_size - len(SPECIAL)))]
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )  # fmt: skip
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]", model_max_length=512,
    ).save_pretrained(folder / "model")  # fmt: skip
    model = BertModel(config, add_pooling_layer=False)
    model.save_pretrained(folder / "model")
    median, spread, longest = lengths
    for number, language in enumerate(LANGUAGES):
        draw = np.random.default_rng(number)
        for split, count in (("train", 32), ("dev", 8), ("test", ROWS)):
            drawn = np.exp(np.log(median) + spread * draw.standard_normal(count))
            rows = [
                {
                    "id": str(n),
                    "text": " ".join(f"w{w}" for w in draw.integers(0, len(words) - 5, size)),
                    "label": "ab"[n % 2],
                }
                for n, size in enumerate(np.clip(drawn, 6, longest - 2).astype(int))
            ]
            path = catalog / "data" / f"same.{split}.{language}.jsonl"
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    parts = {s: f"../data/same.{s}.{{language}}.jsonl" for s in ("train", "dev", "test")}
    entries: dict[str, dict[str, Any]] = {
        "tasks/same": {
            "task": "same", "title": "made up", "kind": "sequence_classification",
            "languages": sorted(LANGUAGES), "source": {"files": parts}, "metric": "accuracy",
            "labels": ["a", "b"], "train_data": "same.en", "train_text": ["same.en"],
        },
        "models/one": {
            "family": "one",
            "members": [{"name": "one", "size": 1, "checkpoint": {"folder": "../../model"},
                         "parameters": parameter_counts(model)}],
        },
        "recipes/short": {"recipe": "short", "defaults": {
            "steps": 1, "batch": 8, "learning_rate": 1e-4, "max_length": longest}},
        "../study": {
            "study": "evaluation", "models": {"family": "one"}, "intermediate": ["same"],
            "targets": ["same"], "languages": list(LANGUAGES), "seeds": [1], "recipe": "short",
            "catalog": "own", "hardware": {"device": "cpu", "threads": 1, "pack": "seed"},
        },
    }  # fmt: skip
    for name, entry in entries.items():
        path = catalog / f"{name}.yaml"
        path.write_text(yaml.safe_dump(entry, sort_keys=False), encoding="utf-8")
    return expand(check(folder / "study.yaml"))


def timed(plan: Plan, store: Store, key: str, divided: Sequence[tuple[str, ...]]) -> float:
    """Score a trained model in as many processes, one after the other; return all their seconds."""
    shutil.rmtree(store.root / "stages" / key, ignore_errors=True)
    seconds = 0.0
    for number, parts in enumerate(divided):
        stages = {**plan.stages, key: replace(plan.stages[key], parts=parts)}
        job = replace(plan.jobs[0], name="score", stages=(key,), after=())
        path = store.root.parent / f"plan-{number}.json"
        path.write_text(replace(plan, stages=stages, jobs=(job,)).to_json(), encoding="utf-8")
        words = ["--plan", str(path), "--store", str(store.root), "--job", "score"]
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "runtime.worker", *words], check=True, capture_output=True
        )
        seconds += time.perf_counter() - started
        assert all(store.record(key, part) is not None for part in parts)
    return seconds


def ratios(
    folder: Path, config: BertConfig, lengths: tuple[float, float, int], rounds: int
) -> tuple[list[float], list[float]]:
    """Return the seconds of one process for all languages, and of one for each, by round."""
    plan, store = study(folder, config, lengths), Store(folder / "store")
    store.prepare()
    run = next(run for run in plan.runs if run.train is not None)
    scoring = plan.stages[run.score]
    needed = [key for key, stage in plan.stages.items() if stage.kind == "prepare"]
    assert Worker(plan, store, (*needed, str(run.train)), 1, folder).run() == 0
    whole, each = [scoring.parts], [(part,) for part in scoring.parts]
    timed(plan, store, run.score, whole[:1])  # the files are in memory then
    together, apart = [], []
    for _ in range(rounds):
        together.append(timed(plan, store, run.score, whole))
        apart.append(timed(plan, store, run.score, each))
    return together, apart
