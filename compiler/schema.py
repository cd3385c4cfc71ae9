"""Makes JSON Schemas of every file that authors and programs read, from the models themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter

from compiler.calibration import MAYBE, TAKEN
from compiler.catalog import Catalog, Languages
from compiler.entries import Benchmark, Corpus, Device, Family, Task
from compiler.evidence import EvidenceSet
from compiler.plan import SCHEMA, Plan
from compiler.site import Site
from compiler.study import Study
from compiler.training import Recipe

DIALECT = "http://json-schema.org/draft-07/schema#"
"""The draft that every editor's validator knows; nothing newer is used."""

MODELS: dict[str, type[BaseModel]] = {
    "study": Study,
    "task": Task,
    "corpus": Corpus,
    "family": Family,
    "benchmark": Benchmark,
    "recipe": Recipe,
    "device": Device,
    "evidence": EvidenceSet,
    "languages": Languages,
    "cluster": Site,
}
KINDS = (*MODELS, "plan")

UNITS = {
    "alpha": "none",
    "array": "jobs",
    "at_once": "jobs",
    "average": "dev scores",
    "bandwidth_gb_s": "GB/s",
    "batch": "examples",
    "batch_tokens": "subwords, padding included",
    "cap": "rows",
    "chance": "points, 0 to 100",
    "chance_steps": "optimizer steps",
    "checkpoint_minutes": "minutes",
    "choices": "options",
    "clip": "L2 norm",
    "counts": "rows",
    "cpus_per_device": "CPUs",
    "devices": "devices",
    "devices_per_node": "devices",
    "dropout": "share, 0 to 1",
    "epochs": "passes over the training set",
    "evaluate_every": "optimizer steps",
    "evaluation_batch": "examples",
    "exponent": "none",
    "freeze_backbone_steps": "optimizer steps",
    "freeze_layers": "layers",
    "headroom": "times the estimate",
    "label_base": "none",
    "layers": "layers",
    "host_gib": "GiB for each device",
    "learning_rate": "none",
    "masked": "share of the tokens, 0 to 1",
    "margin": "points per tenfold parameters",
    "max_length": "subwords",
    "memory_gib": "GiB",
    "mfu": "share, 0 to 1",
    "micro_batch": "examples",
    "minutes": "minutes",
    "most_minutes": "minutes",
    "nodes": "machines",
    "notice_seconds": "seconds",
    "non_embedding": "parameters",
    "overhead_gib": "GiB",
    "parallel": "jobs",
    "patience": "dev scores",
    "poll_seconds": "seconds",
    "price_per_hour": "your currency per device and hour",
    "rank": "dimensions",
    "rate": "share of the steps, 0 to 1",
    "requeues": "none",
    "rows": "rows",
    "seed": "none",
    "seeds": "none",
    "sentence_depth": "share of the layers, 0 to 1",
    "steps": "optimizer steps",
    "temperature": "none",
    "tflops": "10^12 operations per second",
    "threads": "threads",
    "tokens": "tokens",
    "total": "parameters",
    "value": "points",
    "vocabulary": "entries",
    "warmup": "share of the steps, 0 to 1",
    "warmup_steps": "optimizer steps",
    "watts": "W",
    "weight": "none",
    "weight_decay": "none",
}
"""Units of the fields that hold numbers, by the field's name; `none` is a plain number."""

INHERITED = {"RecipeChoice": ("name",), "Ladder": ("family",)}
"""What is required in a study that extends no other, and may come from the other one."""

RUN = ("models", "intermediate", "targets")
"""Fields without which a study that has `evidence` is one of published scores alone."""

PLAN_FIELDS = {
    "study": "Name, question, languages, seeds and the analysis plan.",
    "models": "Each model's definition, by name, in the order of the size axis.",
    "arms": "Each arm's definition, by name; `none` is direct fine-tuning.",
    "tasks": "Each task's definition, by name.",
    "recipes": "Training settings by `phase/task or arm/model`.",
    "stages": "Every unit of work, once, upstream before downstream.",
    "jobs": "Launch scripts: stages that run in order in one process group.",
    "runs": "Every (model, arm, target, seed), with the stage that yields its scores.",
    "execution": "Where and how the stages run; in no key.",
    "notes": "Warnings and notes of the checker.",
    "confounds": "What differs between the sizes besides size.",
    "catalog": "Which file each definition came from, its digest, and the file it replaces.",
    "corpora": "Each corpus's definition, by name.",
    "probe": "The runs of the sharding probe, if there is one; they are no cells of the study.",
}


