"""Writes the reference page of the command line from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo

from compiler.reference import GENERATED

EXITS = (
    ("0", "done; `check` found no error"),
    ("1", "the study, or a plan, is wrong"),
    ("2", "wrong usage, or something outside the study stands in the way"),
    ("3", "some stages failed, or something could not be fetched; the rest is done and kept"),
    ("130", "stopped by Ctrl-C; finished stages are kept"),
)


def cli_page(app: typer.Typer) -> str:
    """Describe every verb with its arguments and options, from the functions' signatures."""
    lines = ["# The command line", "", GENERATED, "", str(app.info.help), ""]
    lines += ["| exit code | meaning |", "|---|---|", *(f"| {c} | {m} |" for c, m in EXITS), ""]
    verbs = {_name(info): info.callback for info in app.registered_commands if info.callback}
    for group in app.registered_groups:
        for info in group.typer_instance.registered_commands if group.typer_instance else ():
            if info.callback:
                verbs[f"{group.name} {_name(info)}"] = info.callback
    for name, function in sorted(verbs.items()):
        words = list(_words(function))
        shown = [
            word.title if word.default == "required" else f"[{word.title}]"
            for word in words
            if word.positional
        ]
        lines += [f"## {name}", "", f"`{' '.join(['stiltscale', name, *shown, '[OPTIONS]'])}`", ""]
        lines += [" ".join((function.__doc__ or "").split()), ""]
        if words:
            lines += ["| word | default | meaning |", "|---|---|---|"]
            lines += [f"| `{word.title}` | {word.default} | {word.meaning} |" for word in words]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


@dataclass(frozen=True)
class _Word:
    """An argument or an option of a verb."""

    title: str
    positional: bool
    default: str
    meaning: str


def _name(info: Any) -> str:
    return str(info.name or info.callback.__name__.rstrip("_"))


def _words(function: Callable[..., Any]) -> Iterator[_Word]:
    hints = get_type_hints(inspect.unwrap(function), include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        kind, *rest = get_args(hints[name])
        info = next(x for x in rest if isinstance(x, (ArgumentInfo, OptionInfo)))
        positional = isinstance(info, ArgumentInfo)
        decls = [info.default] if isinstance(info.default, str) else []  # of Option("--word")
        spoken = "/".join([*decls, *(info.param_decls or ())]) or f"--{name.replace('_', '-')}"
        yield _Word(
            name.upper() if positional else spoken,
            positional,
            _default(parameter.default),
            _meaning(info, kind),
        )


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "required"
    if value is None or value is False or value == "":
        return ""
    return f"`{value}`"


def _meaning(info: ArgumentInfo | OptionInfo, kind: Any) -> str:
    text = " ".join(str(info.help or "").split())
    if get_origin(kind) is Literal:
        text = f"{text} One of {', '.join(f'`{word}`' for word in get_args(kind))}.".strip()
    return text.replace("|", "\\|")
