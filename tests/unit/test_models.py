"""The families of the catalog, shrunk to some thousand weights: loaded, padded, cut and counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

from compiler import scratch
from compiler.entries import Family
from compiler.source import read
from compiler.validate import validate
from runtime.batches import pad
from runtime.model import (
    Model,
    load_backbone,
    parameter_counts,
    read_backbone,
    separator_of,
    token_types,
)

SPECS = Path(__file__).parents[2] / "specs" / "models"
SHRUNK = {
    "vocab_size": 70, "hidden_size": 32, "d_model": 32, "intermediate_size": 48, "d_ff": 48,
    "ffn_dim": 48, "d_kv": 8, "head_dim": 8, "query_pre_attn_scalar": 8, "num_hidden_layers": 3,
    "n_layer": 3, "num_layers": 3, "num_attention_heads": 4, "n_head": 4, "num_heads": 4,
    "attention_heads": 4, "max_position_embeddings": 40, "sliding_window": 3, "position_buckets": 8,
}  # fmt: skip
"""Sliding windows and buckets are shorter than the sequences, so that they matter."""

EVERY_SIXTH = 7
"""Layers of a Gemma 3, of which every sixth sees all of a text."""

PADDING = 0


def shrunk(architecture: dict[str, Any]) -> dict[str, Any]:
    """Return an architecture of the catalog with everything else as it is, but small."""
    small = {**architecture, **{k: v for k, v in SHRUNK.items() if k in architecture}}
    shared = architecture.get("num_key_value_heads")
    if shared is not None:
        small["num_key_value_heads"] = {1: 1, architecture["num_attention_heads"]: 4}.get(shared, 2)
    if architecture["model_type"] == "gemma3_text":
        small["num_hidden_layers"] = EVERY_SIXTH
    return small


def tiny_families() -> dict[str, dict[str, Any]]:
    """Return the different shrunk architectures of the catalog by the first model of each."""
    found: dict[str, dict[str, Any]] = {}
    seen = set()
    for path in sorted(SPECS.glob("*.yaml")):
        for member in scratch.members(validate(read(path), Family)):
            small = shrunk(dict(member.architecture)) if member.architecture else {}
            # The sizes of Gemma 3 from 4B on are read out of a model of texts and images.
            images = path.stem == "gemma-3" and member.size in ("4b", "12b", "27b")
            text = json.dumps([small, images], sort_keys=True)
            if small and text not in seen:
                seen.add(text)
                found[member.name] = small | ({"images": True} if images else {})
    return found


TINY = tiny_families()


def pretrained(architecture: dict[str, Any]) -> nn.Module:
    """Make a random model with the heads that checkpoints of its kind have on the hub."""
    fields = {k: v for k, v in architecture.items() if k not in ("model_type", "images")}
    kind = architecture["model_type"]
    torch.manual_seed(1)
    if architecture.get("images"):
        image = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
                 "num_attention_heads": 2, "image_size": 8, "patch_size": 4}  # fmt: skip
        config = transformers.Gemma3Config(text_config=fields, vision_config=image)
        return transformers.Gemma3ForConditionalGeneration(config)
    if kind == "mt5":
        fields["is_encoder_decoder"] = True  # the catalog describes the encoder
        return transformers.MT5ForConditionalGeneration(AutoConfig.for_model(kind, **fields))
    config = AutoConfig.for_model(kind, **fields)
    if kind == "bert":
        return transformers.BertForPreTraining(config)
    encoders = ("xlm-roberta", "xlm-roberta-xl", "deberta-v2")
    auto = AutoModelForMaskedLM if kind in encoders else AutoModelForCausalLM
    made: nn.Module = auto.from_config(config)
    return made


def backbone_of(model: Any) -> nn.Module:
    """Return what of a model with heads reads texts."""
    body: Any = model.base_model
    if hasattr(body, "language_model"):
        body = body.language_model
    found: nn.Module = body.encoder if model.config.is_encoder_decoder else body
    return found


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[nn.Module, dict[str, Any]]]:
    """Every tiny model, and the plan's entry of its checkpoint."""
    folder = tmp_path_factory.mktemp("tiny")
    made = {}
    for name, architecture in TINY.items():
        model: Any = pretrained(architecture).eval()
        with torch.no_grad():  # norms that are all one would hide a wrong one
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
        model.save_pretrained(folder / name)
        made[name] = (backbone_of(model), {"checkpoint": {"folder": str(folder / name)}})
    return made


