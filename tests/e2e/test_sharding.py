"""What a training leaves of a model that torch shards over two processes is what one leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tinykinds import examples, model, rows, task

from runtime.kinds import TRAINED
from runtime.model import Model
from runtime.weights import trained_state

KIND = "token_classification"

SHARDED = """
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from e2e.test_sharding import KIND, logits, made, stepped
from safetensors.torch import load_file, save_file
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions, get_model_state_dict, set_model_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from runtime.weights import trained_state

folder = Path(sys.argv[1])
torch.set_num_threads(1)
dist.init_process_group("gloo")
mesh = init_device_mesh("cpu", (2,))


def sharded():
    model = made()
    for layer in model.backbone.encoder.layer:
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


model = sharded()
assert all(isinstance(p, DTensor) for p in model.parameters())
stepped(model)
names = set(trained_state(model))
full = StateDictOptions(full_state_dict=True, cpu_offload=True)
whole = get_model_state_dict(model, options=full)
if dist.get_rank() == 0:
    assert set(whole) >= names
    state = {name: value.contiguous() for name, value in whole.items() if name in names}
    save_file(state, folder / "weights.safetensors")
dist.barrier()
other = sharded()
set_model_state_dict(
    other, load_file(folder / "weights.safetensors"),
    options=StateDictOptions(full_state_dict=True, strict=False),
)
torch.testing.assert_close(logits(other), logits(model), rtol=0, atol=0)
dist.destroy_process_group()
"""


def made() -> Model:
    """Return the same tiny tagger in every process."""
    torch.manual_seed(3)
    return model("encoder", task(KIND))


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the ids, mask and labels of eight sentences."""
    data = examples("encoder", task(KIND), rows(KIND, 8))
    found = TRAINED[KIND].collate(data, range(8), np.random.default_rng(0))
    assert found.labels is not None
    return found.input_ids, found.attention_mask, found.labels


def stepped(model: Model) -> None:
    """Take three steps of a plain optimizer; the mean over equal shares is the whole's."""
    ids, mask, labels = batch()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.eval()
    for _ in range(3):
        loss = torch.nn.functional.cross_entropy(model(ids, mask).flatten(0, 1), labels.flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def logits(model: Model) -> torch.Tensor:
    """Return what a model says of the eight sentences."""
    ids, mask, _ = batch()
    with torch.no_grad():
        found: torch.Tensor = model.eval()(ids, mask)
    return found


@pytest.mark.slow
def test_a_sharded_model_is_saved_whole_and_read_again(tmp_path: Path) -> None:
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
         str(_script(tmp_path)), str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PYTHONPATH": f"{tests.parent}:{tests}", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    state = load_file(tmp_path / "weights.safetensors")
    alone = made()
    stepped(alone)
    assert set(state) == set(trained_state(alone))
    for name, value in trained_state(alone).items():
        torch.testing.assert_close(state[name], value, rtol=1e-5, atol=1e-6, msg=name)
    again = made()
    assert not again.load_state_dict(state, strict=False).unexpected_keys
    torch.testing.assert_close(logits(again), logits(alone), rtol=1e-5, atol=1e-5)


def _script(folder: Path) -> Path:
    path = folder / "sharded.py"
    path.write_text(SHARDED, encoding="utf-8")
    return path
