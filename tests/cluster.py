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
FirstJobId={port}
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
{more}
"""

PREEMPTING = """\
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
OverTimeLimit=0
PartitionName=graceful Nodes=ALL PriorityTier=1 GraceTime=120 MaxTime=INFINITE State=UP
PartitionName=graceless Nodes=ALL PriorityTier=1 GraceTime=0 MaxTime=INFINITE State=UP
PartitionName=urgent Nodes=ALL PriorityTier=9 PreemptMode=OFF MaxTime=INFINITE State=UP
"""
"""Partitions more: a job of the last takes the machines of those of the others."""

PORTS = range(10_000, 20_000, 50)
"""First ports of the clusters' blocks; below those where jobs meet, and those of outgoing calls.

Where the machines of a job meet follows from its id (20,000 + id % 12,000): ids begin at the port,
so that jobs of two clusters do not meet each other.
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
def ports(count: int) -> Iterator[int]:
    """Yield the first of so many free ports, which no other cluster of these tests is given.

    The port before them is bound as long as they are held: it keeps others from this block.
    """
    for block in random.SystemRandom().sample(PORTS, len(PORTS)):
        mark = socket.socket()
        try:
            mark.bind(("127.0.0.1", block))
            for port in range(block + 1, block + 1 + count):
                with socket.socket() as free:
                    free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    free.bind(("", port))
        except OSError:
            mark.close()
            continue
        with mark:
            yield block + 1
        return
    raise AssertionError("this machine has no free ports")


@contextlib.contextmanager
def slurm(
    folder: Path, nodes: int = 4, killing: int = 10, more: str = ""
) -> Iterator[dict[str, str]]:
    """Start a Slurm of so many machines, each with 8 pretend GPUs; yield its environment.

    More runs at a time than this machine has cores: tests limit their arrays. Several may run
    beside each other. ``more`` are further lines of its configuration.
    """
    with ports(1 + nodes) as port:
        yield from _slurm(folder, nodes, killing, more, port)


def _slurm(
    folder: Path, nodes: int, killing: int, more: str, port: int
) -> Iterator[dict[str, str]]:
    for name in ("state", "spool", "log", "run", *(f"spool/n{n}" for n in range(1, nodes + 1))):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    for number in range(8):
        (folder / f"gpu{number}").touch()
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-7]\n")
    configuration = CONFIGURATION.format(
        folder=folder, host=socket.gethostname().split(".")[0], nodes=nodes, port=port,
        first=port + 1, last=port + nodes, killing=killing, more=more,
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


def reconfigure(more: str) -> None:
    """Add a line to the configuration of the cluster that this process speaks to."""
    path = Path(os.environ["SLURM_CONF"])
    path.write_text(f"{more}\n{path.read_text()}")
    subprocess.run(["scontrol", "reconfigure"], check=True, capture_output=True, timeout=60)


def _states(environment: dict[str, str]) -> set[str]:
    return set(_said(environment, ["sinfo", "-h", "-N", "-o", "%T"]).split())


def _said(environment: dict[str, str], words: list[str]) -> str:
    done = subprocess.run(words, env=environment, check=False, capture_output=True, timeout=60)
    return done.stdout.decode()
