"""Rows as every data set of the catalog publishes them become the rows of their task's kind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from compiler.data import TaskSource
from runtime import data
from runtime.data import DataInvalid
from runtime.labels import Labels
from runtime.rows import Form, Tally, rows

SPECS = Path(__file__).parents[2] / "specs" / "tasks"
NLI = ("entailment", "neutral", "contradiction")
OTHER_NLI = ("contradiction", "entailment", "neutral")
NER = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
UPOS = tuple(
    "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split()
)
KEYS = {
    "sequence_classification": {"id", "text", "text_pair", "label"},
    "token_classification": {"id", "tokens", "tags"},
    "multiple_choice": {"id", "text", "choices", "label"},
    "span_extraction": {"id", "context", "question", "answers"},
    "retrieval": {"id", "source", "target"},
    "bitext_mining": {"id", "side", "text", "matches"},
}
ENCODER = {"train": "candidate", "dev": "candidate", "test": "relevant"}

CONTEXT = "Ada Orr built a kite. It flew over Lake Mur. Nobody saw Dr. Orr again."
ANSWER = {"text": ["Lake Mur"], "answer_start": [35]}
SQUAD = {"id": "q1", "title": "Kites", "context": CONTEXT, "question": "Over what did it fly?",
         "answers": ANSWER}  # fmt: skip
ASKED = {"id": "q1", "context": CONTEXT, "question": "Over what did it fly?",
         "answers": {"text": ["Lake Mur"], "start": [35]}}  # fmt: skip
SENTENCE = "It flew over Lake Mur."
XQUAD = {key: value for key, value in SQUAD.items() if key != "title"}
COPA = {"premise": "The kite fell.", "choice1": "The wind died.", "choice2": "The sun set.",
        "question": "cause", "idx": 4, "label": 0}  # fmt: skip
CHOSEN = {"id": "0", "text": "The kite fell. What was the cause?",
          "choices": ["The wind died.", "The sun set."], "label": "choice1"}  # fmt: skip
LAREQA = {"data": [{"title": "Kites", "paragraphs": [
    {"context": CONTEXT, "sentences": [], "sentence_breaks": [[0, 21], [22, 44], [45, 70]],
     "qas": [{"id": "q1", "question": "Over what did it fly?",
              "answers": [{"text": "Lake Mur", "answer_start": 35}]}]}]}]}  # fmt: skip


@dataclass(frozen=True)
class Published:
    """A record of a data set as published, and the row that it is to become."""

    split: str
    record: dict[str, Any]
    row: dict[str, Any]
    language: str = "en"
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


def nli(row_id: str = "0", **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    record = {"premise": "It rains.", "hypothesis": "It is dry.", **more}
    row = {"id": row_id, "text": "It rains.", "text_pair": "It is dry.", "label": "contradiction"}
    return record, row


PUBLISHED = {
    "anli": Published(
        "train",
        {**nli(uid="u-1", label=2, reason="wet")[0], "group": "train_r1"},
        {**nli()[1], "group": "train_r1"},
        names={"label": NLI},
    ),
    "snli": Published("train", *nli(label=2), names={"label": NLI}),
    "mnli": Published("train", *nli("7", label=2, idx=7), names={"label": NLI}),
    "xnli": Published("test", *nli(label=0), "sw", {"label": OTHER_NLI}),
    "qqp": Published(
        "train",
        {"question1": "Why?", "question2": "What for?", "label": 1, "idx": 3},
        {"id": "3", "text": "Why?", "text_pair": "What for?", "label": "duplicate"},
        names={"label": ("not_duplicate", "duplicate")},
    ),
    "paws_x": Published(
        "test",
        {"id": 5, "sentence1": "Ada met Bo.", "sentence2": "", "label": 0},
        {"id": "5", "text": "Ada met Bo.", "text_pair": "", "label": "0"},
        "ko",
        {"label": ("0", "1")},
    ),
    "hellaswag": Published(
        "train",
        {"ind": 24, "activity_label": "Kites", "ctx_a": "She runs.", "ctx_b": "the kite",
         "ctx": "She runs. the kite", "endings": ["rises.", "sleeps.", "sings.", "melts."],
         "source_id": "x~y", "split": "train", "split_type": "indomain", "label": "3"},
        {"id": "0", "text": "She runs. the kite",
         "choices": ["rises.", "sleeps.", "sings.", "melts."], "label": "3"},
    ),
    "cosmos_qa": Published(
        "train",
        {"id": "3Q9", "context": "We flew.", "question": "Why?", "answer0": "a", "answer1": "b",
         "answer2": "c", "answer3": "d", "label": 2},
        {"id": "0", "text": "We flew. Why?", "choices": ["a", "b", "c", "d"], "label": "2"},
    ),
    "commonsense_qa": Published(
        "train",
        {"id": "07", "question": "Where is wind?", "question_concept": "wind",
         "choices": {"label": ["B", "A", "C", "D", "E"], "text": ["b", "a", "c", "d", "e"]},
         "answerKey": "B"},
        {"id": "0", "text": "Where is wind?", "choices": ["a", "b", "c", "d", "e"], "label": "B"},
    ),
    "siqa": Published(
        "train",
        {"context": "Bo fell.", "question": "How is he?", "answerA": "sad", "answerB": "glad",
         "answerC": "tall", "label": "1\n"},
        {"id": "0", "text": "Bo fell. How is he?", "choices": ["sad", "glad", "tall"],
         "label": "1"},
    ),
    "copa": Published("train", COPA, CHOSEN, names={"label": ("choice1", "choice2")}),
    "xcopa": Published("test", {**COPA, "changed": False}, CHOSEN, "qu"),
    "squad_v1": Published("train", SQUAD, ASKED),
    "squad_v2": Published(
        "train",
        SQUAD | {"answers": {"text": [], "answer_start": []}},
        ASKED | {"answers": {"text": [], "start": []}},
    ),
    "xquad": Published("test", XQUAD, ASKED, "th"),
    "mlqa": Published("test", SQUAD, ASKED, "hi"),
    "tydiqa_goldp": Published(
        "test", SQUAD | {"id": "swahili-9-1"}, ASKED | {"id": "swahili-9-1"}, "sw"
    ),
    "squad_v1_pairs": Published(
        "train",
        SQUAD,
        {"id": "q1", "query": "Over what did it fly?", "candidate": SENTENCE + CONTEXT},
    ),
    "udpos": Published(
        "test",
        {"tokens": ["Ada", "flies"], "pos_tags": [11, 15]},
        {"id": "0", "tokens": ["Ada", "flies"], "tags": ["PROPN", "VERB"]},
        "el",
        {"pos_tags": UPOS},
    ),
    "pan_x": Published(
        "test",
        {"tokens": ["Ada", "Orr", "flies"], "ner_tags": [1, 2, 0], "langs": ["gu"] * 3,
         "spans": ["PER: Ada Orr"]},
        {"id": "0", "tokens": ["Ada", "Orr", "flies"], "tags": ["B-PER", "I-PER", "O"]},
        "gu",
        {"ner_tags": NER},
    ),
    "tatoeba": Published(
        "test",
        {"sentence1": "Sie fliegt.", "sentence2": "She flies.", "lang": "deu-eng"},
        {"id": "0", "source": "Sie fliegt.", "target": "She flies."},
        "de",
    ),
    "mewsli_x": Published(
        "test",
        {"example_id": "de-1", "mention": "Mur: am { Mur } fiel er", "entity_id": "Q5",
         "entity": "A lake."},
        {"id": "0", "query": "Mur: am { Mur } fiel er", "relevant": ["Q5"]},
        "de",
    ),
    "mewsli_x_pairs": Published(
        "train",
        {"mention": "Mur: over { Mur }", "entity": "A lake."},
        {"id": "0", "query": "Mur: over { Mur }", "candidate": "A lake."},
    ),
    "ccg": Published(
        "test",
        {},
        {"id": "0", "tokens": ["Ada", "flies"], "tags": ["NP", "S[dcl]\\NP"]},
        files={"ccg/test.tsv": "tokens\ttags\nAda flies\tNP S[dcl]\\NP\n"},
    ),
    "udpos_treebanks": Published(
        "test",
        {},
        {"id": "0", "tokens": ["Ada", "flies"], "tags": ["PROPN", "VERB"]},
        "wo",
        files={"udpos/wo/test.conllu": "1\tAda\t_\tPROPN\t_\t_\t_\t_\t_\t_\n"
               "2\tflies\t_\tVERB\t_\t_\t_\t_\t_\t_\n\n"},
    ),
    "bucc2018": Published(
        "dev",
        {},
        {"id": "de-1", "side": "source", "text": "Sie fliegt.", "matches": ["en-7"]},
        "de",
        files={"bucc2018/de-en/de-en.sample.de": "de-1\tSie fliegt.\nde-2\tJa.\n",
               "bucc2018/de-en/de-en.sample.en": "en-7\tShe flies.\nen-8\tOh.\n",
               "bucc2018/de-en/de-en.sample.gold": "de-1\ten-7\n"},
    ),
    "bucc2018_hub": Published(
        "test",
        {"sentence1": ["Sie fliegt.", "Ja."], "sentence2": ["No.", "She flies."],
         "gold": [[1, 2]]},
        {"id": "de-1", "side": "source", "text": "Sie fliegt.", "matches": ["en-2"]},
        "de",
    ),
    "lareqa": Published(
        "test",
        {},
        {"id": "q1", "query": "Over what did it fly?",
         "relevant": ["th-1-2", *(f"{x}-1-2" for x in "ar de el en es hi ru tr vi zh".split())]},
        "th",
        files={f"lareqa/xquad-r/{x}.json": json.dumps(LAREQA)
               for x in "ar de el en es hi ru th tr vi zh".split()},
    ),
}  # fmt: skip


def catalog(name: str) -> dict[str, Any]:
    task: dict[str, Any] = yaml.safe_load((SPECS / f"{name}.yaml").read_text(encoding="utf-8"))
    task.pop("counts", None)
    return task


def publish(
    name: str, one: Published, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Return a task of the catalog whose source is the one record."""
    task = catalog(name)
    task["source"]["folder"] = str(folder)
    for path, text in one.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    if not one.files:
        monkeypatch.setattr(data, "_records", lambda *_: ([one.record], "c0ffee", one.names))
    return task


