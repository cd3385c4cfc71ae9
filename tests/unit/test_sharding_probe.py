"""The sharding probe: what it trains a second time, what stays as it was, and what is refused."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console
from unit import synthetic

from compiler.check import check
from compiler.display import plan_view
from compiler.errors import EnvironmentUnready, StudyInvalid
from compiler.expand import expand
from compiler.explain import explain
from compiler.pilot import pilots
from compiler.plan import Plan, Run, from_json
from compiler.prospects import ladder_of
from compiler.schema import schema
from compiler.shape import shape
from runtime.abilities import refuse_unknown
from runtime.analysis.analyse import analyse
from runtime.collect import collect
from runtime.records import Record
from runtime.report import probe as probes
from runtime.report import views
from runtime.report.build import build_report
from runtime.strategy import parted

STUDIES = Path(__file__).parents[2] / "specs" / "studies"
WIDE = {"device": "h100-80gb", "nodes": 2, "devices_per_node": 8}


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A study of which one size must be divided, with a probe that says nothing more."""
    return expand(check(study(tmp_path_factory.mktemp("wide")), installed=False))


def study(folder: Path, **changes: Any) -> Path:
    body = {
        "study": "wide", "models": {"family": "xlm-r", "sizes": ["base", "large", "xl"]},
        "intermediate": ["mnli"], "targets": ["paws_x", "udpos"], "languages": ["en", "de"],
        "seeds": [4, 5], "recipe": "xtreme", "hardware": WIDE, "sharding_probe": {},
    } | changes  # fmt: skip
    path = folder / "study.yaml"
    path.write_text(json.dumps(body), encoding="utf-8")
    return path


def shown(plan: Plan) -> str:
    screen = io.StringIO()
    Console(file=screen, width=1000).print(plan_view(plan))
    return screen.getvalue()


def test_the_largest_size_that_fits_whole_is_divided_as_those_that_do_not(wide: Plan) -> None:
    said = wide.execution["sharding_probe"]
    assert (said["model"], said["seed"]) == ("xlmr-large", 4)
    assert said["whole"] == {"strategy": "ddp", "devices": 8}
    larger = wide.execution["resources"]["xlmr-xl"]
    assert (said["strategy"], said["devices"]) == (larger["strategy"], larger["devices"])
    assert said["memory_gib"] < wide.execution["resources"]["xlmr-large"]["memory_gib"]
    assert 0 < said["device_hours"] < wide.execution["resources"]["xlmr-large"]["device_hours"]
    second = [stage for stage in wide.stages.values() if stage.probe]
    assert {stage.model for stage in second} == {"xlmr-large"}
    assert all(parted(wide, s) for s in second if s.kind == "train")
    plain = [wide.stages[stage.probe["of"]] for stage in second]
    assert not any(parted(wide, stage) or stage.probe for stage in plain)
    for job in wide.jobs:
        if any(wide.stages[key].probe for key in job.stages):
            assert shape(wide, job).strategy == "fsdp2"
            assert job.processes == said["devices"]
            assert job.seconds is not None
    entry = {e["what"]: e["detail"] for e in wide.confounds}["sharding probe"]
    assert entry == "xlmr-large on seed 4 is trained by ddp on 8 and by fsdp2 on 8"


def test_it_is_shown_by_plan_and_explain_and_counted_nowhere(wide: Plan, tmp_path: Path) -> None:
    without = expand(check(study(tmp_path, sharding_probe=None), installed=False))
    said = wide.execution["sharding_probe"]
    line = next(x for x in shown(wide).splitlines() if x.startswith("sharding probe:"))
    assert line == (
        "sharding probe: xlmr-large on seed 4 by fsdp2 on 8 beside ddp on 8: 4 further runs, "
        "8 scores that are in no estimate, 9 stages (? done); device hours "
        f"<= {said['device_hours']:.2g}, {said['memory_gib']:.1f} GiB"
    )
    assert wide.runs == without.runs
    assert ladder_of(wide) == ladder_of(without)
    assert wide.execution["resources"] == without.execution["resources"]
    assert pilots(wide).stages == pilots(without).stages
    assert pilots(wide).jobs == pilots(without).jobs
    key = wide.probe[0].train
    assert key is not None
    told = explain(wide, key)
    assert "sharding_probe\n      strategy: fsdp2\n      devices: 8\n      of: train-" in told
    assert "0 of 24 runs, 0 cells" in told
    assert "1 of 4 runs of the sharding probe, 2 scores that are in no estimate" in told
    prepared = next(k for k, s in wide.stages.items() if s.kind == "prepare" and s.task == "mnli")
    assert "2 of 4 runs of the sharding probe" in explain(wide, prepared)
    assert "probe" not in explain(without, next(iter(without.stages)))


