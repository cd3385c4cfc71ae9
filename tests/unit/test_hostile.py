"""What reaches a script: every string of a plan and a cluster file, found by their schemas."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from studies import SMALL, plan_of

from compiler.plan import Plan
from compiler.render import machine, render, write
from compiler.schema import MODELS
from compiler.site import Site

CANARY = "canary"
TEXTS = [
    f"$(touch {CANARY})",
    f"`touch {CANARY}`",
    f"x; touch {CANARY} #",
    f"x\ntouch {CANARY}\n#SBATCH --wrap='touch {CANARY}'\n",
    f"'\"; touch {CANARY}; '\"",
    f"-x --help=$(touch {CANARY})",
    "%j-%x-%A_%a",
    f"x\u2028touch {CANARY}\u2029touch {CANARY}\x85touch {CANARY}",
    f"x\x00touch {CANARY}",
    f"../../{CANARY}",
    f"}} && touch {CANARY} && {{",
    f"{{{{ 7 * 7 }}}} {{% raw %}} touch {CANARY}",
]
FREE = {
    ("container", "image"), ("container", "mounts", "[]"), ("environment", "{}"),
    ("modules", "[]"), ("python",), ("source", "[]"),
}  # fmt: skip
"""Fields of a cluster file that take any text: all others are words of a narrow form."""
CARRIED = {each.name for each in fields(Plan)} - {"stages", "jobs", "runs", "execution"}
"""What a plan carries of a study and its catalogs; the rest are names and the compiler's words."""


