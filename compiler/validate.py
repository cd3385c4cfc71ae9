"""Checks a document against a model, and says every finding at its line with a suggestion."""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from compiler.errors import Diagnostic, Span, StudyInvalid
from compiler.source import Document, Path_

M = TypeVar("M", bound=BaseModel)

_EXPECTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping of fields",
    "model_type": "a mapping of fields",
    "finite_number": "a finite number",
}
_EXAMPLES = {
    "models": "{family: e5-depth, sizes: [1, 2, 4]}",
    "recipe": "{name: quickstart}",
    "seeds": "[1, 2, 3]",
}


def validate(document: Document, model: type[M]) -> M:
    """Return the document as ``model``; raises StudyInvalid with one diagnostic per finding."""
    try:
        # Strict: `true` is not 1, and '3' is not 3.
        return model.model_validate(_frozen(document.value), strict=True)
    except ValidationError as error:
        errors = _merged(document, error.errors(include_url=False))
        found = [_diagnostic(document, model, e) for e in errors]
        # A word that stands for two fields, as a task's for an arm's name too, is one mistake.
        said = {(d.span, d.message.partition(": ")[2] or d.message): d for d in reversed(found)}
        raise StudyInvalid([d for d in found if d in said.values()]) from None


def suggest(word: str, known: Iterable[str], verb: str = "", most: int = 12) -> str:
    """Say what the author may have meant, or what there is to choose from; '' when nothing.

    Of many names the first ``most`` are shown; ``verb`` is what lists them all.
    """
    names = sorted(set(known), key=lambda name: (name.isdigit() and int(name), name))
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    close = close or [name for name in names if len(word) > 1 and _initials(name) == word]
    if close:
        return f"did you mean `{close[0]}`?"
    if not names:
        return ""
    shown = ", ".join(names[:most])
    if len(names) <= most:
        return f"choose from: {shown}"
    return f"choose from: {shown}, ..." + (f"; `stiltscale {verb}` lists all" if verb else "")


def _initials(name: str) -> str:
    """Return the short form of a name of several words, as `lr` of `learning_rate`."""
    return "".join(word[:1] for word in re.split(r"[_-]", name))


