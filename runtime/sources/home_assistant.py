"""Smart-home commands: slot tagging, intent classification, same-intent pairs, and a corpus.

Sentences are random walks through the package's hand-written templates. English templates are split
into train, dev and test, so no sentence is judged whose template was learnt; other languages have a
test split alone. The corpus, to pretrain on without labels, draws English from the templates of
train and the other languages from all of theirs, leaving out the sentences that are tested.

Left out: templates with free text that nobody lists (messages, search queries), or about things we
have no names for (scenes, people); Turkish, Swedish, Finnish and Hungarian, whose templates accept
any suffix on a name, so that random walks would be ungrammatical.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

from runtime.sources.templates import Grammar, Phrase, tokenize

LOCALES: dict[str, Any] = yaml.safe_load(
    resources.files("runtime.sources").joinpath("home_assistant_values.yaml").read_text("utf-8")
)
LANGUAGES = tuple(sorted(key for key in LOCALES["values"] if "-" not in key))
SPLITS = ("train", "dev", "test")
CHARACTER_LANGUAGES = frozenset({"ja", "th", "zh"})

INTENTS = {
    "HassTurnOn": "turn_on",
    "HassTurnOff": "turn_off",
    "HassLightSet": "set_light",
    "HassGetState": "get_state",
    "HassClimateGetTemperature": "get_temperature",
    "HassClimateSetTemperature": "set_temperature",
    "HassStartTimer": "start_timer",
    "HassCancelTimer": "cancel_timer",
    "HassCancelAllTimers": "cancel_timer",
    "HassPauseTimer": "pause_timer",
    "HassTimerStatus": "timer_status",
    "HassIncreaseTimer": "change_timer",
    "HassDecreaseTimer": "change_timer",
    "HassMediaNext": "next_track",
    "HassMediaPause": "pause_media",
    "HassMediaUnpause": "resume_media",
    "HassGetWeather": "get_weather",
}


@dataclass(frozen=True)
class Template:
    """One sentence template of one intent, with the lists that can fill its {name}."""

    intent: str
    text: str
    names: tuple[str, ...]
    about_locks: bool


def rows(options: Mapping[str, Any], language: str, split: str) -> list[dict[str, Any]]:
    """Read one view of one split: "slots", "intents", "pairs", "texts"; "train", "dev", "test".

    For "texts", ``tested`` gives the rows of train, dev and test of the tasks whose test sentences
    are to be left out.
    """
    unknown = set(options) - {"view", "seed", "tested", *SPLITS}
    if unknown:
        raise ValueError(f"home_assistant does not know the options {sorted(unknown)}")
    view = options.get("view")
    if view not in ("slots", "intents", "pairs", "texts"):
        raise ValueError(f"home_assistant views are slots, intents, pairs and texts, not {view!r}")
    if (view == "texts") != ("tested" in options):
        raise ValueError("`tested` goes with the view texts, and is needed there")
    if language not in LANGUAGES:
        raise ValueError(f"home_assistant has no {language!r}; known: {', '.join(LANGUAGES)}")
    if split not in SPLITS:
        raise ValueError(f"split is train, dev or test, not {split!r}")
    if view == "texts":
        if split != "train":
            raise ValueError(f"view 'texts' has a train split only, not {split!r}")
        return _texts(language, options)
    if language != "en" and (split != "test" or view == "pairs"):
        raise ValueError(f"view {view!r} in {language!r} has no {split!r} split: English alone has")
    counts = tuple(int(options.get(name, 0)) for name in SPLITS)
    seed = int(options.get("seed", 0))
    wanted = counts[SPLITS.index(split)]
    if view == "pairs":
        # Few sentences would leave classes without a second one to pair with.
        counts = tuple(max(count, 100) for count in counts)
    sentences = _sentences(view, language, split, seed, counts)
    if view == "pairs":
        return _pairs(sentences, wanted, split, seed)
    result: list[dict[str, Any]] = []
    for number, (label, phrase) in enumerate(sentences):
        key = f"{language}-{split}-{number:05d}"
        if view == "slots":
            result.append({"id": key, "tokens": list(phrase.tokens), "tags": list(phrase.tags)})
        else:
            result.append({"id": key, "text": phrase.text, "label": label})
    return result


def templates(view: str, language: str, split: str, seed: int = 0) -> list[Template]:
    """List the templates that the sentences of one split may be drawn from.

    A template belongs to the same split in every view, so training on one view never shows the
    templates that another is tested on. Where the same words serve two classes, the views with
    classes leave them out.
    """
    by_text: dict[str, dict[str, Template]] = {}
    for template in _all_templates(language):
        by_text.setdefault(template.text, {}).setdefault(_label(view, template), template)
    splits = _template_splits(seed) if language == "en" else {}
    chosen: list[Template] = []
    for text, classes in by_text.items():
        if splits.get(text, "test") != split:
            continue
        if view in ("slots", "texts") or (len(classes) == 1 and "" not in classes):
            chosen.append(next(iter(classes.values())))
    return chosen


def _label(view: str, template: Template) -> str:
    """Name the class of a template; slot tagging uses every intent, the others a fixed set."""
    if view in ("slots", "texts"):
        if template.intent == "HassLightSet":
            # Colours and brightness occur nowhere else: four turns instead of one.
            return f"{template.intent}-{int(_digest(template.text), 16) % 4}"
        return template.intent
    # The package turns locks "on" to lock them, which no reader of the sentence would say.
    if template.about_locks and template.intent in ("HassTurnOn", "HassTurnOff"):
        return ""
    return INTENTS.get(template.intent, "")


@cache
def _template_splits(seed: int) -> dict[str, str]:
    """Assign each English template to a split, about 60/15/25 within each intent."""
    by_intent: dict[str, list[str]] = {}
    for text, intent in {t.text: t.intent for t in _all_templates("en")}.items():
        by_intent.setdefault(intent, []).append(text)
    splits: dict[str, str] = {}
    for texts in by_intent.values():
        ranked = sorted(texts, key=lambda text: _digest(f"template:{seed}:{text}"))
        # Rare intents go to training first, then to test, then to dev.
        test = max(1, round(len(ranked) * 0.25)) if len(ranked) > 1 else 0
        dev = max(1, round(len(ranked) * 0.15)) if len(ranked) > 2 else 0
        for position, text in enumerate(ranked):
            splits[text] = (
                "test" if position < test else "dev" if position < test + dev else "train"
            )
    return splits


@cache
def _sentences(
    view: str, language: str, split: str, seed: int, counts: tuple[int, ...]
) -> tuple[tuple[str, Phrase], ...]:
    """Draw sentences, going round the classes and in each class round its templates."""
    taken: set[str] = set()
    for earlier in SPLITS[: SPLITS.index(split)] if language == "en" else ("train",):
        drawn = _sentences(view, "en", earlier, seed, counts)
        taken |= {phrase.text.casefold() for _, phrase in drawn}
    return _drawn(view, language, split, seed, counts[SPLITS.index(split)], taken)


def _texts(language: str, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    counts = tuple(int(options["tested"][name]) for name in SPLITS)
    texts = _untested(language, int(options.get("seed", 0)), int(options.get("train", 0)), counts)
    return [{"id": f"{language}-{number:05d}", "text": x} for number, x in enumerate(texts)]


@cache
def _untested(language: str, seed: int, wanted: int, counts: tuple[int, ...]) -> tuple[str, ...]:
    """Draw sentences without their labels, none of which an evaluation shows."""
    taken = {
        _known_by("texts", phrase)
        for view in ("slots", "intents")
        for split in (("dev", "test") if language == "en" else ("test",))
        for _, phrase in _sentences(view, language, split, seed, counts)
    }
    split = "train" if language == "en" else "test"
    drawn = _drawn("texts", language, split, seed, wanted, taken)
    return tuple(phrase.text for _, phrase in drawn)


def _drawn(
    view: str, language: str, split: str, seed: int, wanted: int, taken: set[str]
) -> tuple[tuple[str, Phrase], ...]:
    """Draw up to ``wanted`` sentences that are not in ``taken``, to which they are added."""
    grammar = _grammar(language, split)
    rng = random.Random(f"{view}:{language}:{split}:{seed}")
    queues: dict[str, list[Template]] = {}
    for template in templates(view, language, split, seed):
        queues.setdefault(_label(view, template), []).append(template)
    for queue in queues.values():
        rng.shuffle(queue)
    misses = dict.fromkeys(queues, 0)
    result: list[tuple[str, Phrase]] = []
    turn = 0
    while queues and len(result) < wanted:
        for label in list(queues):
            queue = queues[label]
            phrase = _draw(grammar, queue[turn % len(queue)], rng, view, language, taken)
            if phrase is not None:
                misses[label] = 0
                result.append((label, phrase))
                taken.add(_known_by(view, phrase))
                if len(result) == wanted:
                    break
                continue
            misses[label] += 1
            if misses[label] > 2 * len(queue):
                del queues[label]
        turn += 1
    rng.shuffle(result)
    return tuple(result)


def _draw(
    grammar: Grammar,
    template: Template,
    rng: random.Random,
    view: str,
    language: str,
    taken: set[str],
) -> Phrase | None:
    """Try a template a few times; None when it yields nothing new, or nothing fit for the view."""
    longest = 40 if language in CHARACTER_LANGUAGES else 24
    for _ in range(6):
        phrase = tokenize(grammar.sample(template.text, template.names, rng))
        if phrase is None or not 0 < len(phrase.tokens) <= longest:
            continue
        if view == "slots" and set(phrase.tags) == {"O"}:
            continue
        if _known_by(view, phrase) not in taken:
            return phrase
    return None


def _known_by(view: str, phrase: Phrase) -> str:
    """Return what makes a sentence the same as another; to the corpus, blanks make none new."""
    text = phrase.text.casefold()
    return "".join(text.split()) if view == "texts" else text


def _pairs(
    sentences: tuple[tuple[str, Phrase], ...], wanted: int, split: str, seed: int
) -> list[dict[str, Any]]:
    """Pair sentences of one class at even positions, of two classes at odd ones."""
    rng = random.Random(f"pairs:{split}:{seed}")
    by_label: dict[str, list[str]] = {}
    for label, phrase in sentences:
        by_label.setdefault(label, []).append(phrase.text)
    result: list[dict[str, Any]] = []
    seen: set[frozenset[str]] = set()
    attempts = 0
    while len(result) < wanted:
        attempts += 1
        if attempts > 50 * wanted:
            raise ValueError(
                f"{len(sentences)} sentences do not make {wanted} pairs: ask for fewer"
            )
        label, phrase = sentences[(len(result) + attempts) % len(sentences)]
        same = len(result) % 2 == 0
        other = label if same else rng.choice([name for name in by_label if name != label])
        partner = rng.choice(by_label[other])
        pair = frozenset((phrase.text, partner))
        if len(pair) < 2 or pair in seen:
            continue
        seen.add(pair)
        result.append(
            {
                "id": f"en-{split}-{len(result):05d}",
                "text": phrase.text,
                "text_pair": partner,
                "label": "same" if same else "different",
            }
        )
    return result


@cache
def _data(language: str) -> dict[str, Any]:
    name = LOCALES["locales"].get(language, language)
    path = resources.files("home_assistant_intents").joinpath(f"data/{name}.json")
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


@cache
def _grammar(language: str, split: str) -> Grammar:
    values = LOCALES["values"]["en-train" if (language, split) == ("en", "train") else language]
    data = _data(language)
    return Grammar(
        rules=data["expansion_rules"],
        lists=data["lists"],
        values=values,
        floor_takes_noun=language in LOCALES["floor_takes_noun"],
    )


@cache
def _all_templates(language: str) -> tuple[Template, ...]:
    """Find the templates whose every slot can be filled."""
    grammar = _grammar(language, "test")
    found: list[Template] = []
    for intent, body in _data(language)["intents"].items():
        for block in body["data"]:
            domains = _as_list(block.get("requires_context", {}).get("domain", []))
            fixed = _as_list(block.get("slots", {}).get("domain", []))
            names = tuple(domain for domain in domains if domain in grammar.values)
            about_locks = "lock" in fixed or domains == ["lock"]
            found += [
                Template(intent, text, names, about_locks)
                for text in block["sentences"]
                if grammar.can_fill(text, names)
            ]
    return tuple(found)


def _as_list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
