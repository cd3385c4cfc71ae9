"""What is traced from two layers is what all layers take: traced whole, and measured on a CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from compiler import catalog as catalogs
from compiler import resources, scratch
from compiler.entries import Model
from compiler.resources import Shape
from compiler.strategy import GIB, Machine, Way, Work, attempt
from compiler.training import Training
from runtime import tracing

CATALOG = catalogs.load()
TINY = {
    "model_type": "xlm-roberta", "vocab_size": 500, "hidden_size": 64, "num_hidden_layers": 5,
    "num_attention_heads": 4, "intermediate_size": 256, "max_position_embeddings": 514,
    "type_vocab_size": 1, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
}  # fmt: skip


def model_of(architecture: dict[str, Any]) -> Model:
    counts = {"total": 2, "non_embedding": 1}
    body = {"name": "mine", "checkpoint": {"hub": "a/b"}, "parameters": counts}
    return Model.model_validate(body | {"architecture": architecture})


def whole(model: Model, way: tuple[str, str, str], b: int, s: int) -> dict[str, float]:
    """Trace a micro-batch of a model with all its layers, but for its tokens."""
    config = tracing.configuration(model)
    layers = config.get_text_config().num_hidden_layers
    return dict(tracing.step(tracing.cut(config, layers, tracing.VOCABULARY), *way, b, s))


def foretold(
    traced: resources.Traced, way: tuple[str, str, str], b: int, s: int
) -> dict[str, float]:
    """Return the same from the traced coefficients."""
    trace = traced.traces[resources.key(*way)]
    saved = sum(
        n * resources.value(terms, b, s)
        for n, terms in ((1, trace.saved_base), (traced.layers, trace.saved_layer))
    )
    operations = resources.flops(traced, trace, Shape(s, b, 0))
    return {
        "saved": saved,
        "peak": saved + resources.value(trace.transient, b, s),
        "flops": operations,
    }


def compared(model: Model, traced: resources.Traced, way: tuple[str, str, str]) -> None:
    for b, s in ((4, 128), (16, 300)):
        found, said = whole(model, way, b, s), foretold(traced, way, b, s)
        assert said["flops"] == pytest.approx(found["flops"], rel=1e-4)
        assert said["saved"] == pytest.approx(found["saved"], rel=0.01)
        assert 0.95 < said["peak"] / found["peak"] < 1.15


def test_a_model_is_traced_from_two_layers() -> None:
    model = model_of(TINY)
    way = ("cuda", "bf16", "full")
    config = tracing.configuration(model)
    counts = tracing.counted(config)
    assert counts["layers"] == 5
    assert counts["tokens"] == 500 * 64
    assert counts["linear"] == 4 * 64 * 64 + 2 * 64 * 256
    assert counts["adapter"] == 16 * (4 * 128 + 2 * 320)
    fields = {k: v for k, v in counts.items() if k in resources.Traced.model_fields}
    traces = {resources.key(*way): tracing._trace(config, *way)}
    compared(model, resources.Traced(architecture="x", traces=traces, **fields), way)


def test_a_model_without_an_architecture_is_refused() -> None:
    with pytest.raises(ValueError, match="no `architecture`"):
        tracing.trace(model_of({}))


def catalogued(name: str) -> tuple[Model, resources.Traced]:
    for family, entry in CATALOG.families.items():
        for model in scratch.members(entry):
            if model.name == name:
                found = resources.find(CATALOG, family, model)
                assert found is not None
                return model, found
    raise AssertionError(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["xlmr-base", "bloom-560m", "qwen-2.5-0.5b"])
@pytest.mark.parametrize("way", [("cuda", "bf16", "full"), ("cuda", "fp32", "lora")])
def test_all_layers_take_what_two_foretell(name: str, way: tuple[str, str, str]) -> None:
    compared(*catalogued(name), way)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "size"), [("scratch-tiny", "scratch-64"), ("mbert", "mbert")])
def test_a_file_of_traced_numbers_can_be_made_again(family: str, size: str) -> None:
    model, known = catalogued(size)
    assert tracing.trace(model).model_dump() == known.model_dump()


TRAINING = """
import json, sys
import torch
from compiler.entries import Model
from runtime import tracing

body, batch, length, twice = json.loads(sys.argv[1])
torch.set_num_threads(1)
model = tracing.build(tracing.configuration(Model.model_validate(body)))
model.train()
if twice:
    model.activation_checkpointing_enable({"use_reentrant": False})
optimizer = torch.optim.AdamW(model.parameters(), fused=True)

def step(batch, length):
    ids = torch.ones(batch, length, dtype=torch.long)
    hidden = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    hidden.square().mean().backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)

step(1, 8)  # what libraries allocate for themselves
optimizer.zero_grad()
with open("/proc/self/statm") as stream:
    before = int(stream.read().split()[1]) * 4096
for _ in range(2):
    step(batch, length)
    step(batch, length)
    optimizer.step()
    optimizer.zero_grad()
with open("/proc/self/status") as stream:  # getrusage starts at what the parent process had
    peak = next(int(line.split()[1]) for line in stream if line.startswith("VmHWM:"))
print(peak * 1024 - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize(("width", "layers", "batch"), [(256, 6, 32), (512, 4, 16)])
def test_a_real_training_takes_what_was_traced(
    width: int, layers: int, batch: int, twice: bool
) -> None:
    """The weights are there before; gradients, AdamW's numbers and activations come on top.

    The allocator is told to give back what is freed: else a process keeps more than is in use.
    """
    change = {"vocab_size": 8000, "hidden_size": width, "num_hidden_layers": layers,
              "num_attention_heads": width // 64, "intermediate_size": 4 * width}  # fmt: skip
    model = model_of(TINY | change)
    body = json.dumps([model.model_dump(mode="json", exclude_none=True), batch, 128, twice])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TRAINING, body],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
    )  # fmt: skip
    measured = int(done.stdout)
    way = ("cpu", "fp32", "full")
    config = tracing.configuration(model)
    fields = {
        k: v for k, v in tracing.counted(config).items() if k in resources.Traced.model_fields
    }
    traces = {resources.key(*way): tracing._trace(config, *way)}
    traced = resources.Traced(architecture="x", traces=traces, **fields)
    training = Training.model_validate({"steps": 1, "batch": 2 * batch, "micro_batch": batch})
    work = Work("task", Shape(128), training, 1)
    machine = Machine(CATALOG.devices["cpu"])
    parts = attempt(
        model, traced, {0: work}, machine, Way("one device", 1, checkpointing=twice)
    ).heaviest.parts
    said = sum(parts[name] for name in ("optimizer", "gradients", "activations"))
    error = said / measured - 1
    print(f"said {said / GIB:.3f} GiB, measured {measured / GIB:.3f} GiB, {error:+.1%}")
    assert abs(error) < 0.1
