"""Writes the reference pages of docs/reference from the models and the tables of codes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from compiler.codes import CODES
from compiler.remedies import REMEDIES
from compiler.schema import INHERITED, UNITS, holds_number, schema

GENERATED = "<!-- Generated from the code by `stiltscale schema --write`; a test compares. -->"
FAMILIES = {
    "S": "Reading a file",
    "C0": "Catalogs",
    "C1": "Names and settings",
    "C2": "What a study can answer",
    "C3": "Packages and files",
    "P": "Plans",
    "E": "Surroundings",
    "R": "The store",
    "F": "Failed stages",
    "A": "Analysis and report",
}
CATALOGS = {
    "task": "tasks/NAME.yaml",
    "corpus": "corpora/NAME.yaml",
    "family": "models/NAME.yaml",
    "benchmark": "benchmarks/NAME.yaml",
    "recipe": "recipes/NAME.yaml",
    "device": "hardware/NAME.yaml",
    "evidence": "evidence/NAME.yaml",
    "languages": "languages.yaml",
}


def pages() -> dict[str, str]:
    """Return the text of every page that the compiler alone can write, by file name."""
    return {
        "study.md": study_page(),
        "catalogs.md": catalogs_page(),
        "diagnostics.md": diagnostics_page(),
    }


def study_page() -> str:
    """Describe every field of a study."""
    body = schema("study")
    lines = [
        "# The study file",
        "",
        GENERATED,
        "",
        "A study is one YAML 1.2 document in UTF-8. A field that is not listed here is an error.",
        "With `# yaml-language-server: $schema=../study.schema.json` as its first line an editor",
        "completes and checks it; `stiltscale check` says more, since it knows the catalogs too.",
        "",
        "Short forms: an entry of `intermediate` or `targets` may be a task's name, `controls`",
        "takes the names of the kinds, `recipe` takes a recipe's name, `models` takes",
        "`{family, sizes}`, a list of these, a list of models, or for models from scratch what",
        "they share, `{architecture, pretrain, members}`, and `targets` takes a list or",
        "`{benchmark, without}`.",
        "",
    ]
    lines += _section("Fields of a study", body, body["definitions"], set())
    return _text(lines)


def catalogs_page() -> str:
    """Describe every kind of catalog file."""
    lines = [
        "# The catalogs",
        "",
        GENERATED,
        "",
        "Stiltscale's own entries are in `specs/`. A study's `catalog:` names a folder of the same",
        "form, whose entries extend or replace them by name. Paths in an entry are relative to its",
        "file.",
        "",
    ]
    shown: set[str] = set()
    for kind, where in CATALOGS.items():
        body = schema(kind)
        title = kind if kind == "languages" else f"{kind[0].upper()}{kind[1:]}"
        title = title[0].upper() + title[1:]
        lines += _section(f"{title}: `{where}`", body, body["definitions"], shown)
    return _text(lines)


def diagnostics_page() -> str:
    """Describe every code: how grave it is, what it means, an example, and what to do."""
    lines = [
        "# Diagnostics",
        "",
        GENERATED,
        "",
        "`stiltscale check` says every finding of a file in one pass, with its line. An error",
        "forbids going on; a warning can be acknowledged in the study, with a reason that the",
        "report prints; a note is for reading. Codes keep their meaning from version to version.",
        "",
    ]
    for prefix, title in FAMILIES.items():
        codes = sorted(code for code in CODES if code.startswith(prefix))
        if not codes:
            continue
        lines += [f"## {title}", ""]
        for code in codes:
            severity, meaning = CODES[code]
            example, remedy = REMEDIES.get(code, ("", ""))
            lines += [f"### {code} ({severity})", "", meaning, ""]
            lines += [f"> {_cell(example)}", ""] if example else []
            lines += [f"What to do: {remedy}", ""] if remedy else []
    return _text(lines)


def _section(
    title: str, part: Mapping[str, Any], definitions: Mapping[str, Any], shown: set[str]
) -> list[str]:
    """Return a table of the fields of a model, then of the models that these refer to."""
    lines = [f"## {title}", "", str(part.get("description", "")), ""]
    lines += ["| field | type | default | unit | meaning |", "|---|---|---|---|---|"]
    required = part.get("required") or part.get("else", {}).get("required")
    required = required or INHERITED.get(title, ())
    below: dict[str, None] = {}
    for name, field in part["properties"].items():
        unit = UNITS.get(name, "") if holds_number(field) else ""
        unit = "" if unit == "none" else unit
        meaning = str(field.get("description", "")).removesuffix(f"Unit: {unit}.").strip()
        default = "required" if name in required else _default(field)
        cells = (f"`{name}`", _type(field), default, unit, meaning)
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
        below |= dict.fromkeys(_refers(field))
    lines.append("")
    for name in below:
        if name not in shown:
            shown.add(name)
            lines += _section(name, definitions[name], definitions, shown)
    return lines


def _type(field: Mapping[str, Any]) -> str:
    """Write the type of a field in words."""
    if "$ref" in field:
        name = str(field["$ref"]).rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "then" in field:
        return f"{_type(field['else'])} or {_type(field['then'])}"
    if "allOf" in field:
        return _type(field["allOf"][0])
    if "anyOf" in field:
        forms = [_type(form) for form in field["anyOf"] if form.get("type") != "null"]
        return " or ".join(dict.fromkeys(forms))
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    kind = field.get("type")
    if kind == "array":
        return f"list of {_type(field.get('items', {}))}"
    if kind == "object":
        inner = field.get("additionalProperties")
        return f"mapping to {_type(inner)}" if isinstance(inner, Mapping) else "mapping"
    words = {
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "boolean": "true or false",
    }
    limits = [
        f"{word} {field[key]:.12g}"
        for key, word in (
            ("exclusiveMinimum", "above"),
            ("minimum", "at least"),
            ("exclusiveMaximum", "below"),
            ("maximum", "at most"),
        )
        if key in field
    ]
    return " ".join([words.get(str(kind), "any value"), ", ".join(limits)]).strip()


def _default(field: Mapping[str, Any]) -> str:
    if "default" not in field:
        return "its defaults" if "$ref" in field else "none"
    value = field["default"]
    return (
        "none"
        if value in ("", [], {})
        else f"`{json.dumps(value, ensure_ascii=False).strip(chr(34))}`"
    )


def _refers(field: Any) -> Iterator[str]:
    if isinstance(field, Mapping):
        if "$ref" in field:
            yield str(field["$ref"]).rsplit("/", 1)[-1]
        for value in field.values():
            yield from _refers(value)
    elif isinstance(field, list):
        for value in field:
            yield from _refers(value)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _text(lines: list[str]) -> str:
    return "\n".join(lines).rstrip() + "\n"
