"""What is fetched for a study: repositories at the revision that `run` asks for, which files."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from compiler.check import check
from compiler.expand import expand
from compiler.plan import Plan
from runtime import fetch, hub
from runtime.invalid import DataInvalid
from runtime.store import Store

XLMR = "FacebookAI/xlm-roberta-base"
STUDY = """study: small
models: {family: xlm-r, sizes: [base, large]}
intermediate: [mnli]
targets: [xnli, tatoeba]
languages: [en, de]
seeds: [1]
recipe: xtreme
"""


def plan(folder: Path, text: str = STUDY) -> Plan:
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return expand(check(path, installed=False))


def test_each_repository_once_with_what_is_read_of_it(tmp_path: Path) -> None:
    found = {want.name: want for want in fetch.wants(plan(tmp_path), Store(tmp_path / "store"))}
    assert list(found) == [
        "facebook/xnli", "mteb/tatoeba-bitext-mining", "nyu-mll/glue",
        XLMR, "FacebookAI/xlm-roberta-large",
    ]  # fmt: skip
    base, large = found[XLMR], found["FacebookAI/xlm-roberta-large"]
    assert (base.weights, base.tokenizer) == (True, True)
    assert (large.weights, large.tokenizer) == (True, False)
    assert found["nyu-mll/glue"].parts == [("mnli", "train", "en"), ("mnli", "dev", "en")]
    assert set(found["facebook/xnli"].parts) == {
        ("xnli", "train", "en"), ("xnli", "dev", "en"), ("xnli", "test", "en"),
        ("xnli", "test", "de"),
    }  # fmt: skip
    assert found["mteb/tatoeba-bitext-mining"].parts == [("tatoeba", "test", "de")]
    assert {want.revision for want in found.values()} == {None}


@pytest.mark.parametrize("name", ["quickstart", "scratch-ladder"])
def test_a_study_of_packages_needs_no_hub(tmp_path: Path, name: str) -> None:
    study = Path(__file__).parents[2] / "specs" / "studies" / f"{name}.yaml"
    made = expand(check(study, installed=False))
    assert fetch.wants(made, Store(tmp_path)) == []


HUB = [
    ".gitattributes", "README.md", "config.json", "flax_model.msgpack", "model.safetensors",
    "onnx/config.json", "onnx/model.onnx", "onnx/tokenizer.json", "pytorch_model.bin",
    "sentencepiece.bpe.model", "tf_model.h5", "tokenizer.json", "tokenizer_config.json",
    "training_args.bin", "vocab.txt", "merges.txt", "special_tokens_map.json",
]  # fmt: skip
TOKENIZER = {"sentencepiece.bpe.model", "tokenizer.json", "tokenizer_config.json", "vocab.txt",
             "merges.txt", "special_tokens_map.json"}  # fmt: skip


def test_files_are_configuration_tokenizer_and_safetensors() -> None:
    both = fetch.Want("model", XLMR, None, weights=True, tokenizer=True)
    assert set(fetch.files(both, HUB)) == {"config.json", "model.safetensors"} | TOKENIZER
    weights = fetch.Want("model", XLMR, None, weights=True)
    assert set(fetch.files(weights, HUB)) == {"config.json", "model.safetensors"}
    tokenizer = fetch.Want("model", XLMR, None, tokenizer=True)
    assert set(fetch.files(tokenizer, HUB)) == {"config.json"} | TOKENIZER
    shards = ["config.json", "model.safetensors.index.json", "model-00001-of-00002.safetensors"]
    assert fetch.files(weights, shards) == shards[:2]


@pytest.mark.parametrize(
    ("there", "lacks"),
    [
        ({"model.safetensors"}, "has no weights as safetensors"),
        (TOKENIZER, "has no files of a tokenizer"),
        ({"config.json"}, "has no config.json"),
    ],
)
def test_what_a_repository_lacks_is_named(there: set[str], lacks: str) -> None:
    both = fetch.Want("model", XLMR, None, weights=True, tokenizer=True)
    with pytest.raises(LookupError, match=lacks):
        fetch.files(both, [name for name in HUB if name not in there])


@pytest.mark.parametrize("broken", [httpx2.RemoteProtocolError, httpx2.ReadError])
def test_a_body_that_is_cut_short_is_asked_for_again(
    broken: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(fetch.time, "sleep", waited.append)
    left = [2]

    def ask() -> str:
        if left[0]:
            left[0] -= 1
            try:
                raise broken("peer closed connection without sending complete message body")
            except broken as error:
                raise DataInvalid("the libraries wrap it") from error
        return "whole"

    assert fetch.again(ask) == "whole"
    assert waited == [1, 3]
    left[0] = 9
    with pytest.raises(DataInvalid):
        fetch.again(ask)
    said = hub.trouble("dataset", "o/r", None, broken("cut"))
    assert said == "the hub broke off in the dataset o/r: run the same command again"


def test_other_errors_are_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch.time, "sleep", pytest.fail)
    with pytest.raises(DataInvalid):
        fetch.again(lambda: (_ for _ in ()).throw(DataInvalid("no such split")))
    assert hub.trouble("dataset", "o/r", None, ValueError("else")) is None
    assert not hub.is_cut(ConnectionError("refused"))