def test_every_task_of_the_benchmarks_is_here() -> None:
    own = {path.stem for path in SPECS.glob("*.yaml") if "reader:" not in path.read_text("utf-8")}
    assert own == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_record_becomes_a_row(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = PUBLISHED[name]
    task = publish(name, one, tmp_path, monkeypatch)
    loaded = data.read(task, one.split, one.language)
    assert loaded.rows[0] == one.row
    assert (loaded.found, loaded.dropped, loaded.moved) == (1, {}, 0)
    kind = task["kind"]
    expected = KEYS.get(kind) or {"id", "query", ENCODER[one.split]}
    assert set(one.row) == expected | ({"group"} if task["source"].get("group") else set())
    labels = [x for x in (one.row.get("label"), *one.row.get("tags", ())) if x is not None]
    assert set(labels) <= set(task.get("labels", labels))


@pytest.mark.parametrize("name", [name for name, one in PUBLISHED.items() if one.record])
def test_yaml_names_columns_that_are_published(name: str) -> None:
    known = set(PUBLISHED[name].record)
    source = TaskSource.model_validate(catalog(name)["source"])
    for expression in (*source.columns.values(), *source.wording):
        heads = {part.strip().split(".")[0] for part in expression.split(",")}
        assert heads <= known, expression


def test_a_pool_of_all_keeps_the_language_of_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    entity = {"entity_id": "Q5", "title": "Mur", "description": "Ein See.", "sentence_spans": [],
              "description_language": "de", "description_url": "http://de.example.org"}  # fmt: skip
    other = entity | {"entity_id": "Q6", "description": "மூர்.", "description_language": "ta"}
    monkeypatch.setattr(data, "_records", lambda *_: ([entity, other], None, {}))
    found, _ = data.load(catalog("mewsli_x"), "pool", "all")
    assert found == [
        {"id": "Q5", "text": "Ein See.", "language": "de"},
        {"id": "Q6", "text": "மூர்.", "language": "ta"},
    ]


def test_a_pool_of_each_holds_every_sentence_with_its_paragraph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = publish("lareqa", PUBLISHED["lareqa"], tmp_path, monkeypatch)
    found, _ = data.load(task, "pool", "th")
    assert [row["id"] for row in found] == ["th-1-1", "th-1-2", "th-1-3"]
    assert found[1] == {"id": "th-1-2", "text": SENTENCE + CONTEXT, "language": "th"}
    task["counts"] = {"pool": {"th": 4}}
    with pytest.raises(DataInvalid, match="pool split, th: expected 4 rows, found 3"):
        data.load(task, "pool", "th")


def make(
    kind: str, records: list[dict[str, Any]], split: str = "test", **source: Any
) -> tuple[list[dict[str, Any]], Tally]:
    """Make rows of a kind with the labels no and yes from records in German."""
    given = TaskSource.model_validate({"hub": "x/y", **source})
    labels = Labels(("no", "yes"), given.label_base, {}, given.wording)
    tally = Tally()
    form = Form(kind, given, split, "de", labels, 2)
    return list(rows(records, form, tally)), tally


def texts(*labels: Any) -> list[dict[str, Any]]:
    return [{"text": "a", "label": label} for label in labels]


@pytest.mark.parametrize("label", [-1, "-1", "", " ", None])
def test_rows_without_a_label_are_refused_or_dropped(label: Any) -> None:
    with pytest.raises(DataInvalid, match=r"row 1 has the label .*`unlabelled: dropped` leaves"):
        make("sequence_classification", texts("no", label))
    found, tally = make("sequence_classification", texts("no", label), unlabelled="dropped")
    assert [row["label"] for row in found] == ["no"]
    assert (tally.found, tally.dropped) == (2, {"unlabelled": 1})


@pytest.mark.parametrize("label", [2, "2", "maybe", True, 0.5, ["no"]])
def test_a_wrong_label_is_not_an_absent_one(label: Any) -> None:
    with pytest.raises(DataInvalid, match=r"expected one of: no, yes$"):
        make("sequence_classification", texts(label), unlabelled="dropped")


def test_labels_are_positions_from_a_base() -> None:
    found, tally = make("sequence_classification", texts(1, "2\n", 2.0, " yes "), label_base=1)
    assert [row["label"] for row in found] == ["no", "yes", "yes", "yes"]
    assert tally.labels == {"no": 1, "yes": 3}
    with pytest.raises(DataInvalid, match="row 0 has the label 0"):
        make("sequence_classification", texts(0), label_base=1)


def test_a_number_without_a_name_is_none_of_the_sources_labels() -> None:
    labels = Labels(("no", "yes"), names={"gold": ("yes", "no")})
    assert labels.need(0, "gold", "row 0") == "yes"
    assert labels.is_missing(-1, "gold")
    with pytest.raises(DataInvalid):
        labels.need(2, "gold", "row 0")
    assert Labels((), names={"t": ("N", "NP")}).need(1, "t", "row 0") == "NP"


def test_other_words_for_a_label() -> None:
    wording = {"gold": {"nope": "no"}}
    records = [{"text": "a", "gold": "nope "}, {"text": "b", "gold": "yes"}]
    found, _ = make("sequence_classification", records, columns={"label": "gold"}, wording=wording)
    assert [row["label"] for row in found] == ["no", "yes"]


def test_placeholders_go_only_where_the_task_says_so() -> None:
    records = [
        {"text": "NS", "text_pair": "b", "label": "no"},
        {"text": "a", "text_pair": "", "label": "no"},
        {"text": "NS or", "text_pair": "b", "label": "no"},
    ]
    found, tally = make("sequence_classification", records)
    assert (len(found), tally.dropped) == (3, {})
    found, tally = make("sequence_classification", records, placeholders=("NS", ""))
    assert [row["text"] for row in found] == ["NS or"]
    assert (tally.found, tally.dropped) == (3, {"placeholder": 2})


@pytest.mark.parametrize(
    ("kind", "record"),
    [
        ("multiple_choice", {"text": "a", "choices": ["b", "NS"], "label": "no"}),
        ("span_extraction", {"context": "NS", "question": "b", "answers": {"text": ["NS"],
                                                                           "answer_start": [0]}}),
        ("dual_encoder", {"query": "a", "candidate": "NS"}),
        ("retrieval", {"source": "a", "target": "NS"}),
    ],
)  # fmt: skip
def test_placeholders_are_looked_for_in_every_text(kind: str, record: dict[str, Any]) -> None:
    assert len(make(kind, [record], "train")[0]) == 1
    found, tally = make(kind, [record], "train", placeholders=("NS",))
    assert (found, tally.dropped) == ([], {"placeholder": 1})


def test_sentences_with_a_word_without_a_tag_go_where_the_task_says_so() -> None:
    records = [
        {"tokens": ["a", "b"], "tags": tags}
        for tags in (["no", "yes"], ["no", None], [-1, -1], None, [])
    ]
    with pytest.raises(DataInvalid, match="`unlabelled: dropped` leaves out"):
        make("token_classification", records)
    found, tally = make("token_classification", records, unlabelled="dropped")
    assert [row["tags"] for row in found] == [["no", "yes"]]
    assert (tally.found, tally.dropped) == (5, {"unlabelled": 4})
    with pytest.raises(DataInvalid, match="another number of tags: 1"):
        make("token_classification", [{"tokens": ["a", "b"], "tags": ["no"]}],
             unlabelled="dropped")  # fmt: skip


@pytest.mark.parametrize(
    ("record", "what"),
    [
        ({"text": "a"}, "row 0 lacks label; it has: text"),
        ({"label": "no"}, "row 0 lacks text"),
        ({"text": None, "label": "no"}, "`text` is missing"),
        ({"text": 5, "label": "no"}, "`text` is 5, expected a text"),
        ({"text": "a", "text_pair": ["b"], "label": "no"}, "`text_pair` is .*expected a text"),
        ({"text": "half \ud800", "label": "no"}, "`text` holds half a character"),
        ({"text": "a", "label": "no", "id": 1.5}, "`id` is 1.5"),
        ({"text": "a", "label": "no", "language": "fr"}, "its language is 'fr', .*of de"),
    ],
)
def test_what_is_no_row_is_refused(record: dict[str, Any], what: str) -> None:
    with pytest.raises(DataInvalid, match=what):
        make("sequence_classification", [record])


def test_a_missing_column_is_named_as_the_source_has_it() -> None:
    with pytest.raises(DataInvalid, match=r"lacks label \(`gold` in the source\)"):
        make("sequence_classification", texts("no"), columns={"label": "gold"})
    for ours in ("id", "text_pair", "language"):
        with pytest.raises(DataInvalid, match=rf"lacks {ours} \(`other` in the source\)"):
            make("sequence_classification", texts("no"), columns={ours: "other"})
    with pytest.raises(DataInvalid, match="row 0 lacks id; it has: label, text"):
        make("sequence_classification", texts("no"), id_prefix="de")
    with pytest.raises(DataInvalid, match="row 0 has no `lang` that says its language"):
        make("sequence_classification", texts("no"), language_column="lang")
    with pytest.raises(DataInvalid, match="row 0 lacks matches; it has: side, text"):
        make("bitext_mining", [{"side": "source", "text": "a"}])
    with pytest.raises(DataInvalid, match="row 0 lacks target, pairs; it has: source"):
        make("bitext_mining", [{"source": ["a"]}])


def test_rows_of_other_languages() -> None:
    records = [
        {"id": "german-1", "text": "a", "label": "no", "lang": "de"},
        {"id": "germanic-1", "text": "b", "label": "no", "lang": "fr"},
        {"id": "french-1", "text": "c", "label": "no", "lang": "german"},
    ]
    named = {"names": {"de": "german"}}
    found, tally = make("sequence_classification", records, id_prefix="{language}-", **named)
    assert ([row["text"] for row in found], tally.found) == (["a"], 1)
    found, tally = make("sequence_classification", records, language_column="lang", **named)
    assert ([row["text"] for row in found], tally.found) == (["a", "c"], 2)


def test_tags() -> None:
    found, _ = make("token_classification", [{"tokens": "a b", "tags": "no yes"}])
    assert found[0] == {"id": "0", "tokens": ["a", "b"], "tags": ["no", "yes"]}
    for record, what in (
        ({"tokens": ["a"], "tags": ["no", "yes"]}, "1 tokens and another number of tags: 2"),
        ({"tokens": ["a"], "tags": ["B"]}, "has the label 'B'"),
        ({"tokens": ["a"], "tags": [None]}, "has the label None"),
        ({"tokens": [1], "tags": ["no"]}, "`tokens` is 1, expected a text"),
        ({"tokens": {"a": 1}, "tags": ["no"]}, "`tokens` is .* expected a list"),
    ):
        with pytest.raises(DataInvalid, match=what):
            make("token_classification", [record])


def test_choices() -> None:
    record = {"text": "a", "one": "b", "two": "c", "label": "yes"}
    found, _ = make("multiple_choice", [record], columns={"choices": "one,two"})
    assert found[0]["choices"] == ["b", "c"]
    for choices, what in ((["b"], "has 1 choices, expected 2"), (["b", None], "`choices` is miss")):
        with pytest.raises(DataInvalid, match=what):
            make("multiple_choice", [{"text": "a", "choices": choices, "label": "no"}])
    named = {"text": "a", "choices": ["b", "c"], "names": ["no", "no"], "label": "no"}
    with pytest.raises(DataInvalid, match="choices named no, no"):
        make("multiple_choice", [named], columns={"choice_names": "names"})


def question(**answers: Any) -> dict[str, Any]:
    return {"id": "q", "context": "up and up and away", "question": "?", "answers": answers}


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [("up", 0, 0), ("up", 7, 7), ("up", 6, 7), ("up", 4, 7), ("up", -3, 0), ("away", 99, 14)],
)
def test_an_answer_beside_its_place_is_moved(text: str, start: int, expected: int) -> None:
    record = question(text=[text], answer_start=[start])
    found, tally = make("span_extraction", [record], "train")
    assert found[0]["answers"] == {"text": [text], "start": [expected]}
    assert tally.moved == (start != expected)


