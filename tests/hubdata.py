"""Made-up words in every script of the benchmarks, and data sets and models written as on the hub.

By hand: ``python tests/hubtasks.py ROOT``, then ``python tests/hub.py ROOT``.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

SPECS = Path(__file__).parents[1] / "specs"
XNLI = ("ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh")
PAWS_X = ("de", "en", "es", "fr", "ja", "ko", "zh")
NLI = ("entailment", "neutral", "contradiction")
PARAPHRASE = ("0", "1")
SPLITS = {"train": 16, "validation": 8, "test": 8, "dev": 8}
"""Rows of each split in each language; ANLI calls its splits otherwise."""

USUAL = ("train", "validation", "test")
THINGS, COLOURS, NAMES, VERBS = range(12), range(12, 18), range(18, 30), range(30, 36)
"""Words by number: every language has the same words, and so translations of every sentence."""

SPACELESS = ("ja", "my", "th", "zh")
LETTERS = {
    "Arab": "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "Beng": "কখগঘচছজঝটঠডঢণতথদধনপফবভমযরলশষসহ",
    "Cyrl": "абвгдежзиклмнопрстуфхц",
    "Deva": "कखगघचछजझटठडढणतथदधनपफबभमयरलवशषसह",
    "Geor": "აბგდევზთიკლმნოპჟრსტუფქღყშჩც",
    "Grek": "αβγδεζηθικλμνξοπρστυφχψω",
    "Gujr": "કખગઘચછજઝટઠડઢણતથદધનપફબભમયરલવશષસહ",
    "Guru": "ਕਖਗਘਚਛਜਝਟਠਡਢਣਤਥਦਧਨਪਫਬਭਮਯਰਲਵਸਹ",
    "Hans": "山水火木金土日月人口手目耳心石田禾米竹衣车门雨鱼马鸟",
    "Hebr": "אבגדהוזחטיכלמנסעפצקרשת",
    "Jpan": "かきくけこさしすせそたちつてとなにぬねのはひふへほ",
    "Kore": "가나다라마바사아자차카타파하거너더러머버서어저처커터퍼허",
    "Mlym": "കഖഗഘചഛജഝടഠഡഢണതഥദധനപഫബഭമയരലവശഷസഹ",
    "Mymr": "ကခဂဃစဆဇညတထဒဓနပဖဗမယရလဝသဟ",
    "Taml": "கஙசஞடணதநபமயரலவழளறன",
    "Telu": "కఖగఘచఛజఝటఠడఢణతథదధనపఫబభమయరలవశషసహ",
    "Thai": "กขคงจฉชซญดตถทนบปผพมยรลวสหอ",
}
Rows = list[dict[str, Any]]
Features = Mapping[str, Any]
"""Columns: a name of a type, a tuple of label names, a list of one of these, or a dict of lists."""


@cache
def scripts() -> dict[str, str]:
    """Return the usual script of each language of the catalog."""
    text = (SPECS / "languages.yaml").read_text(encoding="utf-8")
    return {str(x["language"]): str(x["script"]) for x in yaml.safe_load(text)["languages"]}


def word(number: int, language: str) -> str:
    """Make a word: every second Arabic one begins with the article, which is part of the word."""
    letters = LETTERS.get(scripts()[language])
    if letters is None:
        made = "bdfgklmnprst"[number % 12] + "aeiou"[number // 12] + "lmnrst"[number % 6]
        return made if language == "en" else f"{language}{made}"
    shift = sum(map(ord, language))
    first, second = number + shift, number // len(letters) + 3 * number + shift
    made = letters[first % len(letters)] + letters[second % len(letters)]
    return f"ال{made}" if language == "ar" and number % 2 else made


def say(numbers: Iterable[int], language: str) -> str:
    """Make a text of words, without spaces where the language has none."""
    return ("" if language in SPACELESS else " ").join(word(n, language) for n in numbers)


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
        made.append((say((thing, colour), language), say(second, language), label))
    return made


def write_hub(root: Path, xnli_names: Sequence[str] = NLI) -> dict[str, dict[str, int]]:
    """Write every repository of the study xnli-hub; return the models' parameter counts.

    ``xnli_names`` is the order of XNLI's label names in the repository.
    """
    write_mnli(root)
    write_pairs(root, "facebook/xnli", "xnli", XNLI, ("premise", "hypothesis"), xnli_names)
    names = ("sentence1", "sentence2")
    write_pairs(root, "google-research-datasets/paws-x", "paws-x", PAWS_X, names, PARAPHRASE)
    return write_models(root)


def write_mnli(root: Path, others: Mapping[str, Mapping[str, Rows]] | None = None) -> None:
    """Write GLUE's MNLI, and other configurations with QQP's columns."""
    columns = {"premise": "string", "hypothesis": "string", "label": NLI, "idx": "int32"}
    splits = ("train", "validation_matched", "validation_mismatched")
    rows = {s: _numbered(pairs("mnli", "en", s), ("premise", "hypothesis"), NLI) for s in splits}
    for split in ("test_matched", "test_mismatched"):
        made = _numbered(pairs("mnli", "en", split), ("premise", "hypothesis"), NLI)
        rows[split] = [row | {"label": -1} for row in made]
    asked = {"question1": "string", "question2": "string"}
    asked |= {"label": ("not_duplicate", "duplicate"), "idx": "int32"}  # type: ignore[dict-item]
    write_dataset(
        root, "nyu-mll/glue", {"mnli": columns} | dict.fromkeys(others or {}, asked),
        {"mnli": rows, **(others or {})},
    )  # fmt: skip


def write_pairs(
    root: Path,
    name: str,
    task: str,
    languages: Iterable[str],
    columns: tuple[str, str],
    names: Sequence[str],
) -> None:
    """Write a data set of text pairs with a configuration for each language."""
    features: dict[str, Any] = dict.fromkeys(columns, "string") | {"label": tuple(names)}
    numbered = task == "paws-x"
    if numbered:
        features = {"id": "int32"} | features
    made = {}
    for language in languages:
        rows = {s: _numbered(pairs(task, language, s), columns, names) for s in USUAL}
        for one in (row for split in rows.values() for row in split):
            number = one.pop("idx")
            if numbered:
                one["id"] = number + 1
        made[language] = rows
    write_dataset(root, name, dict.fromkeys(made, features), made)


def _numbered(
    made: list[tuple[str, str, str]], columns: tuple[str, str], names: Sequence[str]
) -> Rows:
    return [
        {columns[0]: first, columns[1]: then, "label": list(names).index(label), "idx": number}
        for number, (first, then, label) in enumerate(made)
    ]


def write_dataset(
    root: Path,
    name: str,
    features: Mapping[str, Features],
    rows: Mapping[str, Mapping[str, Rows]],
    *,
    file: str = "{config}/{split}-00000-of-00001.parquet",
    revision: str = "main",
) -> None:
    """Write a data set as Parquet, features and rows by configuration, and the README of it.

    The hub's branch of converted files has no README: there the features stand in each file.
    """
    converted = revision.startswith("refs/convert/")
    folder = root / "datasets" / (name if revision == "main" else f"{name}@{quote(revision, '')}")
    card: dict[str, Any] = {"configs": [], "dataset_info": []}
    # Equal features are one object, which YAML writes once: the libraries read it at every load.
    known = {
        id(columns): [{"name": name, **_in_readme(kind)} for name, kind in columns.items()]
        for columns in features.values()
    }
    for config, splits in rows.items():
        files = {s: file.format(config=config, split=s) for s in splits}
        for split, made in splits.items():
            write_parquet(folder / files[split], features[config], made, described=converted)
        patterns = {s: path.replace("-00000-of-00001.parquet", "-*") for s, path in files.items()}
        listed = [{"split": s, "path": path} for s, path in patterns.items()]
        card["configs"].append({"config_name": config, "data_files": listed})
        card["dataset_info"].append(
            {"config_name": config,
             "features": known[id(features[config])],
             "splits": [{"name": s, "num_bytes": 1, "num_examples": len(x)}
                        for s, x in splits.items()],
             "download_size": 1, "dataset_size": len(splits)}
        )  # fmt: skip
    if not converted:
        write_readme(folder, card)


def write_readme(folder: Path, card: Mapping[str, Any]) -> None:
    """Write the README of a repository with its metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text = yaml.dump(dict(card), Dumper=dumper, sort_keys=False, allow_unicode=True)
    (folder / "README.md").write_text(f"---\n{text}---\n\n# Made-up rows\n", encoding="utf-8")


