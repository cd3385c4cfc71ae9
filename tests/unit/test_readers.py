"""Files of every format are read record by record, and damage is named with its line."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.data import FileFormat
from runtime.invalid import DataInvalid
from runtime.readers import read
from runtime.readers.entities import query
from runtime.readers.lines import lines
from runtime.readers.tables import label_names


def records(
    folder: Path, form: FileFormat, content: str | bytes, name: str = "x", language: str = "de"
) -> list[dict[str, Any]]:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read(form, path, language))


def refused(folder: Path, form: FileFormat, content: str | bytes, what: str, **more: Any) -> None:
    with pytest.raises(DataInvalid, match=what):
        records(folder, form, content, **more)


ROWS = [{"a": 'één, "x"', "b": "1"}, {"a": "line\u2028feed", "b": ""}]
WORD = "{}\t{}\t_\t{}\t_\t_\t_\t_\t_\t_\n"
TREE = "ID=wsj_1.{0} PARSER=GOLD NUMPARSE=1\n(<T S[dcl] 0 2> (<L NP NN NN Ada NP>) {1})\n"
LEAF = "(<L (S[dcl]\\NP)/NP VB VB saw (S[dcl]\\NP_1)/NP_2>) "


@pytest.mark.parametrize("packed", [False, True])
def test_the_same_rows_from_every_table(tmp_path: Path, packed: bool) -> None:
    texts: dict[FileFormat, str] = {
        "jsonl": "\ufeff" + "\n\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS),
        "json": json.dumps(ROWS, indent=1),
        "csv": 'a,b\r\n"één, ""x""",1\r\nline\u2028feed,""\r\n',
        "tsv": 'a\tb\néén, "x"\t1\nline\u2028feed\t\n',
    }
    for form, text in texts.items():
        content = gzip.compress(text.encode()) if packed else text.encode()
        assert records(tmp_path, form, content, f"x.{form}" + ".gz" * packed) == ROWS, form
    pl.DataFrame(ROWS).write_parquet(tmp_path / "x.parquet")
    assert list(read("parquet", tmp_path / "x.parquet", "de")) == ROWS


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.text(max_size=8)), max_size=5))
def test_whatever_json_holds_comes_back(
    tmp_path_factory: pytest.TempPathFactory, made: list[dict[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("json")
    text = "".join(json.dumps(row) + "\n" for row in made)
    assert records(folder, "jsonl", text) == made
    assert records(folder, "json", json.dumps(made)) == made


def test_a_tab_separated_quotation_mark_is_a_character(tmp_path: Path) -> None:
    text = 'a\tb\n"Go\tx\nhe said "no"\ty\n'
    assert records(tmp_path, "tsv", text) == [
        {"a": '"Go', "b": "x"},
        {"a": 'he said "no"', "b": "y"},
    ]


def test_a_tab_separated_carriage_return_is_a_character(tmp_path: Path) -> None:
    text = "a\tb\r\none\rtwo\tx\r\n\n\ry\tz\n"
    assert records(tmp_path, "tsv", text) == [{"a": "one\rtwo", "b": "x"}, {"a": "\ry", "b": "z"}]


def test_a_comma_separated_field_may_hold_line_ends(tmp_path: Path) -> None:
    assert records(tmp_path, "csv", 'a,b\n"x\ny",z\n') == [{"a": "x\ny", "b": "z"}]
    refused(tmp_path, "csv", 'a,b\n"x\ny",z\n1\n', r"x:4: expected 2 columns, found 1")


def test_the_members_of_an_archive_follow_each_other(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in ("one.jsonl", "two.jsonl"):
            member = tarfile.TarInfo(name)
            content = json.dumps({"name": name}).encode() + b"\n"
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        archive.addfile(tarfile.TarInfo("folder"))
    found = records(tmp_path, "jsonl", packed.getvalue(), "x.jsonl.tar.gz")
    assert found == [{"name": "one.jsonl"}, {"name": "two.jsonl"}]
    refused(tmp_path, "jsonl", packed.getvalue()[:90], "damaged or cut off", name="x.jsonl.tar.gz")


@pytest.mark.parametrize(
    ("form", "content", "what"),
    [
        ("jsonl", '{"a": 1}\n{"a": ', r"x:2: not valid JSON.*is the file cut off\?"),
        ("jsonl", '{"a": 1}\n[1]\n', r"x:2: expected a JSON object, found \[1\]"),
        ("jsonl", '{"a": NaN}\n', r"x:1: not valid JSON: NaN"),
        ("jsonl", b'{"a": "b"}\n{"a": "\xff"}\n', r"x:2: not UTF-8: the byte 0xff at column 8"),
        ("json", '[\n{"a": 1},\n{"a"', r"x:3: not valid JSON"),
        ("json", '{"a": 1}', "expected a JSON list of objects"),
        ("json", "[" * 100_000, "x:1: not valid JSON"),
        ("json", "[1]", "entry 0 is no object but 1"),
        ("csv", "a,b\n1,2,3\n", r"x:2: expected 2 columns, found 3"),
        ("csv", 'a,b\n1,"2', r"x:2: .*is the file cut off\?"),
        ("csv", "a,a\n1,2\n", r"x:1: .*`a` is there twice"),
        ("tsv", "a\t\n1\t2\n", r"x:1: .*a column has no name"),
        ("tsv", "a\tb\n1\n", r"x:2: expected 2 columns, found 1"),
        ("tsv", b"a\tb\n1\t2\n\xe9\t2\n", r"x:3: not UTF-8"),
        ("csv", "", "the file is empty"),
        ("parquet", b"PAR1 and no more", "cannot be read as Parquet"),
        ("conllu", WORD.format(1, "Ada", "X"), r"x:1: the file ends inside a sentence"),
        ("conllu", "1\tAda\tX\n\n", r"x:1: expected 10 columns of CoNLL-U, found 3"),
        ("conllu", WORD.format(2, "Ada", "X") + "\n", r"x:1: expected word 1 .*found '2'"),
        ("ccgbank", "(<L NP NN NN Ada NP>)\n", r"x:1: expected a line that begins with ID="),
        ("ccgbank", TREE.format(1, LEAF)[:-3], r"x:2: the derivation of wsj_1.1 is not whole"),
        ("ccgbank", TREE.format(1, LEAF) + "ID=wsj_1.2\n", r"x:3: .*wsj_1.2 is missing"),
        ("squad", "[]", "expected a JSON object with the list `data`"),
        ("squad", '{"data": [{"paragraphs": [{"qas": []}]}]}', "1 is not as in SQuAD: lacks 'cont"),
        ("mewsli", '{"title": "x"}', r"x:1: not a record of Mewsli-X: it lacks 'entity_id'"),
    ],
)
def test_damage_is_named_with_its_line(
    tmp_path: Path, form: FileFormat, content: str | bytes, what: str
) -> None:
    refused(tmp_path, form, content, what)


def test_a_packed_file_that_is_cut_off(tmp_path: Path) -> None:
    whole = gzip.compress(b'{"a": 1}\n' * 5000)
    refused(tmp_path, "jsonl", whole[:-9], r"x.gz:\d+: .*damaged or cut off", name="x.gz")
    refused(tmp_path, "jsonl", b"no gzip at all", "x.gz:1: ", name="x.gz")
    with pytest.raises(DataInvalid, match="cannot be read: No such file"):
        list(read("jsonl", tmp_path / "none.jsonl", "de"))


def test_lines_are_not_held(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"1\n2\n\xff\n")
    reading = lines(path)
    assert [next(reading), next(reading)] == [(1, "1"), (2, "2")]
    with pytest.raises(DataInvalid, match="x:3"):
        next(reading)


def test_treebanks_have_words_without_multiword_tokens_and_empty_nodes(tmp_path: Path) -> None:
    text = (
        "# newdoc\n# text = du vin\n1-2\tdu\t_\t_\t_\t_\t_\t_\t_\t_\n"
        + WORD.format(1, "de", "ADP") + WORD.format(2, "le", "DET")
        + "2.1\tx\t_\tX\t_\t_\t_\t_\t_\t_\n" + WORD.format(3, "vin blanc", "NOUN")
        + "\n\n" + WORD.format(1, "oui", "INTJ") + "\n"
    )  # fmt: skip
    first, second = records(tmp_path, "conllu", text)
    assert (first["form"], first["upos"]) == (["de", "le", "vin blanc"], ["ADP", "DET", "NOUN"])
    assert (second["form"], second["upos"]) == (["oui"], ["INTJ"])


def test_leaves_of_derivations(tmp_path: Path) -> None:
    found = records(tmp_path, "ccgbank", TREE.format(1, LEAF) + "\n" + TREE.format(2, ""))
    assert found[0] == {
        "id": "wsj_1.1", "tokens": ["Ada", "saw"], "tags": ["NP", "(S[dcl]\\NP)/NP"],
        "pos": ["NN", "VB"],
    }  # fmt: skip
    assert [one["id"] for one in found] == ["wsj_1.1", "wsj_1.2"]


def squad(**question: Any) -> str:
    one = {"id": "q", "question": "?", **question}
    paragraph = {"context": "Ada saw.", "qas": [one], "sentence_breaks": [[0, 8]]}
    return json.dumps({"version": "2", "data": [{"title": "A", "paragraphs": [paragraph]}]})


def test_questions(tmp_path: Path) -> None:
    answers = [{"text": "Ada", "answer_start": 0}, {"text": "saw", "answer_start": 4}]
    expected = {
        "id": "q", "question": "?", "title": "A", "context": "Ada saw.", "paragraph": 1,
        "sentence_breaks": [[0, 8]],
        "answers": {"text": ["Ada", "saw"], "answer_start": [0, 4]},
    }  # fmt: skip
    for form in ("squad", "json"):  # a mapping with `data` says by itself what it is
        assert records(tmp_path, form, squad(answers=answers)) == [expected]  # type: ignore[arg-type]
    none = records(tmp_path, "squad", squad(answers=[], is_impossible=True))
    assert none[0]["answers"] == {"text": [], "answer_start": []}
    # Version 2 lists what would have been plausible: no answer all the same.
    none = records(tmp_path, "squad", squad(answers=answers, is_impossible=True))
    assert none[0]["answers"] == {"text": [], "answer_start": []}


def bitext(folder: Path, gold: str, sources: str = "de-1\teins\nde-2\tzwei\tdrei\n") -> Any:
    (folder / "x.de").write_text(sources, encoding="utf-8")
    (folder / "x.en").write_text("en-1\tone\nen-2\ttwo\n", encoding="utf-8")
    return records(folder, "bucc", gold, "x.gold")


def test_bitexts(tmp_path: Path) -> None:
    found = bitext(tmp_path, "de-2\ten-1\nde-2\ten-2\n")
    assert [(one["id"], one["side"], one["text"], one["matches"]) for one in found] == [
        ("de-1", "source", "eins", []),
        ("de-2", "source", "zwei\tdrei", ["en-1", "en-2"]),
        ("en-1", "target", "one", []),
        ("en-2", "target", "two", []),
    ]


@pytest.mark.parametrize(
    ("gold", "sources", "what"),
    [
        ("de-1\n", "de-1\teins\n", r"x.gold:1: expected two ids, found 1"),
        ("de-1\ten-1\nde-9\ten-1\n", "de-1\teins\n", r"x.gold:2: x.de has no sentence 'de-9'"),
        ("de-1\ten-9\n", "de-1\teins\n", r"x.gold:1: x.en has no sentence 'en-9'"),
        ("de-1\ten-1\n" * 2, "de-1\teins\n", r"x.gold:2: the pair .* is there twice"),
        ("", "de-1\teins\nde-1\tzwei\n", r"x.de:2: the id 'de-1' is there twice"),
        ("", "de-1\teins\nzwei\n", r"x.de:2: expected an id and a sentence"),
    ],
)
def test_damaged_bitexts(tmp_path: Path, gold: str, sources: str, what: str) -> None:
    with pytest.raises(DataInvalid, match=what):
        bitext(tmp_path, gold, sources)


TEXT = "Rain fell. The train to {north} Oslo was\nlate. Nobody cared."
SPANS = [{"start": 0, "end": 10}, {"start": 11, "end": 46}, {"start": 47, "end": 60}]
OSLO = {"start": 32, "end": 36, "text": "Oslo"}
CONTEXT = {"document_title": "Rain", "document_url": "", "document_id": "en-1", "language": "en",
           "text": TEXT, "sentence_spans": SPANS}  # fmt: skip
ENTITY = {"entity_id": "Q585", "title": "Oslo", "description": "En by\ni Norge.",
          "sentence_spans": [], "description_language": "no", "description_url": ""}  # fmt: skip
MENTION = {"example_id": "en-1-0", "mention_span": OSLO, "entity_id": "Q585"}
QUERY = "Oslo: The train to (north) { Oslo } was late."


def test_mentions_and_entities_as_released(tmp_path: Path) -> None:
    made = [
        {"context": CONTEXT, "mentions": [MENTION, MENTION | {"example_id": "en-1-1"}]},
        {"contextual_mention": {"context": CONTEXT, "mention": MENTION}, "entity": ENTITY},
        ENTITY,
    ]
    text = "".join(json.dumps(one) + "\n" for one in made)
    first, second, pair, entity = records(tmp_path, "mewsli", text)
    assert first == {"id": "en-1-0", "query": QUERY, "relevant": "Q585", "language": "en"}
    assert second["id"] == "en-1-1"
    assert pair == {"id": "en-1-0", "query": QUERY, "candidate": "En by i Norge.", "language": "en"}
    assert entity == {"id": "Q585", "text": "En by i Norge.", "language": "no"}


def test_mentions_that_are_not_in_their_text() -> None:
    both = {"start": 5, "end": 14, "text": "fell. The"}
    assert query(CONTEXT, both).startswith("fell. The: Rain { fell. The } train to")
    with pytest.raises(DataInvalid, match="'Rome' is not at its place"):
        query(CONTEXT, OSLO | {"text": "Rome"})
    with pytest.raises(DataInvalid, match="the article's text is missing"):
        query(CONTEXT | {"text": ""}, OSLO)


def test_label_names_that_a_parquet_file_keeps(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    label = {"names": ["no", "yes"], "_type": "ClassLabel"}
    features = {
        "gold": label, "tags": {"feature": label, "_type": "List"}, "old": [label],
        "text": {"dtype": "string", "_type": "Value"},
    }  # fmt: skip
    table = pyarrow.table({"gold": [1]})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    path = tmp_path / "x.parquet"
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), path)
    assert label_names(path) == dict.fromkeys(("gold", "tags", "old"), ("no", "yes"))
    pyarrow.parquet.write_table(table, path)
    assert label_names(path) == {}
