"""Pairs questions with the sentence of their paragraph that answers them (LAReQA, SQuAD)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runtime.invalid import DataInvalid

Span = tuple[int, int]

_END = re.compile(r"""[.!?]+["')\]”’]*\s+(?=["'(\[“‘]*[A-Z0-9])""")
_ABBREVIATIONS = frozenset(
    "Mr Mrs Ms Dr Prof St Sr Jr Gen Col Lt Capt Sgt Gov Sen Rep Rev Hon No Nos Vol Fig vs cf ca "
    "approx e.g i.e etc Inc Ltd Co Corp U.S U.K a.m p.m Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct "
    "Nov Dec".split()
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, the place of its paragraph and sentences, and which of these answer it."""

    id: str
    question: str
    context: str
    paragraph: int
    sentences: tuple[Span, ...]
    answering: tuple[int, ...]

    def candidate(self, number: int) -> str:
        """Return a sentence with its whole paragraph after it, without anything between.

        This is what LAReQA encodes (Roy et al. 2020, arXiv:2004.05484).
        """
        start, end = self.sentences[number]
        return self.context[start:end] + self.context

    def name(self, number: int, language: str) -> str:
        """Return the id of a sentence: language, paragraph and place, each from its file."""
        return f"{language}-{self.paragraph}-{number + 1}"


def asked(records: Iterable[Mapping[str, Any]], how: str) -> Iterator[Asked]:
    """Yield every question with its sentences; ``answering`` is () where its answer has no place.

    Records have id, question, context, answers and, with ``how`` given, sentence_breaks. The first
    answer counts. Sentences that repeat the answering one in its paragraph answer too. Raises
    DataInvalid when breaks are missing or lie outside of the paragraph.
    """
    known: dict[str, tuple[int, tuple[Span, ...]]] = {}
    for record in records:
        context = record["context"]
        if context not in known:
            known[context] = (
                int(record.get("paragraph", len(known) + 1)),
                _given(record) if how == "given" else tuple(breaks(context)),
            )
        paragraph, sentences = known[context]
        starts = record["answers"]["start"]
        within = [n for n, (a, b) in enumerate(sentences) if starts and a <= starts[0] < b]
        texts = [context[a:b] for a, b in sentences]
        answering = tuple(n for n, text in enumerate(texts) if within and text == texts[within[0]])
        yield Asked(record["id"], record["question"], context, paragraph, sentences, answering)


def pairs(questions: Iterable[Asked]) -> Iterator[dict[str, Any]]:
    """Yield training rows: id, query, candidate."""
    for one in questions:
        if one.answering:
            candidate = one.candidate(one.answering[0])
            yield {"id": one.id, "query": one.question, "candidate": candidate}


def pool(questions: Iterable[Asked], language: str) -> Iterator[dict[str, Any]]:
    """Yield the candidates: every sentence of a paragraph with a question that is answered."""
    done: set[int] = set()
    for one in questions:
        if one.answering and one.paragraph not in done:
            done.add(one.paragraph)
            for number in range(len(one.sentences)):
                name, text = one.name(number, language), one.candidate(number)
                yield {"id": name, "text": text, "language": language}


def relevant(questions: Iterable[Asked], language: str) -> dict[str, list[str]]:
    """Return the ids of the sentences that answer each question, by its id."""
    return {one.id: [one.name(n, language) for n in one.answering] for one in questions}


def breaks(text: str) -> Iterator[Span]:
    """Yield start and end of each sentence of an English text, by its full stops.

    A sentence ends at a full stop, exclamation or question mark that a capital or a digit follows,
    unless an abbreviation or an initial comes before it. Together the spans cover all that is not
    space at either end.
    """
    start = len(text) - len(text.lstrip())
    for found in _END.finditer(text):
        before = text[start : found.start()].split()[-1:]
        word = before[0].lstrip("\"'([“‘") if before else ""
        short = word in _ABBREVIATIONS or (len(word) == 1 and word.isupper())
        if short and found.group().startswith("."):
            continue
        end = found.start() + len(found.group().rstrip())
        yield start, end
        start = found.end()
    end = len(text.rstrip())
    if start < end:
        yield start, end


def _given(record: Mapping[str, Any]) -> tuple[Span, ...]:
    spans = record.get("sentence_breaks")
    if not spans:
        raise DataInvalid("it has no sentence_breaks, which `sentences: given` takes")
    length = len(record["context"])
    for span in spans:
        whole = isinstance(span, list) and len(span) == 2 and all(type(x) is int for x in span)
        if not whole or not 0 <= span[0] < span[1] <= length:
            raise DataInvalid(f"the sentence break {span!r} is outside of its paragraph")
    return tuple((start, end) for start, end in spans)
