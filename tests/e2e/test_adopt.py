"""Adapters of PEFT and a backbone in the place of a mix are adopted; what cannot be says why."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from e2e.test_adapters import decoder_study
from e2e.test_study import plan_of
from peft import LoraConfig, get_peft_model
from tiny import write_study
from tinyscratch import write_scratch
from transformers import AutoModelForCausalLM, BertModel

from compiler.errors import StoreDamaged
from compiler.plan import Plan
from runtime.adoption import adopt
from runtime.session import Session
from runtime.store import Store


def trainings(plan: Plan, arm: str) -> list[str]:
    """Return the trainings of an arm up to that of its first target, in their order."""
    key: str | None = next(run.train for run in plan.runs if run.arm == arm and run.train)
    found: list[str] = []
    while key is not None:
        found.insert(0, key)
        key = plan.stages[key].inputs.get("start")
    return found


def hidden(backbone: Any) -> torch.Tensor:
    with torch.inference_mode():
        ids = torch.tensor([[5, 9, 11, 7]])
        found: torch.Tensor = backbone.eval()(input_ids=ids).last_hidden_state
    return found


def peft_checkpoint(folder: Path, decoder: Path, **changes: Any) -> torch.Tensor:
    """Write adapters as PEFT does, trained by chance; return what their model says of a text."""
    torch.manual_seed(3)
    config = {"r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"]} | changes
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(decoder), LoraConfig(**config))
    for name, parameter in model.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(folder)
    return hidden(model.base_model.model.model)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # peft asks for it
@pytest.mark.parametrize("between", ["merge", "stack"])
def test_adapters_of_peft_are_adopted(tmp_path: Path, between: str) -> None:
    adapter = {"rank": 8, "alpha": 16, "modules": "attention", "between": between}
    models = {"family": "tiny", "tuning": "lora", "adapter": adapter}
    plan = plan_of(decoder_study(tmp_path, between, models=models))
    first, second, last = trainings(plan, "both")
    decoder, store, said = tmp_path / "own/weights/decoder", Store(tmp_path / "store"), []
    there = hidden(AutoModelForCausalLM.from_pretrained(decoder).model)
    wanted = peft_checkpoint(tmp_path / "made", decoder)
    assert not torch.allclose(wanted, there, atol=1e-2), "the adapters do something"

    def try_(key: str, folder: str) -> int:
        return adopt(plan, store, key, tmp_path / folder, "by A.", said.append)

    with pytest.raises(StoreDamaged, match=f"come after those of {first}"):
        try_(second, "made")
    assert try_(first, "made") == 1
    record = store.record(first)
    assert record is not None
    assert record.result["tensors"] == 2 * 2 * 2, "two matrices for two layers in two blocks"
    session = Session(plan, store, Accelerator(cpu=True))
    found = hidden(session.grown(plan.stages[second], first)[0])
    assert torch.allclose(found, wanted, atol=1e-5), "they do here what they do in PEFT"
    assert try_(second, "made") == 1
    twice = hidden(Session(plan, store, Accelerator(cpu=True)).grown(plan.stages[last], second)[0])
    assert not torch.allclose(twice, wanted, atol=1e-2)
    with pytest.raises(StoreDamaged, match="lacks head"):
        try_(last, "made")

    other = Store(tmp_path / "other")
    for changes, words in (
        ({"lora_alpha": 32}, "lora_alpha of the adapter is 32, and the plan has 16"),
        ({"use_rslora": True}, "use_rslora of the adapter is True, and the plan has none"),
        ({"r": 4}, "r of the adapter is 4"),
        ({"target_modules": ["q_proj"]}, r"lacks backbone\..*v_proj\.lora_A"),
        ({"target_modules": ["q_proj", "v_proj", "o_proj"]}, "does not know: .*o_proj"),
    ):
        shutil.rmtree(tmp_path / "bad", ignore_errors=True)
        peft_checkpoint(tmp_path / "bad", decoder, **changes)
        with pytest.raises(StoreDamaged, match=words):
            adopt(plan, other, first, tmp_path / "bad", "", said.append)
    (tmp_path / "bad" / "adapter_config.json").unlink()
    with pytest.raises(StoreDamaged, match=r"adapter_config\.json is not beside"):
        adopt(plan, other, first, tmp_path / "bad", "", said.append)
    (tmp_path / "bad" / "adapter_config.json").write_text(json.dumps([1]))
    with pytest.raises(StoreDamaged, match="it is no object"):
        adopt(plan, other, first, tmp_path / "bad", "", said.append)
    assert not list((other.root / "leases").iterdir())


def test_a_backbone_stands_for_a_mix(tmp_path: Path) -> None:
    mix = {"name": "both", "mix": ["things", "tags"]}
    plan = plan_of(
        write_study(tmp_path, layers=(1,), seeds=[1], targets=["colours"], intermediate=[mix])
    )
    first, last = trainings(plan, "both")
    made = BertModel.from_pretrained(tmp_path / "own/weights/tiny-1", add_pooling_layer=False)
    with torch.no_grad():
        made.embeddings.word_embeddings.weight.add_(1.0)
    made.save_pretrained(tmp_path / "made")
    store = Store(tmp_path / "store")
    assert adopt(plan, store, first, tmp_path / "made", "by A.", lambda text: None) == 1
    session = Session(plan, store, Accelerator(cpu=True))
    found = session.grown(plan.stages[last], first)[0]
    assert torch.equal(hidden(found), hidden(made))


def test_what_cannot_be_adopted_says_what_to_do(tmp_path: Path) -> None:
    plan = plan_of(write_scratch(tmp_path, sizes=(1,)))
    for kind, hint in (
        ("pretrain", "checkpoint: {folder: ...}"), ("tokenizer", "own tokenizer"),
        ("prepare", "from the task's files"),
    ):  # fmt: skip
        key = next(key for key, stage in plan.stages.items() if stage.kind == kind)
        with pytest.raises(StoreDamaged, match=f"a {kind} stage cannot be adopted") as error:
            adopt(plan, Store(tmp_path / "store"), key, tmp_path, "", lambda text: None)
        assert hint in str(error.value)
