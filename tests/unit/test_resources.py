"""Memory and hours by traced numbers: they grow as they should, and the batch stays the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from compiler import catalog as catalogs
from compiler import resources, scratch
from compiler.check import check
from compiler.entries import Model
from compiler.errors import EnvironmentUnready, StudyInvalid
from compiler.expand import expand
from compiler.resources import Shape, Traced
from compiler.strategy import GIB, Machine, Way, Work, attempt, choose, cuts
from compiler.training import Training
from runtime.cli import app
from runtime.strategy import parted

STUDIES = Path(__file__).parents[2] / "specs" / "studies"
CATALOG = catalogs.load()
H100 = CATALOG.devices["h100-80gb"]
EVERY = {
    (family, model.name): (model, found)
    for family, entry in CATALOG.families.items()
    for model in scratch.members(entry)
    if (found := resources.find(CATALOG, family, model)) is not None
}
XLMR = [(model, found) for (family, _), (model, found) in EVERY.items() if family == "xlm-r"]


def model_of(name: str) -> tuple[Model, Traced]:
    return next(pair for (_, known), pair in EVERY.items() if known == name)


def work(batch: int = 32, length: int = 128, **more: Any) -> Work:
    body = {"steps": 100, "batch": batch, "max_length": length, "precision": "bf16"} | more
    return Work("task", Shape(length), Training.model_validate(body), 100)


def test_every_size_with_an_architecture_was_traced() -> None:
    wanted = {
        (family, model.name)
        for family, entry in CATALOG.families.items()
        for model in scratch.members(entry)
        if model.architecture
    }
    assert wanted == set(EVERY)


@pytest.mark.parametrize(("family", "name"), sorted(EVERY))
def test_traced_parameters_are_the_published_ones(family: str, name: str) -> None:
    model, found = EVERY[family, name]
    assert found.total == model.counts.total
    assert found.layers * found.layer <= model.counts.non_embedding


@pytest.mark.parametrize(("model", "found"), XLMR, ids=[m.name for m, _ in XLMR])
def test_six_operations_a_parameter_would_overstate(model: Model, found: Traced) -> None:
    trace = found.traces["cuda/bf16/full"]
    whole = resources.flops(found, trace, Shape(128, logits=0)) / 128
    layers = 6 * found.layers * found.linear
    assert layers < whole < 1.1 * layers  # attention is the rest
    assert whole < 6 * found.total


def test_the_memory_of_a_step_by_hand() -> None:
    model, found = model_of("xlmr-base")
    fit = attempt(model, found, {0: work()}, Machine(H100), Way("one device", 1)).fits[0]
    weights = 4 * found.total
    assert (fit.micro_batch, fit.accumulation) == (32, 1)
    assert fit.parts["weights"] == fit.parts["gradients"] == pytest.approx(weights)
    assert fit.parts["optimizer"] == pytest.approx(2 * weights)
    assert fit.parts["process"] == 1.5 * GIB
    # By hand: 34 bytes x width of a layer's tokens (arXiv:2205.05198 has 34 at two bytes each,
    # without the scores of attention), and here residuals and norms have four.
    assert 34 < fit.parts["activations"] / (32 * 128 * found.layers * found.width) < 70


def test_the_tunings_are_ordered_by_memory() -> None:
    model, found = model_of("llama-2-7b")
    machine, way = Machine(H100), Way("one device", 1)
    full, lora, qlora = (
        attempt(model.tuned(tuning, None), found, {0: work()}, machine, way).heaviest.parts
        for tuning in ("full", "lora", "qlora")
    )
    assert full["optimizer"] > 100 * lora["optimizer"] == 100 * qlora["optimizer"]
    assert full["weights"] == pytest.approx(lora["weights"], rel=0.02)
    assert 0.1 < qlora["weights"] / lora["weights"] < 0.2


def test_computing_layers_twice_saves_memory_and_costs_a_third() -> None:
    model, found = model_of("xlmr-large")
    once, again = (
        attempt(model, found, {0: work()}, Machine(H100), Way("one device", 1, checkpointing=c))
        for c in (False, True)
    )
    assert again.heaviest.parts["activations"] < once.heaviest.parts["activations"] / 3
    ratio = again.heaviest.step_seconds / once.heaviest.step_seconds
    assert ratio == pytest.approx(4 / 3, rel=0.01)


def test_the_host_lends_what_it_has() -> None:
    model, found = model_of("bloom-176b")
    way = Way("fsdp2", 8, sharded=True, checkpointing=True, offload=True)
    small = attempt(model, found, {0: work()}, Machine(H100, 1, 8), way)
    assert not small.possible
    large = attempt(model, found, {0: work()}, Machine(H100, 8, 8), way._replace(devices=64))
    assert large.possible
    assert large.heaviest.parts["weights"] == 0


way_of = st.sampled_from(
    [
        Way("ddp", 1),
        Way("ddp", 1, checkpointing=True),
        Way("fsdp2", 2, sharded=True),
        Way("fsdp2", 2, sharded=True, checkpointing=True),
    ]
)
names = st.sampled_from(sorted(name for _, name in EVERY))


@settings(max_examples=60, deadline=None)
@given(name=names, way=way_of, power=st.integers(0, 5), batch=st.integers(1, 64))
def test_more_devices_never_take_more_memory_of_each(
    name: str, way: Way, power: int, batch: int
) -> None:
    model, found = model_of(name)
    few, many = way.devices * 2**power, way.devices * 2 ** (power + 1)
    if way.name == "ddp":  # the copies of gradients that are sent come with the second device
        few, many = few + 1, many + 1
    one, other = (
        attempt(model, found, {0: work(batch)}, Machine(H100, 1, n), way._replace(devices=n))
        for n in (few, many)
    )
    whole = (
        fit.parts["activations"] / fit.micro_batch for c in (one, other) for fit in [c.heaviest]
    )
    assert all(value > 0 for value in whole)
    if one.possible:
        assert other.possible
    if one.heaviest.micro_batch >= other.heaviest.micro_batch:
        assert other.heaviest.memory <= one.heaviest.memory * (1 + 1e-9)


@settings(deadline=None)
@given(
    batch=st.integers(1, 300),
    devices=st.integers(1, 70),
    micro=st.none() | st.integers(1, 40),
)
def test_the_batch_is_the_same_however_it_is_cut(
    batch: int, devices: int, micro: int | None
) -> None:
    import torch

    from runtime.batches import Batch
    from runtime.division import shares

    rows = torch.arange(batch)
    whole = Batch(rows.tolist(), rows.unsqueeze(1), torch.ones(batch, 1), rows)
    for size, accumulation in cuts(work(batch, micro_batch=micro), devices):
        share = -(-batch // devices)
        assert size * accumulation >= share > size * (accumulation - 1)
        assert micro is None or size <= micro
        if size * accumulation > 4:
            continue  # the loop itself is asked where that is quick
        seen = [
            row
            for rank in range(devices)
            for part, weight in shares(whole, size, rank, devices)
            if weight
            for row in part.rows
        ]
        assert sorted(seen) == list(range(batch))


def test_the_least_intrusive_way_is_taken() -> None:
    chosen = [
        choose(model, found, {0: work()}, Machine(H100, 2, 8)).way.title for model, found in XLMR
    ]
    assert chosen == ["ddp", "ddp", "ddp", "fsdp2"]
    small = replace(Machine(H100), device=H100.model_copy(update={"memory_gib": 11.0}))
    model, found = model_of("xlmr-large")
    tried = choose(model, found, {0: work(32, 512)}, small)
    assert tried.heaviest.accumulation > 1
    assert tried.rejected == ()


def test_a_plan_says_how_each_size_is_trained() -> None:
    plan = expand(check(STUDIES / "weekend.yaml", installed=False))
    takes = plan.execution["resources"]["xlmr-large"]
    assert (takes["strategy"], takes["devices"]) == ("one device", 1)
    assert takes["memory_gib"] < takes["capacity_gib"] == 23.5
    assert takes["device_hours"] > plan.execution["resources"]["xlmr-base"]["device_hours"] > 0.5
    assert takes["kwh"] == pytest.approx(takes["device_hours"] * 0.45, abs=0.1)


def test_what_differs_between_sizes_is_in_the_ledger() -> None:
    plan = expand(check(STUDIES / "xtreme-xlmr.yaml", installed=False))
    ledger = {entry["what"]: entry["detail"] for entry in plan.confounds}
    assert "xlmr-base ddp on 8" in ledger["strategy"]
    assert "xlmr-xxl fsdp2 on 8" in ledger["strategy"]
    trained = [stage for stage in plan.stages.values() if stage.kind == "train"]
    assert {parted(plan, stage) for stage in trained if stage.model == "xlmr-xxl"} == {True}
    assert {parted(plan, stage) for stage in trained if stage.model == "xlmr-base"} == {False}
    others = {stage.kind for stage in plan.stages.values() if parted(plan, stage)}
    assert others == {"train", "evaluate"}, "searches in vectors are those of one process"


def study(folder: Path, **changes: Any) -> Path:
    body = {
        "study": "fits", "models": {"family": "xlm-r", "sizes": ["base", "xxl"]},
        "intermediate": ["mnli"], "targets": ["paws_x"], "seeds": [1], "recipe": "xtreme",
        "hardware": {"device": "rtx-4090"},
    } | changes  # fmt: skip
    path = folder / "study.yaml"
    path.write_text(json.dumps(body), encoding="utf-8")
    return path


def test_an_impossible_size_is_an_error_with_ways_out(tmp_path: Path) -> None:
    with pytest.raises(StudyInvalid) as caught:
        check(study(tmp_path), installed=False)
    (found,) = [d for d in caught.value.diagnostics if d.severity == "error"]
    assert found.code == "C240"
    assert "`xlmr-xxl` does not fit 1 rtx-4090" in found.message
    assert "of 23.5 GiB" in found.message
    assert "rtx-4090 (fsdp2" in found.hint
    assert "allow: [qlora]" in found.hint
    assert "device hours" in found.hint


def test_only_the_study_may_allow_adapters(tmp_path: Path) -> None:
    resolved = check(study(tmp_path, allow=["lora", "qlora"]), installed=False)
    assert {m.name: m.tuning for m in resolved.models} == {"xlmr-base": "full", "xlmr-xxl": "qlora"}
    assert "C213" in {d.code for d in resolved.diagnostics}
    keys = expand(resolved).stages
    base = check(study(tmp_path, models={"family": "xlm-r", "sizes": ["base"]}), installed=False)
    assert set(expand(base).stages) <= set(keys)


def test_the_cut_is_in_no_key(tmp_path: Path) -> None:
    base = {"family": "xlm-r", "sizes": ["large"]}
    plans = [
        expand(check(study(tmp_path, models=base, hardware={"device": name}), installed=False))
        for name in ("h100-80gb", "t4", "cuda")
    ]
    assert plans[0].stages == plans[1].stages == plans[2].stages
    cut = [plan.execution.get("trainings", {}) for plan in plans]
    assert cut[0] == cut[2] == {}
    assert {t["micro_batch"] for t in cut[1].values()} <= set(range(1, 32))
    assert cut[1]


def test_an_unknown_model_is_noted(tmp_path: Path) -> None:
    own = {"name": "own", "checkpoint": {"hub": "someone/model"},
           "parameters": {"total": 9, "non_embedding": 5}}  # fmt: skip
    hardware = {"device": "h100-80gb"}
    found = check(study(tmp_path, models=[own], hardware=hardware), installed=False)
    assert "C242" in {d.code for d in found.diagnostics}
    assert found.strategies == {}


def test_a_checkpoint_of_the_catalog_is_known_by_its_repository() -> None:
    resolved = check(STUDIES / "llama-7b-70b.yaml", installed=False)
    assert set(resolved.strategies) == {"llama-2-7b", "llama-2-70b"}


@pytest.mark.parametrize("text", ["", "[]", '{"schema": "x", "family": "a"}', "\0"])
def test_a_damaged_file_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "resources" / "mine.json"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    with pytest.raises(EnvironmentUnready) as caught:
        resources._read(path)
    assert caught.value.code == "E013"
    assert str(path) in str(caught.value)


def test_a_changed_architecture_is_not_taken_for_the_traced_one() -> None:
    model, _ = model_of("xlmr-base")
    other = model.model_copy(update={"architecture": {**model.architecture, "hidden_size": 640}})
    assert resources.find(CATALOG, "xlm-r", other) is None


def test_files_are_written_as_they_are_read() -> None:
    path = resources.file_of(CATALOG.files["models/xlm-r"], "xlm-r")
    assert resources.as_json(resources._read(path)) == path.read_text(encoding="utf-8")  # type: ignore[arg-type]


def test_fit_answers_one_question() -> None:
    ask = ["fit", "xlm-r:xxl", "--device", "h100-80gb", "--precision", "bf16"]
    said = CliRunner().invoke(app, ask, env={"COLUMNS": "140"})
    assert said.exit_code == 0, said.output
    assert "xlmr-xxl: fsdp2 on 4 h100-80gb" in said.output
    assert "of 79.0 GiB (weights" in said.output
    body = json.loads(CliRunner().invoke(app, [*ask, "--format", "json"]).output)
    assert {row["tuning"] for row in body} == {"full", "lora", "qlora"}
    assert [row["fits"] for row in body[:4]] == [False] * 4
    none = CliRunner().invoke(app, ["fit", "bloom-176b", "--device", "t4", "--tuning", "full"])
    assert none.exit_code == 1
    assert "does not fit" in none.output


@pytest.mark.parametrize(
    "words",
    [
        ["fit", "xlmr-xx", "--device", "t4"],
        ["fit", "xlmr-xl", "--device", "t5"],
        ["fit", "xlmr-xl", "--device", "t4", "--task", "mnly"],
        ["fit", "xlmr-xl", "--device", "t4", "--recipe", "nothing"],
        ["fit", "xlmr-xl", "--device", "t4", "--phase", "target", "--task", "mnli"],
        ["trace", "xlm"],
    ],
)
def test_what_is_none_is_said(words: list[str]) -> None:
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 2
    assert "E014" in said.output
