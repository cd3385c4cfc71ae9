"""Turns the records of a source into the rows of a task kind, and refuses what is none.

Rows by kind: ``sequence_classification`` id, text, [text_pair], label; ``token_classification`` id,
tokens, tags; ``multiple_choice`` id, text, choices, label; ``span_extraction`` id, context,
question, answers {text, start}; ``masked_lm`` id, text, language; ``retrieval`` id, source, target;
``bitext_mining`` id, side, text, matches; ``dual_encoder`` id, query, and candidate (train, dev) or
relevant (test), and in its pool id, text, language.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from compiler.data import COLUMNS, TaskSource
from runtime.columns import Columns, shown, string, strings
from runtime.invalid import DataInvalid
from runtime.labels import Labels

Row = dict[str, Any]

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Form:
    """What the rows of one split in one language must be."""

    kind: str
    source: TaskSource
    split: str
    language: str
    labels: Labels
    choices: int | None = None

    @property
    def columns(self) -> Columns:
        """Where the values of a record are."""
        source = self.source
        own = self.split == "pool" and source.sentences is None
        return Columns(source.pool_columns if own else source.columns, source.wording)


@dataclass
class Tally:
    """What was read: rows of the source, those left out by reason, and what else to know.

    ``placed`` counts labels that were numbers without a name, taken by their place.
    """

    found: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    moved: int = 0
    placed: int = 0


GROUP = "group"
"""The column of a record that says which split of the source it is from, see `TaskSource.group`."""


class _LeftOut(Exception):
    """Why a row is not used, though nothing is wrong with it."""


def rows(records: Iterable[Record], form: Form, tally: Tally) -> Iterator[Row]:
    """Yield the row of every record that is of the form's language; count into ``tally``.

    Raises DataInvalid, which names the row by its place in the source, from 0, when a column is
    missing, a value is of the wrong type, a label is none of the task's, or a row says that it is
    in another language.
    """
    columns = form.columns
    make = _MAKERS[form.kind]
    for index, record in enumerate(_flat(records, form, columns)):
        where = f"row {index}"
        try:
            if _is_foreign(record, form, columns, where):
                continue
            tally.found += 1
            _check_language(record, form, columns, where)
            row = {"id": _id(record, form, columns, index)}
            row |= make(record, form, columns, where, tally)
            if _has_placeholder(row, form):
                raise _LeftOut("placeholder")
            if form.source.group is not None:
                row[GROUP] = record[GROUP]
        except _LeftOut as left:
            tally.dropped[str(left)] += 1
            continue
        except KeyError as error:
            raise DataInvalid(columns.lacking(record, _needed(form, record), where)) from error
        tally.labels.update(_labels_in(row))
        yield row
    tally.placed += form.labels.placed.total()


def _sequence(record: Record, form: Form, columns: Columns, where: str, _: Tally) -> Row:
    row: Row = {"text": columns.text(record, "text", where)}
    if "text_pair" in columns.mapped or columns.has(record, "text_pair"):
        row["text_pair"] = columns.text(record, "text_pair", where)
    return row | _labelled(record, form, columns, where)


def _tokens(record: Record, form: Form, columns: Columns, where: str, _: Tally) -> Row:
    tokens = columns.words(record, "tokens", where)
    name = columns.source("tags")
    dropped = form.source.unlabelled == "dropped"
    if dropped and columns.value(record, "tags") in (None, "", []) and tokens:
        raise _LeftOut("unlabelled")
    tags = columns.words(record, "tags", where, of_text=False)
    if len(tokens) != len(tags):
        raise DataInvalid(
            f"{where} has {len(tokens)} tokens and another number of tags: {len(tags)}"
        )
    if dropped and any(form.labels.is_missing(tag, name) for tag in tags):
        raise _LeftOut("unlabelled")
    return {"tokens": tokens, "tags": [form.labels.need(tag, name, where) for tag in tags]}


def _choices(record: Record, form: Form, columns: Columns, where: str, _: Tally) -> Row:
    choices = strings(columns.several(record, "choices"), "choices", where)
    if len(choices) != form.choices:
        raise DataInvalid(f"{where} has {len(choices)} choices, expected {form.choices}")
    if "choice_names" in columns.mapped:
        # The source says which label each choice has: they are put in the order of our labels.
        named = columns.several(record, "choice_names")
        order = [form.labels.need(x, columns.source("choice_names"), where) for x in named]
        if sorted(order) != sorted(form.labels.known):
            raise DataInvalid(f"{where} has choices named {', '.join(order)}, expected each label")
        choices = [choices[order.index(label)] for label in form.labels.known]
    row = {"text": columns.text(record, "text", where), "choices": choices}
    return row | _labelled(record, form, columns, where)


def _question(record: Record, form: Form, columns: Columns, where: str, tally: Tally) -> Row:
    context = columns.text(record, "context", where)
    row: Row = {"context": context, "question": columns.text(record, "question", where)}
    texts, starts = _answers(columns.value(record, "answers"), where)
    placed = [_placed(context, text, start) for text, start in zip(texts, starts, strict=True)]
    tally.moved += sum(a != b for a, b in zip(placed, starts, strict=True) if a is not None)
    if form.split == "train" and None in placed:
        texts = [text for text, place in zip(texts, placed, strict=True) if place is not None]
        placed = [place for place in placed if place is not None]
        if not texts:
            raise _LeftOut("answer not in its paragraph")
    elif not texts and form.source.no_answer == "refused" and form.source.sentences is None:
        raise DataInvalid(
            f"{where} has no answer; `no_answer: allowed` is for data with such questions"
        )
    # Answers that are scored need no place in the paragraph.
    found = [starts[n] if place is None else place for n, place in enumerate(placed)]
    row["answers"] = {"text": texts, "start": found}
    for extra in ("paragraph", "sentence_breaks") if form.source.sentences else ():
        if extra in record:
            row[extra] = record[extra]
    return row


def _plain_text(record: Record, form: Form, columns: Columns, where: str, _: Tally) -> Row:
    return {"text": columns.text(record, "text", where), "language": form.language}


def _retrieval(record: Record, form: Form, columns: Columns, where: str, _: Tally) -> Row:
    return {side: columns.text(record, side, where) for side in ("source", "target")}


def _bitext(record: Record, form: Form, columns: Columns, where: str, tally: Tally) -> Row:
    matches = strings(record["matches"], "matches", where)
    tally.found += len(matches) - 1  # what a mining task counts is pairs, not sentences
    return {
        "side": string(record["side"], "side", where),
        "text": string(record["text"], "text", where),
        "matches": matches,
    }


def _encoder(record: Record, form: Form, columns: Columns, where: str, tally: Tally) -> Row:
    if form.source.sentences is not None:
        return _question(record, form, columns, where, tally)
    if form.split == "pool":
        language = form.language
        if form.source.pool == "all":
            language = columns.text(record, "language", where)
        return {"text": columns.text(record, "text", where), "language": language}
    row: Row = {"query": columns.text(record, "query", where)}
    if form.split != "test":
        return row | {"candidate": columns.text(record, "candidate", where)}
    found = columns.value(record, "relevant")
    several = found if isinstance(found, list) else [found]
    names = [str(x) if type(x) is int else string(x, "relevant", where) for x in several]
    if not names:
        raise DataInvalid(f"{where} has nothing relevant in the pool")
    return row | {"relevant": names}


Maker = Callable[[Record, Form, Columns, str, Tally], Row]

_MAKERS: dict[str, Maker] = {
    "sequence_classification": _sequence,
    "token_classification": _tokens,
    "multiple_choice": _choices,
    "span_extraction": _question,
    "masked_lm": _plain_text,
    "retrieval": _retrieval,
    "bitext_mining": _bitext,
    "dual_encoder": _encoder,
}


def _needed(form: Form, record: Record) -> tuple[str, ...]:
    """Return the columns that a record must have: the kind's own, and others that are mapped."""
    kind = form.kind
    if kind == "dual_encoder":
        by_split = {"pool": ("text", "language"), "test": ("query", "relevant")}
        needed: tuple[str, ...] = by_split.get(form.split, ("query", "candidate"))
        if form.source.sentences is not None:
            needed = COLUMNS["span_extraction"]
    elif kind == "bitext_mining" and "side" in record:
        return ("side", "text", "matches")
    else:
        needed = tuple(x for x in COLUMNS[kind] if x not in ("text_pair", "choice_names"))
    mapped = form.columns.mapped
    also = [x for x in ("id", "language", "text_pair", "choice_names") if x in mapped]
    return (*needed, *(["id"] if form.source.id_prefix else []), *also)