def test_an_answer_that_is_nowhere_cannot_be_trained_on_and_can_be_scored() -> None:
    lost = question(text=["down"], answer_start=[3])
    partly = question(text=["down", "and"], answer_start=[3, 3]) | {"id": "p"}
    found, tally = make("span_extraction", [lost, partly], "train")
    assert found[0]["answers"] == {"text": ["and"], "start": [3]}
    assert (tally.found, tally.dropped) == (2, {"answer not in its paragraph": 1})
    found, tally = make("span_extraction", [lost], "test")
    assert found[0]["answers"] == {"text": ["down"], "start": [3]}


def test_questions_without_an_answer() -> None:
    none = question(text=[], answer_start=[])
    with pytest.raises(DataInvalid, match="`no_answer: allowed` is for"):
        make("span_extraction", [none])
    found, _ = make("span_extraction", [none], no_answer="allowed")
    assert found[0]["answers"] == {"text": [], "start": []}
    listed = question() | {"answers": [{"text": "and", "answer_start": 3}]}
    assert make("span_extraction", [listed])[0][0]["answers"] == {"text": ["and"], "start": [3]}
    for wrong in (None, "and", {"text": ["and"]}, {"text": ["and"], "answer_start": ["3"]},
                  {"text": ["and"], "answer_start": [3, 4]}):  # fmt: skip
        with pytest.raises(DataInvalid, match="`answers` is"):
            make("span_extraction", [question() | {"answers": wrong}])


