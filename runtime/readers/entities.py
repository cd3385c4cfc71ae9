"""Reads mentions of entities in context, and the entities they mean (Mewsli-X as released)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from runtime.invalid import DataInvalid, damaged
from runtime.readers.objects import json_lines

_MARKED = re.compile(r"\{(.*?)\}")


def mewsli(path: Path) -> Iterator[dict[str, str]]:
    """Yield a record for every mention, pair or entity of a file of the release.

    A file of articles gives id, query, relevant, language; one of pairs id, query, candidate,
    language; one of entities id, text, language. The query is the mention, then the sentence it
    stands in, with the mention in braces, as in the task's own baseline (Ruder et al. 2021,
    arXiv:2104.07412); the candidate is the entity's description.
    """
    for number, record in json_lines(path):
        try:
            yield from _records(record)
        except (KeyError, TypeError, AttributeError) as error:
            what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise damaged(path, number, f"not a record of Mewsli-X: it {what}") from error
        except DataInvalid as error:
            raise damaged(path, number, str(error)) from error


def _records(record: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    if "mentions" in record:
        context = record["context"]
        for mention in record["mentions"]:
            yield {
                "id": mention["example_id"],
                "query": query(context, mention["mention_span"]),
                "relevant": mention["entity_id"],
                "language": context["language"],
            }
    elif "contextual_mention" in record:
        context, mention = (record["contextual_mention"][x] for x in ("context", "mention"))
        yield {
            "id": mention["example_id"],
            "query": query(context, mention["mention_span"]),
            "candidate": _plain(record["entity"]["description"]),
            "language": context["language"],
        }
    else:
        yield {
            "id": record["entity_id"],
            "text": _plain(record["description"]),
            "language": record["description_language"],
        }


def query(context: Mapping[str, Any], span: Mapping[str, Any]) -> str:
    """Say a mention with its sentence: ``Oslo: The train to { Oslo } was late.``.

    Braces of the text itself become parentheses. A mention across sentences has all of these.
    """
    text, start, end = context["text"], span["start"], span["end"]
    if not text:
        raise DataInvalid("the article's text is missing: the release's scripts restore it")
    if text[start:end] != span["text"]:
        raise DataInvalid(f"the mention {span['text']!r} is not at its place in the text")
    touched = [
        (sentence["start"], sentence["end"])
        for sentence in context["sentence_spans"]
        if sentence["start"] < end and start < sentence["end"]
    ]
    first, last = (min(touched)[0], max(touched)[1]) if touched else (0, len(text))
    left, right = (
        _MARKED.sub(r"(\1)", part) for part in (text[min(first, start) : start], text[end:last])
    )
    return _plain(f"{span['text']}: {left} {{ {span['text']} }} {right}")


def _plain(text: str) -> str:
    return " ".join(text.split())
