"""Launch scripts: correct shell, accepted by Accelerate's own parser, and safe with any path."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from studies import SMALL, plan_of

from compiler.check import check
from compiler.errors import EnvironmentUnready
from compiler.expand import expand
from compiler.plan import Plan
from compiler.render import alone, machine, render, write
from compiler.shape import strategy_of

ROOT = Path(__file__).parents[2]
STUDIES = sorted(
    path
    for path in (ROOT / "specs/studies").glob("*.yaml")
    if not path.stem.startswith("published-")
)
"""Those that launch something: published scores are only reported."""
STUB = '#!/bin/sh\nfor word in "$0" "$@"; do printf "%s\\0" "$word"; done\n'


def compiled(plan: Plan, folder: Path, *, python: str, store: Path) -> Path:
    write(render(plan) | {"env.sh": machine(python, store, folder)}, folder)
    return folder


def launched(script: Path, cwd: Path, **variables: str) -> list[str]:
    """Run a launch script whose Python is a stub, and return the words that it was called with."""
    environment = {
        k: v for k, v in os.environ.items() if k != "CDPATH" and not k.startswith("STILTSCALE_")
    }
    ended = subprocess.run(
        ["bash", str(script)],
        cwd=cwd, env=environment | variables, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.split("\0")[:-1]


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    path = tmp_path / "stub"
    path.write_text(STUB)
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module", params=STUDIES, ids=[path.stem for path in STUDIES])
def shipped(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Plan, Path]:
    """Each study that we ship, compiled."""
    folder = tmp_path_factory.mktemp("shipped")
    stub = folder / "stub"
    stub.write_text(STUB)
    stub.chmod(0o755)
    plan = expand(check(request.param, installed=False))
    return plan, compiled(plan, folder / "build", python=str(stub), store=folder / "store")


def test_scripts_are_shell(shipped: tuple[Plan, Path]) -> None:
    scripts = sorted((shipped[1] / "launch").glob("*.sh"))
    assert len(scripts) == len(shipped[0].jobs)
    for script in [*scripts, shipped[1] / "env.sh"]:
        ended = subprocess.run(["bash", "-n", script], capture_output=True, text=True)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert os.access(script, os.X_OK)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing(shipped: tuple[Plan, Path]) -> None:
    scripts = sorted((shipped[1] / "launch").glob("*.sh"))[:: max(1, len(shipped[0].jobs) // 8)]
    words = ["shellcheck", "--enable=all", "--exclude=SC2250,SC2310,SC2312,SC2154", *scripts]
    ended = subprocess.run(words, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "")
    words = ["shellcheck", "--shell=bash", "--exclude=SC2034,SC2154", shipped[1] / "env.sh"]
    ended = subprocess.run(words, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "")


@pytest.fixture(scope="module")
def accelerate_reads() -> Any:
    """What `accelerate launch` makes of its words: private names, so that an upgrade shows here."""
    import accelerate.commands.launch as launch
    import accelerate.utils.launch as simple
    import torch.distributed.run as elastic

    def read(words: list[str]) -> tuple[list[str], dict[str, str]]:
        args, _, _ = launch._validate_launch_command(
            launch.launch_command_parser().parse_args(words)
        )
        assert not args.use_deepspeed
        if not (args.multi_gpu or args.use_fsdp):
            command, environment = simple.prepare_simple_launcher_cmd_env(args)
            return command, environment
        environment = simple.prepare_multi_gpu_env(args)
        own = ["--training_script", args.training_script]
        own += ["--training_script_args", args.training_script_args]
        config, _, command = elastic.config_from_args(
            launch._filter_args(args, elastic.get_args_parser(), own)
        )
        assert (config.min_nodes, config.max_restarts) == (config.max_nodes, 0)
        environment |= {
            "ACCELERATE_USE_CPU": os.environ.get("ACCELERATE_USE_CPU", "false"),
            "PROCESSES": str(config.max_nodes * config.nproc_per_node),
        }
        return ["python", *command[1:]], environment

    with pytest.MonkeyPatch.context() as patch:
        for name in [n for n in os.environ if n.startswith(("ACCELERATE_", "FSDP_"))]:
            patch.delenv(name)
        patch.setattr(simple, "is_port_in_use", lambda _port: False)  # of no matter for the words
        patch.setattr(launch, "is_bf16_available", lambda *_words, **_more: True)
        yield read


def test_accelerate_accepts_every_script(shipped: tuple[Plan, Path], accelerate_reads: Any) -> None:
    plan, folder = shipped
    jobs = [plan.jobs[0], *plan.jobs[1 :: max(1, len(plan.jobs) // 5)]]
    for job in jobs:
        cpu = plan.execution["device"] == "cpu"
        several = {"ADDRESS": "node1.example", "PORT": "20001", "RANK": "0"}
        _, module, name, *words = launched(
            folder / f"launch/{job.name}.sh",
            folder,
            **{f"STILTSCALE_{k}": v for k, v in several.items()},
        )
        assert (module, name) == ("-m", "accelerate.commands.launch")
        command, environment = accelerate_reads(words)
        assert command[1:] == [
            "-m", "runtime.worker", "--plan", str(folder / "plan.json"),
            "--store", str(folder.parent / "store"), "--job", job.name,
        ]  # fmt: skip
        assert environment["ACCELERATE_MIXED_PRECISION"] == "no"
        divided = environment.get("ACCELERATE_USE_FSDP", "false") == "true"
        assert divided == (strategy_of(plan, job) == "fsdp2")
        assert environment["OMP_NUM_THREADS"] == str(plan.execution["threads"] or 1)
        assert environment.get("PROCESSES", "1") == str(job.processes)
        assert environment["ACCELERATE_USE_CPU"].lower() == str(cpu).lower()


def test_accelerate_refuses_what_it_does_not_know(
    tmp_path: Path, stub: Path, fixed_catalog: Path, accelerate_reads: Any
) -> None:
    plan = plan_of(SMALL)
    folder = compiled(plan, tmp_path / "build", python=str(stub), store=tmp_path / "store")
    job = plan.jobs[0].name
    words = launched(folder / f"launch/{job}.sh", folder)[3:]
    accelerate_reads(words)
    with pytest.raises(SystemExit):
        accelerate_reads(["--num_proces", "1", "--no_such_flag", *words])
    config = folder / f"accelerate/{job}.yaml"
    config.write_text(config.read_text() + "num_processors: 2\n")
    with pytest.raises(ValueError, match="num_processors"):
        accelerate_reads(words)


HOSTILE = [
    "plain",
    "with space",
    "$(touch X)",
    "`touch X`",
    "quote\"and'quote",
    "brace}and{brace",
    "back\\slash\\",
    "${HOME}$HOME$$",
    "semi;touch X;&|<>",
    "new\nline",
    "-n --rm *?[a]",
    "größe 大",
    "!history #comment",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_paths_arrive_as_they_are(name: str, tmp_path: Path, fixed_catalog: Path) -> None:
    home = tmp_path / name
    home.mkdir()
    python = home / f"py {name}"
    python.write_text(STUB)
    python.chmod(0o755)
    plan = plan_of(SMALL, question=f"{name} $(touch X) `touch X`\n touch X")
    build, store = home / "build", home / f"store {name}"
    compiled(plan, build, python=str(python), store=store)
    before = sorted(tmp_path.rglob("*"))
    job = plan.jobs[-1]
    words = launched(build / f"launch/{job.name}.sh", tmp_path)
    assert words == [
        str(python), "-m", "accelerate.commands.launch",
        "--config_file", str(build / f"accelerate/{job.name}.yaml"),
        "--quiet", "--module", "runtime.worker",
        "--plan", str(build / "plan.json"), "--store", str(store), "--job", job.name,
    ]  # fmt: skip
    assert sorted(tmp_path.rglob("*")) == before


def test_the_environment_overrides_env_sh(tmp_path: Path, stub: Path, fixed_catalog: Path) -> None:
    plan = plan_of(SMALL)
    folder = compiled(plan, tmp_path / "build", python="/nowhere", store=Path("/nowhere"))
    script = folder / f"launch/{plan.jobs[0].name}.sh"
    words = launched(script, tmp_path, STILTSCALE_PYTHON=str(stub), STILTSCALE_STORE="/else where")
    assert words[0] == str(stub)
    assert words[words.index("--store") + 1] == "/else where"


def test_names_that_others_use_change_nothing(
    tmp_path: Path, stub: Path, fixed_catalog: Path
) -> None:
    plan = plan_of(SMALL)
    folder = compiled(plan, tmp_path / "build", python=str(stub), store=tmp_path / "at")
    script = folder / f"launch/{plan.jobs[0].name}.sh"
    words = launched(script, tmp_path, PYTHON="/nowhere", STORE="/nowhere")
    assert words[0] == str(stub)
    assert words[words.index("--store") + 1] == str(tmp_path / "at")


def test_a_store_beside_the_scripts_moves_with_them(
    tmp_path: Path, stub: Path, fixed_catalog: Path
) -> None:
    plan = plan_of(SMALL)
    store = tmp_path / "old" / "store"
    compiled(plan, tmp_path / "old" / "small", python=str(stub), store=store)
    (tmp_path / "old").rename(tmp_path / "new")
    words = launched(tmp_path / f"new/small/launch/{plan.jobs[0].name}.sh", tmp_path)
    assert words[words.index("--store") + 1] == str(tmp_path / "new" / "store")


def test_a_worker_in_the_folder_of_the_caller_is_not_ours(
    tmp_path: Path, fixed_catalog: Path
) -> None:
    foreign = tmp_path / "caller" / "runtime"
    foreign.mkdir(parents=True)
    (foreign / "__init__.py").touch()
    (foreign / "worker.py").write_text("raise SystemExit('the foreign worker ran')\n")
    (tmp_path / "file").touch()
    plan = plan_of(SMALL)
    folder = compiled(
        plan, tmp_path / "build", python=sys.executable, store=tmp_path / "file" / "store"
    )
    script = folder / f"launch/{plan.jobs[0].name}.sh"
    ended = subprocess.run(
        ["bash", script], cwd=foreign.parent, capture_output=True, text=True, timeout=60
    )
    assert "the foreign worker ran" not in ended.stderr
    assert "E001" in ended.stderr
    assert ended.returncode == 2, "the worker's own code, where Accelerate's is 1"


@pytest.mark.parametrize(
    ("worker", "code"),
    [
        ('echo 3 > "$STILTSCALE_EXIT_CODE"; exit 1', 3),
        ('echo 0 > "$STILTSCALE_EXIT_CODE"', 0),
        ("exit 1", 1),
        ("kill -9 $$", 137),
    ],
    ids=["own code", "success", "no code left", "killed"],
)
def test_a_script_returns_the_code_of_its_worker(
    worker: str, code: int, tmp_path: Path, fixed_catalog: Path
) -> None:
    stub = tmp_path / "stub"
    stub.write_text(f"#!/bin/sh\n{worker}\n")
    stub.chmod(0o755)
    plan = plan_of(SMALL)
    folder = compiled(plan, tmp_path / "build", python=str(stub), store=tmp_path / "store")
    kept = tmp_path / "temporary"
    kept.mkdir()
    ended = subprocess.run(
        ["bash", folder / f"launch/{plan.jobs[0].name}.sh"],
        env=os.environ | {"TMPDIR": str(kept)}, capture_output=True, timeout=30,
    )  # fmt: skip
    assert ended.returncode == code
    assert not list(kept.iterdir())


def test_one_process_at_a_time_works_in_a_folder(tmp_path: Path) -> None:
    with alone(tmp_path / "build"):
        with pytest.raises(EnvironmentUnready, match="E003"), alone(tmp_path / "build"):
            raise AssertionError("two hold one folder")
        with alone(tmp_path / "other"):
            pass
    with alone(tmp_path / "build"):
        pass


def test_cdpath_does_not_lead_astray(tmp_path: Path, stub: Path, fixed_catalog: Path) -> None:
    plan = plan_of(SMALL)
    folder = compiled(plan, tmp_path / "build", python=str(stub), store=tmp_path / "store")
    script = Path(f"build/launch/{plan.jobs[0].name}.sh")
    words = launched(script, tmp_path, CDPATH=str(tmp_path))
    assert words[words.index("--plan") + 1] == str(folder / "plan.json")


def test_writing_again_changes_nothing_and_drops_what_is_gone(
    tmp_path: Path, fixed_catalog: Path
) -> None:
    folder = tmp_path / "build"
    files = render(plan_of(SMALL))
    assert len(write(files, folder)) == len(files)
    assert write(files, folder) == []
    fewer = render(plan_of(SMALL, seeds=[1]))
    write(fewer, folder)
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*.*")} == set(fewer)


def test_the_interpreter_of_the_tests_runs_the_worker() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "runtime.worker", "--help"], capture_output=True, text=True, cwd="/"
    )  # fmt: skip
    assert ended.returncode == 0
    assert "--plan" in ended.stdout