def _labelled(record: Record, form: Form, columns: Columns, where: str) -> Row:
    value, name = columns.value(record, "label"), columns.source("label")
    if form.source.unlabelled == "dropped" and form.labels.is_missing(value, name):
        raise _LeftOut("unlabelled")
    return {"label": form.labels.need(value, name, where)}


def _labels_in(row: Row) -> list[str]:
    return row["tags"] if "tags" in row else [row["label"]] if "label" in row else []


def _has_placeholder(row: Row, form: Form) -> bool:
    if not form.source.placeholders:
        return False
    texts = [row.get(name) for name in _TEXTS]
    return any(text in form.source.placeholders for text in (*texts, *row.get("choices", ())))


_TEXTS = (
    "text", "text_pair", "context", "question", "source", "target", "query", "candidate",
)  # fmt: skip
"""The columns of rows that hold a text of the source; choices are several."""


def _id(record: Record, form: Form, columns: Columns, index: int) -> str:
    if form.source.ids == "position" and form.split != "pool":  # queries name rows of the pool
        return str(index)
    if not columns.has(record, "id"):
        if "id" in columns.mapped:
            raise KeyError("id")
        return str(index)
    value = columns.value(record, "id")
    if type(value) is int:
        return str(value)
    return string(value, "id", f"row {index}")