def test_the_runtime_refuses_what_it_cannot_divide(wide: Plan) -> None:
    said = {**wide.execution["sharding_probe"], "strategy": "fsdp2 + checkpointing + offload"}
    named = replace(wide, execution={**wide.execution, "sharding_probe": said})
    refuse_unknown(wide, "slurm")
    with pytest.raises(EnvironmentUnready, match=r"offload`, weights .* \(5 stages\)"):
        refuse_unknown(named, "slurm")


def test_the_plan_is_read_again_and_follows_its_schema(wide: Plan) -> None:
    import jsonschema

    text = wide.to_json()
    assert from_json(text).probe == wide.probe
    jsonschema.validate(json.loads(text), schema("plan"))
    assert {flag for run in wide.probe for flag in run.flags} == {"sharding_probe"}


@pytest.mark.parametrize(
    ("changes", "code", "what", "hint"),
    [
        ({"sharding_probe": {"model": "xlmr-x"}}, "C150",
         "the sharding probe names the model `xlmr-x`, which is not in this study", "did you mean"),
        ({"sharding_probe": {"seed": 1}}, "C150",
         "the sharding probe names the seed 1, which is not in this study", "choose from: 4, 5"),
        ({"sharding_probe": {"model": "xl"}}, "C151",
         "`xlmr-xl` can be trained in one way only: it fits no device whole",
         "choose from: xlmr-base, xlmr-large"),
        ({"sharding_probe": {"devices": 12}}, "C151",
         "12 devices cannot be had of 2 x 8, or not as many on each machine",
         "give a number that fills machines"),
        ({"models": {"family": "xlm-r", "sizes": ["base", "large"]}}, "C151",
         "no size is divided among devices by this plan: there is one way for all",
         "take `sharding_probe` out, or give `devices`"),
        ({"models": {"family": "xlm-r", "sizes": ["xl"]}}, "C151",
         "every size can be trained in one way only: `xlmr-xl` fits no device whole",
         "take `sharding_probe` out"),
        ({"models": {"family": "xlm-r", "sizes": ["base"], "tuning": "qlora"},
          "sharding_probe": {"devices": 8}}, "C151",
         "every size can be trained in one way only: `xlmr-base` has weights in 4 bits, which are "
         "not divided", "take `sharding_probe` out"),
        ({"targets": ["lareqa"]}, "C151", "nothing is trained here that can be divided",
         "take `sharding_probe` out"),
    ],
)  # fmt: skip
def test_what_cannot_be_probed_is_said(
    changes: dict[str, Any], code: str, what: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(StudyInvalid) as caught:
        check(study(tmp_path, **changes), installed=False)
    (found,) = [d for d in caught.value.diagnostics if d.severity == "error"]
    assert (found.code, found.message) == (code, what)
    assert hint in found.hint
    assert found.span is not None
    assert found.span.line == 1


class Store:
    """Records of a plan's probe: each score is that of its twin, and something more."""

    def __init__(self, values: dict[tuple[str, str], float]) -> None:
        self.values = values

    def record(self, key: str, part: str) -> Record | None:
        if (key, part) not in self.values:
            return None
        now = "2026-01-01T00:00:00+00:00"
        result = {"value": self.values[(key, part)], "n": 100}
        return Record(key, part, "evaluate", now, now, 360.0, result, {})

    def failure(self, key: str) -> None:
        return None


def probed(seeds: int = 3, lacking: int = 0) -> tuple[Plan, pl.DataFrame, Store]:
    """A synthetic study whose probe scores 0.5 more in German, and 0.1 in what is not direct."""
    plan = synthetic.plan()
    scores = synthetic.scores(plan, gaps=False)
    if seeds == 1:
        runs = tuple(run for run in plan.runs if run.seed == 1)
        plan = replace(plan, runs=runs, study={**plan.study, "seeds": [1]})
        scores = scores.filter(pl.col("seed") == 1)
    keep = {"none", "mnli"}
    again = tuple(
        replace(run, train=f"{run.train}-probe", score=f"{run.score}-probe",
                flags=(*run.flags, "sharding_probe"))
        for run in plan.runs
        if (run.model, run.seed) == ("large", 1) and run.arm in keep
        and run.target in ("pawsx", "wikiann")
    )  # fmt: skip
    said = {"model": "large", "seed": 1, "whole": {"strategy": "ddp", "devices": 8},
            "strategy": "fsdp2", "devices": 8}  # fmt: skip
    plan = replace(plan, probe=again, execution={"sharding_probe": said})
    known = {(r["stage"], r["language"]): r["value"] for r in scores.to_dicts()}
    values = {}
    for run in again:
        for language in run.languages:
            more = 0.5 * (language == "de") + 0.1 * (run.arm != "none")
            first = known[(run.score.removesuffix("-probe"), language)]
            values[(run.score, language)] = first + more
    for key in list(values)[:lacking]:
        del values[key]
    return plan, scores, Store(values)


def test_differences_by_target_and_language() -> None:
    plan, scores, store = probed()
    found = probes.compared(plan, scores, store)
    assert found is not None
    assert (found.runs, found.planned, found.finished) == (4, 26, 26)
    pairs = {(pair.arm, pair.target): pair for pair in found.pairs}
    assert list(pairs) == [(a, t) for a in ("none", "mnli") for t in ("pawsx", "wikiann", "*")]
    small, many = pairs["none", "pawsx"], pairs["none", "wikiann"]
    assert small.difference == pytest.approx(0.5 / 4)
    assert many.difference == pytest.approx(0.5 / 7)
    assert (small.least, small.most) == (pytest.approx(0.0), pytest.approx(0.5))
    assert small.english == pytest.approx(0.0)
    assert small.gain is None
    after = pairs["mnli", "pawsx"]
    assert after.difference == pytest.approx(0.1 + 0.5 / 4)
    assert after.gain == pytest.approx(0.1)
    mean = pairs["mnli", "*"]
    assert mean.difference == pytest.approx(0.1 + (0.5 / 4 + 0.5 / 7) / 2)
    assert mean.gain == pytest.approx(0.1)
    own = scores.filter(
        pl.col("model") == "large", pl.col("arm") == "none", pl.col("target") == "pawsx",
        pl.col("language") != "en",
    )  # fmt: skip
    means = own.group_by("seed").agg(pl.col("value").mean())
    assert small.spread == pytest.approx(means["value"].std())
    assert small.seeds == 3
    said = " ".join(probes.notes(found, views.names(plan)))
    assert "was trained a second time by fsdp2 on 8, beside ddp on 8" in said
    assert "The differences go from +0.07 to +0.22 points over 4 pairs of arm and target." in said
    assert "Between seeds the whole model's means have a standard deviation of" in said
    assert "a range, and no test" in said
    assert "in no estimate" in said


def test_one_seed_has_a_range_and_nothing_beside_it() -> None:
    plan, scores, store = probed(seeds=1)
    found = probes.compared(plan, scores, store)
    assert found is not None
    assert {pair.spread for pair in found.pairs} == {None}
    said = " ".join(probes.notes(found, views.names(plan)))
    assert "With one seed there is nothing to hold these differences against" in said
    assert "standard deviation" not in said.split("This is one run")[0]


def test_what_is_lacking_is_said() -> None:
    plan, scores, store = probed(lacking=6)
    found = probes.compared(plan, scores, store)
    assert found is not None
    assert found.finished == 20
    first = next(pair for pair in found.pairs if pair.arm == "none")
    assert first.difference is None
    said = " ".join(probes.notes(found, views.names(plan)))
    assert "6 of 26 scores of the probe did not finish, or are of a degenerate run." in said
    nothing = probes.compared(plan, scores, Store({}))
    assert nothing is not None
    assert "Nothing can be compared yet" in probes.notes(nothing, views.names(plan))[-1]


def test_the_report_shows_it_and_estimates_as_before() -> None:
    plan, scores, store = probed()
    findings = analyse(scores, plan.study["analysis"], synthetic.facts())
    found = probes.compared(plan, scores, store)
    with_, without = (
        build_report(plan, findings, synthetic.provenance(), title="A study", probed=one)
        for one in (found, None)
    )
    body, plain = (json.loads(files["report.json"]) for files in (with_, without))
    assert body.pop("sharding_probe")["pairs"][0]["difference"] == pytest.approx(0.5 / 4)
    assert body == plain
    for name in ("estimates.parquet", "cells.parquet", "runs.parquet"):
        assert with_[name] == without[name]
    page, text = with_["report.html"].decode(), with_["report.md"].decode()
    for words in (
        "Sharding probe: divided minus whole",
        "a range, and no test",
        "beside the study, in no estimate; 26 finished",
        "hours more, which are in no",
    ):
        assert words in page  # fmt: skip
        assert words in text
    assert "harding probe" not in without["report.html"].decode()


def test_scores_of_the_probe_are_marked() -> None:
    plan, _, store = probed()
    frame = collect(replace(plan, runs=plan.probe), store)
    assert all("sharding_probe" in flags for flags in frame["flags"])
    assert isinstance(plan.probe[0], Run)
