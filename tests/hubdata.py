"""Repositories as on the hub: the schemas of published data sets, with a few made-up rows.

By hand: ``python tests/hubdata.py ROOT``, then ``python tests/hub.py ROOT``.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

XNLI = ("ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh")
PAWS_X = ("de", "en", "es", "fr", "ja", "ko", "zh")
NLI = ("entailment", "neutral", "contradiction")
PARAPHRASE = ("0", "1")
SPLITS = {"train": 32, "validation": 12, "test": 18}
"""Rows of each split; the matched and mismatched ones of MNLI too."""

COLOURS = ("red", "blue", "green", "grey")
THINGS = ("cup", "door", "lamp", "book", "shoe", "tree")


def pairs(task: str, language: str, split: str) -> list[tuple[str, str, str]]:
    """Make (first, second, label name) triples: what a thing's colour is, said twice."""
    draw = random.Random(f"{task}/{language}/{split}")
    labels = PARAPHRASE if task == "paws-x" else NLI
    made = []
    for number in range(SPLITS[split.split("_")[0]]):
        label = labels[number % len(labels)]
        (colour, other), (thing, elsewhere) = draw.sample(COLOURS, 2), draw.sample(THINGS, 2)
        second = {
            "entailment": (thing, colour),
            "1": (thing, colour),
            "neutral": (elsewhere, colour),
            "contradiction": (thing, other),
            "0": (thing, other),
        }[label]
        first, then = (" ".join(language + w for w in words) for words in ((thing, colour), second))
        made.append((first, then, label))
    return made


def write_hub(root: Path, xnli_names: Sequence[str] = NLI) -> dict[str, dict[str, int]]:
    """Write every repository of the study xnli-hub; return the models' parameter counts.

    ``xnli_names`` is the order of XNLI's label names in the repository.
    """
    write_dataset(root, "nyu-mll/glue", "mnli", {"mnli": "en"}, NLI)
    write_dataset(root, "facebook/xnli", "xnli", {x: x for x in XNLI}, xnli_names)
    write_dataset(root, "google-research-datasets/paws-x", "paws-x", {x: x for x in PAWS_X},
                  PARAPHRASE)  # fmt: skip
    return write_models(root)


def write_dataset(
    root: Path, name: str, task: str, configs: dict[str, str], names: Sequence[str]
) -> None:
    """Write a data set as Parquet, one folder per configuration, and the README that lists them."""
    import polars as pl

    folder = root / "datasets" / name
    columns = {"mnli": ("premise", "hypothesis", "idx"), "xnli": ("premise", "hypothesis", ""),
               "paws-x": ("sentence1", "sentence2", "id")}[task]  # fmt: skip
    splits = {"mnli": ("train", "validation_matched", "validation_mismatched")}.get(
        task, ("train", "validation", "test")
    )
    card: dict[str, Any] = {"configs": [], "dataset_info": []}
    for config, language in configs.items():
        (folder / config).mkdir(parents=True)
        for split in splits:
            rows = [
                {columns[0]: first, columns[1]: second, "label": list(names).index(label)}
                | ({columns[2]: number} if columns[2] else {})
                for number, (first, second, label) in enumerate(pairs(task, language, split))
            ]
            frame = pl.DataFrame(rows).cast({columns[2]: pl.Int32} if columns[2] else {})
            frame.write_parquet(folder / config / f"{split}-00000-of-00001.parquet")
        card["configs"].append(
            {
                "config_name": config,
                "data_files": [{"split": s, "path": f"{config}/{s}-*"} for s in splits],
            }
        )
        features = [{"name": column, "dtype": "string"} for column in columns[:2]]
        label = {"class_label": {"names": {str(i): n for i, n in enumerate(names)}}}
        features.append({"name": "label", "dtype": label})  # type: ignore[dict-item]
        if columns[2]:
            features.append({"name": columns[2], "dtype": "int32"})
        counts = [
            {"name": s, "num_bytes": 1, "num_examples": SPLITS[s.split("_")[0]]} for s in splits
        ]
        card["dataset_info"].append(
            {"config_name": config, "features": features, "splits": counts,
             "download_size": 1, "dataset_size": len(splits)}
        )  # fmt: skip
    readme = f"---\n{yaml.safe_dump(card, sort_keys=False)}---\n\n# Made-up rows\n"
    (folder / "README.md").write_text(readme, encoding="utf-8")


def write_models(root: Path) -> dict[str, dict[str, int]]:
    """Write both XLM-R sizes as random models of one and two layers; return their counts."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaForMaskedLM

    from runtime.model import load_backbone, parameter_counts

    words = [x + w for x in sorted({*XNLI, *PAWS_X}) for w in (*COLOURS, *THINGS)]
    tokens = {t: n for n, t in enumerate(("<s>", "<pad>", "</s>", "<unk>", *words, "<mask>"))}
    backend = Tokenizer(models.WordLevel(tokens, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", cls_token="<s>",
        sep_token="</s>", pad_token="<pad>", unk_token="<unk>", mask_token="<mask>",
        model_max_length=64,
    )  # fmt: skip
    counts = {}
    for size, layers in {"base": 1, "large": 2}.items():
        torch.manual_seed(layers)
        config = XLMRobertaConfig(
            vocab_size=len(tokens), hidden_size=16, num_hidden_layers=layers, num_attention_heads=2,
            intermediate_size=32, max_position_embeddings=70, type_vocab_size=1,
        )  # fmt: skip
        target = root / "models" / "FacebookAI" / f"xlm-roberta-{size}"
        XLMRobertaForMaskedLM(config).save_pretrained(target)
        tokenizer.save_pretrained(target)
        counts[size] = parameter_counts(load_backbone({"checkpoint": {"folder": str(target)}}))
    return counts


if __name__ == "__main__":
    print(write_hub(Path(sys.argv[1])))
