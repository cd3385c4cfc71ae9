"""Has Accelerate's own parser read every kind of launch of a plan, before anything is started."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from compiler.errors import EnvironmentUnready
from compiler.plan import Job, Plan
from compiler.shape import Shape, shape

STUB = '#!/bin/sh\nfor word in "$@"; do printf "%s\\0" "$word"; done\n'
"""Stands in for Python: prints the words that a launch script calls it with."""


def verify(plan: Plan, folder: Path) -> int:
    """Check one launch of each shape as it was compiled; return how many shapes there are.

    Accelerate takes an unknown FSDP key without a word, rounds the processes of a machine down, and
    overrules some settings: what it makes of a launch is compared with what was planned. Raises
    EnvironmentUnready (E054).
    """
    jobs: dict[tuple[Shape, bool], Job] = {}
    for job in plan.jobs:
        form = shape(plan, job)
        jobs.setdefault((form, form.strategy == "fsdp2"), job)
    for (form, _), job in jobs.items():
        script = folder / "launch" / f"{job.name}.sh"
        try:
            check(words_of(script), form, plan.execution.get("device") == "cpu")
        except (ValueError, SystemExit, subprocess.CalledProcessError) as error:
            raise EnvironmentUnready(
                "E054",
                f"Accelerate does not read the launch of {job.name} as it was planned: {error}",
                where=str(script),
                hint="the installed Accelerate may be newer than this version knows",
            ) from error
    return len(jobs)


def words_of(script: Path) -> list[str]:
    """Return the words after `accelerate launch` of a launch script, by running it with a stub."""
    with tempfile.TemporaryDirectory() as scratch:
        stub = Path(scratch) / "python"
        stub.write_text(STUB, encoding="utf-8")
        stub.chmod(0o700)
        own = {
            "STILTSCALE_PYTHON": str(stub), "STILTSCALE_STORE": scratch, "STILTSCALE_RANK": "0",
            "STILTSCALE_ADDRESS": "node1.example", "STILTSCALE_PORT": "20001",
        }  # fmt: skip
        done = subprocess.run(
            ["bash", str(script)], env=os.environ | own, capture_output=True, check=True, timeout=60
        )
    return done.stdout.decode().split("\0")[2:-1]  # without -m accelerate.commands.launch


def check(words: Sequence[str], form: Shape, cpu: bool) -> dict[str, str]:
    """Compare what Accelerate makes of a launch with its shape; return what workers will see.

    Raises ValueError where they differ, SystemExit on words that Accelerate does not know.
    """
    import accelerate.commands.launch as launch
    import torch.distributed.run as elastic
    from accelerate.utils.launch import prepare_multi_gpu_env, prepare_simple_launcher_cmd_env

    parser = launch.launch_command_parser()
    with _elsewhere(launch):
        args, _, _ = launch._validate_launch_command(parser.parse_args(list(words)))
        config = yaml.safe_load(Path(args.config_file).read_text(encoding="utf-8"))
        _keys(config, {action.dest for action in parser._actions})
        if args.use_fsdp != (form.strategy == "fsdp2"):
            raise ValueError(f"FSDP is {'on' if args.use_fsdp else 'off'}")
        if not (args.use_fsdp or args.multi_gpu):
            _, environment = prepare_simple_launcher_cmd_env(args)
            found = (1, 1)
            on_cpu = str(environment.get("ACCELERATE_USE_CPU")).lower() == "true"
            if on_cpu != cpu:
                raise ValueError(f"it runs on {'CPUs' if on_cpu else 'GPUs'}")
        else:
            environment = prepare_multi_gpu_env(args)
            own = ["--training_script", args.training_script]
            own += ["--training_script_args", args.training_script_args]
            ready = launch._filter_args(args, elastic.get_args_parser(), own)
            run, _, _ = elastic.config_from_args(ready)
            found = (run.max_nodes, run.nproc_per_node)
            if form.nodes > 1 and run.rdzv_endpoint != "node1.example:20001":
                raise ValueError(f"the machines would meet at {run.rdzv_endpoint!r}")
    if found != (form.nodes, form.per_node):
        raise ValueError(f"{found[0]} machines with {found[1]} processes each")
    for name, value in config.get("fsdp_config", {}).items():
        seen = environment.get(_variable(name))
        if seen is not None and seen.lower() != str(value).lower():
            raise ValueError(f"{name} is {seen}, and not {value}")
    return dict(environment)


def _keys(config: dict[str, Any], known: set[str]) -> None:
    """Refuse FSDP settings that Accelerate has no option for: it would not."""
    unknown = sorted(set(config.get("fsdp_config", {})) - known)
    if unknown:
        raise ValueError(f"there is no FSDP setting {', '.join(unknown)}")


def _variable(name: str) -> str:
    return {"fsdp_transformer_layer_cls_to_wrap": "FSDP_TRANSFORMER_CLS_TO_WRAP"}.get(
        name, name.upper()
    )


@contextlib.contextmanager
def _elsewhere(launch: Any) -> Iterator[None]:
    """Let Accelerate look neither at this machine's ports nor at its devices or variables."""
    import accelerate.utils.launch as utils

    before = (utils.is_port_in_use, launch.is_bf16_available, dict(os.environ))
    utils.is_port_in_use = lambda _port: False
    launch.is_bf16_available = lambda *_words, **_more: True
    for name in [n for n in os.environ if n.startswith(("ACCELERATE_", "FSDP_"))]:
        del os.environ[name]
    try:
        yield
    finally:
        utils.is_port_in_use, launch.is_bf16_available = before[:2]
        os.environ.clear()
        os.environ.update(before[2])
