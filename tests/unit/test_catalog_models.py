"""The model families and devices of the catalog: counts computed again from the architectures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSeq2SeqLM,
    AutoModelForTextEncoding,
    PreTrainedConfig,
)

from compiler import scratch
from compiler.entries import Device, Family, Model
from compiler.source import read
from compiler.validate import validate
from runtime.model import parameter_counts

SPECS = Path(__file__).parents[2] / "specs"
FAMILIES = {
    path.stem: validate(read(path), Family) for path in sorted((SPECS / "models").glob("*.yaml"))
}
DEVICES = {
    path.stem: validate(read(path), Device) for path in sorted((SPECS / "hardware").glob("*.yaml"))
}
MEMBERS = {m.name: m for family in FAMILIES.values() for m in scratch.members(family)}
PACKAGED = {n for n, m in MEMBERS.items() if m.checkpoint is not None and m.checkpoint.reader}
BUILT = [name for name in MEMBERS if name not in PACKAGED]

# What others count, all of it: the totals of the weight files on the hub, in which the output head
# is counted apart where its weights are not tied to the embeddings.
TIED = {
    "bloom-560m": 559_214_592,
    "bloom-1b1": 1_065_314_304,
    "bloom-1b7": 1_722_408_960,
    "bloom-3b": 3_002_557_440,
    "bloom-7b1": 7_069_016_064,
    "bloom-176b": 176_247_271_424,
    "qwen-2.5-0.5b": 494_032_768,
    "qwen-2.5-1.5b": 1_543_714_304,
    "qwen-2.5-3b": 3_085_938_688,
    "qwen-3-0.6b": 596_049_920,
    "qwen-3-1.7b": 1_720_574_976,
    "qwen-3-4b": 4_022_468_096,
    "gemma-3-270m": 268_098_176,
    "gemma-3-1b": 999_885_952,
}
UNTIED = {
    "llama-2-7b": 6_738_415_616,
    "llama-2-13b": 13_015_864_320,
    "llama-2-70b": 68_976_648_192,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "qwen-2.5-7b": 7_615_616_512,
    "qwen-2.5-14b": 14_770_033_664,
    "qwen-2.5-32b": 32_763_876_352,
    "qwen-2.5-72b": 72_706_203_648,
    "qwen-3-8b": 8_190_735_360,
    "qwen-3-14b": 14_768_307_200,
}
WHOLE_MT5 = {  # encoder, decoder and an untied head
    "mt5-small": 300_176_768,
    "mt5-base": 582_401_280,
    "mt5-large": 1_229_581_312,
    "mt5-xl": 3_742_619_648,
    "mt5-xxl": 12_921_057_280,
}
# Rounded figures, in millions, of papers and model cards: XLM-R (1911.02116, 2105.00572), mBERT
# (its README: 110M is BERT base; the larger vocabulary makes 178M), XGLM's names (2112.10668).
ROUNDED_TOTAL = {
    "xlmr-base": (270, 0.03),
    "xlmr-large": (550, 0.02),
    "xlmr-xl": (3500, 0.01),
    "xlmr-xxl": (10700, 0.01),
    "mbert": (178, 0.01),
    "mdeberta": (276, 0.01),
    "xglm-564m": (564, 0.01),
    "xglm-1.7b": (1700, 0.02),
    "xglm-2.9b": (2900, 0.02),
    "xglm-4.5b": (4500, 0.02),
    "xglm-7.5b": (7500, 0.01),
}
# The papers' own non-embedding counts, in millions: Gemma 3 report, table 1; Qwen 2.5 and Qwen 3
# model cards; mDeBERTa model card; BLOOM model card (3,596,615,680 embedding parameters).
ROUNDED_BODY = {
    "gemma-3-270m": (100, 0.01),
    "gemma-3-1b": (698, 0.001),
    "gemma-3-4b": (3209, 0.001),
    "gemma-3-12b": (10759, 0.001),
    "gemma-3-27b": (25600, 0.001),
    "qwen-2.5-0.5b": (360, 0.01),
    "qwen-2.5-1.5b": (1310, 0.01),
    "qwen-2.5-3b": (2770, 0.01),
    "qwen-2.5-7b": (6530, 0.01),
    "qwen-2.5-14b": (13100, 0.01),
    "qwen-2.5-32b": (31000, 0.01),
    "qwen-2.5-72b": (70000, 0.01),
    "qwen-3-0.6b": (440, 0.01),
    "qwen-3-1.7b": (1400, 0.01),
    "qwen-3-4b": (3600, 0.01),
    "qwen-3-8b": (6950, 0.01),
    "qwen-3-14b": (13200, 0.01),
    "mdeberta": (86, 0.01),
    "bloom-176b": ((176_247_271_424 - 3_596_615_680) / 1e6, 1e-9),
}


def config_of(architecture: dict[str, Any]) -> PreTrainedConfig:
    fields = {key: value for key, value in architecture.items() if key != "model_type"}
    config: PreTrainedConfig = AutoConfig.for_model(architecture["model_type"], **fields)
    return config


def counted(architecture: dict[str, Any]) -> dict[str, int]:
    """Count a backbone that has shapes but no weights."""
    config = config_of(architecture)
    auto = AutoModelForTextEncoding if config.model_type == "mt5" else AutoModel
    with torch.device("meta"):
        backbone = auto.from_config(config)
    if getattr(backbone, "pooler", None) is not None:
        backbone.pooler = None
    return parameter_counts(backbone)


def head(member: Model) -> int:
    return int(member.architecture["vocab_size"]) * int(config_of(member.architecture).hidden_size)


def test_every_family_of_the_catalog_is_there_and_named_as_its_file() -> None:
    wanted = "bloom gemma-3 llama-2 llama-3.1 mbert mdeberta mt5-encoder qwen-2.5 qwen-3 xglm xlm-r"
    assert set(wanted.split()) <= set(FAMILIES)
    assert all(family.family == name for name, family in FAMILIES.items())


def test_names_and_sizes_are_unique() -> None:
    names = [member.name for family in FAMILIES.values() for member in family.members]
    assert len(names) == len(set(names))
    for family in FAMILIES.values():
        sizes = [member.size for member in family.members]
        assert None not in sizes
        assert len(sizes) == len(set(sizes)), family.family


@pytest.mark.parametrize("name", FAMILIES)
def test_members_go_from_small_to_large(name: str) -> None:
    counts = [member.counts for member in scratch.members(FAMILIES[name])]
    assert [c.total for c in counts] == sorted(c.total for c in counts)
    assert all(0 < c.non_embedding < c.total for c in counts)


def test_every_member_has_an_architecture() -> None:
    assert all(member.architecture for member in MEMBERS.values())
    # Packaged checkpoints are cut from one architecture, which says how deep it is itself.
    assert {MEMBERS[name].architecture["num_hidden_layers"] for name in PACKAGED} == {12}


@pytest.mark.parametrize("name", BUILT)
def test_counts_are_those_of_the_architecture(name: str) -> None:
    member = MEMBERS[name]
    assert counted(member.architecture) == member.counts.model_dump()


@pytest.mark.parametrize("name", BUILT)
def test_an_architecture_names_only_fields_that_its_config_has(name: str) -> None:
    architecture = dict(MEMBERS[name].architecture)
    kind = architecture.pop("model_type")
    # These are read by the model, but the class has no default for them.
    known = {"position_buckets", "norm_rel_ebd", "share_att_key"} if kind == "deberta-v2" else set()
    fresh = AutoConfig.for_model(kind)
    assert {key for key in architecture if not hasattr(fresh, key)} <= known
    built = config_of(MEMBERS[name].architecture)
    values = {key: getattr(built, key) for key in architecture}
    if "pos_att_type" in values:
        values["pos_att_type"] = "|".join(values["pos_att_type"])  # the config splits it
    assert values == architecture


def test_totals_are_those_of_the_published_weights() -> None:
    assert {name: MEMBERS[name].counts.total for name in TIED} == TIED
    totals = {name: MEMBERS[name].counts.total + head(MEMBERS[name]) for name in UNTIED}
    assert totals == UNTIED


@pytest.mark.parametrize("name", WHOLE_MT5)
def test_an_mt5_encoder_is_the_encoder_of_the_published_model(name: str) -> None:
    architecture = MEMBERS[name].architecture
    assert architecture["is_encoder_decoder"] is False
    with torch.device("meta"):
        whole = AutoModelForSeq2SeqLM.from_config(
            config_of({**architecture, "is_encoder_decoder": True})
        )
    assert whole.num_parameters() + head(MEMBERS[name]) == WHOLE_MT5[name]
    encoder = sum(p.numel() for p in whole.get_encoder().parameters())
    assert encoder == MEMBERS[name].counts.total


@pytest.mark.parametrize("name", ROUNDED_TOTAL)
def test_totals_are_near_the_published_figures(name: str) -> None:
    millions, margin = ROUNDED_TOTAL[name]
    assert MEMBERS[name].counts.total / 1e6 == pytest.approx(millions, rel=margin)


@pytest.mark.parametrize("name", ROUNDED_BODY)
def test_non_embedding_counts_are_near_the_published_figures(name: str) -> None:
    millions, margin = ROUNDED_BODY[name]
    assert MEMBERS[name].counts.non_embedding / 1e6 == pytest.approx(millions, rel=margin)


def test_every_built_member_is_compared_with_a_published_figure() -> None:
    compared = {*TIED, *UNTIED, *WHOLE_MT5, *ROUNDED_TOTAL, *ROUNDED_BODY}
    assert compared == {name for name in BUILT if MEMBERS[name].checkpoint is not None}


def test_pooling_and_gates_follow_the_family() -> None:
    first, mean = {"xlm-r", "mbert", "mdeberta"}, {"mt5-encoder", "e5-depth", "scratch-tiny"}
    for name, family in FAMILIES.items():
        wanted = "first" if name in first else "mean" if name in mean else "last"
        assert {member.pooling for member in family.members} == {wanted}, name
        gated = name in ("llama-2", "llama-3.1", "gemma-3")
        assert {member.gated for member in family.members} == {gated}, name


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - {"e5-depth", "scratch-tiny"}))
def test_a_family_says_where_it_comes_from(name: str) -> None:
    family = FAMILIES[name]
    assert family.title
    assert family.description
    assert family.tokenizer
    assert family.license
    assert family.citation.startswith("https://")


def test_shares_are_fractions_of_the_whole() -> None:
    published = {}
    for name, family in FAMILIES.items():
        shares = [share for share in family.languages.values() if share is not None]
        assert len(shares) in (0, len(family.languages)), name
        if shares:
            published[name] = sum(shares)
    assert published == {
        "bloom": pytest.approx(1 - 0.1082, abs=0.001),  # the rest is code
        "llama-2": pytest.approx(1 - 0.0838, abs=0.002),  # the rest is of unknown language
        "mt5-encoder": pytest.approx(1, abs=0.001),
        "xglm": pytest.approx(1, abs=0.001),
    }


def test_every_device_is_there_and_named_as_its_file() -> None:
    wanted = "a100-40gb a100-80gb cpu h100-80gb h200-141gb l40s rtx-4090 t4"
    assert sorted(wanted.split()) == sorted(DEVICES)
    assert all(device.device == name for name, device in DEVICES.items())
    assert all(device.price_per_hour is None for device in DEVICES.values())


@pytest.mark.parametrize("name", DEVICES)
def test_a_device_has_rates_that_fit_together(name: str) -> None:
    device = DEVICES[name]
    rates = device.tflops
    assert device.bandwidth_gb_s is not None
    assert rates["fp32"] == min(rates.values())
    if "bf16" in rates:
        # Dense rates: 8-bit is twice 16-bit, which is twice tf32. The sparse ones are double.
        assert rates["fp16"] == rates["bf16"] == pytest.approx(2 * rates["tf32"], rel=0.02)
        assert rates.get("fp8", 2 * rates["bf16"]) == pytest.approx(2 * rates["bf16"], rel=0.02)


def test_what_an_old_device_lacks() -> None:
    assert set(DEVICES["t4"].tflops) == {"fp32", "fp16"}
    assert "fp8" not in DEVICES["a100-80gb"].tflops
    assert DEVICES["cpu"].kind == "cpu"
    assert {device.kind for name, device in DEVICES.items() if name != "cpu"} == {"cuda"}
