"""Writes a plan as files under build/: plan.json, one launch script and one config per job."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shlex
import socket
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import jinja2

from compiler.arrays import FEW, Array, Arrays, arrays, indices
from compiler.errors import EnvironmentUnready
from compiler.plan import Plan
from compiler.shape import layer, shape
from compiler.site import Site

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}\Z")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")


def templates_folder() -> Path:
    """Return the folder of the templates, installed or in a checkout."""
    packaged = Path(__file__).parent / "_templates"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "templates"


def render(plan: Plan, site: Site | None = None) -> dict[str, str]:
    """Return what a plan becomes: file name under ``build/<study>/`` -> text.

    The texts depend on the plan alone, and on what a cluster wants to be told; the paths of this
    machine go to ``env.sh`` (`machine`).
    """
    site = site or Site.model_validate(plan.execution.get("slurm", {}))
    environment = _environment()
    launch = environment.get_template("launch.sh.j2")
    config = environment.get_template("accelerate.yaml.j2")
    threads, cpu = plan.execution.get("threads"), plan.execution.get("device") == "cpu"
    exported = [("OMP_NUM_THREADS", threads)] if threads else []
    files = {"plan.json": plan.to_json()}
    _refuse_unsafe(plan)
    for job in plan.jobs:
        files[f"launch/{job.name}.sh"] = launch.render(
            study=plan.name,
            job=job,
            shape=shape(plan, job, site),
            cpu=cpu,
            threads=threads,
            environment=[*exported, ("TOKENIZERS_PARALLELISM", "false")],
        )
        files[f"accelerate/{job.name}.yaml"] = config.render(
            job=job, cpu=cpu, shape=shape(plan, job, site), layer=layer(plan, job)
        )
    return files | _slurm(plan, site, environment)


def _refuse_unsafe(plan: Plan) -> None:
    """Raise ValueError when a name that stands in a script could be more than a name there.

    No study gives such a plan; a file that somebody has edited could.
    """
    named = [plan.name]
    for job in plan.jobs:
        named += [job.name, *job.after]
        unsafe = [key for key in job.stages if not _PLAIN.match(key)]
        if unsafe:
            raise ValueError(f"not a safe name of a stage: {unsafe[0]!r}")
    for name in named:
        if not _SAFE.match(name):
            raise ValueError(f"not a safe name of a study or job: {name!r}")


def _slurm(plan: Plan, site: Site, environment: jinja2.Environment) -> dict[str, str]:
    """Return a batch file for each array of jobs, and a script that submits them all."""
    grouped = arrays(plan, site)
    template = environment.get_template("array.sbatch.j2")
    named = {name: getattr(site, name) for name in ("partition", "account", "qos", "constraint")}
    exported = site.environment | ({"HF_HUB_OFFLINE": "1"} if site.offline else {})
    files = {}
    for array in grouped.made:
        per_process = site.cpus_per_device
        if per_process is None and array.shape.device == "cpu":
            per_process = int(plan.execution.get("threads") or 1)
        files[f"slurm/{array.name}.sbatch"] = template.render(
            study=plan.name,
            array=array,
            site=site,
            cpus=per_process and per_process * array.shape.per_node,
            options=[*((k, v) for k, v in named.items() if v), *site.options.items()],
            exported=exported.items(),
            # Told at its start, a job would come and go without a step.
            notice=min(site.notice_seconds, array.shape.minutes * 60 // 2),
        )
    files["submit.sh"] = environment.get_template("submit.sh.j2").render(
        study=plan.name,
        jobs=len(plan.jobs),
        arrays=[_submitted(grouped, array, site) for array in grouped.made],
    )
    return files


def _submitted(grouped: Arrays, array: Array, site: Site) -> dict[str, object]:
    """Return what `submit.sh` says of an array: ids of others stand in variables."""
    numbers = {other.name: f"a{number}" for number, other in enumerate(grouped.made)}
    sizes = {other.name: len(other.jobs) for other in grouped.made}
    needs: dict[tuple[str, str, int | None], None] = {}
    by_array: dict[tuple[str, str], list[int]] = {}
    for need in array.needs:
        name, index = grouped.places[need.job]
        by_array.setdefault((need.kind, name), []).append(index)
    for (kind, name), places in by_array.items():
        whole = len(places) == sizes[name] or (kind == "afterany" and len(places) > FEW)
        chosen: list[int | None] = [None] if whole else [*places]
        needs |= {(kind, numbers[name], place): None for place in chosen}
    if array.paired:
        needs[("aftercorr", numbers[array.paired], None)] = None
    return {
        "array": array,
        "variable": numbers[array.name],
        "indices": limited(array.jobs, site),
        "needs": list(needs),
    }


def limited(numbers: Iterable[int], site: Site) -> str:
    """Write what `sbatch --array` is given: indices, and how many of them may run at a time."""
    return indices(numbers) + (f"%{site.at_once}" if site.at_once else "")


def machine(python: str, store: Path, folder: Path) -> str:
    """Return ``env.sh``: the interpreter and the store on this machine, both overridable.

    A store beside ``folder``, where the scripts go, is named as such, so that both can be moved.
    """
    beside = (folder.parent / "store").resolve() == store.resolve()
    template = _environment().get_template("env.sh.j2")
    return template.render(python=python, store=str(store), beside=beside)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes from writing to a study's folder while this one works with it.

    Raises EnvironmentUnready: E003 when another process has it, E001 when it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("ab")
    except OSError as error:
        raise unwritable(folder, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock.truncate(0)
            lock.write(f"{host()} {os.getpid()}\n".encode())
            lock.flush()
        except BlockingIOError as error:
            there, number = occupant(folder) or ("", 0)
            who = f": process {number} on {there}" if number else ""
            raise EnvironmentUnready(
                "E003",
                f"another `stiltscale run` is using this folder{who}",
                where=str(folder),
                hint="wait until it has ended, end it with `stiltscale cancel`, or choose another "
                "folder with --build",
            ) from error
        except OSError:
            pass  # a file system without locks
        yield


def occupant(folder: Path) -> tuple[str, int] | None:
    """Return the machine and the process that now has a study's folder, see `alone`.

    None when nobody has it, or when who has it cannot be known.
    """
    try:
        with (folder / ".lock").open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                there, number = lock.read(400).decode().split()
                return there, int(number)
    except (OSError, ValueError):  # no folder, no locks, or an earlier version's empty file
        pass
    return None


def write(files: Mapping[str, str], folder: Path) -> list[Path]:
    """Write files whose text has changed, each atomically; remove launch files of former jobs.

    Returns the paths written. Raises EnvironmentUnready (E001) when the folder cannot be written.
    """
    written: list[Path] = []
    try:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file() and path.read_text(encoding="utf-8") == text:
                continue
            atomic_write(path, text.encode("utf-8"))
            if name.endswith(".sh"):
                path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP)
            written.append(path)
        (folder / "logs" / "slurm").mkdir(parents=True, exist_ok=True)
        for kind in ("launch", "accelerate", "slurm"):
            for path in sorted((folder / kind).glob("*")):
                if f"{kind}/{path.name}" not in files:
                    path.unlink()
    except OSError as error:
        raise unwritable(folder, error) from error
    return written


def atomic_write(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{host()}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def host() -> str:
    """Return the name of this machine."""
    return socket.gethostname().split(".")[0]


def unwritable(folder: Path, error: OSError) -> EnvironmentUnready:
    """Say why a folder cannot be written, and what to do; nothing that was there is lost."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EnvironmentUnready(
            "E002",
            "there is no space left on the disk",
            where=str(folder),
            hint="free some space, or choose another folder with --build; finished stages are kept",
        )
    in_the_way = error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR)
    first = "move away what lies in its place" if in_the_way else "check the permissions"
    return EnvironmentUnready(
        "E001",
        f"cannot write here: {error.strerror or error}",
        where=str(folder),
        hint=f"{first}, or choose another folder with --build",
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_folder()),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # shell and YAML: every value is quoted by `quote` instead
    )
    environment.filters["quote"] = lambda value: shlex.quote(str(value))
    return environment