def _frozen(value: Any) -> Any:
    """Turn lists into tuples, which is what the models hold and strict validation asks for."""
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _merged(document: Document, errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Make one finding of what the branches of a union such as `all` | list say of one value."""
    by_path: dict[Path_, list[ErrorDetails]] = {}
    for error in errors:
        if error["type"] == "too_short" and error["input"]:
            continue  # its entries are wrong, and have findings of their own
        by_path.setdefault(_existing(document.value, error["loc"]), []).append(error)
    result: list[ErrorDetails] = []
    for path, group in by_path.items():
        shapes = [e for e in group if e["type"] in _EXPECTED or _is_branch(e)]
        rest = [e for e in group if e not in shapes]
        deeper = any(p[: len(path)] == path and p != path for p in by_path)
        if len(shapes) > 1:
            expected = " or ".join(dict.fromkeys(_expectation(e) for e in shapes))
            merged = shapes[-1].copy()
            merged["type"], merged["ctx"] = "shape", {"expected": expected}
            result.append(merged)
        elif shapes and not (deeper and _is_branch(shapes[0])):
            result += shapes
        result += rest
    return result


def _is_branch(error: ErrorDetails) -> bool:
    return error["type"] == "literal_error" and str(error["loc"][-1]).startswith("literal[")


def _expectation(error: ErrorDetails) -> str:
    if error["type"] in _EXPECTED:
        return _EXPECTED[error["type"]]
    return str(error["ctx"]["expected"]).replace("'", "`")


def _diagnostic(document: Document, model: type[BaseModel], error: ErrorDetails) -> Diagnostic:
    path = _existing(document.value, error["loc"])
    kind = error["type"]
    if kind == "extra_forbidden":
        key = str(error["loc"][-1])
        hint = suggest(key, _fields(model, error["loc"][:-1]), most=40)
        span = document.span(path, key=True)
        return Diagnostic("S011", "error", f"there is no field `{key}` here", hint, span)
    if kind == "missing":
        key = str(error["loc"][-1])
        where = document.span(path) if path else Span(document.file, 1, 1)
        return Diagnostic("S012", "error", f"the field `{key}` is missing", f"add `{key}:`", where)
    span = document.span(path, key=error["loc"][-1:] == ("[key]",))
    name = _shown(error["loc"])
    if kind == "value_error":
        text = str(error.get("ctx", {}).get("error", error["msg"]))
        return Diagnostic("S013", "error", text if not name else f"{name}: {text}", "", span)
    message, hint = _explained(kind, error, name.strip("`"))
    return Diagnostic("S013", "error", f"{name}: {message}", hint, span)


def _explained(kind: str, error: ErrorDetails, name: str) -> tuple[str, str]:
    ctx: Mapping[str, Any] = error.get("ctx", {})
    value = error["input"]
    if kind == "literal_error":
        words = [w.strip("' ") for w in str(ctx["expected"]).replace(" or ", ", ").split(",")]
        return f"{_quoted(value)} is not possible here", suggest(str(value), words)
    if kind == "string_pattern_mismatch":
        return _name_words(str(ctx["pattern"]), str(value))
    expected = str(ctx["expected"]) if kind == "shape" else _EXPECTED.get(kind)
    if expected:
        return f"expected {expected}, found {_quoted(value)}", _shape_hint(expected, value, name)
    if kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        words_of = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
        (limit,) = [(words_of[k], v) for k, v in ctx.items() if k in words_of][:1]
        return f"must be {limit[0]} {limit[1]:.12g}, found {_quoted(value)}", ""
    if kind == "too_short":
        example = _EXAMPLES.get(name)
        return "needs at least one entry", f"for example `{example}`" if example else "add one"
    return error["msg"][0].lower() + error["msg"][1:], ""


def _shape_hint(expected: str, value: Any, name: str) -> str:
    if name in _EXAMPLES and "number" not in expected:
        where = "; `stiltscale models` lists the families" if name == "models" else ""
        return f"for example `{_EXAMPLES[name]}`{where}"
    scalar = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    if scalar and "a list" in expected:
        return f"write `[{value}]`" if len(str(value)) <= 60 else "put it in brackets"
    if isinstance(value, str) and "number" in expected and re.fullmatch(r"[-+.0-9eE]+", value):
        return "remove the quotes"
    if expected == "a text" and (scalar or isinstance(value, bool)):
        return "quote it if it is meant as text"
    if isinstance(value, float) and expected == "a whole number" and value.is_integer():
        return f"write `{int(value)}`" if abs(value) < 1e15 else ""
    return ""


def _name_words(pattern: str, value: str) -> tuple[str, str]:
    """Explain why a text does not fit one of the patterns of `compiler.study`."""
    if "{2,3}" in pattern:
        head, *tail = value.replace("_", "-").split("-")
        near = "-".join([head.lower(), *tail])
        hint = f"did you mean `{near}`?" if re.search(pattern, near) else "such as `en` or `de`"
        return f"{_quoted(value)} is not a language code", hint
    if ",199}" in pattern:
        return (
            f"{_quoted(value)} is not a word that a batch file can hold as it is",
            "use letters, digits and `_ . , : = @ + / -`; start with a letter or digit",
        )
    if ",99}" in pattern or ",39}" in pattern:
        kind = "a variable" if "_0-9]" in pattern or "9_]" in pattern else "an option of sbatch"
        return f"{_quoted(value)} is not the name of {kind}", ""
    if re.fullmatch(r"[\w.-]+( [\w.-]+)+", value):
        return (
            f"{_quoted(value)} is not a name that files and scripts can bear",
            f"did you mean `{', '.join(value.split())}`?",
        )
    small = "A-Z" not in pattern
    return (
        f"{_quoted(value)} is not a name that files and scripts can bear",
        f"use up to 63 {'small ' if small else ''}letters, digits, `_`"
        f"{' and `-`' if small else ', `-` and `.`'}; start with a letter or digit",
    )


def _quoted(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
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
    if not loc:  # a rule about a catalog entry as a whole
        return ""
    words = [str(step) for step in loc if isinstance(step, str) and "[" not in step]
    words = words[:-1] if loc[-1:] == ("[key]",) else words
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