def leaves(schema: Any, whole: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place and the schema of every string that a file may hold, keys included."""
    if "$ref" in schema:
        if at.count(schema["$ref"]):
            return
        yield from leaves(whole["$defs"][schema["$ref"].rsplit("/", 1)[1]], whole, at)
        return
    for way in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from leaves(way, whole, at)
    if schema.get("type") == "string" and not {"enum", "const"} & schema.keys():
        yield at, schema
    for name, own in schema.get("properties", {}).items():
        yield from leaves(own, whole, (*at, name))
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        yield from leaves(more, whole, (*at, "{}"))
        named = schema.get("propertyNames")
        yield from leaves(named or {"type": "string"}, whole, (*at, "{key}"))
    for pattern, own in schema.get("patternProperties", {}).items():
        yield from leaves(own, whole, (*at, "{}"))
        yield (*at, "{key}"), {"type": "string", "pattern": pattern}
    if isinstance(schema.get("items"), dict):
        yield from leaves(schema["items"], whole, (*at, "[]"))


def put(at: tuple[str, ...], text: str) -> dict[str, Any]:
    """Return a document that has a text at one place."""
    value: Any = text
    for name in reversed(at):
        if name == "[]":
            value = [value]
        elif name == "{key}":
            value = {value: "x"}
        elif name == "{}":
            value = {"name": value} if at[0] == "options" else {"NAME": value}
        else:
            value = {name: value}
    if at[0] == "container":
        value["container"].setdefault("image", "x")
    return dict(value)


def places_of_a_cluster() -> list[tuple[str, ...]]:
    whole = Site.model_json_schema()
    return sorted({at for at, _ in leaves(whole, whole)})


def test_no_field_of_a_cluster_file_is_forgotten() -> None:
    whole = Site.model_json_schema()
    found = {at for at, own in leaves(whole, whole) if "pattern" not in own}
    image = ("container", "image")  # its form refuses a leading dash alone
    assert found | {image} == FREE


@pytest.mark.parametrize("at", sorted(set(places_of_a_cluster()) - FREE), ids="-".join)
def test_words_of_a_cluster_file_are_refused(at: tuple[str, ...]) -> None:
    for text in TEXTS:
        with pytest.raises(ValidationError):
            Site.model_validate(put(at, text))


@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_texts_of_a_cluster_file_are_data(number: int, tmp_path: Path, fixed_catalog: Path) -> None:
    """All at once, but for files to source: one that is not there ends the job, as it should."""
    text = TEXTS[number]
    plan = plan_of(SMALL, hardware={"device": "cpu", "pack": "seed"})
    told: dict[str, Any] = {}
    for at in sorted(FREE - {("source", "[]")}):
        try:
            Site.model_validate(own := put(at, text))
        except ValidationError:
            assert "\0" in text or (at[-1] == "image" and text.startswith("-"))
            continue
        box = told.get("container", {}) | own.get("container", {})
        told |= own | ({"container": box} if box else {})
    said = ran(plan, Site.model_validate(told), tmp_path / "a", submitted=number == 0).split("\0")
    if "\0" not in text:
        assert {text, f"--bind={text}"} <= set(said)
        assert said.count(text) >= 3, "module, variable, interpreter"
        ran(plan, Site.model_validate(put(("source", "[]"), text)), tmp_path / "b")


STUB = '#!/bin/sh\nprintf "%s\\0" "${0##*/}" "$@" "$NAME" "$STILTSCALE_PYTHON" >>"$RECORD"\n'


def ran(plan: Plan, site: Site, home: Path, *, submitted: bool = False) -> str:
    """Run a batch file of a plan, and ``submit.sh``, with stubs; return what these were told.

    Fails when anything else happened: a file of the canary's name is there.
    """
    folder, fake, record = home / "b", home / "fake", home / "record"
    write(render(plan, site) | {"env.sh": machine("/no/python", home / "store", folder)}, folder)
    fake.mkdir()
    for name in ("module", "srun", "apptainer", "scontrol", "sbatch", "accelerate", "python"):
        (fake / name).write_text(STUB + ("echo 7\n" if name == "sbatch" else ""))
        (fake / name).chmod(0o755)
    own = {
        "PATH": f"{fake}:{os.environ['PATH']}", "RECORD": str(record), "SLURM_JOB_ID": "42",
        "SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_JOB_ID": "41", "SLURM_NODEID": "0",
        "SLURM_JOB_NODELIST": "n1", "STILTSCALE_STORE": str(home / "store"), "HOME": str(home),
    }  # fmt: skip
    batch = min((folder / "slurm").iterdir())
    for script in [batch, folder / "submit.sh"][: 1 + submitted]:
        subprocess.run(["bash", str(script)], cwd=folder, env=own, capture_output=True, timeout=60)
    assert not [path for path in home.rglob("*") if path.name.startswith(CANARY)]
    if submitted:
        assert b"sbatch" in record.read_bytes()
    return record.read_text() if record.exists() else ""


def changed(value: Any, text: str) -> Any:
    """Return a value whose every string is followed by a text, names of mappings kept."""
    if isinstance(value, str):
        return value + text
    if isinstance(value, dict):
        return {name: changed(own, text) for name, own in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(changed(own, text) for own in value)
    return value


def test_no_text_of_a_study_or_catalog_is_in_a_script(fixed_catalog: Path) -> None:
    """What scripts hold are the names of study, jobs and stages, and what a cluster is told.

    Whatever a plan carries of a study and of its catalogs, fields to come too, is put out of shape
    here: the scripts stay the same.
    """
    plan = plan_of(SMALL, hardware={"device": "cpu", "nodes": 2})
    before = {name: text for name, text in render(plan).items() if name != "plan.json"}
    for text in TEXTS:
        texts = {name: changed(getattr(plan, name), text) for name in CARRIED}
        other = replace(plan, **texts)
        other = replace(other, study={**other.study, "name": plan.name})
        found = render(other)
        assert {name: found[name] for name in before} == before


def test_names_that_scripts_hold_are_checked_where_they_are_written(fixed_catalog: Path) -> None:
    plan = plan_of(SMALL)
    job = plan.jobs[-1]
    for text in TEXTS:
        for other in (
            replace(plan, study={**plan.study, "name": text}),
            replace(plan, jobs=(replace(job, name=text),)),
            replace(plan, jobs=(replace(job, after=(text,)),)),
        ):
            with pytest.raises(ValueError, match="not a safe"):
                render(other)


def test_every_name_of_a_study_or_catalog_has_a_narrow_form() -> None:
    """Names become stages and jobs; the schemas are asked, so that no field is forgotten."""
    forms = set()
    for model in MODELS.values():
        whole = model.model_json_schema()
        for at, own in leaves(whole, whole):
            if at and at[-1] in ("name", "study", "task", "model", "family", "recipe", "corpus"):
                forms.add((at[-1], own.get("pattern")))
    assert ("study", "^[a-z0-9][a-z0-9_-]{0,62}$") in forms
    for name, form in forms:
        if form is None:
            continue
        assert not any(re.search(form, text.replace("\n", ";")) for text in TEXTS), name


@pytest.mark.parametrize("name", ["root", "job", "jobs", "state", "run", "code", "UID", "BASHOPTS"])
def test_variables_of_the_script_are_not_the_sites(name: str) -> None:
    with pytest.raises(ValueError, match="the script's own"):
        Site.model_validate({"environment": {name: "/elsewhere"}})


@pytest.mark.parametrize("name", ["arra", "wra", "outpu", "err", "chd", "par", "job-n", "dep"])
def test_an_option_that_is_short_for_ours_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="the compiler sets"):
        Site.model_validate({"options": {name: "x"}})
