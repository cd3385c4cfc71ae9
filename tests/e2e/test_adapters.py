"""A tiny decoder tuned by adapters over three phases: what each leaves, and what scoring loads."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from e2e.test_study import plan_of, scores, work
from safetensors.torch import load_file
from tiny import vocabulary, write_study, write_yaml
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from compiler.plan import Plan
from runtime.adapters import is_adapter, names
from runtime.model import load_backbone, parameter_counts
from runtime.session import Session
from runtime.store import Store

CHAIN = {"name": "both", "chain": ["things", "tags"]}


def write_decoder(folder: Path) -> dict[str, Any]:
    """Write a random Llama of some thousand weights with a word tokenizer; return its entry."""
    tokens = {token: number for number, token in enumerate(vocabulary())}
    backend = Tokenizer(models.WordLevel(tokens, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", model_max_length=64
    )
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(tokens), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64, pad_token_id=0,
        initializer_range=0.2,  # a frozen random model has to tell words apart
    )  # fmt: skip
    target = folder / "decoder"
    LlamaForCausalLM(config).save_pretrained(target)
    tokenizer.save_pretrained(target)
    counts = parameter_counts(load_backbone({"checkpoint": {"folder": str(target)}}))
    return {"name": "decoder", "size": 1, "checkpoint": {"folder": "../weights/decoder"},
            "parameters": counts, "pooling": "last"}  # fmt: skip


def decoder_study(folder: Path, between: str, **changes: Any) -> Path:
    """Write a study of one decoder: two intermediate trainings, then the target's own."""
    own = folder / "own"
    for name in ("models", "weights"):
        (own / name).mkdir(parents=True)
    member = write_decoder(own / "weights")
    write_yaml(own / "models" / "tiny.yaml", {"family": "tiny", "members": [member]})
    adapter = {"rank": 8, "alpha": 16, "dropout": 0.1, "between": between}
    fields = {
        "models": {"family": "tiny", "tuning": "lora", "adapter": adapter},
        "intermediate": [CHAIN], "targets": ["colours", "pairs"], "languages": ["en", "de"],
        "seeds": [1],
    }  # fmt: skip
    study = write_study(folder, **fields | changes)
    data = own / "data"
    shutil.copy(data / "colours.dev.en.jsonl", data / "colours.test.en.jsonl")
    return study


def chain(plan: Plan, store: Store) -> list[tuple[str, dict[str, torch.Tensor], dict[str, Any]]]:
    """Return key, weights and result of the three trainings of the arm, the first one first."""
    key: str | None = next(r.train for r in plan.runs if r.arm == "both" and r.target == "colours")
    found = []
    while key is not None:
        record = store.record(key)
        assert record is not None
        weights = load_file(store.verified(key) / "weights.safetensors")
        found.insert(0, (key, weights, dict(record.result)))
        key = plan.stages[key].inputs.get("start")
    return found


@pytest.mark.parametrize("between", ["merge", "stack"])
def test_three_phases_of_adapters(tmp_path: Path, between: str) -> None:
    plan = plan_of(decoder_study(tmp_path, between))
    store = Store(tmp_path / "store")
    assert work(plan, store) == 0

    phases, vectors = chain(plan, store), {}
    assert [plan.stages[key].task for key, _, _ in phases] == ["things", "tags", "colours"]
    whole = plan.models["decoder"]["parameters"]["total"]
    for number, (_, weights, result) in enumerate(phases, 1):
        own = f".phase{number if between == 'stack' else 1}."
        assert {n for n in weights if not is_adapter(n)} == {"head.weight", "head.bias"}
        assert all(own in name for name in weights if is_adapter(name))
        assert sum(value.numel() for value in weights.values()) < whole / 2
        assert result["loss_last"] < result["loss_first"]
        assert result["parameters"]["total"] == whole
        assert result["checkpoint_load"]["unexpected"] == ["lm_head.weight"]
    moved = [v.abs().sum() for n, v in phases[-1][1].items() if ".lora_B." in n]
    assert moved
    assert all(value > 0 for value in moved)

    # The test rows are the dev rows: scoring loads what training had, along the whole chain.
    for run in plan.runs:
        scored = store.record(run.score, plan.part_of(run.score, "de"))
        assert scored is not None
        if run.target == "pairs":
            vectors[run.arm] = scored.result["scores"]
            assert scored.result["checkpoint_load"]["missing"] == []
            continue
        assert run.train is not None
        trained = store.record(run.train)
        scored = store.record(run.score, plan.part_of(run.score, "en"))
        assert trained is not None
        assert scored is not None
        dev = trained.result["english_dev"]
        assert dev["value"] > 1.5 * dev["chance"]
        assert scored.result["value"] == pytest.approx(dev["value"])
    assert vectors["none"] != vectors["both"], "retrieval is from the adapted encoder"

    session = Session(plan, store, Accelerator(cpu=True))
    last = plan.stages[phases[-1][0]]
    pretrained = {k: v.clone() for k, v in session.backbone(last).state_dict().items()}
    before = states(session, None)
    grown = [states(session, key) for key, _, _ in phases]
    stacked = names(session.grown(last, last.key)[0])
    assert stacked == (["phase1", "phase2", "phase3"] if between == "stack" else [])
    for one, other in zip([before, *grown], grown, strict=False):
        assert not torch.allclose(one, other, atol=1e-3)
    again = session.backbone(last).state_dict()
    assert set(again) == set(pretrained)
    assert all(torch.equal(value, pretrained[name]) for name, value in again.items())


def states(session: Session, key: str | None) -> torch.Tensor:
    stage = next(one for one in session.plan.stages.values() if one.kind == "train")
    backbone, carried = session.grown(stage, key)
    assert carried == set()
    with torch.inference_mode():
        ids = torch.tensor([[5, 9, 11, 7]])
        found: torch.Tensor = backbone.eval()(input_ids=ids).last_hidden_state
    return found.clone()


@pytest.mark.slow
def test_a_whole_model_is_tuned_as_before_beside_one_with_adapters(tmp_path: Path) -> None:
    """Two models of one checkpoint in one study: what one changes, the other does not see."""
    study = decoder_study(tmp_path, "merge")
    body = {"checkpoint": {"folder": "own/weights/decoder"}, "pooling": "last"}
    counts = plan_of(study).models["decoder"]["parameters"]
    whole = {"name": "whole", "parameters": counts, **body}
    low = {"name": "low", "parameters": counts, "tuning": "lora", **body}
    alone = write_study(tmp_path, models=[whole], intermediate=[CHAIN], targets=["colours"],
                        languages=["en"], seeds=[1])  # fmt: skip
    plan = plan_of(alone)
    first = Store(tmp_path / "first")
    assert work(plan, first) == 0
    both = plan_of(write_study(tmp_path, models=[low, whole], intermediate=[CHAIN],
                               targets=["colours"], languages=["en"], seeds=[1]))  # fmt: skip
    second = Store(tmp_path / "second")
    assert work(both, second) == 0
    assert set(plan.stages) <= set(both.stages)
    found = scores(second, both)
    assert {k: v for k, v in found.items() if k.startswith("whole/")} == scores(first, plan)
