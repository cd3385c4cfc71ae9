"""The JSON Schemas and the pages made from the code: up to date, and right about real files."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from expected import agree
from jsonschema import Draft7Validator
from studies import SMALL, plan_of
from typer.testing import CliRunner

from compiler import catalog as catalogs
from compiler.errors import StudyInvalid
from compiler.plan import SCHEMA
from compiler.schema import KINDS, UNITS, holds_number, schema
from compiler.source import read
from compiler.study import Study, model_of
from compiler.validate import validate
from runtime.cli import app, generated

ROOT = Path(__file__).parents[2]
GENERATED = generated(ROOT)
FOLDERS = {
    "tasks": "task",
    "corpora": "corpus",
    "models": "family",
    "benchmarks": "benchmark",
    "recipes": "recipe",
    "hardware": "device",
    "studies": "study",
    "evidence": "evidence",
}
SHIPPED = sorted((ROOT / "specs").rglob("*.yaml"))
STUDIES = sorted((ROOT / "specs" / "studies").glob("*.yaml"))
TESTED = sorted((ROOT / "tests" / "catalog").rglob("*.yaml"))
GALLERY = sorted(p for p in (ROOT / "tests" / "errors").glob("*.yaml") if p.is_file())
BEYOND = {"margin_without_reason", "two_sources", "evidence_and_settings"}
"""Bad in a way that only the models' own rules see: one field against another."""


@cache
def validator(kind: str) -> Draft7Validator:
    body = schema(kind)
    Draft7Validator.check_schema(body)
    return Draft7Validator(body)


def wrong(kind: str, value: Any) -> list[str]:
    return [error.message for error in validator(kind).iter_errors(value)]


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_generated_files_are_up_to_date(path: Path) -> None:
    agree(path, GENERATED[path])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_files_fit(path: Path) -> None:
    kind = FOLDERS.get(path.parent.name, path.stem)
    assert not wrong(kind, read(path).value)


@pytest.mark.parametrize("path", TESTED, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_catalog_of_the_tests_fits(path: Path) -> None:
    assert not wrong(FOLDERS[path.parent.name], read(path).value)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_shipped_studies_name_their_schema(path: Path) -> None:
    first, *rest = path.read_text(encoding="utf-8").splitlines()
    assert first == "# yaml-language-server: $schema=../study.schema.json"
    assert (path.parent / "../study.schema.json").is_file()
    assert rest[0].startswith("# "), "a comment says what the study answers"


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_schema_and_check_agree_on_broken_studies(path: Path) -> None:
    """What the models refuse, the schema refuses; what fails later for its meaning, passes."""
    try:
        document = read(path)
    except StudyInvalid:
        return  # no YAML that a schema could see
    try:
        validate(document, model_of(document.value))
    except StudyInvalid:
        assert wrong("study", document.value) or path.stem in BEYOND
    else:
        assert not wrong("study", document.value)


@pytest.mark.parametrize(
    "change",
    [
        {"models": [{"family": "ladder", "sizes": ["s"]}, {"family": "other"}]},
        {"models": {"ladders": [{"family": "ladder"}]}},
        {"models": {"family": "made", "pretrain": {"seeds": "per_seed", "corpus": "paired"}}},
        {"models": {"pretrain": {"tokens": 9}, "members": [{"name": "a", "architecture": {}}]}},
        {"models": [{"name": "a", "pretrain": {"corpus": ["paired", "plain"], "tokens": 9}}]},
        {"intermediate": [{"task": "pairs"}, {"name": "all", "mix": ["pairs", "tags"]}]},
        {"controls": ["placebo", {"kind": "step_matched", "of": "pairs"}]},
        {"targets": {"benchmark": "xtreme", "without": ["topics"]}},
        {"targets": [{"task": "topics", "languages": ["de"]}, "twins"]},
        {"languages": "all"},
        {"recipe": {"name": "short", "defaults": {"steps": 5}}},
    ],
    ids=json.dumps,
)
def test_short_and_long_forms(change: dict[str, Any], tmp_path: Path) -> None:
    study = SMALL | change
    path = tmp_path / "study.yaml"
    path.write_text(json.dumps(study))
    validate(read(path), Study)
    assert not wrong("study", study)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"seeds": []},
        {"seeds": ["1"]},
        {"models": {"family": "ladder", "size": 1}},
        {"models": {"sizes": [1]}},
        {"models": []},
        {"models": [{"name": "a"}]},
        {"models": [{"name": "a", "checkpoint": {"hub": "a"}}]},
        {"models": {"family": "made", "pretrain": {"seeds": "each"}}},
        {"models": {"pretrain": {"objectives": {"nsp": {}}}, "members": [{"name": "a"}]}},
        {"intermediate": [{"mix": ["pairs", "tags"]}]},
        {"controls": ["none"]},
        {"targets": ["a b"]},
        {"recipe": {"defaults": {"steps": 5}}},
        {"hardware": {"nodes": 0}},
        {"analysis": {"margin": "2"}},
    ],
    ids=json.dumps,
)
def test_wrong_studies_are_refused(change: dict[str, Any]) -> None:
    assert wrong("study", SMALL | change)


def test_a_study_that_extends_another_may_leave_out_the_rest() -> None:
    assert not wrong("study", {"extends": "base.yaml", "recipe": {"defaults": {"steps": 5}}})
    assert wrong("study", {"recipe": "short"})


def test_plans_fit_their_schema(catalog: Path) -> None:
    body = json.loads(plan_of(SMALL).to_json())
    assert not wrong("plan", body)
    assert wrong("plan", body | {"schema": SCHEMA + "0"})
    assert wrong("plan", {k: v for k, v in body.items() if k != "runs"})
    body["stages"][0]["extra"] = 1
    assert wrong("plan", body)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "plan"])
def test_every_field_is_described_and_every_number_has_a_unit(kind: str) -> None:
    body = schema(kind)
    for part in (body, *body["definitions"].values()):
        assert part["description"]
        for name, field in part["properties"].items():
            if kind == "languages" and part is body:
                continue
            assert field.get("description"), name
            assert name in UNITS or not holds_number(field) or kind == "family", name


def test_editors_are_offered_the_names_of_the_catalog() -> None:
    body = schema("study", catalogs.load())
    assert "xlm-r" in body["definitions"]["Ladder"]["properties"]["family"]["examples"]
    assert "quickstart" in body["properties"]["recipe"]["anyOf"][0]["examples"]


def test_the_verb_prints_one() -> None:
    ran = CliRunner().invoke(app, ["schema", "plan"])
    assert ran.exit_code == 0
    assert json.loads(ran.output) == schema("plan")
    assert CliRunner().invoke(app, ["schema", "studdy"]).exit_code == 2