def write_parquet(path: Path, features: Features, rows: Rows, *, described: bool) -> None:
    """Write one Parquet file; ``described``: with the features among its own metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, _in_arrow(kind)) for name, kind in features.items()])
    if described:
        info = {"info": {"features": {name: _in_file(kind) for name, kind in features.items()}}}
        schema = schema.with_metadata({"huggingface": json.dumps(info)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), path)


def drop_last(path: Path) -> None:
    """Take the last row of a Parquet file away: a data set that has lost a row."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    pq.write_table(table.slice(0, len(table) - 1), path)


def _in_readme(kind: Any) -> dict[str, Any]:
    if isinstance(kind, dict):
        return {"sequence": [{"name": name, **_in_readme(inner)} for name, inner in kind.items()]}
    if isinstance(kind, list):
        inner = _in_readme(kind[0])["dtype"]
        return {"sequence": inner}
    if isinstance(kind, tuple):
        return {"dtype": {"class_label": {"names": {str(i): n for i, n in enumerate(kind)}}}}
    return {"dtype": kind}


def _in_file(kind: Any) -> dict[str, Any]:
    if isinstance(kind, dict):
        inner = {name: _in_file(one) for name, one in kind.items()}
        return {"feature": inner, "length": -1, "_type": "Sequence"}
    if isinstance(kind, list):
        return {"feature": _in_file(kind[0]), "length": -1, "_type": "Sequence"}
    if isinstance(kind, tuple):
        return {"names": list(kind), "_type": "ClassLabel"}
    return {"dtype": kind, "_type": "Value"}


