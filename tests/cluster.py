"""A Slurm of several pretend machines on this one, for tests: no service, no systemd."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scontrol", "scancel", "srun")

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
GresTypes=gpu
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
ReturnToService=0
KillWait={killing}
MinJobAge=3600
MaxArraySize=20001
MaxJobCount=20000
SlurmdTimeout=30
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
NodeName=n[1-{nodes}] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{last}] \
CPUs=64 RealMemory=500000 Gres=gpu:8 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def lacking() -> str:
    """Say why there can be no Slurm here; '' when there can."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if absent:
        return f"Slurm is not installed: no {', '.join(absent)}"
    return "" if os.geteuid() == 0 else "Slurm's daemons are started as root here"


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


@contextlib.contextmanager
def slurm(folder: Path, nodes: int = 4, killing: int = 10) -> Iterator[dict[str, str]]:
    """Start a Slurm of so many machines, each with 8 pretend GPUs; yield its environment.

    More runs at a time than this machine has cores: tests limit their arrays.
    """
    for name in ("state", "spool", "log", "run", *(f"spool/n{n}" for n in range(1, nodes + 1))):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    for number in range(8):
        (folder / f"gpu{number}").touch()
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-7]\n")
    port = 20000 + random.SystemRandom().randrange(9000)
    configuration = CONFIGURATION.format(
        folder=folder, host=socket.gethostname().split(".")[0], nodes=nodes, port=port,
        first=port + 1, last=port + nodes, killing=killing,
    )  # fmt: skip
    (folder / "slurm.conf").write_text(configuration)
    environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _path()}

    def start(*words: str) -> None:
        subprocess.run(words, env=environment, check=True, capture_output=True, timeout=60)

    try:
        start(
            "munged", "--force", f"--key-file={key}", f"--socket={folder}/munge.sock",
            f"--pid-file={folder}/run/munged.pid", f"--log-file={folder}/log/munged.log",
            f"--seed-file={folder}/munge.seed",
        )  # fmt: skip
        start("slurmctld", "-c")
        for number in range(1, nodes + 1):
            start("slurmd", "-N", f"n{number}")
        deadline = time.monotonic() + 60
        while _states(environment) != {"idle"}:
            assert time.monotonic() < deadline, "Slurm did not come up"
            time.sleep(0.2)
        yield {"SLURM_CONF": environment["SLURM_CONF"], "PATH": environment["PATH"]}
    finally:
        cancel = ["scancel", "--user=root"]
        subprocess.run(cancel, env=environment, check=False, capture_output=True, timeout=60)
        deadline = time.monotonic() + 20
        busy = ["squeue", "-h", "-t", "running,completing"]
        while time.monotonic() < deadline and _said(environment, busy):
            time.sleep(0.2)
        for path in sorted((folder / "run").glob("*.pid")):
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(path.read_text()), signal.SIGTERM)


def _states(environment: dict[str, str]) -> set[str]:
    return set(_said(environment, ["sinfo", "-h", "-N", "-o", "%T"]).split())


def _said(environment: dict[str, str], words: list[str]) -> str:
    done = subprocess.run(words, env=environment, check=False, capture_output=True, timeout=60)
    return done.stdout.decode()
