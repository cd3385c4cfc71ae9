"""Turns texts and lists of words into token ids: what the kinds of tasks have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import polars as pl

from runtime.invalid import DataInvalid

LONE = "▁"
"""A piece that SentencePiece puts alone before a character it keeps apart (Chinese, Thai)."""

CUT = -1
"""The position of a word without a token. ``windows`` leaves none; older prepared data has some."""

CHUNK = 2_000
"""Texts that are tokenised at a time: what the tokenizer returns takes 16 KB a text."""

IDS = pl.List(pl.Int32)
"""How token ids are stored."""


def texts(
    tokenizer: Any, texts: list[str], pairs: list[str] | None, max_length: int
) -> list[list[int]]:
    """Return the ids of texts or of pairs of texts; of what is too long the longer text is cut."""
    end = seam(tokenizer) if pairs is not None else ""
    found: list[list[int]] = []
    for start in range(0, len(texts), CHUNK):
        chunk = slice(start, start + CHUNK)
        found += tokenizer(
            [text + end for text in texts[chunk]],
            None if pairs is None else pairs[chunk],
            truncation=True,
            max_length=max_length,
            return_attention_mask=False,
        )["input_ids"]
    return found


def seam(tokenizer: Any) -> str:
    """Return what a first text ends with, so that it does not run into the second one.

    Tokenizers of decoders often put nothing between the texts of a pair; then a line break does.
    """
    alone, together = (tokenizer.num_special_tokens_to_add(pair=pair) for pair in (False, True))
    return "" if together > alone else "\n"


def windows(
    tokenizer: Any, sentences: Sequence[list[str]], max_length: int
) -> Iterator[list[tuple[list[int], list[int]]]]:
    """Yield for each sentence its windows: token ids, and the position of each word's token.

    A word's token is its first piece that is not a lone ``▁``. A sentence that is too long falls
    into windows without overlap, cut between words, as in XTREME's preprocessing; each word is in
    one of them. A word that the tokenizer makes nothing of is read as its unknown token, or as
    ``?`` where it has none. Of a word longer than a window the first pieces stand for it.
    """
    batch = tokenizer(
        list(sentences),
        is_split_into_words=True,
        truncation=True,
        max_length=max_length,
        return_attention_mask=False,
    )
    for number, (words, ids) in enumerate(zip(sentences, batch["input_ids"], strict=True)):
        found = _positions(batch.word_ids(number), tokenizer.convert_ids_to_tokens(ids), len(words))
        if CUT in found:
            yield list(_split(tokenizer, _legible(tokenizer, words), max_length))
        else:
            yield [(ids, found)]


def _split(
    tokenizer: Any, words: list[str], max_length: int
) -> Iterator[tuple[list[int], list[int]]]:
    """Yield windows of as many words as fit; a word that is longer than a window is cut."""
    sizes = Counter(tokenizer([words], is_split_into_words=True).word_ids(0))
    room = max_length - tokenizer.num_special_tokens_to_add(pair=False)
    start = 0
    while start < len(words):
        ends = accumulate(sizes[word] for word in range(start, len(words)))
        stop = start + max(1, sum(end <= room for end in ends))
        ids, positions = _align(tokenizer, words[start:stop], max_length)
        while CUT in positions and stop > start + 1:  # the first word of a text may be longer there
            stop -= 1
            ids, positions = _align(tokenizer, words[start:stop], max_length)
        if CUT in positions:
            raise DataInvalid(f"the tokenizer makes no token of the word {words[start]!r}")
        yield ids, positions
        start = stop


def _legible(tokenizer: Any, words: list[str]) -> list[str]:
    """Put the unknown token in the place of words that have no token of their own."""
    seen = set(tokenizer([words], is_split_into_words=True).word_ids(0))
    substitute = tokenizer.unk_token or "?"
    return [word if number in seen else substitute for number, word in enumerate(words)]


def _align(tokenizer: Any, words: list[str], max_length: int) -> tuple[list[int], list[int]]:
    batch = tokenizer([words], is_split_into_words=True, truncation=True, max_length=max_length)
    ids: list[int] = batch["input_ids"][0]
    tokens = tokenizer.convert_ids_to_tokens(ids)
    return ids, _positions(batch.word_ids(0), tokens, len(words))


def _positions(word_ids: list[int | None], pieces: list[str], words: int) -> list[int]:
    positions = [CUT] * words
    for place, word in enumerate(word_ids):
        if word is None:
            continue
        first = positions[word]
        if first == CUT or (place == first + 1 and pieces[first] == LONE):
            positions[word] = place
    return positions


def first_ids(frame: pl.DataFrame) -> pl.Series:
    """Return the first column of token ids: that of the text in the part's own language."""
    return frame[next(name for name in frame.columns if name.endswith("_ids"))]


def unknown_share(frame: pl.DataFrame, unknown: int | None) -> float:
    """Return the share of unknown tokens: a tokenizer that cannot read a language shows here."""
    tokens = first_ids(frame).explode()
    return float((tokens == unknown).mean() or 0.0) if unknown is not None else 0.0  # type: ignore[arg-type]
