"""What a running training says of its speed, and how it is shown."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from accelerate import Accelerator
from rich.console import Console
from tinykinds import examples, model, rows, task

from runtime import batches, loop, throughput
from runtime.batches import Batch, Source
from runtime.kinds import TRAINED
from runtime.model import Model
from runtime.progress import Lines, screen, short, words
from runtime.scheduler import Progress

KIND = "sequence_classification"


def batch_of(kind: str, count: int = 8) -> Batch:
    data = examples("encoder", task(kind), rows(kind, 24))
    return TRAINED[kind].collate(data, range(count), np.random.default_rng(0))


def matrices(made: Model) -> int:
    return sum(p.numel() for n, p in made.named_parameters() if p.ndim > 1 and "embed" not in n)


@pytest.mark.parametrize("kind", ["token_classification", "span_extraction"])
def test_flops_are_six_a_weight_and_attention(kind: str) -> None:
    made, batch = model("encoder", task(kind)), batch_of(kind, 4)
    config: Any = made.backbone.config
    width, layers, length = config.hidden_size, config.num_hidden_layers, batch.input_ids.shape[1]
    # Scores and their use: two products forward; the way back of the fused kernel has five.
    attention = layers * width * length * 2 * (2 + 5)
    found = throughput.flops_per_token(made, batch)
    assert found == pytest.approx(6 * matrices(made) + attention, rel=0.02)


def test_what_does_not_learn_costs_no_gradient() -> None:
    made, batch = model("encoder", task("token_classification")), batch_of("token_classification")
    whole = throughput.flops_per_token(made, batch)
    for name, parameter in made.named_parameters():
        parameter.requires_grad_(name.startswith("head."))
    head = throughput.flops_per_token(made, batch)
    assert 0.3 < head / whole < 0.36


def test_counting_changes_nothing() -> None:
    made, batch = model("encoder", task("masked_lm")), batch_of("masked_lm")
    made.train()
    before = {k: v.clone() for k, v in made.state_dict().items()}
    torch.manual_seed(3)
    drawn = torch.random.get_rng_state()
    assert throughput.flops_per_token(made, batch) > 0
    assert torch.equal(drawn, torch.random.get_rng_state())
    assert all(p.grad is None for p in made.parameters())
    assert all(module.training for module in made.modules())
    assert all(torch.equal(v, before[k]) for k, v in made.state_dict().items())


def test_the_peak_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "SIZES", {"cpu": 256})
    throughput._peak.cache_clear()
    first = throughput.peak(torch.device("cpu"), "fp32")
    assert 1e8 < first < 1e14
    assert throughput.peak(torch.device("cpu"), "fp32") == first
    assert throughput._peak.cache_info().misses == 1
    throughput.peak(torch.device("cpu"), "bf16")
    assert throughput._peak.cache_info().misses == 2
    throughput._peak.cache_clear()


def trained(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> tuple[dict[str, Any], list[Any]]:
    monkeypatch.setattr(throughput, "peak", lambda _device, _precision: 1e9)
    of, told = task(KIND), []
    made, data = model("encoder", of), examples("encoder", of, rows(KIND, 24))
    found = loop.train(
        made,
        [Source(KIND, KIND, data, of)],
        None,
        {"steps": 12, "batch": 8, "learning_rate": 1e-3} | settings,
        1,
        Accelerator(cpu=True),
        64,
        lambda **one: told.append(one),
    )
    return found, told


def test_a_training_records_its_use_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    found, told = trained(monkeypatch)
    assert found["peak_flops"] == 1e9
    share = found["flops_per_token"] * found["tokens_per_second"] / 1e9
    assert found["mfu"] == pytest.approx(share, abs=1e-4)
    last = told[-1]
    assert (last["step"], last["steps"], last["seconds_left"]) == (12, 12, 0.0)
    assert last["tokens_per_second"] > 0
    assert last["mfu"] > 0


def test_the_speed_is_that_of_the_last_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(throughput, "peak", lambda _device, _precision: 1000.0)
    monkeypatch.setattr(throughput, "flops_per_token", lambda *_: 2.0)
    meter = throughput.Meter(model("encoder", task(KIND)), Accelerator(cpu=True), "fp32")
    meter.start(5)
    assert meter.speed(100) == {}
    batch = batch_of(KIND)
    tokens = int(batch.attention_mask.sum())
    for step in range(6, 16):  # slow, then four times as fast
        now[0] += 40.0 if step < 10 else 10.0
        meter.count(step, batch, "head")
        said = meter.speed(100)
    assert said["tokens_per_second"] == pytest.approx(tokens / 10, rel=0.01)
    assert said["mfu"] == pytest.approx(tokens / 10 * 2 / 1000, abs=1e-4)
    assert said["seconds_left"] == 850.0


@pytest.mark.slow
def test_a_translated_model_learns_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, _ = trained(monkeypatch)
    used: list[Any] = []
    translate = torch.compile

    def compile_(made: Any, **words: Any) -> Any:
        used.append(words)
        return translate(made, backend="eager", **words)

    monkeypatch.setattr(torch, "compile", compile_)
    found, _ = trained(monkeypatch, compile=True)
    assert used == [{"dynamic": True}]
    assert found["compile"] is True
    assert found["losses"] == pytest.approx(plain["losses"], rel=1e-5)


def test_arrays_share_the_memory_of_their_column() -> None:
    lists = [[1, 2, 3], [4], [5, 6]]
    column = pl.Series("ids", lists, dtype=pl.List(pl.Int32))
    whole = pl.concat([column, column], rechunk=False)
    found = batches.arrays(whole)
    assert [one.tolist() for one in found] == lists * 2
    flat = whole.get_chunks()[1].explode().to_numpy()
    assert np.shares_memory(found[3], flat)
    empty = pl.Series("ids", [[], [7], []], dtype=pl.List(pl.Int32))
    assert [one.tolist() for one in batches.arrays(empty)] == [[], [7], []]
    assert batches.arrays(pl.Series("ids", [], dtype=pl.List(pl.Int32))) == []


def test_padding_fills_up_with_its_token() -> None:
    ids, mask = batches.pad([[5, 6, 7], np.array([8], dtype=np.int32), [9, 3]], 1)
    assert ids.tolist() == [[5, 6, 7], [8, 1, 1], [9, 3, 1]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0]]
    assert ids.dtype == mask.dtype == torch.int64


TRAINING = {"step": 1204, "steps": 36816, "loss": 0.4321, "tokens_per_second": 5231.2}
RUNNING = {
    "train-mnli-xlmr_base-nine_tasks-s1-3f9a1c2b": {
        "progress": TRAINING | {"mfu": 0.314, "seconds_left": 4123.0}
    },
    "evaluate-xnli-xlmr_base-none-s1-99aa88bb": {"progress": {"part": "sw"}},
}
NOW = Progress(128, 37, ("prepare-xnli-1",), RUNNING, {"one": "running"}, 812.0, ("two",), 5123.0)


@pytest.mark.parametrize("width", [80, 160])
def test_a_terminal_shows_all_that_is_known(width: int) -> None:
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    console.print(screen(NOW, width))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    whole = ("37/128 stages", "13:32 elapsed", "about 1:25:23 left", "two")
    each = ("step 1204/36816", "loss 0.432", "5.23k tok/s", "MFU 31%", "1:08:43 left", "sw")
    for word in (*whole, *RUNNING, *each):
        assert word in text, word
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert len(text.splitlines()) == (4 if width == 160 else 6)


def test_many_running_stages_are_counted() -> None:
    console = Console(width=80, file=io.StringIO(), force_terminal=True, color_system=None)
    many = {f"train-{n}": {"progress": TRAINING} for n in range(30)}
    console.print(screen(replace(NOW, running=many), 80))
    assert "and 18 more are running" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_log_has_a_line_when_something_ends_and_else_is_quiet() -> None:
    console = Console(width=40, file=io.StringIO())
    lines = Lines(console)
    for second in range(0, 1000, 10):
        fresh = ("prepare-xnli-1",) if second == 20 else ()
        failed = ("two",) if second >= 500 else ()
        lines.tell(replace(NOW, fresh=fresh, failed=failed, seconds=float(second)))
    said = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line for line in said if " done " in line] == [
        "   0:20    37/128  done  prepare-xnli-1"
    ]
    assert len([line for line in said if "job two did not do" in line]) == 1
    assert len([line for line in said if "37/128 stages, about" in line]) == 3
    assert len([line for line in said if "MFU 31%" in line]) == 3
    assert said[0] == "   0:00  started one; a line follows for each stage that is done"
    assert len(said) == 12
    assert not any("\x1b" in line for line in said)


def test_numbers_are_short() -> None:
    said = [short(x) for x in (0, 87.4, 999.4, 999.6, 5231, 11_500, 118_231, 1_200_000, 3e12)]
    assert said == ["0", "87", "999", "1.00k", "5.23k", "11.5k", "118k", "1.20M", "3000G"]
    assert words({}) == {}


def test_the_rest_of_a_run_is_guessed_by_what_is_done(tmp_path: Path) -> None:
    from e2e.test_study import plan_of
    from tiny import write_study

    from runtime.scheduler import Guess
    from runtime.store import Store

    plan = plan_of(write_study(tmp_path, (1,)))
    kinds = {stage.kind for stage in plan.stages.values()}
    some = [key for key, stage in plan.stages.items() if stage.kind == "train"][:4]
    model_ = plan.stages[some[0]].model
    guess = Guess(plan, Store(tmp_path / "store"))
    assert guess.left(some, {}, 2) is None
    guess.taken = {("train", "another"): [50.0]}
    assert guess.left(some, {}, 1) == 200.0
    guess.taken[("train", model_)] = [10.0, 30.0]
    assert guess.left(some, {}, 1) == 80.0
    assert guess.left(some, {}, 2) == 40.0
    running = {some[0]: {"progress": {"seconds_left": 90.0}}}
    assert guess.left(some, running, 2) == 90.0
    assert guess.left([], {}, 1) == 0.0
    assert {"train", "evaluate"} <= kinds
