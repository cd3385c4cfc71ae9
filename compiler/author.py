"""Writes a new study from a few answers: commented, and valid before anything is kept."""

from __future__ import annotations

import importlib.metadata
import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from compiler.catalog import Catalog
from compiler.check import check
from compiler.entries import Family, Task
from compiler.errors import EnvironmentUnready, StudyInvalid
from compiler.resolve import Resolved
from compiler.terms import UNTRAINED
from compiler.validate import suggest

QUESTIONS = {
    "name": "Name of the study",
    "family": "Model family",
    "sizes": "Sizes, smallest first",
    "intermediate": "Intermediate tasks, to train on first",
    "targets": "Target tasks, or one benchmark",
    "languages": "Languages to score in, or all",
    "seeds": "Seeds",
    "recipe": "Recipe",
    "device": "Device",
}
"""What is asked, in this order; lists are written with commas."""

EMBEDDED = {
    "family": "e5-depth",
    "sizes": "1, 2, 4",
    "intermediate": "intent_pairs, emoji_category",
    "targets": "intent_slots, intents, emoji_category, emoji_names",
    "languages": "en, ar, de, es, fr, it, ko, ru, zh",
    "recipe": "quickstart",
    "device": "cpu",
}
HUB = {
    "family": "xlm-r",
    "intermediate": "mnli",
    "targets": "paws_x, pan_x",
    "languages": "all",
    "recipe": "xtreme",
    "device": "auto",
}
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def default(field: str, answers: Mapping[str, str], catalog: Catalog) -> str:
    """Return what is proposed for a question, given the answers so far."""
    if field == "name":
        return "my-study"
    if field == "seeds":
        return "1, 2, 3"
    if field == "family":
        return EMBEDDED["family"] if _embedded(catalog) else HUB["family"]
    chosen = EMBEDDED if answers.get("family") == EMBEDDED["family"] else HUB
    if field == "languages" and "targets" in answers:
        there = _known(field, answers, catalog)
        return ", ".join(x for x in words(chosen[field]) if x in there) or "all"
    if field == "sizes" and field not in chosen:
        return ", ".join(_sizes(catalog.families[answers["family"]]))
    return chosen[field]


def problem(field: str, text: str, answers: Mapping[str, str], catalog: Catalog) -> str:
    """Say what is wrong with an answer; '' when nothing is."""
    if field == "name":
        fits = _NAME.fullmatch(text)
        return (
            "" if fits else "use small letters, digits, `_` and `-`; start with a letter or digit"
        )
    if field == "seeds":
        digits = all(word.isascii() and word.isdigit() for word in words(text))
        return "" if digits and words(text) else "give whole numbers, for example 1, 2, 3"
    if field == "targets" and text in catalog.benchmarks:
        return ""
    known = _known(field, answers, catalog)
    if not words(text):
        return "give at least one"
    if field in ("family", "recipe", "device") and len(words(text)) > 1:
        return "give one"
    unknown = [word for word in words(text) if word not in known]
    if field == "languages" and text == "all":
        return ""
    if not unknown:
        return ""
    here = "in the targets" if field == "languages" else "here"
    verb = {"targets": "tasks", "intermediate": "tasks", "family": "models", "device": "hardware"}
    hint = suggest(unknown[0], known, verb.get(field, field))
    return f"`{unknown[0]}` is not known {here}; {hint}"


def choices(field: str, answers: Mapping[str, str], catalog: Catalog) -> str:
    """Return what a question may be answered with, '' when that is said by the question.

    With the embedded family the tasks that need no download are named, as they fit it.
    """
    if field in ("name", "seeds"):
        return ""
    names = _known(field, answers, catalog)
    if field in ("intermediate", "targets") and answers.get("family") == EMBEDDED["family"]:
        names = [name for name in names if catalog.tasks[name].source.reader is not None]
        return f"without a download: {', '.join(names)}; others: `stiltscale tasks`"
    if field == "languages" and len(names) > 24:
        return f"{len(names)} languages have data: `stiltscale languages`"
    if field == "device":
        return "auto, cpu, cuda, or a device of `stiltscale hardware`, which plans hours by it"
    also = f"; or {', '.join(catalog.benchmarks)}" if field == "targets" else ""
    return f"from: {', '.join(names)}{also}"


def words(text: str) -> list[str]:
    """Split an answer at commas and blanks."""
    return [word for word in re.split(r"[,\s]+", text.strip().strip("[]")) if word]