Saved = dict[str, tuple[nn.Module, dict[str, Any]]]


def test_every_family_with_an_architecture_is_among_them() -> None:
    families = {p.stem for p in SPECS.glob("*.yaml")}
    members = {
        member.name: path.stem
        for path in SPECS.glob("*.yaml")
        for member in scratch.members(validate(read(path), Family))
    }
    kinds = {members[name] for name in TINY}
    assert kinds <= families
    model_types = {architecture["model_type"] for architecture in TINY.values()}
    assert model_types == {"bert", "bloom", "deberta-v2", "gemma3_text", "llama", "mt5", "qwen2",
                           "qwen3", "xglm", "xlm-roberta", "xlm-roberta-xl"}  # fmt: skip
    assert any(architecture.get("images") for architecture in TINY.values())


@pytest.mark.parametrize("name", TINY)
def test_a_checkpoint_is_loaded_and_read_the_same_with_padding(name: str, saved: Saved) -> None:
    original, entry = saved[name]
    backbone, report = read_backbone(entry)
    backbone.eval()
    assert report["mismatched"] == []
    assert all(key.startswith("pooler.") for key in report["missing"])
    texts = [[5, 9, 11, 7, 30, 31, 32, 6], [8, 6, 12], [60, 61, 62, 63, 64]]
    ids, mask = pad(texts, PADDING)
    with torch.inference_mode():
        together = backbone(input_ids=ids, attention_mask=mask).last_hidden_state
        for row, text in enumerate(texts):
            alone = torch.tensor([text])
            wanted = original(input_ids=alone).last_hidden_state[0]
            own = backbone(input_ids=alone, attention_mask=torch.ones_like(alone))
            torch.testing.assert_close(own.last_hidden_state[0], wanted)
            found = together[row, : len(text)]
            torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", TINY)
def test_a_model_is_cut_to_its_first_layers(name: str, saved: Saved) -> None:
    original, entry = saved[name]
    shallow, report = read_backbone({**entry, "layers": 2})
    shallow.eval()
    ids = torch.tensor([[5, 9, 11, 7, 30]])
    caught = []
    layer = next(m for m in original.modules() if isinstance(m, nn.ModuleList))[2]
    hook = layer.register_forward_pre_hook(
        lambda _m, words, named: caught.append(words[0] if words else named["hidden_states"]),
        with_kwargs=True,
    )
    with torch.inference_mode():
        original(input_ids=ids)
        found = shallow(input_ids=ids, output_hidden_states=True).hidden_states
    hook.remove()
    assert len(found) == 3
    blocks = next(m for m in shallow.modules() if isinstance(m, nn.ModuleList))
    assert len(blocks) == 2
    assert any("*" in key for key in report["unexpected"])
    assert parameter_counts(shallow)["total"] < parameter_counts(original)["total"]
    last: list[torch.Tensor] = []
    with torch.inference_mode():
        blocks[1].register_forward_hook(
            lambda _m, _w, out: last.append(out[0] if isinstance(out, tuple) else out)
        )
        shallow(input_ids=ids)
    torch.testing.assert_close(last[0], caught[0])


def test_what_a_checkpoint_has_beside_the_backbone_is_in_the_report(saved: Saved) -> None:
    heads = {name: read_backbone(entry)[1]["unexpected"] for name, (_, entry) in saved.items()}
    assert any(key.startswith("cls.seq_relationship.") for key in heads["mbert"])
    assert any(key.startswith("lm_head.") for key in heads["xlmr-base"])
    assert any(key.startswith("decoder.") for key in heads["mt5-small"])
    assert heads["llama-2-7b"] == ["lm_head.weight"]


