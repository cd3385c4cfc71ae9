"""Fetching where there is a network, and running where there is none."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hub import hub
from hubdata import drop_last, write_hub
from hubstudy import (
    LARGE,
    NOWHERE,
    PAWS,
    change_task,
    recounted,
    run,
    stiltscale,
    surroundings,
    write_study,
)

from compiler.check import check
from compiler.expand import expand
from runtime.store import Store, status

BASE = "FacebookAI/xlm-roberta-base"
GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "offline.md"


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    root = tmp_path_factory.mktemp("hub")
    return root, write_hub(root)


def small(folder: Path, sizes: dict[str, Any], *models: str, **changes: Any) -> Path:
    """Write the smallest study: PAWS-X in two languages, directly and after MultiNLI."""
    fields: dict[str, Any] = {
        "models": {"family": "xlm-r", "sizes": [*models] or ["base"]}, "targets": ["paws_x"],
        "languages": ["en", "de"], "counts": recounted(("mnli", "paws_x")),
    }  # fmt: skip
    return write_study(folder, sizes, **(fields | changes))


def lines(text: str) -> dict[str, list[str]]:
    """Return the words of the table's lines by repository."""
    rows = [re.split(r"  +", line.strip()) for line in text.splitlines()]
    return {row[1]: row for row in rows if row[0] in ("dataset", "model")}