def render(
    answers: Mapping[str, str], catalog: Catalog, header: str = "", question: str = ""
) -> str:
    """Return the text of a study; ``header`` is its first line for editors."""
    a = dict(answers)
    family = catalog.families[a["family"]]
    first = " and ".join(catalog.tasks[name].title for name in words(a["intermediate"]))
    asked = question or (
        f"Does training on {first} first help zero-shot transfer more or less with the size of "
        f"{family.title or family.family}?"
    )
    benchmark = a["targets"] in catalog.benchmarks
    targets = f"{{benchmark: {a['targets']}}}" if benchmark else _list(a["targets"])
    languages = "all" if a["languages"] == "all" else _list(a["languages"])
    lines = [header] if header else []
    lines += [
        f"study: {_word(a['name'])} # its name, and that of its folder under build/",
        f"question: {json.dumps(asked, ensure_ascii=False)}",
        "",
        "# The size axis: a family of the catalog, and which of its sizes.",
        f"models: {{family: {_word(a['family'])}, sizes: {_list(a['sizes'])}}}",
        "",
        "# English tasks to train on first. Direct fine-tuning, the arm `none`, is always added.",
        f"intermediate: {_list(a['intermediate'])}",
        "# controls: [placebo, step_matched] # what else could explain a gain",
        "",
        "# What the models are fine-tuned on in English, then scored on in every language.",
        f"targets: {targets}",
        f"languages: {languages} # `all`, or a list of codes",
        f"seeds: {_list(a['seeds'])} # one run of everything for each; three or more",
        "",
        "# Training settings by name. To change some of them:",
        f"# recipe: {{name: {a['recipe']}, defaults: {{learning_rate: 2.0e-5}}}}",
        f"recipe: {_word(a['recipe'])}",
        "",
        "# What will be estimated, fixed before any score is seen. For the verdict `equivalent`:",
        "# analysis: {margin: 1.0, margin_reason: why a smaller change would not matter}",
        "analysis: {size_axis: non_embedding, degenerate: exclude}",
        "",
        "# Where and how it runs; nothing here changes a result's key.",
        f"hardware: {{device: {_word(a['device'])}{_packing(a['device'])}}}",
    ]
    return "\n".join(lines) + "\n"


def verified(text: str, path: Path) -> Resolved:
    """Check the text of a study before it is written to ``path``; raises StudyInvalid.

    Packages need not be installed: a study may be written on another machine than it runs on.
    """
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / path.name
        draft.write_text(text, encoding="utf-8")
        try:
            return check(draft, installed=False, locked=False)
        except StudyInvalid as error:
            raise StudyInvalid(
                [
                    replace(d, span=replace(d.span, file=str(path)) if d.span else None)
                    for d in error.diagnostics
                ]
            ) from None


def refuse_existing(path: Path, force: bool) -> None:
    """Raise EnvironmentUnready (E003) when a file would be overwritten that may not be."""
    if path.exists() and not force:
        hint = "choose another path, or add --force"
        raise EnvironmentUnready("E012", "there is a file already", where=str(path), hint=hint)


def schema_line(path: Path) -> str:
    """Return the line that tells editors the schema, '' when none is near the study.

    A schema inside an installed package is not named: its path would hold on this machine alone.
    """
    folder = path.resolve().parent
    for up, place in enumerate((folder, *folder.parents)[:5]):
        for name in ("study.schema.json", "specs/study.schema.json"):
            try:
                ours = '"Stiltscale study"' in (place / name).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            if ours:
                return f"# yaml-language-server: $schema={'../' * up}{name}"
    return ""


def _known(field: str, answers: Mapping[str, str], catalog: Catalog) -> list[str]:
    if field == "family":
        return list(catalog.families)
    if field == "sizes":
        return _sizes(catalog.families[answers["family"]])
    if field == "intermediate":
        return [name for name, task in catalog.tasks.items() if task.kind not in UNTRAINED]
    if field == "targets":
        return list(catalog.tasks)
    if field == "languages":
        return sorted({code for task in _targets(answers, catalog) for code in task.languages})
    if field == "recipe":
        return list(catalog.recipes)
    return list(dict.fromkeys(["auto", "cpu", "cuda", *catalog.devices]))


def _targets(answers: Mapping[str, str], catalog: Catalog) -> list[Task]:
    """Return the tasks that the answers so far score; all that there are before the question."""
    text = answers.get("targets", "")
    benchmark = catalog.benchmarks.get(text)
    names = [entry.task for entry in benchmark.tasks] if benchmark else words(text)
    return [catalog.tasks[name] for name in names or catalog.tasks]


def _sizes(family: Family) -> list[str]:
    return [str(member.size) for member in family.members]


def _embedded(catalog: Catalog) -> bool:
    """Tell whether the packages of the embedded family are installed."""
    family = catalog.families.get(EMBEDDED["family"])
    if family is None:
        return False
    try:
        source = family.members[0].checkpoint
        for package in source.packages if source else ():
            importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _list(text: str) -> str:
    return f"[{', '.join(_word(word) for word in words(text))}]"


def _packing(device: object) -> str:
    """Return how jobs are packed: on a CPU few large ones, since starting one takes seconds."""
    return ", parallel: 2, threads: 1, pack: seed" if device == "cpu" else ""


def _word(word: str) -> str:
    """Quote what another YAML reader might take for something else than a text."""
    doubtful = word.lower() in ("no", "yes", "on", "off", "y", "n", "true", "false", "null")
    return json.dumps(word) if doubtful else word
