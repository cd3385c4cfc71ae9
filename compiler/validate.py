"""Checks a document against a model, and says every finding at its line with a suggestion."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from compiler.errors import Diagnostic, StudyInvalid
from compiler.source import Document, Path_

M = TypeVar("M", bound=BaseModel)


def validate(document: Document, model: type[M]) -> M:
    """Return the document as ``model``; raises StudyInvalid with one diagnostic per finding."""
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        found = [_diagnostic(document, model, e) for e in error.errors(include_url=False)]
        raise StudyInvalid(list({(d.span, d.message): d for d in found}.values())) from None


def suggest(word: str, known: Iterable[str]) -> str:
    """Say what the author may have meant, or what there is to choose from; '' when nothing."""
    names = sorted(set(known))
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean `{close[0]}`?"
    if not names:
        return ""
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"choose from: {shown}"


def _diagnostic(document: Document, model: type[BaseModel], error: ErrorDetails) -> Diagnostic:
    path = _existing(document.value, error["loc"])
    kind = error["type"]
    if kind == "extra_forbidden":
        key = str(error["loc"][-1])
        hint = suggest(key, _fields(model, error["loc"][:-1]))
        span = document.span(path, key=True)
        return Diagnostic("S011", "error", f"there is no field `{key}` here", hint, span)
    if kind == "missing":
        key = str(error["loc"][-1])
        where = document.span(path, key=bool(path))
        return Diagnostic("S012", "error", f"the field `{key}` is missing", f"add `{key}:`", where)
    span = document.span(path)
    name = _shown(error["loc"])
    if kind == "value_error":
        text = str(error.get("ctx", {}).get("error", error["msg"]))
        return Diagnostic("S013", "error", text if not name else f"{name}: {text}", "", span)
    message, hint = _explained(kind, error)
    return Diagnostic("S013", "error", f"{name}: {message}", hint, span)


def _explained(kind: str, error: ErrorDetails) -> tuple[str, str]:
    ctx: Mapping[str, Any] = error.get("ctx", {})
    value = error["input"]
    if kind == "literal_error":
        words = [w.strip("' ") for w in str(ctx["expected"]).replace(" or ", ", ").split(",")]
        return f"{_quoted(value)} is not possible here", suggest(str(value), words)
    if kind == "string_pattern_mismatch":
        return (
            f"{_quoted(value)} is not a name that files and scripts can bear",
            "use letters, digits, `_`, `-` and `.`; start with a letter or digit"
            if "A-Z" in str(ctx["pattern"])[:20]
            else "use small letters, digits, `_` and `-`",
        )
    expected = {
        "string_type": "a text",
        "int_type": "a whole number",
        "int_parsing": "a whole number",
        "int_from_float": "a whole number",
        "float_type": "a number",
        "float_parsing": "a number",
        "bool_type": "true or false",
        "bool_parsing": "true or false",
        "tuple_type": "a list",
        "list_type": "a list",
        "dict_type": "a mapping of fields",
        "model_type": "a mapping of fields",
        "model_attributes_type": "a mapping of fields",
        "finite_number": "a finite number",
    }.get(kind)
    if expected:
        hint = "quote it if it is meant as text" if kind == "string_type" else ""
        return f"expected {expected}, found {_quoted(value)}", hint
    if kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        words_of = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
        (limit,) = [(words_of[k], v) for k, v in ctx.items() if k in words_of][:1]
        return f"must be {limit[0]} {limit[1]}, found {_quoted(value)}", ""
    if kind == "too_short":
        return "needs at least one entry", "add one, or leave the field out if it has a default"
    return error["msg"][0].lower() + error["msg"][1:], ""


def _quoted(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return f"`{text if len(text) <= 60 else text[:57] + '...'}`"


def _existing(value: Any, loc: tuple[str | int, ...]) -> Path_:
    """Keep of a location what the file has; union tags and normalised levels are not in it."""
    path: list[str | int] = []
    for step in loc:
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            continue
        path.append(step)
    return tuple(path)


def _shown(loc: tuple[str | int, ...]) -> str:
    words = [str(step) for step in loc if isinstance(step, str) and "[" not in step]
    words = [w for w in words if w not in ("members", "function-before", "nullable")]
    return f"`{words[-1]}`" if words else "the study"


def _fields(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """Name the fields that a model has at a location inside ``model``."""
    here: list[type[BaseModel]] = [model]
    for step in loc:
        steps: list[type[BaseModel]] = []
        for candidate in here:
            if isinstance(step, str) and step in candidate.model_fields:
                steps += _models(candidate.model_fields[step].annotation)
        here = steps or here
    return [name for candidate in here for name in candidate.model_fields]


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType) or get_origin(annotation) is not Literal:
        return [found for argument in get_args(annotation) for found in _models(argument)]
    return []