def changed(entry: dict[str, Any], target: Path, change: Any) -> dict[str, Any]:
    """Copy a checkpoint, with its weights changed."""
    source = Path(entry["checkpoint"]["folder"])
    target.mkdir()
    weights = load_file(source / "model.safetensors")
    change(weights)
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    (target / "config.json").write_bytes((source / "config.json").read_bytes())
    return {"checkpoint": {"folder": str(target)}}


def test_an_unknown_weight_is_an_error(saved: Saved, tmp_path: Path) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        weights["roberta.encoder.layer.0.adapter.weight"] = torch.zeros(2)

    entry = changed(saved["xlmr-base"][1], tmp_path / "more", change)
    with pytest.raises(ValueError, match=r"has unknown weights: .*encoder\.layer\.\*\.adapter\.w"):
        load_backbone(entry)


def test_a_layer_too_many_is_an_error_where_none_was_cut(saved: Saved, tmp_path: Path) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        for name in [n for n in weights if ".layer.0." in n]:
            weights[name.replace(".layer.0.", ".layer.3.")] = weights[name].clone()

    entry = changed(saved["xlmr-base"][1], tmp_path / "deeper", change)
    with pytest.raises(ValueError, match=r"has unknown weights: .*encoder\.layer\.\*\.attention"):
        load_backbone(entry)


def test_a_lacking_weight_is_an_error(saved: Saved, tmp_path: Path) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        del weights["roberta.encoder.layer.1.output.dense.weight"]

    entry = changed(saved["xlmr-base"][1], tmp_path / "less", change)
    with pytest.raises(ValueError, match=r"lacks weights: encoder\.layer\.\*\.output\.dense"):
        load_backbone(entry)


# Token types


def tokenizer(typed: bool) -> Any:
    """Make a tokenizer of words, whose second text is of type 1, or of type 0 as in XLM-R's."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefgh"]
    backend = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    second = "$B:1 [SEP]:1" if typed else "$B [SEP]"
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair=f"[CLS] $A [SEP] {second}",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )  # fmt: skip
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]",
    )  # fmt: skip


def states(model: Model, head: nn.Module, hidden: torch.Tensor, *_: Any) -> torch.Tensor:
    return hidden


def test_the_second_text_of_a_pair_has_the_tokenizers_type(saved: Saved) -> None:
    body, reader = saved["mbert"][0].eval(), tokenizer(typed=True)
    separator = separator_of(reader, body)
    assert separator == 3
    pairs = [("a b c", "d e"), ("f", "g h a b")]
    batch = reader(*map(list, zip(*pairs, strict=True)), return_tensors="pt", padding=True,
                   return_token_type_ids=True)  # fmt: skip
    types = token_types(batch["input_ids"], batch["attention_mask"], separator)
    assert types.tolist() == batch["token_type_ids"].tolist()
    model = Model(body, nn.Identity(), states, "first", 0.0, separator=separator).eval()
    plain = Model(body, nn.Identity(), states, "first", 0.0).eval()
    with torch.inference_mode():
        found = model(batch["input_ids"], batch["attention_mask"])
        torch.testing.assert_close(found, body(**batch).last_hidden_state)
        without = plain(batch["input_ids"], batch["attention_mask"])
        assert not torch.allclose(found, without, atol=1e-3)
        one = reader(["a b c"], return_tensors="pt")
        single = [m(one["input_ids"], one["attention_mask"]) for m in (model, plain)]
        assert torch.equal(*single)


@pytest.mark.parametrize("name", TINY)
def test_no_other_model_is_given_token_types(name: str, saved: Saved) -> None:
    body = saved[name][0]
    assert separator_of(tokenizer(typed=False), body) is None
    assert (separator_of(tokenizer(typed=True), body) is None) == (name not in ("mbert", "e5-1"))


def test_a_tokenizer_that_divides_otherwise_is_refused(saved: Saved) -> None:
    reader = tokenizer(typed=True)
    reader.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP]:1 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )  # fmt: skip
    with pytest.raises(ValueError, match="token types by its separator"):
        separator_of(reader, saved["mbert"][0])