def schema(kind: str, catalog: Catalog | None = None) -> dict[str, Any]:
    """Return the JSON Schema of a kind of file.

    With a catalog, its names are offered as examples, which editors complete; others stay allowed.
    """
    if kind == "plan":
        return _plan()
    body = MODELS[kind].model_json_schema(ref_template="#/definitions/{model}")
    definitions: dict[str, Any] = body.pop("$defs", {})
    if kind == "study":
        _shorthands(body["properties"], definitions)
        _extended(body, definitions)
    if "Model" in definitions:
        definitions["Model"] |= {
            "if": {"required": ["checkpoint"]},
            "then": {"required": ["parameters"], "not": {"required": ["pretrain"]}},
        }
    for part in (body, *definitions.values()):
        _readable(part)
    if catalog is not None:
        _complete(body, definitions, catalog)
    title = f"Stiltscale {kind}"
    return {
        "$schema": DIALECT,
        **body,
        "title": title,
        "definitions": dict(sorted(definitions.items())),
    }


def as_text(body: Mapping[str, Any]) -> str:
    """Write a schema; the same schema gives the same bytes."""
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def files(catalog: Catalog) -> dict[str, str]:
    """Return the text of every schema by its file name."""
    return {f"{kind}.schema.json": as_text(schema(kind, catalog)) for kind in KINDS}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/definitions/{name}"}


def _shorthands(properties: dict[str, Any], definitions: dict[str, Any]) -> None:
    """Allow the short forms that the validators of `compiler.study` turn into the long ones."""
    name = dict(definitions["Target"]["properties"]["task"])
    name = {"type": "string", "pattern": name["pattern"]}
    kinds = definitions["Control"]["properties"]["kind"]["enum"]

    def replace(field: str, *forms: dict[str, Any]) -> None:
        kept = {k: v for k, v in properties[field].items() if k in ("title", "description")}
        properties[field] = {**kept, "anyOf": list(forms)}

    def items(holder: dict[str, Any], *forms: dict[str, Any]) -> None:
        holder["items"] = {"anyOf": list(forms)}

    ladder = {"allOf": [_ref("Ladder"), {"required": ["family"]}]}
    origin = {"anyOf": [{"required": ["checkpoint"]}, {"required": ["pretrain"]}]}
    own = {"allOf": [_ref("Model"), origin]}
    member = {"if": {"required": ["family"]}, "then": ladder, "else": own}
    replace(
        "models",
        _ref("Ladder"),
        {"type": "array", "minItems": 1, "items": member},
        _ref("Models"),
    )
    items(properties["intermediate"], name, _ref("Arm"))
    items(properties["controls"], {"type": "string", "enum": kinds}, _ref("Control"))
    target = {"anyOf": [name, _ref("Target")]}
    replace("targets", {"type": "array", "minItems": 1, "items": target}, _ref("Targets"))
    items(definitions["Targets"]["properties"]["members"], name, _ref("Target"))
    replace("recipe", name, _ref("RecipeChoice"))
    arm = definitions["Arm"]
    arm["required"] = [field for field in arm["required"] if field != "name"]
    arm["anyOf"] = [{"required": ["task"]}, {"required": ["name"]}]


def _extended(body: dict[str, Any], definitions: dict[str, Any]) -> None:
    """Let a study that extends another leave out what it takes from there."""
    needed = body.pop("required")
    for model in INHERITED:
        del definitions[model]["required"]

    def mapping_with(*fields: str) -> dict[str, Any]:
        return {"if": {"type": "object"}, "then": {"anyOf": [{"required": [f]} for f in fields]}}

    whole = {
        "models": mapping_with("family", "ladders", "members"),
        "recipe": mapping_with("name"),
    }
    body["if"] = {"required": ["extends"]}
    body["then"] = {}
    body["else"] = {
        "if": {"required": ["evidence"], "properties": dict.fromkeys(RUN, False)},
        "then": {"required": ["study"]},
        "else": {"required": needed, "properties": whole},
    }


def _readable(part: dict[str, Any]) -> None:
    """Add units to descriptions; take out titles that repeat names, and defaults that say nothing.

    A nested model's default is the sum of its fields' defaults, and stands there.
    """
    part["description"] = " ".join(str(part.get("description", "")).split())
    for name, field in part.get("properties", {}).items():
        field.pop("title", None)
        unit = UNITS.get(name, "none")
        if unit != "none" and holds_number(field):
            field["description"] = f"{field.get('description', '')} Unit: {unit}.".strip()
        if field.get("default", ...) is None or isinstance(field.get("default"), dict):
            del field["default"]