def test_the_guide_works(repositories: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """Run the commands of the guide: the first block beside a hub, the second without any."""
    root, sizes = repositories
    study = small(tmp_path, sizes).rename(tmp_path / "my-study.yaml")
    command = tmp_path / "bin" / "stiltscale"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m runtime.cli "$@"\n')
    command.chmod(0o755)
    login, compute = re.findall(r"```bash\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    environment = surroundings(tmp_path) | {
        "HOME": str(tmp_path), "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(GUIDE.parents[2]),
    }  # fmt: skip
    del environment["HF_HOME"]  # the guide sets it

    def follow(block: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euc", block], cwd=tmp_path, env=environment | more, text=True,
            capture_output=True, check=False, timeout=300,
        )  # fmt: skip

    with hub(root) as server:
        done = follow(login, HF_ENDPOINT=server.url)
        assert done.returncode == 0, done.stdout + done.stderr
        commits = {name: found.commit for (_, name), found in server.repositories.items()}
        shown = lines(done.stdout)
        assert set(shown) == {BASE, PAWS, "nyu-mll/glue"}
        for name, words in shown.items():
            assert words[3].startswith("fetched ")
            assert words[4] == commits[name]
        wanted = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
        assert server.fetched("models", BASE) == wanted
        before = len(server.requests)
    assert "follow a branch" not in done.stdout
    assert done.stderr == ""
    done = follow(compute, HF_ENDPOINT=server.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(server.requests) == before
    assert {words[3] for words in lines(done.stdout).values()} == {"in the cache"}
    plan = expand(check(study))
    assert set(status(Store(tmp_path / "build" / "store"), plan).values()) == {"done"}
    done = follow("stiltscale fetch my-study.yaml", HF_HUB_OFFLINE="1")
    assert done.stdout == "xnli-hub: nothing is needed from the hub\n"


def test_again_downloads_nothing(repositories: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    root, sizes = repositories
    study = small(tmp_path, sizes, "base", "large")
    busy, cut = {f"{LARGE}/": 1, f"datasets/{PAWS}": 1}, {"safetensors": 1}
    with hub(root, busy=busy, cut=cut, lfs=500) as server:
        first = stiltscale("fetch", study, tmp_path, tmp_path / "hub", HF_ENDPOINT=server.url)
        assert first.returncode == 0, first.stdout + first.stderr
        assert set(server.busy.values()) == set(server.cut.values()) == {0}
        assert {x for x in server.fetched("models", LARGE) if "token" in x} == set()
        before = len(server.requests)
        again = stiltscale("fetch", study, tmp_path, tmp_path / "hub", HF_ENDPOINT=server.url)
        asked = [x for x in server.requests[before:] if x.startswith("GET ") and "/resolve/" in x]
    assert again.returncode == 0, again.stdout + again.stderr
    assert asked == []
    assert {words[3] for words in lines(again.stdout).values()} == {"there already"}
    assert "4 of 4 follow a branch, which may move" in again.stdout
    (shard,) = (tmp_path / "hub").glob("hub/models--*-large/snapshots/*/*-00002-of-*.safetensors")
    shard.unlink()
    lost = stiltscale("fetch", study, tmp_path, tmp_path / "hub", HF_HUB_OFFLINE="1")
    assert lost.returncode == 3
    assert f"the model {LARGE} lacks {shard.name} in the cache" in lost.stderr


@pytest.mark.slow
def test_a_study_that_follows_branches_runs_without_a_network(
    repositories: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """What was fetched by commit before does not help it: the cache must know the branch."""
    root, sizes = repositories
    with hub(root) as server:
        commits = {name: found.commit for (_, name), found in server.repositories.items()}
        locked = small(tmp_path / "locked", sizes)
        family = tmp_path / "locked" / "own" / "models" / "xlm-r.yaml"
        pinned = family.read_text().replace(
            f"hub: {BASE}", f"hub: {BASE}\n    revision: {commits[BASE]}"
        )
        family.write_text(pinned)
        done = stiltscale("fetch", locked, tmp_path, tmp_path / "hub", HF_ENDPOINT=server.url)
        assert done.returncode == 0, done.stdout + done.stderr
        study = small(tmp_path, sizes)
        early = stiltscale("fetch", study, tmp_path, tmp_path / "hub", HF_HUB_OFFLINE="1")
        assert early.returncode == 3
        assert f"the model {BASE} is not in the cache" in early.stderr
        done = stiltscale("fetch", study, tmp_path, tmp_path / "hub", HF_ENDPOINT=server.url)
        assert done.returncode == 0, done.stdout + done.stderr
    code, text = run(study, tmp_path / "build", tmp_path / "hub", HF_HUB_OFFLINE="1")
    assert code == 0, text


def test_what_cannot_be_had_is_named_and_the_rest_fetched(
    repositories: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(repositories[0], root)
    (root / "models" / BASE / "model.safetensors").unlink()
    drop_last(root / "datasets" / PAWS / "de" / "test-00000-of-00001.parquet")
    study = small(tmp_path, repositories[1], "base", "large", targets=["paws_x", "xnli"],
                  counts=recounted(("mnli", "paws_x", "xnli")))  # fmt: skip
    source = {"hub": "facebook/xnly", "config": "{language}",
              "splits": {"train": "train", "dev": "validation", "test": "test"},
              "columns": {"text": "premise", "text_pair": "hypothesis"}}  # fmt: skip
    change_task(study, "xnli", source=source, train_on=["mnli"])
    with hub(root, gated={LARGE}) as server:
        done = stiltscale("fetch", study, tmp_path, tmp_path / "hub", HF_ENDPOINT=server.url)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "F002: 4 of 5 repositories could not be had whole" in done.stderr
    page = f"{server.url}/{LARGE}"
    for said in (
        "the dataset facebook/xnly is not on the hub, or private: check its name, or set HF_TOKEN",
        f"the model {LARGE} is gated: accept its terms at {page}, then set HF_TOKEN to your token",
        f"the model {BASE} has no weights as safetensors: name a revision that has them",
        "paws_x, test split, de: expected 8 rows, found 7",
    ):
        assert f"  {said}" in done.stderr
    assert lines(done.stdout)["nyu-mll/glue"][3].startswith("fetched ")
    assert "Traceback" not in done.stderr


def test_a_cache_that_cannot_be_written_is_named(
    repositories: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    root, sizes = repositories
    (tmp_path / "file").write_text("no folder")
    cache = tmp_path / "file" / "hub"
    with hub(root) as server:
        done = stiltscale("fetch", small(tmp_path, sizes), tmp_path, cache, HF_ENDPOINT=server.url)
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"E001: the cache of the hub cannot be written: Not a directory ({cache})" in done.stderr
    assert "set HF_HOME to another folder" in done.stderr


@pytest.mark.slow
def test_a_hub_that_breaks_off_or_does_not_answer(
    repositories: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    root, sizes = repositories
    study = small(tmp_path, sizes)
    with hub(root, cut={".safetensors": 1000, ".parquet": 1000}) as server:
        done = stiltscale("fetch", study, tmp_path, tmp_path / "hub", HF_ENDPOINT=server.url)
    assert done.returncode == 3
    for what in (f"the model {BASE}", f"the dataset {PAWS}", "the dataset nyu-mll/glue"):
        assert f"the hub broke off in {what}: run the same command again" in done.stderr
    with hub(root) as server:
        done = stiltscale("fetch", study, tmp_path, tmp_path / "hub", HF_ENDPOINT=server.url)
    assert done.returncode == 0, done.stderr
    with hub(root, busy={"": 10_000}) as server:
        done = stiltscale("fetch", study, tmp_path, tmp_path / "hub", HF_ENDPOINT=server.url)
    assert done.returncode == 3
    assert f"the hub answered 503 for the model {BASE}" in done.stderr
    done = stiltscale("fetch", study, tmp_path, tmp_path / "hub", HF_ENDPOINT=NOWHERE)
    assert done.returncode == 2
    assert f"E020: the hub at {NOWHERE} cannot be reached" in done.stderr


@pytest.mark.slow
def test_a_file_that_breaks_off_is_asked_for_again(
    repositories: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """The library gives up at the sixth answer that is cut short; we then ask once more."""
    root, sizes = repositories
    study = small(tmp_path, sizes)
    with hub(root, cut={"mnli/train": 8, ".safetensors": 8}) as server:
        done = stiltscale("fetch", study, tmp_path, tmp_path / "hub", HF_ENDPOINT=server.url)
        assert set(server.cut.values()) == {0}
    assert done.returncode == 0, done.stdout + done.stderr
