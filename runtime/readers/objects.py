"""Reads JSON: lists of objects, one object a line, and questions about paragraphs (SQuAD)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runtime.invalid import DataInvalid, damaged
from runtime.readers.lines import lines, text_of


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the line number and the object of every line that is not empty."""
    for number, line in lines(path):
        if line.strip():
            record = _parsed(line, path, number)
            if not isinstance(record, dict):
                raise damaged(path, number, f"expected a JSON object, found {_shown(record)}")
            yield number, record


def json_records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON list; of a mapping with ``data``, the questions in it."""
    content = _parsed(text_of(path), path, 1)
    if isinstance(content, dict) and isinstance(content.get("data"), list):
        yield from _questions(content, path)
        return
    if not isinstance(content, list):
        raise DataInvalid(f"{path}: expected a JSON list of objects, found {_shown(content)}")
    for place, record in enumerate(content):
        if not isinstance(record, dict):
            raise DataInvalid(f"{path}: entry {place} is no object but {_shown(record)}")
        yield record


def questions(path: Path) -> Iterator[dict[str, Any]]:
    """Yield every question of a file in the form of SQuAD, with or without answers.

    A record has id, title, context, question, answers {text, answer_start}, paragraph (number, from
    1), and, where the file has them, sentence_breaks ([start, end] of each sentence; LAReQA).
    """
    content = _parsed(text_of(path), path, 1)
    if not isinstance(content, dict) or not isinstance(content.get("data"), list):
        raise DataInvalid(f"{path}: expected a JSON object with the list `data`, as in SQuAD")
    yield from _questions(content, path)


def _questions(content: dict[str, Any], path: Path) -> Iterator[dict[str, Any]]:
    number = 0
    try:
        for article in content["data"]:
            for paragraph in article["paragraphs"]:
                number += 1
                shared = {
                    "title": article.get("title", ""),
                    "context": paragraph["context"],
                    "paragraph": number,
                }
                if "sentence_breaks" in paragraph:
                    shared["sentence_breaks"] = paragraph["sentence_breaks"]
                for question in paragraph["qas"]:
                    given = () if question.get("is_impossible") else question["answers"]
                    yield shared | {
                        "id": question["id"],
                        "question": question["question"],
                        "answers": {
                            "text": [answer["text"] for answer in given],
                            "answer_start": [answer["answer_start"] for answer in given],
                        },
                    }
    except (KeyError, TypeError, AttributeError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise DataInvalid(f"{path}: paragraph {number} is not as in SQuAD: {what}") from error


def _parsed(text: str, path: Path, line: int) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        what = f"not valid JSON: {error.msg} (column {error.colno}); is the file cut off?"
        raise damaged(path, line + error.lineno - 1, what) from error
    except (ValueError, RecursionError) as error:
        raise damaged(path, line, f"not valid JSON: {error}") from error


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."