def holds_number(field: Mapping[str, Any]) -> bool:
    """Tell whether a field of a schema can hold a number that means an amount."""
    parts = list(_inside(field))
    if any({"type": "string"} in part.get("anyOf", ()) for part in parts):
        return False  # a name that may look like a number
    return any(part.get("type") in ("integer", "number") for part in parts)


def _inside(field: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(field, Mapping):
        yield field
        for word in ("anyOf", "items", "additionalProperties"):
            yield from _inside(field.get(word))
    elif isinstance(field, list):
        for one in field:
            yield from _inside(one)


def _complete(body: dict[str, Any], definitions: dict[str, Any], catalog: Catalog) -> None:
    """Offer the names of the catalog where one is asked for."""
    tasks, recipes = sorted(catalog.tasks), sorted(catalog.recipes)
    offers = {
        ("Ladder", "family"): sorted(catalog.families),
        ("Arm", "task"): tasks,
        ("Target", "task"): tasks,
        ("BenchmarkTask", "task"): tasks,
        ("Targets", "benchmark"): sorted(catalog.benchmarks),
        ("RecipeChoice", "name"): recipes,
        ("Replay", "corpus"): sorted(catalog.corpora),
        ("Evidence", "name"): sorted(catalog.evidence),
        ("Hardware", "device"): ["auto", "cuda", *sorted(catalog.devices)],
    }
    for (model, field), names in offers.items():
        if model in definitions:
            definitions[model]["properties"][field]["examples"] = names
    if "Pretraining" in definitions:
        named = definitions["Pretraining"]["properties"]["corpus"]["anyOf"]
        named[0] |= {"examples": sorted(catalog.corpora)}
    if "Arm" in definitions:
        properties = body["properties"]
        properties["intermediate"]["items"]["anyOf"][0] |= {"examples": tasks}
        properties["targets"]["anyOf"][0]["items"]["anyOf"][0] |= {"examples": tasks}
        properties["recipe"]["anyOf"][0] |= {"examples": recipes}


def _measured() -> dict[str, Any]:
    """Describe what was measured of a plan's models, by `compiler.calibration.takes`."""
    number = {"type": "number", "minimum": 0}
    said = {name: {**number, "description": text} for name, text in (TAKEN | MAYBE).items()}
    said["source"] = {"enum": ["recorded", "piloted", "partly"], "description": TAKEN["source"]}
    said["memory"] = {"enum": ["allocated", "resident"], "description": MAYBE["memory"]}
    return {
        "type": "object",
        "description": "By model, what pilots and finished trainings measured; once there are any.",
        "additionalProperties": {
            "type": "object",
            "additionalProperties": False,
            "required": list(TAKEN),
            "properties": said,
        },
    }


def _plan() -> dict[str, Any]:
    """Describe plan.json: the dataclasses of `compiler.plan` as `to_json` writes them."""
    body = TypeAdapter(Plan).json_schema(ref_template="#/definitions/{model}")
    definitions: dict[str, Any] = body.pop("$defs")
    for part in (body, *definitions.values()):
        part["additionalProperties"] = False
        part["required"] = list(part["properties"])
        _readable(part)
        for field in part["properties"].values():
            field.pop("default", None)
    properties: dict[str, Any] = body["properties"]
    body["required"].remove("probe")  # most plans have none, and do not name it
    properties["stages"] = {"type": "array", "items": _ref("Stage")}
    properties["study"] = {
        "type": "object",
        "required": ["name", "question", "languages", "seeds", "analysis"],
        "properties": {
            "name": {"type": "string"},
            "question": {"type": "string"},
            "languages": {"type": "array", "items": {"type": "string"}},
            "seeds": {"type": "array", "items": {"type": "integer"}},
            "analysis": {"type": "object"},
            "lock": {"type": "object", "additionalProperties": {"type": "string"}},
            "deviations": {
                "type": "array",
                "items": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        },
    }
    properties["execution"] = {"type": "object", "properties": {"measured": _measured()}}
    for name, text in PLAN_FIELDS.items():
        properties[name]["description"] = text
    version = {"const": SCHEMA, "description": "Version of this format."}
    return {
        "$schema": DIALECT,
        **body,
        "title": "Stiltscale plan",
        "description": "plan.json, the contract between the compiler and the runtime.",
        "properties": {"schema": version, **properties},
        "required": ["schema", *body["required"]],
        "definitions": dict(sorted(definitions.items())),
    }