def _is_foreign(record: Record, form: Form, columns: Columns, where: str) -> bool:
    """Tell a row of another language, where the source holds several in one place."""
    source = form.source
    if source.id_prefix is not None:
        prefix = source.named(source.id_prefix, form.language)
        if not string(columns.value(record, "id"), "id", where).startswith(prefix):
            return True
    if source.language_column is not None and form.language != "all":
        said = record.get(source.language_column)
        if said is None:
            raise DataInvalid(f"{where} has no `{source.language_column}` that says its language")
        return said not in (form.language, source.names.get(form.language))
    return False


def _check_language(record: Record, form: Form, columns: Columns, where: str) -> None:
    if form.language == "all":
        return
    if "language" not in columns.mapped and not columns.has(record, "language"):
        return
    said, known = columns.value(record, "language"), form.source.names.get(form.language)
    if said not in (form.language, known):
        raise DataInvalid(
            f"{where} says that its language is {shown(said)}, and the data is to be of "
            f"{form.language}"
        )


def _answers(value: Any, where: str) -> tuple[list[str], list[int]]:
    """Return texts and starts of ``{text: [], answer_start: []}``, or of a list of such pairs."""
    try:
        if isinstance(value, list):
            texts = [one["text"] for one in value]
            starts = [one["answer_start"] for one in value]
        else:
            texts, starts = value["text"], value.get("answer_start", value.get("start"))
        whole = all(isinstance(x, str) for x in texts) and all(type(x) is int for x in starts)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataInvalid(f"{where}: `answers` is {shown(value)}, no texts and starts") from error
    if not whole or len(texts) != len(starts):
        raise DataInvalid(f"{where}: `answers` is {shown(value)}, not as many texts as starts")
    return list(texts), list(starts)


def _placed(context: str, text: str, start: int) -> int | None:
    """Return where an answer begins: at its start, or at the nearest place that has its text.

    Copies of SQuAD's kin strip the paragraphs and not the offsets. None when it is nowhere.
    """
    if text and context.startswith(text, max(start, 0)) and start >= 0:
        return start
    before = context.rfind(text, 0, max(start, 0) + len(text)) if text else -1
    after = context.find(text, max(start, 0)) if text else -1
    near = [place for place in (before, after) if place >= 0]
    return min(near, key=lambda place: abs(place - start)) if near else None


def _flat(records: Iterable[Record], form: Form, columns: Columns) -> Iterator[Record]:
    """Take apart records that hold a whole bitext as lists: source, target and numbered pairs."""
    if form.kind != "bitext_mining":
        yield from records
        return
    for index, record in enumerate(records):
        if "side" in record:
            yield record
            continue
        where = f"row {index}"
        try:
            texts = {x: columns.value(record, x) for x in ("source", "target")}
            gold = columns.value(record, "pairs")
        except KeyError as error:
            raise DataInvalid(columns.lacking(record, _needed(form, record), where)) from error
        yield from _sides(strings(texts["source"], "source", where),
                          strings(texts["target"], "target", where), gold, form, where)  # fmt: skip


def _sides(
    sources: list[str], targets: list[str], gold: Any, form: Form, where: str
) -> Iterator[Record]:
    """Yield the sentences of both lists; ids are the language and the place, from 1 as in gold."""
    matches: dict[int, list[str]] = {}
    for pair in gold:
        try:
            first, second = (int(number) for number in pair)
        except (TypeError, ValueError) as error:
            raise DataInvalid(f"{where}: {shown(pair)} is no pair of numbers") from error
        if not (1 <= first <= len(sources) and 1 <= second <= len(targets)):
            raise DataInvalid(f"{where}: the pair {shown(pair)} is of a sentence that is not there")
        matches.setdefault(first, []).append(f"en-{second}")
    for number, text in enumerate(sources, 1):
        one = {"id": f"{form.language}-{number}", "side": "source", "text": text}
        yield one | {"matches": matches.get(number, [])}
    for number, text in enumerate(targets, 1):
        yield {"id": f"en-{number}", "side": "target", "text": text, "matches": []}
