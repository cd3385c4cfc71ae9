"""The contract of report.json: its JSON Schema, written beside it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from compiler.calibration import MAYBE, TAKEN
from runtime.analysis.estimate import Estimate

SCHEMA = "stiltscale/report/1"


def schema() -> dict[str, Any]:
    """Return the JSON Schema of report.json."""
    estimate = {
        "type": "object",
        "additionalProperties": False,
        "required": [field.name for field in fields(Estimate)],
        "properties": {field.name: _kind(str(field.type)) for field in fields(Estimate)},
    }
    texts = {"type": "object", "additionalProperties": True}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A report of Stiltscale",
        "type": "object",
        "additionalProperties": False,
        "required": [
            "schema", "title", "study", "headline", "estimates", "counts", "sizes", "provenance",
            "costs", "pilots", "pretraining", "data", "caveats", "evidence", "claims",
        ],
        "properties": {
            "schema": {"const": SCHEMA},
            "title": {"type": "string"},
            "study": texts,
            "headline": {
                "type": "object",
                "required": ["sentence", "estimate", "levels"],
                "properties": {
                    "sentence": {"type": "string"},
                    "estimate": {"$ref": "#/$defs/estimate"},
                    "levels": {
                        "type": "object",
                        "additionalProperties": {
                            "anyOf": [{"$ref": "#/$defs/estimate"}, {"type": "null"}]
                        },
                    },
                },
            },
            "estimates": {"type": "array", "items": {"$ref": "#/$defs/estimate"}},
            "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
            "sizes": {"type": "array", "items": texts},
            "provenance": texts,
            "costs": {"type": "array", "items": texts},
            "pilots": {"type": "array", "items": _pilot()},
            "pretraining": {"type": "array", "items": texts},
            "data": {
                "type": "object",
                "required": ["splits", "totals"],
                "properties": {"splits": {"type": "array", "items": texts}, "totals": texts},
            },
            "caveats": {"type": "array", "items": texts},
            "evidence": {"type": "array", "items": texts},
            "claims": {"type": "array", "items": _claim()},
            "sharding_probe": {
                "type": "object",
                "required": ["model", "seed", "whole", "divided", "pairs"],
                "properties": {"pairs": {"type": "array", "items": texts}},
            },
        },
        "$defs": {"estimate": estimate},
    }  # fmt: skip


def _pilot() -> dict[str, Any]:
    """Describe what the pilots of a model measured: what `compiler.calibration.takes` returns."""
    number = {"type": "number", "minimum": 0}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["model", *TAKEN],
        "properties": {
            "model": {"type": "string"},
            "source": {"enum": ["recorded", "piloted", "partly"]},
            "memory": {"enum": ["allocated", "resident"]},
            **{name: number for name in (*TAKEN, *MAYBE) if name not in ("source", "memory")},
        },
    }


def _claim() -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["claim", "verdict", "reason", "estimate", "published_within_interval"],
        "properties": {
            "claim": {"type": "object"},
            "verdict": {
                "enum": ["replicated", "contradicted", "inconclusive", "not testable here"]
            },
            "reason": {"type": "string"},
            "estimate": {"anyOf": [{"$ref": "#/$defs/estimate"}, {"type": "null"}]},
            "published_within_interval": {"type": ["boolean", "null"]},
        },
    }


def _kind(annotation: str) -> dict[str, Any]:
    if annotation == "int":
        return {"type": "integer"}
    return {"type": ["number", "null"]} if annotation.startswith("float") else {"type": "string"}
