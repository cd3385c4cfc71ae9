"""Brings answers into the form in which question answering compares them."""

from __future__ import annotations

import re
import string
import unicodedata
from functools import cache
from typing import Literal

Arabic = Literal["official", "fixed"]
"""How the Arabic article goes: as MLQA's script does it, or as it was meant."""

_ASCII = str.maketrans("", "", string.punctuation)
_ENGLISH = re.compile(r"\b(a|an|the)\b")
_ARTICLES: dict[str, re.Pattern[str] | None] = {
    "ar": re.compile("ال"),
    "de": re.compile(r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b"),
    "en": _ENGLISH,
    "es": re.compile(r"\b(un|una|unos|unas|el|la|los|las)\b"),
    "hi": None,
    "vi": re.compile(r"\b(của|là|cái|chiếc|những)\b"),
    "zh": None,
}
_ARABIC_FIXED = re.compile(r"(?<!\S)ال")
_CHINESE = re.compile("([\u4e00-\u9fa5])")


def squad_words(text: str) -> list[str]:
    """Return the words that SQuAD compares, whatever the language, as its two scripts find them.

    Lower case; ASCII punctuation goes, and words around it join; ``a``, ``an`` and ``the`` go.
    Text is taken as it is: where an accent is a character of its own (NFD), a lone ``à`` loses its
    letter as an article and the accent stays. Chinese and Thai are not cut into words.
    Source: the evaluation scripts of SQuAD 1.1 and 2.0 (arXiv:1606.05250, arXiv:1806.03822).
    """
    return _ENGLISH.sub(" ", text.lower().translate(_ASCII)).split()


def mlqa_words(text: str, language: str, arabic: Arabic = "official") -> list[str]:
    """Return the words that MLQA compares for an answer in ``language``.

    Punctuation is every character of a Unicode category P, and ASCII's. Articles are the
    language's. In Chinese each character from U+4E00 to U+9FA5 is a word.
    The ``official`` rule for Arabic deletes the two letters of the article anywhere and cuts the
    word there, since one branch of its expression can never match; ``fixed`` deletes them at the
    start of words alone, as that branch was meant to. Published scores are official.
    Source: the evaluation script of MLQA (arXiv:1910.07475).

    Raises:
        ValueError: MLQA has no rule for this language.
    """
    if language not in _ARTICLES:
        known = ", ".join(_ARTICLES)
        raise ValueError(f"MLQA has no rule for the language `{language}`, only for {known}")
    text = "".join(c for c in text.lower() if not _is_punctuation(c))
    articles = _ARTICLES[language]
    if language == "ar" and arabic == "fixed":
        articles = _ARABIC_FIXED
    if articles is not None:
        text = articles.sub(" ", text)
    if language == "zh":
        text = _CHINESE.sub(r" \1 ", text)
    return text.split()


@cache
def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")
