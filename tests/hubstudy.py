"""Studies of the catalog's own tasks and models made small, and the command that runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from hubdata import SPECS, SPLITS

LARGE = "FacebookAI/xlm-roberta-large"
PAWS = "google-research-datasets/paws-x"
LANGUAGES = ("en", "de", "fr")
NOWHERE = "http://127.0.0.1:9"
"""Where no server is: what asks there fails at once."""


def read(name: str) -> dict[str, Any]:
    """Return a file of the catalog."""
    found: dict[str, Any] = yaml.safe_load((SPECS / name).read_text(encoding="utf-8"))
    return found


def write(path: Path, value: Mapping[str, Any]) -> None:
    """Write a file of a catalog, or a study."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(dict(value), sort_keys=False), encoding="utf-8")


def recounted(names: Iterable[str]) -> list[dict[str, Any]]:
    """Return a study's counts: those of the made-up rows where the catalog counts real ones."""
    rows = {"train": SPLITS["train"], "dev": SPLITS["validation"], "test": SPLITS["test"]}
    counts = {name: read(f"tasks/{name}.yaml")["counts"] for name in names}
    return [
        {"task": name, "reason": "made-up rows",
         "rows": {s: dict.fromkeys(found[s], rows[s]) for s in found}}
        for name, found in counts.items()
    ]  # fmt: skip


def write_sizes(own: Path, family: str, sizes: Mapping[str, Mapping[str, int]]) -> None:
    """Write a family of the catalog with the parameters of our random models into a catalog."""
    entry = read(f"models/{family}.yaml")
    entry["members"] = [member for member in entry["members"] if member["size"] in sizes]
    for member in entry["members"]:
        member["parameters"] = dict(sizes[member["size"]])
        member.pop("architecture", None)
    write(own / "models" / f"{family}.yaml", entry)


def write_study(folder: Path, sizes: dict[str, dict[str, int]], **changes: Any) -> Path:
    """Write xnli-hub with fewer languages, seeds, steps and rows, and the random models' sizes."""
    write_sizes(folder / "own", "xlm-r", {size: sizes[size] for size in ("base", "large")})
    recipe = read("recipes/xtreme.yaml")
    del recipe["defaults"]["epochs"]
    recipe["defaults"] |= {"steps": 6, "batch": 8, "max_length": 16, "evaluate_every": 3}
    write(folder / "own" / "recipes" / "xtreme.yaml", recipe)
    study = read("studies/xnli-hub.yaml") | {
        "languages": list(LANGUAGES), "seeds": [1], "catalog": "own",
        "counts": recounted(("mnli", "xnli", "paws_x")),
        "hardware": {"device": "cpu", "threads": 1, "parallel": 2, "pack": "seed"},
    }  # fmt: skip
    path = folder / "study.yaml"
    write(path, study | changes)
    return path


def change_task(study: Path, name: str, **changes: Any) -> None:
    """Put a changed copy of a task into the study's own catalog."""
    write(study.parent / "own" / "tasks" / f"{name}.yaml", read(f"tasks/{name}.yaml") | changes)


def surroundings(cache: Path) -> dict[str, str]:
    """Return an environment with a cache of its own and no network but this machine's."""
    kept = {k: v for k, v in os.environ.items() if not k.upper().startswith(("HF_", "HUGGING"))}
    return kept | {
        "HF_HOME": str(cache), "HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE,
        "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",
    }  # fmt: skip


def stiltscale(
    verb: str, study: Path, build: Path, cache: Path, *more: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a verb on a study with a given cache."""
    words = [verb, str(study), "--build", str(build), *more]
    return subprocess.run(
        [sys.executable, "-m", "runtime.cli", *words],
        capture_output=True, text=True, check=False, timeout=600,
        env=surroundings(cache) | environment,
    )  # fmt: skip


def run(study: Path, build: Path, cache: Path, **environment: str) -> tuple[int, str]:
    """Run a study with a given cache; return the exit code and all that was said."""
    done = stiltscale("run", study, build, cache, **environment)
    logs = sorted(build.glob("*/logs/*.log"))
    text = "".join(f"\n== {log.name}\n{log.read_text(encoding='utf-8')}" for log in logs)
    return done.returncode, done.stdout + done.stderr + text
