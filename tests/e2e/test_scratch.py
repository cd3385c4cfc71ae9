"""Models from scratch: from texts to scores, what repeats, and what is lost and made anew."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from e2e.test_resume import Cut, Kill, forks, killed, same
from e2e.test_study import plan_of, records, scores, work
from forks import Forks
from tinyscratch import write_scratch

from compiler.plan import Plan, Stage
from compiler.render import machine, render, write
from runtime.checkpoint import Checkpoints
from runtime.lease import Lease
from runtime.publish import publish
from runtime.records import Record
from runtime.store import Store, status, sweep
from runtime.worker import Worker

__all__ = ["forks"]  # a fixture

FIELDS: dict[str, Any] = {
    "targets": ["colours", "pairs"], "languages": ["en", "de"],
    "recipe": {"name": "tiny", "defaults": {"steps": 15}},
}  # fmt: skip


def of_kind(plan: Plan, kind: str) -> list[Stage]:
    return [stage for stage in plan.stages.values() if stage.kind == kind]


def record(store: Store, stage: Stage, part: str = "all") -> Record:
    found = store.record(stage.key, part)
    assert found is not None
    return found


def sums(store: Store, plan: Plan, *kinds: str) -> dict[str, Any]:
    """Return the checksums of all that some kinds of stages left."""
    return {
        f"{stage.key}/{part}/{name}": output["sha256"]
        for kind in kinds
        for stage in of_kind(plan, kind)
        for part in stage.parts
        for name, output in record(store, stage, part).outputs.items()
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan, Store]:
    """Two sizes, pretrained once a seed, run in this process."""
    folder = tmp_path_factory.mktemp("scratch")
    pretrain = {"seeds": "per_seed"}
    study = write_scratch(folder, pretrain=pretrain, **FIELDS)
    plan = plan_of(study)
    store = Store(folder / "store")
    assert work(plan, store) == 0
    return study, plan, store


def test_every_cell_has_a_score(finished: tuple[Path, Plan, Store]) -> None:
    _, plan, store = finished
    assert set(status(store, plan).values()) == {"done"}
    # 2 sizes, 2 seeds, 2 arms; colours in two languages, pairs in one.
    assert len(scores(store, plan)) == 2 * 2 * 2 * (2 + 1)


def test_what_a_pretraining_says_of_itself(finished: tuple[Path, Plan, Store]) -> None:
    _, plan, store = finished
    stages = of_kind(plan, "pretrain")
    assert len(stages) == 4
    for stage in stages:
        result = record(store, stage).result
        assert stage.identity["tokens"] <= result["tokens"] < stage.identity["tokens"] + 32 * 16
        assert result["steps"] > 20
        assert result["tokens_per_second"] > 0
        needed = result["flops_per_token"] * result["tokens_per_second"]
        assert result["mfu"] == pytest.approx(needed / result["peak_flops"], abs=1e-4)
        for name in ("mlm", "translation_pairs"):
            loss = result["losses"][name]
            assert loss["last"] < loss["first"] - 0.5, name
            assert [point["step"] for point in result["curve"]][-1] == result["steps"]
            assert result["curve"][-1][name] < result["curve"][0][name]
        before, after = (result["alignment"][when]["parallel"] for when in ("before", "after"))
        assert set(after["languages"]) == {"de", "fr", "ru"}
        assert after["pivot"] == "en"
        assert after["rows"] == 15  # a tenth of 150
        assert after["chance"] == pytest.approx(100 / 15, abs=0.01)
        assert after["mean"] > before["mean"] + 20
        assert after["mean"] > 50
        assert result["parameters"] == plan.models[stage.model]["parameters"]


def test_texts_are_prepared_with_language_and_alignment(
    finished: tuple[Path, Plan, Store],
) -> None:
    import polars as pl

    _, plan, store = finished
    stage = next(s for s in of_kind(plan, "prepare") if s.task == "parallel")
    frames = {
        part: pl.read_ipc(store.folder(stage.key, part) / "data.arrow") for part in stage.parts
    }
    assert len(frames) == 4
    for part, frame in frames.items():
        assert frame["language"].unique().to_list() == [part.split("@")[0].split(".")[1]]
        assert frame["id"].to_list() == [f"r{n}" for n in range(150)]
        assert frame["input_ids"].list.len().max() <= 16
        assert record(store, stage, part).result["rows"] == 150
        assert record(store, stage, part).result["unknown_share"] == 0


@pytest.mark.slow
def test_all_of_it_repeats_to_the_byte(finished: tuple[Path, Plan, Store], tmp_path: Path) -> None:
    _, plan, store = finished
    again = plan_of(write_scratch(tmp_path, pretrain={"seeds": "per_seed"}, **FIELDS))
    assert again.stages.keys() == plan.stages.keys(), "a key depends on where the study lies"
    other = Store(tmp_path / "store")
    assert work(again, other) == 0
    kinds = ("tokenizer", "prepare", "pretrain", "train")
    ours, theirs = (sums(*which, *kinds) for which in ((store, plan), (other, again)))
    assert ours == theirs
    assert scores(other, again) == scores(store, plan)
    seeds = {stage.identity["seed"]: stage.key for stage in of_kind(plan, "pretrain")}
    assert len({ours[f"{key}/all/model.safetensors"] for key in seeds.values()}) == len(seeds)


def test_a_lost_pretraining_is_made_anew_before_what_rests_on_it(
    finished: tuple[Path, Plan, Store], tmp_path: Path
) -> None:
    _, plan, store = finished
    other = Store(Path(shutil.copytree(store.root, tmp_path / "store")))
    trained = next(s for s in of_kind(plan, "evaluate") if s.model == "made-1")
    start = next(s for s in of_kind(plan, "pretrain") if s.model == "made-1")
    before = records(other)
    gone = [f"{start.key}/all", *(f"{trained.key}/{part}" for part in trained.parts)]
    for name in gone:
        shutil.rmtree(other.root / "stages" / name)
    assert work(plan, other) == 0
    after = records(other)
    assert {name for name in before if before[name] != after[name]} == set(gone)
    assert sums(other, plan, "pretrain") == sums(store, plan, "pretrain")
    assert scores(other, plan) == scores(store, plan)


@pytest.mark.parametrize("first", ["none", "embeddings"])
@pytest.mark.parametrize("second", ["none", "embeddings"])
def test_what_training_leaves_is_what_scoring_loads(
    tmp_path: Path, first: str, second: str
) -> None:
    """The test rows are the dev rows: their score is that of the model in memory, or it is lost.

    Frozen weights are in no training's record, and come from the pretraining beneath it.
    """
    phases: dict[str, Any] = {"intermediate": {"freeze": first}, "target": {"freeze": second}}
    study = write_scratch(
        tmp_path, (2,), {"tokens": 3000}, recipe={"name": "tiny", "phases": phases},
        seeds=[1], targets=["colours", "tags"], languages=["en"],
    )  # fmt: skip
    data = tmp_path / "own" / "data"
    for name in ("colours", "tags"):
        shutil.copy(data / f"{name}.dev.en.jsonl", data / f"{name}.test.en.jsonl")
    plan = plan_of(study)
    store = Store(tmp_path / "store")
    assert work(plan, store) == 0
    for run in plan.runs:
        assert run.train is not None
        trained = record(store, plan.stages[run.train]).result["english_dev"]["value"]
        scored = record(store, plan.stages[run.score], plan.part_of(run.score, "en"))
        assert scored.result["value"] == pytest.approx(trained)


def test_a_chain_goes_on_from_its_own_pretraining(finished: tuple[Path, Plan, Store]) -> None:
    """The untouched models of two seeds score apart, and each as its own pretraining left it."""
    _, plan, store = finished
    for model in plan.models:
        runs = [r for r in plan.runs if r.model == model and r.target == "pairs" and not r.train]
        assert len({run.score for run in runs}) == 2
        for run in runs:
            start = plan.stages[plan.stages[run.score].inputs["weights"]]
            assert start.identity["seed"] == run.seed
            value = record(store, plan.stages[run.score], plan.part_of(run.score, "de")).result
            assert value["value"] > 3 * 100 / 24


def lasting(folder: Path, devices: int = 1, **pretrain: Any) -> tuple[Plan, str]:
    """Return a plan with one pretraining that leaves a checkpoint at each look at its losses."""
    folder.mkdir(exist_ok=True)
    hardware = {
        "device": "cpu", "threads": 1, "pack": "seed", "checkpoint_minutes": 1e-9,
        "devices_per_node": devices,
    }  # fmt: skip
    architecture = {"hidden_dropout_prob": 0.2}
    study = write_scratch(
        folder, (1,), HARD | pretrain, architecture, seeds=[1], hardware=hardware, **FIELDS
    )
    plan = plan_of(study)
    (folder / "plan.json").write_text(plan.to_json(), encoding="utf-8")
    return plan, of_kind(plan, "pretrain")[0].key


def finish(plan: Plan, store: Store, key: str) -> tuple[dict[str, Any], Any]:
    """Run a pretraining and what it needs; return its result, without times, and its files."""
    store.prepare()
    sweep(store)
    needed = [*plan.stages[key].inputs.values(), key]
    assert Worker(plan, store, tuple(needed), 1, store.root.parent).run() == 0
    found = record(store, plan.stages[key])
    assert not (store.root / "checkpoints" / key).exists()
    return dict(found.result), {name: x["sha256"] for name, x in found.outputs.items()}


HARD: dict[str, Any] = {"tokens": 100_000, "initialisation": "aligned"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kills", "changes"), [(3, {}), (6, {"precision": "bf16", "objectives": {"mlm": {}}})]
)
def test_kills_change_nothing(
    tmp_path: Path, forks: Forks, kills: int, changes: dict[str, Any]
) -> None:
    """Of a pretraining with dropout that is killed at random, each time in another process."""
    plan, key = lasting(tmp_path, **changes)
    whole, files = finish(plan, Store(tmp_path / "whole"), key)
    store, draw = Store(tmp_path / "store"), random.Random(kills)
    for _ in range(kills):
        kill = Kill(writing=False, checkpoint=1, wait=draw.uniform(0, 0.15))
        assert killed(forks, tmp_path, store, key, kill) != "over", (
            "it was done before it was killed"
        )
    resumed, again = finish(plan, store, key)
    assert len(resumed["resumed_after"]) == kills
    assert again == files
    same(whole, resumed)


@pytest.mark.parametrize("step", [1, 10])
def test_any_step_may_be_the_last(
    tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, key = lasting(tmp_path, tokens=6000)
    whole, files = finish(plan, Store(tmp_path / "whole"), key)
    assert whole["steps"] > 11
    store, write = Store(tmp_path / "store"), Checkpoints.save

    def save(self: Checkpoints, at: int, *rest: Any) -> None:
        if at == step:
            write(self, at, *rest)
            raise Cut

    with monkeypatch.context() as patch:
        patch.setattr("runtime.pretraining.loop.AHEAD", 1)
        patch.setattr(Checkpoints, "save", save)
        with pytest.raises(Cut):
            finish(plan, store, key)
    resumed, again = finish(plan, store, key)
    assert resumed["resumed_after"] == [step]
    assert again == files
    same(whole, resumed)


def test_a_pretraining_that_diverges_is_classed(tmp_path: Path) -> None:
    plan, key = lasting(tmp_path, learning_rate=1e30, clip=1e30)
    store = Store(tmp_path / "store")
    store.prepare()
    needed = [*plan.stages[key].inputs.values(), key]
    assert Worker(plan, store, tuple(needed), 1, tmp_path).run() == 3
    failure = store.failure(key)
    assert failure is not None
    assert failure.failure_class == "diverged"
    assert "at step" in failure.message
    assert store.record(key) is None


def test_progress_is_told_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    write = Lease.tell

    def tell(self: Lease, **progress: Any) -> None:
        told.append(progress)
        write(self, **progress)

    monkeypatch.setattr(Lease, "tell", tell)
    plan, key = lasting(tmp_path, tokens=6000)
    whole, _ = finish(plan, Store(tmp_path / "store"), key)
    steps = [one for one in told if "step" in one]
    assert [one["step"] for one in steps] == list(range(1, whole["steps"] + 1))
    losses = {"step", "steps", "loss", "mlm", "translation_pairs"}
    speeds = {"tokens_per_second", "mfu", "seconds_left"}
    assert all(set(one) == losses | speeds for one in steps)
    assert all(one["mfu"] > 0 for one in steps)
    assert steps[0]["loss"] == pytest.approx(steps[0]["mlm"] + steps[0]["translation_pairs"], 1e-3)


def test_every_size_has_its_own_budget(tmp_path: Path) -> None:
    """Sizes that ask for other numbers of tokens get them, and the plan says so."""
    study = write_scratch(tmp_path, budgets={2: 8000}, pretrain={"tokens": 4000}, **FIELDS)
    plan, store = plan_of(study), Store(tmp_path / "store")
    for stage in of_kind(plan, "pretrain"):
        wanted = {"made-1": 4000, "made-2": 8000}[stage.model]
        found, _ = finish(plan, store, stage.key)
        assert stage.identity["tokens"] == wanted
        # The last step is the one that reaches it, and a step has 16 rows for each objective.
        assert wanted <= found["tokens"] < wanted + 2 * 16 * 16
    assert any("tokens" in str(one) for one in plan.confounds)


@pytest.mark.slow
def test_of_several_processes_the_main_one_pretrains(tmp_path: Path) -> None:
    """The others wait; what is trained after it is trained by all."""
    plan, key = lasting(tmp_path / "one", tokens=6000)
    _, files = finish(plan, Store(tmp_path / "one" / "store"), key)
    plan, key = lasting(tmp_path / "two", devices=2, tokens=6000)
    build, store = tmp_path / "two" / "build", Store(tmp_path / "two" / "store")
    write(render(plan) | {"env.sh": machine(sys.executable, store.root, build)}, build)
    assert {job.processes for job in plan.jobs} == {1, 2}
    for job in plan.jobs:
        done = subprocess.run(
            ["bash", str(build / "launch" / f"{job.name}.sh")],
            capture_output=True, text=True, check=False, timeout=300,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    assert set(status(store, plan).values()) == {"done"}
    found = record(store, plan.stages[key])
    assert {name: x["sha256"] for name, x in found.outputs.items()} == files


def test_the_report_says_how_it_went(finished: tuple[Path, Plan, Store], tmp_path: Path) -> None:
    _, plan, store = finished
    page = publish(plan, store, tmp_path, "stiltscale report")
    body = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    stages = of_kind(plan, "pretrain")
    assert {one["stage"] for one in body["pretraining"]} == {stage.key for stage in stages}
    texts = [x.read_text(encoding="utf-8") for x in (page, tmp_path / "report.md")]
    for one in body["pretraining"]:
        result = record(store, plan.stages[one["stage"]]).result
        assert one["parameters"] == plan.models[one["model"]]["parameters"]
        assert one["tokens"] == result["tokens"]
        after = result["alignment"]["after"]["parallel"]["mean"]
        assert one["alignment"]["parallel"]["after"] == after
        for text in texts:
            assert "Pretraining of each size" in text
            assert f"{one['tokens']:,}" in text
            assert f"{one['losses']['mlm']['last']:.3f}" in text
            assert f"{after:.2f}" in text


def test_what_is_saved_is_a_model_of_transformers(finished: tuple[Path, Plan, Store]) -> None:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    _, plan, store = finished
    stage = next(s for s in of_kind(plan, "pretrain") if s.model == "made-2")
    (tokens,) = of_kind(plan, "tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(store.folder(tokens.key))
    model, info = AutoModelForMaskedLM.from_pretrained(
        store.folder(stage.key), output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    ids = tokenizer("want red cup hold blue tree", return_tensors="pt")["input_ids"]
    surprise = []
    for place in range(1, ids.shape[1] - 1):
        masked = ids.clone()
        masked[0, place] = tokenizer.mask_token_id
        chances = model(masked).logits[0, place].log_softmax(dim=-1)
        surprise.append(-float(chances[ids[0, place]].detach()))
    assert sum(surprise) / len(surprise) < 0.9 * math.log(len(tokenizer)), surprise
    config = json.loads((store.folder(stage.key) / "config.json").read_text())
    assert config["hidden_size"] == 24
