"""A model is divided by its layers, and comes together again as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from tinykinds import backbone, examples, model, rows, task
from torch import nn
from torch.distributed.fsdp import FSDPModule

from runtime import adapters
from runtime.kinds import TRAINED
from runtime.resume import moments, put_back
from runtime.sharding import divided, gathered, layers, reshard, scattered, shard
from runtime.weights import trained_state

ADAPTER = {"rank": 2, "alpha": 4, "dropout": 0.0, "modules": "attention", "between": "merge"}

ALONE: Any = SimpleNamespace(device=torch.device("cpu"), num_processes=1)


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make this process a group of its own."""
    place: Path = tmp_path_factory.mktemp("group") / "store"
    dist.init_process_group("gloo", init_method=f"file://{place}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("name", ["encoder", "decoder"])
def test_each_layer_is_a_part_and_all_else_is_one(name: str, group: None) -> None:
    of = task("sequence_classification")
    made = model(name, of)
    before = {key: value.clone() for key, value in made.state_dict().items()}
    kept = trained_state(made).keys()
    assert len(layers(made.backbone)) == 2
    assert not divided(made)
    made.backbone.get_input_embeddings().requires_grad_(False)  # type: ignore[operator]
    shard(made, ALONE)
    assert divided(made)
    parts = [module for module in made.modules() if isinstance(module, FSDPModule)]
    assert len(parts) == 3
    frozen = [key for key, value in made.named_parameters() if not value.requires_grad]
    assert len(frozen) == 1
    assert trained_state(made).keys() == kept - set(frozen)
    whole = gathered(made.state_dict(), keep=True)
    assert whole.keys() == before.keys()
    for key, value in before.items():
        assert torch.equal(whole[key], value)
        assert torch.equal(
            gathered({key: scattered(value, made.state_dict()[key])}, keep=True)[key], value
        )
    assert gathered(made.state_dict(), keep=False) == {}


def test_what_an_optimizer_knows_comes_back(group: None) -> None:
    of = task("sequence_classification")
    data = examples("encoder", of, rows("sequence_classification", 4), length=20)
    kind = TRAINED[data.kind]
    batch = kind.present(data, range(4))
    states = []
    given: dict[str, torch.Tensor] = {}
    for again in (False, True):
        made = model("encoder", of)
        shard(made, ALONE)
        optimizer = torch.optim.AdamW(made.parameters(), lr=1e-2, fused=True)
        if again:
            put_back(optimizer, given)
        else:
            made(batch.input_ids, batch.attention_mask).sum().backward()
            optimizer.step()
        found = gathered(moments(optimizer), keep=True)
        given = given or found
        states.append(found)
    assert states[0].keys() == states[1].keys()
    assert any(value.any() for value in states[0].values())
    for key, value in states[0].items():
        assert torch.equal(states[1][key], value), key


def test_adapters_learn_in_a_divided_model_as_in_a_whole_one(group: None) -> None:
    of = task("sequence_classification")
    data = examples("decoder", of, rows("sequence_classification", 4), length=20)
    kind = TRAINED[data.kind]
    batch = kind.collate(data, range(4), np.random.default_rng(0))
    left = []
    for apart in (False, True):
        body = backbone("decoder")
        torch.manual_seed(5)
        adapters.attach(body, {"tuning": "lora", "adapter": ADAPTER})
        made = model("decoder", of, body=body)
        if apart:
            shard(made, ALONE)
        trained = [p for p in made.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-2, fused=True)
        for _ in range(2):
            found = made(batch.input_ids, batch.attention_mask)
            kind.loss(found.float(), batch, of).backward()
            torch.nn.utils.clip_grad_norm_(trained, 0.1)
            optimizer.step()
            optimizer.zero_grad()
        left.append(gathered(trained_state(made), keep=True))
    assert left[0].keys() == left[1].keys()
    assert any(adapters.is_adapter(name) for name in left[0])
    for name, value in left[0].items():
        torch.testing.assert_close(left[1][name], value, rtol=1e-5, atol=1e-7, msg=name)


def test_the_last_matrix_stays_tied_to_the_embeddings(group: None) -> None:
    made = model("encoder", task("sequence_classification"))
    words = made.backbone.get_input_embeddings().weight  # type: ignore[operator]
    made.add_module("tied", nn.Linear(*reversed(words.shape), bias=False))
    made.tied.weight = words
    kept = trained_state(made).keys()
    shard(made, ALONE)
    assert made.tied.weight is made.backbone.get_input_embeddings().weight  # type: ignore[operator]
    assert trained_state(made).keys() == kept
    assert "tied.weight" not in kept


def test_a_pass_without_a_way_back_leaves_nothing_whole(group: None) -> None:
    of = task("sequence_classification")
    made = model("encoder", of).eval()
    data = examples("encoder", of, rows("sequence_classification", 4), length=20)
    batch = TRAINED[data.kind].present(data, range(4))
    plain = made(batch.input_ids, batch.attention_mask)
    shard(made, ALONE)
    with torch.no_grad():
        found = made(batch.input_ids, batch.attention_mask)
    torch.testing.assert_close(found, plain, rtol=0, atol=0)
    reshard(made)
    assert all(isinstance(p, torch.distributed.tensor.DTensor) for p in made.parameters())


def test_a_model_without_known_layers_is_not_divided() -> None:
    strange = backbone("encoder")
    strange._no_split_modules = None  # type: ignore[assignment]
    for found in (nn.Linear(2, 2), strange):
        with pytest.raises(ValueError, match="which of its layers stay on one device"):
            layers(found)
