"""Turns texts and lists of words into token ids: what the kinds of tasks have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from runtime.invalid import DataInvalid

LONE = ("▁", "Ġ")
"""A space that stands as a piece of its own, as SentencePiece (and a tokenizer on bytes) puts it
before a character that it keeps apart (Chinese, Thai)."""

FIRST, LAST = "first_piece", "last_piece"
"""Where a word is tagged: at its first piece, or at its last one, which has read all of it."""

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
    tokenizer: Any, sentences: Sequence[list[str]], max_length: int, tag_at: str = FIRST
) -> Iterator[list[tuple[list[int], list[int]]]]:
    """Yield for each sentence its windows: token ids, and the position of each word's token.

    Words have the tokens of running text, see ``spaced``. A word's token is its first piece that is
    not a lone space, or its last piece. A sentence that is too long falls into windows without
    overlap, cut between words, as in XTREME's preprocessing; each word is in one of them. A word
    that the tokenizer makes nothing of is read as its unknown token, or as ``?`` where it has none.
    Of a word longer than a window the first pieces stand for it.

    Raises ValueError for another place of the tags, DataInvalid when a word has no token.
    """
    if tag_at not in (FIRST, LAST):
        raise ValueError(f"a word is tagged at its first or its last piece, not at {tag_at!r}")
    apart = spaced(tokenizer)
    for start in range(0, len(sentences), CHUNK):
        chunk = sentences[start : start + CHUNK]
        for words, (ids, owners) in zip(chunk, _read(tokenizer, chunk, apart), strict=True):
            if set(range(len(words))) - set(owners):
                legible = _legible(tokenizer, words, owners)
                ((ids, owners),) = _read(tokenizer, [legible], apart)
            yield list(_split(tokenizer, words, ids, owners, max_length, tag_at))


def spaced(tokenizer: Any) -> bool:
    """Tell whether words must be given with the space before them to be read as in running text.

    Tokenizers on bytes that put no space before a text (those of Llama 3, Qwen and BLOOM) read the
    words of a list as if they were glued together; others see to the spaces themselves.
    """
    text = _bare(tokenizer, "a b")
    listed, given = (_bare(tokenizer, words) for words in (["a", "b"], ["a", " b"]))
    return listed != text and given == text


def _bare(tokenizer: Any, text: str | list[str]) -> list[int]:
    listed = isinstance(text, list)
    ids: list[int] = tokenizer(text, is_split_into_words=listed, add_special_tokens=False)[
        "input_ids"
    ]
    return ids


def _read(
    tokenizer: Any, sentences: Sequence[list[str]], apart: bool
) -> Iterator[tuple[list[int], list[int | None]]]:
    """Yield the ids of each sentence, uncut, and of each id the word that it belongs to."""
    given = [[" " * (apart and n > 0) + word for n, word in enumerate(x)] for x in sentences]
    batch = tokenizer(
        given, is_split_into_words=True, return_attention_mask=False, verbose=False
    )  # which would warn of the length, and windows are cut from it here
    for number, ids in enumerate(batch["input_ids"]):
        yield ids, batch.word_ids(number)


def _legible(tokenizer: Any, words: list[str], owners: Sequence[int | None]) -> list[str]:
    """Put the unknown token in the place of words that have no token of their own."""
    seen = set(owners)
    substitute = tokenizer.unk_token or "?"
    return [word if number in seen else substitute for number, word in enumerate(words)]


def _split(
    tokenizer: Any,
    words: list[str],
    ids: list[int],
    owners: Sequence[int | None],
    max_length: int,
    tag_at: str,
) -> Iterator[tuple[list[int], list[int]]]:
    """Yield windows of as many words as fit, each between the special tokens of the whole."""
    places: list[list[int]] = [[] for _ in words]
    for place, owner in enumerate(owners):
        if owner is not None:
            places[owner].append(place)
    if [] in places:
        word = words[places.index([])]
        raise DataInvalid(f"the tokenizer makes no token of the word {word!r}")
    if not words:
        yield ids[:max_length], []
        return
    before, after = ids[: places[0][0]], ids[places[-1][-1] + 1 :]
    room = max_length - len(before) - len(after)
    tokens = tokenizer.convert_ids_to_tokens(ids)
    inside: list[int] = []
    positions: list[int] = []
    for own in places:
        kept = own[:room]
        if inside and len(inside) + len(kept) > room:
            yield before + inside + after, positions
            inside, positions = [], []
        positions.append(len(before) + len(inside) + _tagged(kept, tokens, tag_at))
        inside += [ids[place] for place in kept]
    yield before + inside + after, positions


def _tagged(places: list[int], tokens: list[str], tag_at: str) -> int:
    """Return which of a word's pieces is tagged, from 0."""
    if tag_at == LAST:
        return len(places) - 1
    return int(len(places) > 1 and tokens[places[0]] in LONE)


def first_ids(frame: pl.DataFrame) -> pl.Series:
    """Return the first column of token ids: that of the text in the part's own language."""
    return frame[next(name for name in frame.columns if name.endswith("_ids"))]


def unknown_share(frame: pl.DataFrame, unknown: int | None) -> float:
    """Return the share of unknown tokens: a tokenizer that cannot read a language shows here."""
    tokens = first_ids(frame).explode()
    return float((tokens == unknown).mean() or 0.0) if unknown is not None else 0.0  # type: ignore[arg-type]