def test_a_bitext_of_lists() -> None:
    record = {"sentence1": ["eins", "zwei"], "sentence2": ["two", "six"], "gold": [[2, 1]]}
    columns = {"source": "sentence1", "target": "sentence2", "pairs": "gold"}
    found, tally = make("bitext_mining", [record], columns=columns)
    assert found == [
        {"id": "de-1", "side": "source", "text": "eins", "matches": []},
        {"id": "de-2", "side": "source", "text": "zwei", "matches": ["en-1"]},
        {"id": "en-1", "side": "target", "text": "two", "matches": []},
        {"id": "en-2", "side": "target", "text": "six", "matches": []},
    ]
    assert tally.found == 1
    with pytest.raises(DataInvalid, match="a sentence that is not there"):
        make("bitext_mining", [record | {"gold": [[3, 1]]}], columns=columns)
    for pair in ([1], [1, 2, 3], ["one", 2], 5):
        with pytest.raises(DataInvalid, match="is no pair of numbers"):
            make("bitext_mining", [record | {"gold": [pair]}], columns=columns)


def test_texts_of_a_corpus() -> None:
    found, _ = make("masked_lm", [{"text": "Sie fliegt."}, {"text": "Er nicht."}])
    assert found[1] == {"id": "1", "text": "Er nicht.", "language": "de"}


def test_what_a_query_is_to_find() -> None:
    for value, expected in (("Q1", ["Q1"]), (7, ["7"]), (["a", "b"], ["a", "b"])):
        found, _ = make("dual_encoder", [{"query": "q", "relevant": value}])
        assert found[0] == {"id": "0", "query": "q", "relevant": expected}
    with pytest.raises(DataInvalid, match="nothing relevant"):
        make("dual_encoder", [{"query": "q", "relevant": []}])
