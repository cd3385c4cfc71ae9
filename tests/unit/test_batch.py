"""Arrays and batch files: what is grouped, what waits for what, what no value can do."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from studies import SMALL, plan_of
from unit.test_launch import HOSTILE

from compiler.arrays import FEW, Arrays, Need, arrays, indices
from compiler.check import check
from compiler.errors import EnvironmentUnready, StudyInvalid
from compiler.expand import expand
from compiler.plan import Job, Plan
from compiler.render import machine, render, write
from compiler.shape import LAYERS, class_of, minutes, shape
from compiler.site import Site, cluster_file
from runtime import cluster, conduct, launches, slurm
from runtime.abilities import refuse_unknown
from runtime.store import Store
from runtime.submissions import load

ROOT = Path(__file__).parents[2]
STUDIES = sorted((ROOT / "specs/studies").glob("[!p]*.yaml"))
"""Of published scores alone (published-*) there is nothing to run."""


@pytest.fixture(scope="module", params=STUDIES, ids=[path.stem for path in STUDIES])
def shipped(request: pytest.FixtureRequest) -> Plan:
    return expand(check(request.param, installed=False))


@pytest.mark.parametrize("size", [7, 1000])
def test_arrays_hold_every_job_once_after_what_it_needs(shipped: Plan, size: int) -> None:
    made = arrays(shipped, Site(array=size))
    known: dict[tuple[str, int], set[str]] = {}
    names = [name for array in made.made for name in array.jobs.values()]
    assert sorted(names) == sorted(job.name for job in shipped.jobs)
    order = {array.name: number for number, array in enumerate(made.made)}
    jobs = {job.name: job for job in shipped.jobs}
    assert len(order) == len(made.made), "two arrays have one name"
    for array in made.made:
        assert len(array.jobs) <= size
        assert max(array.jobs) < size
        waited = [made.places[need.job][0] for need in array.needs]
        waited += [array.paired] if array.paired else []
        assert all(order[name] < order[array.name] for name in waited)
        for index, name in array.jobs.items():
            assert made.places[name] == (array.name, index)
            assert covers(made, array.name, index, known) >= set(jobs[name].after)


def covers(
    made: Arrays, array: str, index: int, known: dict[tuple[str, int], set[str]]
) -> set[str]:
    """Return the jobs that have surely ended when one begins."""
    if (array, index) in known:
        return known[(array, index)]
    found = next(other for other in made.made if other.name == array)
    direct = {need.job for need in found.needs}
    if found.paired:
        direct.add(next(a for a in made.made if a.name == found.paired).jobs[index])
    above_ = {up for job in direct for up in covers(made, *made.places[job], known)}
    known[(array, index)] = direct | above_
    return direct | above_


def test_a_study_of_hundreds_of_jobs_is_some_dozen_arrays(shipped: Plan) -> None:
    made = arrays(shipped).made
    assert len(made) <= 50  # by level, resources, what they wait for, and hours, a day or longer
    jobs = {job.name: job for job in shipped.jobs}
    for array in made:
        limits = {minutes(jobs[name], Site()) for name in array.jobs.values()}
        assert array.shape.minutes == max(limits)
        assert len({class_of(limit) for limit in limits}) == 1


def test_nothing_is_stopped_by_what_it_could_do_without(shipped: Plan) -> None:
    made = arrays(shipped)
    jobs = {job.name: job for job in shipped.jobs}
    for name, needs in made.needs.items():
        for need in needs:
            stages = [shipped.stages[key] for key in jobs[need.job].stages]
            if need.kind == "afterok":
                assert all(stage.parts == ("all",) for stage in stages)
                needed = {up for key in jobs[name].stages for up in above(shipped, key)}
                assert {stage.key for stage in stages} <= needed


def above(plan: Plan, key: str) -> set[str]:
    direct = set(plan.stages[key].inputs.values())
    return direct | {up for stage in direct for up in above(plan, stage)}


def test_paired_arrays_and_common_needs(fixed_catalog: Path) -> None:
    plan = plan_of(SMALL, seeds=[1, 2], hardware={"pack": "target", "device": "cpu"})
    made = arrays(plan)
    assert [(array.level, array.paired is not None) for array in made.made][:2] == [
        (0, False), (1, False),
    ]  # fmt: skip
    first = made.made[1]
    prepare = next(job.name for job in plan.jobs if job.name.startswith("prepare"))
    assert first.needs == (Need("afterany", prepare),)
    paired = [array for array in made.made if array.paired]
    assert {array.paired for array in paired} == {first.name}
    for array, index in ((a, i) for a in paired for i in a.jobs):
        arm = first.jobs[index]
        assert array.jobs[index].startswith(arm.rsplit("-", 1)[0])


def test_many_needs_of_their_own_become_one_array(shipped: Plan) -> None:
    made = arrays(shipped)
    merged = [array for array in made.made if len(array.needs) > FEW]
    assert merged or shipped.name != "x-stilts", "it has ten arms whose MLQA reads SQuAD's training"
    for array in merged:
        assert {need.kind for need in array.needs} == {"afterany"}
        assert {n.job for job in array.jobs.values() for n in made.needs[job]} == {
            need.job for need in array.needs
        }


def test_indices_are_written_short() -> None:
    assert indices([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"
    assert indices([4]) == "4"


@pytest.mark.parametrize(
    ("seconds", "site", "limit"),
    [
        (None, {}, 1440),
        (None, {"minutes": 90}, 90),
        (None, {"minutes": 90, "most_minutes": 60}, 60),
        (600, {}, 30),
        (3600, {"headroom": 2.0}, 240),
        (3600 * 24 * 20, {}, 1440 * 31),
        (3600 * 24 * 20, {"most_minutes": 2880}, 2880),
    ],
)
def test_time_limits(seconds: int | None, site: dict[str, Any], limit: int) -> None:
    assert minutes(Job("x", (), (), 1, seconds), Site(**site)) == limit


def test_machines_are_filled_evenly(fixed_catalog: Path) -> None:
    plan = plan_of(SMALL, hardware={"device": "cuda", "nodes": 2, "devices_per_node": 4})
    forms = Counter(
        (f.nodes, f.per_node, f.strategy, f.device) for f in (shape(plan, j) for j in plan.jobs)
    )
    assert set(forms) == {(1, 1, "single", "gpu"), (2, 4, "ddp", "gpu")}
    with pytest.raises(ValueError, match="do not fill 2 machines"):
        shape(plan, replace(plan.jobs[0], processes=5))


def test_layers_are_those_of_transformers() -> None:
    from transformers import CONFIG_MAPPING, MODEL_MAPPING

    for kind, layer in LAYERS.items():
        model = MODEL_MAPPING[CONFIG_MAPPING[kind]]
        model = model[0] if isinstance(model, tuple) else model
        assert hasattr(sys.modules[model.__module__], layer), (kind, model)


def compiled(plan: Plan, folder: Path, site: Site | None = None) -> Path:
    files = render(plan, site) | {"env.sh": machine("/nowhere/python", folder / "at", folder)}
    write(files, folder)
    return folder


def sample(plan: Plan, folder: Path) -> Path:
    """Write the batch files, and of each shape of resources the launch of its first job."""
    first = {shape(plan, job): job.name for job in reversed(plan.jobs)}
    wanted = {f"launch/{name}.sh" for name in first.values()}
    wanted |= {f"accelerate/{name}.yaml" for name in first.values()}
    for name, text in render(plan).items():
        if name in wanted or name.startswith(("slurm/", "submit")):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    (folder / "env.sh").write_text(machine("/nowhere/python", folder / "at", folder))
    return folder


def test_scripts_of_shipped_studies_are_sound(shipped: Plan, tmp_path: Path) -> None:
    folder = sample(shipped, tmp_path / "build")
    scripts = [*sorted((folder / "slurm").glob("*.sbatch")), folder / "submit.sh"]
    for script in scripts:
        ended = subprocess.run(["bash", "-n", script], capture_output=True, text=True)
        assert (ended.returncode, ended.stderr) == (0, "")
    if shutil.which("shellcheck"):
        words = ["shellcheck", "--enable=all", "--exclude=SC2250,SC2310,SC2312,SC2154"]
        ended = subprocess.run([*words, *scripts[-4:]], capture_output=True, text=True)
        assert (ended.returncode, ended.stdout) == (0, "")


def test_accelerate_reads_every_kind_of_launch(shipped: Plan, tmp_path: Path) -> None:
    assert launches.verify(shipped, sample(shipped, tmp_path / "build")) >= 1


def test_folders_of_logs_are_there(tmp_path: Path, fixed_catalog: Path) -> None:
    folder = compiled(plan_of(SMALL), tmp_path / "build")
    assert (folder / "logs/slurm").is_dir(), "Slurm drops a job whose log cannot be written"


def sharded(nodes: int) -> Plan:
    hardware = {"device": "cuda", "nodes": nodes, "devices_per_node": 4, "pack": "seed"}
    plan = plan_of(SMALL, hardware=hardware)
    takes = {name: {"strategy": "fsdp2 + checkpointing"} for name in plan.models}
    return replace(plan, execution={**plan.execution, "resources": takes})


@pytest.mark.parametrize("nodes", [1, 3])
def test_fsdp_is_read_as_it_is_meant(nodes: int, tmp_path: Path, fixed_catalog: Path) -> None:
    plan = sharded(nodes)
    folder = compiled(plan, tmp_path / "build")
    assert launches.verify(plan, folder) == 2
    job = next(job for job in plan.jobs if job.processes > 1)
    words = launches.words_of(folder / f"launch/{job.name}.sh")
    seen = launches.check(words, shape(plan, job), cpu=False)
    assert (seen["ACCELERATE_USE_FSDP"], seen["FSDP_VERSION"]) == ("true", "2")
    config = folder / f"accelerate/{job.name}.yaml"
    text = config.read_text()
    for changed, said in (
        (text.replace("fsdp_version: 2", "fsdp_version: 2\n  fsdp_reshards: true"), "fsdp_reshard"),
        (text.replace(f"num_processes: {job.processes}", "num_processes: 3"), "processes each"),
        (text.replace(f"num_machines: {nodes}", "num_machines: 2"), "machines"),
        (text + "number: 3\n", "number"),
    ):
        config.write_text(changed)
        with pytest.raises(EnvironmentUnready, match=said) as caught:
            launches.verify(plan, folder)
        assert caught.value.code == "E054"


def test_what_an_engine_cannot_run_is_refused(fixed_catalog: Path) -> None:
    plan = plan_of(SMALL, hardware={"device": "cpu", "nodes": 2})
    refuse_unknown(plan, "slurm")
    with pytest.raises(EnvironmentUnready, match="2 machines for a job without `--engine slurm`"):
        refuse_unknown(plan)
    plan = sharded(1)
    refuse_unknown(plan, "slurm")
    name = next(stage.model for stage in plan.stages.values() if stage.kind == "train")
    trained = next(stage for stage in plan.stages.values() if stage.kind == "train")
    takes = {**plan.execution["resources"], name: {"strategy": "fsdp2 + checkpointing + offload"}}
    compiled = {**plan.execution.get("trainings", {}), trained.key: {"compile": True}}
    quantised = {**plan.models, name: {**plan.models[name], "tuning": "qlora"}}
    for changes, said in (
        ({"execution": {**plan.execution, "resources": takes}}, "kept in the host's memory"),
        ({"execution": {**plan.execution, "trainings": compiled}}, "with `compile`"),
        ({"models": quantised}, "of weights in 4 bits"),
    ):
        with pytest.raises(EnvironmentUnready, match=said) as caught:
            refuse_unknown(replace(plan, **changes), "slurm")
        assert caught.value.code == "E010"


FAKES = ("module", "srun", "apptainer", "scontrol")
RECORD = '#!/bin/sh\n{ printf "%s\\0" "${0##*/}" "$@"; printf "\\n\\0"; } >>"$RECORD"\n'


def fakes(folder: Path) -> Path:
    folder.mkdir()
    for name in FAKES:
        more = 'while [ "$1" != bash ] && [ "$1" != apptainer ]; do shift; done; exec "$@"\n'
        more = more if name in ("srun", "apptainer") else ""
        more = 'echo "first host"; echo second\n' if name == "scontrol" else more
        (folder / name).write_text(RECORD + more)
        (folder / name).chmod(0o755)
    return folder


def started(folder: Path, script: Path, fake: Path, **more: str) -> tuple[str, str]:
    """Run a batch file as Slurm would; return what it says and what the fake programs were told."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("STILT", "SLURM"))}
    own = {
        "PATH": f"{fake}:{os.environ['PATH']}", "RECORD": str(fake / "record"),
        "SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_JOB_ID": "41", "SLURM_JOB_ID": "42",
        "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_NODEID": "0",
    }  # fmt: skip
    ended = subprocess.run(
        ["bash", str(script)], cwd=folder, env=environment | own | more,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    record = fake / "record"
    return ended.stdout + ended.stderr, record.read_text() if record.exists() else ""


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_settings_do_nothing(text: str, tmp_path: Path, fixed_catalog: Path) -> None:
    home = tmp_path / text
    home.mkdir()
    sourced = home / f"source {text}"
    sourced.write_text("export SOURCED=yes\n")
    site = Site.model_validate(
        {
            "modules": (text,),
            "source": (str(sourced),),
            "environment": {"VALUE": text},
            "python": f"/no {text}",
            "container": {"image": f"x{text}", "mounts": (text,)},
        }
    )
    plan = plan_of(SMALL, question=text, hardware={"device": "cpu", "nodes": 2})
    folder = compiled(plan, home / "build", site)
    (folder / "logs" / "slurm").mkdir(parents=True, exist_ok=True)
    job = next(job for job in plan.jobs if job.processes == 2)
    script = next(
        path for path in (folder / "slurm").iterdir() if f"[0]={job.name}\n" in path.read_text()
    )
    launch = folder / "launch" / f"{job.name}.sh"
    launch.write_text(
        'printf "%s\\0" "$VALUE" "$SOURCED" "$STILTSCALE_PYTHON" "$STILTSCALE_ADDRESS"\n'
    )
    fake = fakes(tmp_path / "fake")
    before = sorted(tmp_path.rglob("*"))
    said, record = started(folder, script, fake)
    assert said == ""
    log = (folder / "logs" / f"{job.name}.log").read_text()
    assert log.split("\0")[:4] == [text, "yes", f"/no {text}", "first host"]
    calls = {call.split("\0")[0]: call.split("\0")[1:-1] for call in record.split("\n\0")}
    assert calls["module"] == ["load", text]
    assert f"x{text}" in calls["apptainer"]
    assert f"--bind={text}" in calls["apptainer"]
    new = {path.name for path in set(tmp_path.rglob("*")) - set(before)}
    assert new <= {
        "record",
        "at",
        "submissions",
        "small",
        f"{job.name}.txt",
        f"{job.name}.log",
        plan.name,
    }


@pytest.mark.parametrize(
    "field", ["partition", "account", "qos", "constraint", "gpu", "options", "name", "variable"]
)
def test_what_stands_in_a_batch_line_is_a_plain_word(field: str, tmp_path: Path) -> None:
    bad = [text for text in HOSTILE if text != "plain"] + ["#x", "a\rb", "a\x00b", ""]
    for text in bad:
        value: Any = {field: text}
        value = {"options": {"exclude": text}} if field == "options" else value
        value = {"options": {text: None}} if field == "name" else value
        value = {"environment": {text: "x"}} if field == "variable" else value
        with pytest.raises(ValueError, match=r"."):
            Site.model_validate(value)
    Site.model_validate({"constraint": "[rack1|rack2]&gpu", "options": {"exclusive": None}})


def test_options_that_are_ours_are_refused() -> None:
    with pytest.raises(ValueError, match="the compiler sets `--time`"):
        Site.model_validate({"options": {"time": "1"}})


def test_settings_reach_the_batch_file(tmp_path: Path, fixed_catalog: Path) -> None:
    site = Site.model_validate(
        {
            "partition": "gpu,long", "account": "proj-1", "qos": "high",
            "constraint": "a100&nvlink",
            "gpu": "h100", "memory_gib": 1.5, "cpus_per_device": 6, "minutes": 77, "at_once": 3,
            "notice_seconds": 99, "options": {"exclusive": None, "mail-type": "FAIL"},
            "offline": True, "environment": {"HF_HOME": "/data/hub"},
        }
    )  # fmt: skip
    hardware = {"device": "cuda", "devices_per_node": 4, "pack": "seed"}
    files = render(plan_of(SMALL, hardware=hardware), site)
    text = next(t for n, t in files.items() if n.endswith("-4gpu.sbatch"))
    lines = {line.removeprefix("#SBATCH ") for line in text.splitlines() if "#SBATCH" in line}
    assert lines >= {
        "--partition=gpu,long", "--account=proj-1", "--qos=high", "--constraint=a100&nvlink",
        "--gpus-per-node=h100:4", "--mem=1536M", "--cpus-per-task=24", "--time=77",
        "--signal=B:USR1@99", "--exclusive", "--mail-type=FAIL", "--requeue",
    }  # fmt: skip
    assert "export HF_HUB_OFFLINE=1\n" in text
    assert "export HF_HOME=/data/hub\n" in text
    assert "%3" in files["submit.sh"]


def test_a_short_job_is_not_told_to_leave_when_it_begins(fixed_catalog: Path) -> None:
    files = render(plan_of(SMALL), Site.model_validate({"minutes": 60, "most_minutes": 5}))
    batches = [text for name, text in files.items() if name.endswith(".sbatch")]
    assert batches
    for text in batches:
        assert "\n#SBATCH --time=5\n#SBATCH --signal=B:USR1@150\n" in text


def test_pyxis_is_given_the_image_and_the_folders(tmp_path: Path, fixed_catalog: Path) -> None:
    box = {"image": "registry#name:tag", "by": "pyxis", "mounts": ("/data:/data",)}
    site = Site.model_validate({"container": box})
    plan = plan_of(SMALL, hardware={"device": "cpu", "pack": "seed"})
    folder = compiled(plan, tmp_path / "build", site)
    for job in plan.jobs:
        (folder / f"launch/{job.name}.sh").write_text("exit 3\n")
    fake = fakes(tmp_path / "fake")
    said, record = started(folder, next((folder / "slurm").iterdir()), fake)
    assert said == ""
    words = record.split("\0")
    assert "--container-image=registry#name:tag" in words
    assert f"--container-mounts={folder},{folder}/at,/data:/data" in words


def test_a_cluster_file_goes_over_the_study(
    tmp_path: Path, fixed_catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"partition": "a", "qos": "low", "environment": {"A": "1", "B": "1"}}
    plan = plan_of(SMALL, hardware={"slurm": own})
    assert plan.execution["slurm"] == own
    file = tmp_path / "cluster.yaml"
    file.write_text("partition: b\nenvironment: {B: '2'}\n")
    site = conduct.site_of(plan, file)
    assert (site.partition, site.qos, site.environment) == ("b", "low", {"A": "1", "B": "2"})
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert conduct.site_of(plan, None).partition == "a"
    home = cluster_file(dict(os.environ))
    home.parent.mkdir(parents=True)
    home.write_text("partition: c\n")
    assert conduct.site_of(plan, None).partition == "c"
    file.write_text("partitoin: b\naccount: 'x y'\n")
    with pytest.raises(StudyInvalid) as caught:
        conduct.site_of(plan, file)
    said = [f"{d.code} {d.message} {d.hint}" for d in caught.value.diagnostics]
    assert any("did you mean `partition`" in text for text in said)
    assert any("not a word that a batch file can hold" in text for text in said)
    with pytest.raises(EnvironmentUnready, match="E052"):
        conduct.site_of(plan, tmp_path / "none.yaml")


def test_settings_of_a_cluster_are_in_no_key(tmp_path: Path, fixed_catalog: Path) -> None:
    plain = plan_of(SMALL)
    other = plan_of(SMALL, hardware={"slurm": {"partition": "x", "python": "/opt/python"}})
    assert list(plain.stages) == list(other.stages)


def sent(
    plan: Plan, done: set[str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> dict[str, str]:
    """Return what `submit` makes each job wait for, when some jobs are done."""
    store = Store(folder / "store")
    store.prepare()
    calls: list[list[str]] = []

    def take(words: list[str], *_rest: Any) -> str:
        calls.append(words)
        return str(100 + len(calls))

    monkeypatch.setattr(slurm, "queue", dict)
    monkeypatch.setattr(slurm, "submit", take)
    todo = [job for job in plan.jobs if job.name not in done]
    monkeypatch.setattr(cluster, "unfinished", lambda *_: todo)
    assert cluster.submit(plan, folder, store, Site())[0] == len(todo)
    made = {array.name: array for array in arrays(plan).made}
    found = {}
    for words in calls:
        array = made[Path(words[-1]).stem]
        waits = [w.removeprefix("--dependency=") for w in words if "--dependency" in w]
        for index in expanded_indices(words[0].removeprefix("--array=")):
            found[array.jobs[index]] = (waits or [""])[0]
    return found


def expanded_indices(text: str) -> list[int]:
    spans = [[int(x) for x in part.split("-")] for part in text.split(",")]
    return [i for span in spans for i in range(span[0], span[-1] + 1)]


def test_only_what_is_open_is_waited_for(
    tmp_path: Path, fixed_catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(SMALL, seeds=[1, 2], hardware={"pack": "target", "device": "cpu"})
    prepare = next(job.name for job in plan.jobs if job.name.startswith("prepare"))
    leaf = next(job for job in plan.jobs if len(job.after) == 2)
    arm = next(name for name in leaf.after if name != prepare)
    place = arrays(plan).places[arm][1]
    every = sent(plan, set(), monkeypatch, tmp_path / "a")
    assert every[prepare] == ""
    assert every[arm] == "afterany:101_0"
    assert every[leaf.name] == "aftercorr:102"
    again = sent(plan, {arm}, monkeypatch, tmp_path / "b")
    assert again[leaf.name] == "afterany:101_0", "the arm is done, what is prepared is not"
    later = sent(plan, {prepare}, monkeypatch, tmp_path / "c")
    assert later[arm] == ""
    assert later[leaf.name] == "aftercorr:101"
    assert sent(plan, {prepare, arm}, monkeypatch, tmp_path / "d")[leaf.name] == ""
    assert place >= 0


def test_those_that_wait_for_many_wait_for_whole_arrays(
    shipped: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = sent(shipped, set(), monkeypatch, tmp_path)
    assert max(len(text) for text in waits.values()) < 250
    last = [text for name, text in waits.items() if name.endswith("mlqa-s1") and "mnli" in name]
    assert last or shipped.name != "x-stilts"
    if shipped.name != "x-stilts":
        return
    needs = arrays(shipped).made[-1].needs
    assert len(needs) == 30
    assert all(text.startswith("afterany:") and text.count(":") < 10 for text in last)


@pytest.fixture
def no_slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def test_without_slurm_it_is_said(tmp_path: Path, fixed_catalog: Path, no_slurm: None) -> None:
    plan, store = plan_of(SMALL), Store(tmp_path / "store")
    store.prepare()
    with pytest.raises(EnvironmentUnready, match="E050: squeue cannot be started"):
        cluster.submit(plan, tmp_path, store, Site())
    assert cluster.states(plan, store) == ({}, False)


def test_what_was_submitted_is_found_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.prepare()
    kept = load(store, "small")
    kept.intend("abc", "1-jobs-1", "now", {3: "one", 5: "two"})
    kept.intend("def", "1-jobs-1", "now", {0: "three"})
    again = load(store, "small")
    again.settle("abc", "17")
    again.settle("def", None)
    found = load(store, "small")
    assert {name: job.id for name, job in found.jobs.items()} == {"one": "17_3", "two": "17_5"}
    assert found.intents == {}
    found.path.write_text("{")
    assert load(store, "small").jobs == {}


@pytest.mark.parametrize(
    ("text", "gpus"),
    [("gpu:8", 8), ("gpu:h100:4(S:0-1),shard:9", 4), ("(null)", 0), ("gpu:a:2,gpu:b:6", 8)],
)
def test_gpus_of_a_machine(text: str, gpus: int) -> None:
    assert slurm._gpus(text) == gpus


@pytest.mark.parametrize(
    ("text", "limit"), [("infinite", float("inf")), ("30:00", 30), ("1-02:00:30", 1560.5)]
)
def test_time_limits_of_slurm(text: str, limit: float) -> None:
    assert slurm._minutes(text) == limit


def test_yaml_of_every_launch_is_yaml(shipped: Plan) -> None:
    files = render(shipped)
    some = itertools.islice((t for n, t in files.items() if n.startswith("accelerate/")), 20)
    assert all(isinstance(yaml.safe_load(text), dict) for text in some)