def _in_arrow(kind: Any) -> Any:
    import pyarrow as pa

    if isinstance(kind, dict):
        return pa.struct([(name, pa.list_(_in_arrow(inner))) for name, inner in kind.items()])
    if isinstance(kind, list):
        return pa.list_(_in_arrow(kind[0]))
    if isinstance(kind, tuple):
        return pa.int64()
    return {"string": pa.string(), "int32": pa.int32(), "bool": pa.bool_()}[kind]


def write_models(root: Path) -> dict[str, dict[str, int]]:
    """Write two sizes of XLM-R and a decoder, random and tiny; return their parameter counts.

    Beside the weights lie the other forms that repositories keep; the larger one is in shards.
    """
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM, XLMRobertaConfig, XLMRobertaForMaskedLM

    from runtime.model import load_backbone, parameter_counts

    counts = {}
    encoder, decoder = _encoder_tokenizer(), _decoder_tokenizer()
    small: dict[str, Any] = {
        "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32,
    }  # fmt: skip
    for size, layers, name in (
        ("base", 1, "FacebookAI/xlm-roberta-base"),
        ("large", 2, "FacebookAI/xlm-roberta-large"),
        ("0.5b", 1, "Qwen/Qwen2.5-0.5B"),
    ):
        torch.manual_seed(layers)
        tokenizer = decoder if name.startswith("Qwen") else encoder
        shape = small | {"vocab_size": len(tokenizer), "num_hidden_layers": layers}
        target = root / "models" / name
        model: Any
        if name.startswith("Qwen"):
            shape |= {"num_key_value_heads": 2, "tie_word_embeddings": True}
            model = Qwen2ForCausalLM(Qwen2Config(**shape))
        else:
            shape |= {"max_position_embeddings": 514, "type_vocab_size": 1}
            model = XLMRobertaForMaskedLM(XLMRobertaConfig(**shape))
        model.save_pretrained(target, max_shard_size="20KB" if size == "large" else "1GB")
        tokenizer.save_pretrained(target)
        counts[size] = parameter_counts(load_backbone({"checkpoint": {"folder": str(target)}}))
        for other in ("pytorch_model.bin", "tf_model.h5", "onnx/model.onnx", "README.md"):
            (target / other).parent.mkdir(exist_ok=True)
            (target / other).write_text("not for us")
    return counts


def _corpus() -> list[str]:
    kinds = (THINGS, COLOURS, NAMES, VERBS)
    draw = random.Random("corpus")
    languages = [x for x, s in scripts().items() if s in (*LETTERS, "Latn") and len(x) == 2]
    return [
        say((draw.choice(kind) for kind in kinds), language) + (". " * (number % 2))
        for language in languages
        for number in range(24)
    ]


def _encoder_tokenizer() -> Any:
    """Train a tokenizer with the marks of XLM-R's and pieces that begin with ``▁``.

    It pairs pieces where XLM-R's model is a unigram one, whose training differs from run to run.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    backend = Tokenizer(models.BPE(unk_token="<unk>"))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=2000, special_tokens=special, show_progress=False)
    backend.train_from_iterator(_corpus(), trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", cls_token="<s>",
        sep_token="</s>", pad_token="<pad>", unk_token="<unk>", mask_token="<mask>",
        model_max_length=512,
    )  # fmt: skip


def _decoder_tokenizer() -> Any:
    """Train a tokenizer of Qwen's kind: byte pairs, and no marks around a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2000, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    backend.train_from_iterator(_corpus(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|endoftext|>", pad_token="<|endoftext|>",
        model_max_length=512,
    )  # fmt: skip
