"""Data is what its task says, or is refused with what was expected and what was found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from compiler.data import matching
from runtime import data
from runtime.data import DataInvalid, fingerprint, load, read


def task(
    folder: Path, rows: list[dict[str, Any]], labels: list[str], **more: Any
) -> dict[str, Any]:
    (folder / "x.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    source = {"files": {"test": "x.jsonl"}, "folder": str(folder), **more.pop("source", {})}
    kind = "sequence_classification"
    return {"task": "x", "kind": kind, "labels": labels, "source": source, **more}


@pytest.mark.parametrize(
    ("labels", "given", "expected"),
    [
        (["1", "2", "3"], [1, 2, 3], ["1", "2", "3"]),
        (["1", "2", "3"], ["3", "1\n"], ["3", "1"]),
        (["0", "1"], [0, 1], ["0", "1"]),
        (["no", "yes"], [0, 1], ["no", "yes"]),
        (["no", "yes"], ["1", " 0"], ["yes", "no"]),
        (["no", "yes"], ["yes", "no"], ["yes", "no"]),
    ],
)
def test_labels_go_by_name_before_position(
    tmp_path: Path, labels: list[str], given: list[Any], expected: list[str]
) -> None:
    rows = [{"text": "a", "label": label} for label in given]
    found, _ = load(task(tmp_path, rows, labels), "test", "en")
    assert [row["label"] for row in found] == expected


@pytest.mark.parametrize("label", [4, -1, "maybe", None, True, 0])
def test_a_label_that_is_none_is_refused(tmp_path: Path, label: Any) -> None:
    made = task(tmp_path, [{"text": "a", "label": label}], ["1", "2", "3"])
    with pytest.raises(DataInvalid, match="expected one of: 1, 2, 3"):
        load(made, "test", "en")


def test_counts_and_columns_are_asserted(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": "no"}]
    counted = task(tmp_path, rows, ["no", "yes"], counts={"test": {"en": 2}})
    with pytest.raises(DataInvalid, match="x, test split, en: expected 2 rows, found 1"):
        load(counted, "test", "en")
    assert len(load(counted, "test", "de")[0]) == 1
    with pytest.raises(DataInvalid, match="x, test split, en: row 0 lacks label; it has: text"):
        load(task(tmp_path, [{"text": "a"}], ["no", "yes"]), "test", "en")
    with pytest.raises(DataInvalid, match="there are no rows"):
        load(task(tmp_path, [], ["no", "yes"]), "test", "en")


def test_counts_are_of_the_source_before_rows_are_left_out(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": label} for label in ("no", -1, "yes", "no")]
    made = task(
        tmp_path, rows, ["no", "yes"], source={"unlabelled": "dropped"}, counts={"test": {"en": 4}}
    )
    found = read(made, "test", "en")
    assert [row["id"] for row in found.rows] == ["0", "2", "3"]
    assert found.account() == {
        "source_rows": 4, "expected_rows": 4, "rows_dropped": {"unlabelled": 1},
        "labels": {"no": 2, "yes": 1},
    }  # fmt: skip


def test_labels_that_no_row_has_are_named(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": label} for label in ("no", "no")]
    files = {"files": dict.fromkeys(("train", "test"), "x.jsonl")}
    made = task(tmp_path, rows, ["maybe", "no", "yes"], source=files)
    for split in ("train", "test"):
        assert read(made, split, "en").account()["labels_absent"] == ["maybe", "yes"]


def test_numbers_without_a_name_are_counted_and_warned_of(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": label} for label in (0, "1", "yes", 1)]
    found = read(task(tmp_path, rows, ["no", "yes"]), "test", "en").account()
    assert found["labels_by_position"] == 3
    assert found["warnings"] == [data.BY_PLACE]
    for labels, source in (
        (["0", "1"], {}),  # a label that is a number is a name
        (["no", "yes"], {"wording": {"label": {"0": "no", "1": "yes"}}}),
    ):
        made = task(tmp_path, [*rows[:2], rows[3]], labels, source=source)
        assert "warnings" not in read(made, "test", "en").account()


def test_the_place_of_a_choice_is_its_name(tmp_path: Path) -> None:
    rows = [{"text": "a", "choices": ["b", "c"], "label": 1}]
    made = task(tmp_path, rows, ["first", "second"], choices=2) | {"kind": "multiple_choice"}
    assert "labels_by_position" not in read(made, "test", "en").account()


def test_files_are_named_as_the_source_calls_languages(tmp_path: Path) -> None:
    made = task(tmp_path, [{"text": "a", "label": "no"}], ["no", "yes"])
    made["source"] |= {"files": {"test": "{language}.jsonl"}, "names": {"de": "x"}}
    assert len(load(made, "test", "de")[0]) == 1
    with pytest.raises(DataInvalid, match=r"en\.jsonl"):
        load(made, "test", "en")


def test_ids_are_distinct(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": "no", "id": 7}, {"text": "b", "label": "no", "id": "7"}]
    with pytest.raises(DataInvalid, match="the id '7' is there twice; `ids: position`"):
        load(task(tmp_path, rows, ["no", "yes"]), "test", "en")
    by_place = task(tmp_path, rows, ["no", "yes"], source={"ids": "position"})
    assert [row["id"] for row in load(by_place, "test", "en")[0]] == ["0", "1"]


def test_an_empty_second_text_is_still_there(tmp_path: Path) -> None:
    rows = [{"text": "ab", "text_pair": "", "label": "no"}, {"text": "ab", "label": "no"}]
    found, _ = load(task(tmp_path, rows, ["no", "yes"]), "test", "en")
    assert [row.get("text_pair") for row in found] == ["", None]


def test_files_by_language_and_form(tmp_path: Path) -> None:
    (tmp_path / "de.txt").write_text("text,gold\na,no\n", encoding="utf-8")
    source = {"files": {"test": "{language}.txt"}, "columns": {"label": "gold"}}
    made = task(tmp_path, [], ["no", "yes"], source=source)
    with pytest.raises(DataInvalid, match=r"de.txt: the ending does not say .* give `format`"):
        load(made, "test", "de")
    made["source"]["format"] = "csv"
    assert load(made, "test", "de") == ([{"id": "0", "text": "a", "label": "no"}], None)
    with pytest.raises(DataInvalid, match=r"fr.txt cannot be read"):
        load(made, "test", "fr")
    with pytest.raises(DataInvalid, match="names no file for its train split"):
        load(made, "train", "de")


def test_tags_of_the_training_file_may_be_any(tmp_path: Path) -> None:
    rows = [{"tokens": ["a", "b"], "tags": ["N", "S\\NP"]}]
    made = task(tmp_path, rows, [], labels_from="train") | {"kind": "token_classification"}
    assert load(made, "test", "en")[0][0]["tags"] == ["N", "S\\NP"]


@pytest.mark.parametrize("name", ["../data", "a b", "Emoji", ""])
def test_readers_are_named_by_a_word(name: str) -> None:
    made = {"task": "x", "kind": "retrieval", "source": {"reader": name}}
    with pytest.raises(DataInvalid, match="reader"):
        load(made, "test", "en")


def test_rows_of_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    class Module:
        @staticmethod
        def rows(options: dict[str, Any], language: str, split: str) -> list[dict[str, Any]]:
            return [{"id": f"{language}-{split}-{options['n']}", "source": "a", "target": "b"}]

    monkeypatch.setattr(data.importlib, "import_module", {"runtime.sources.own": Module}.get)
    made = {"task": "x", "kind": "retrieval", "source": {"reader": "own", "options": {"n": 3}}}
    assert load(made, "test", "de")[0] == [{"id": "de-test-3", "source": "a", "target": "b"}]


def test_fingerprints_see_values_and_order() -> None:
    rows = [{"id": "0", "text": "a"}, {"id": "1", "text": "b"}]
    assert fingerprint(rows) == fingerprint(iter([dict(reversed(r.items())) for r in rows]))
    assert len({fingerprint(rows), fingerprint(rows[::-1]), fingerprint(rows[:1])}) == 3


def squad(question: str, **more: Any) -> dict[str, Any]:
    context = "Ada built a kite. It flew away."
    answers = {"text": ["kite"], "answer_start": [12]}
    return {"id": question, "question": question, "context": context, "answers": answers, **more}


def paragraphs(folder: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    source = {"files": dict.fromkeys(("train", "test"), "x.jsonl"), "pool": "each",
              "sentences": "inferred"}  # fmt: skip
    made = task(folder, rows, [], source=source)
    return made | {"kind": "dual_encoder", "languages": ["en"]}


def test_questions_whose_answer_is_in_no_sentence_are_counted(tmp_path: Path) -> None:
    lost = squad("b", answers={"text": ["Bo"], "answer_start": [99]})
    found = read(paragraphs(tmp_path, [squad("a"), lost]), "test", "en")
    assert found.rows == [{"id": "a", "query": "a", "relevant": ["en-1-1"]}]
    assert (found.found, found.dropped) == (2, {"answer in no sentence": 1})
    found = read(paragraphs(tmp_path, [squad("a"), lost]), "train", "en")
    assert [row["candidate"] for row in found.rows] == ["Ada built a kite." + lost["context"]]
    assert (found.found, found.dropped) == (2, {"answer not in its paragraph": 1})


def test_every_relevant_sentence_is_in_the_pool(tmp_path: Path) -> None:
    made = paragraphs(tmp_path, [squad("a"), squad("b", context="A kite. Two."), squad("c")])
    pool = {row["id"]: row["text"] for row in load(made, "pool", "en")[0]}
    assert list(pool) == ["en-1-1", "en-1-2", "en-2-1", "en-2-2"]
    for row in load(made, "test", "en")[0]:
        assert all("kite" in pool[name] for name in row["relevant"])


def test_the_release_of_mewsli_x_has_all_languages_in_one_file(tmp_path: Path) -> None:
    def article(language: str, name: str) -> dict[str, Any]:
        span = {"start": 0, "end": 3, "text": "Mur"}
        mention = {"example_id": name, "entity_id": "Q5", "mention_span": span}
        context = {"text": "Mur ist tief.", "language": language,
                   "sentence_spans": [{"start": 0, "end": 13}]}  # fmt: skip
        return {"context": context, "mentions": [mention]}

    entity = {"entity_id": "Q5", "description": "Jezioro.", "description_language": "pl"}
    made = task(tmp_path, [article("de", "a"), article("uk", "b"), article("de", "c")], [])
    (tmp_path / "pool.jsonl").write_text(json.dumps(entity), encoding="utf-8")
    made["source"] |= {
        "format": "mewsli", "language_column": "language", "pool": "all",
        "files": {"test": "x.jsonl", "pool": "pool.jsonl"},
    }  # fmt: skip
    made |= {"kind": "dual_encoder", "languages": ["de", "uk"], "counts": {"test": {"de": 2}}}
    assert load(made, "test", "de")[0] == [
        {"id": name, "query": "Mur: { Mur } ist tief.", "relevant": ["Q5"]} for name in "ac"
    ]
    assert load(made, "pool", "all")[0] == [{"id": "Q5", "text": "Jezioro.", "language": "pl"}]


@pytest.mark.parametrize("allowed", ["allowed", "refused"])
def test_questions_of_a_file_in_the_form_of_squad(tmp_path: Path, allowed: str) -> None:
    asked = [
        {"id": "a", "question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}]},
        {"id": "b", "question": "Why?", "answers": [], "is_impossible": True},
    ]
    body = {"data": [{"title": "x", "paragraphs": [{"context": "Ada ran.", "qas": asked}]}]}
    (tmp_path / "x.json").write_text(json.dumps(body), encoding="utf-8")
    source = {"files": {"test": "x.json"}, "folder": str(tmp_path), "no_answer": allowed}
    made = {"task": "x", "kind": "span_extraction", "source": source}
    if allowed == "refused":
        with pytest.raises(DataInvalid, match="row 1 has no answer"):
            load(made, "test", "en")
        return
    first = {"id": "a", "context": "Ada ran.", "question": "Who?",
             "answers": {"text": ["Ada"], "start": [0]}}  # fmt: skip
    second = first | {"id": "b", "question": "Why?", "answers": {"text": [], "start": []}}
    assert load(made, "test", "en")[0] == [first, second]


# --- several files under one name


def test_a_star_stands_for_several_files_in_their_order(tmp_path: Path) -> None:
    for place, text in {"02/wsj_2.auto": "b", "02/wsj_10.auto": "a", "19/wsj_1.auto": "c"}.items():
        path = tmp_path / "ccg" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"ID={place}\n(<L N NN NN {text} N>)\n", encoding="utf-8")
    (tmp_path / "ccg" / "02" / "notes.txt").touch()
    source = {"files": {"test": "ccg/*/*.auto"}}
    made = task(tmp_path, [], [], labels_from="train", source=source)
    rows = read(made | {"kind": "token_classification"}, "test", "en").rows
    assert [row["tokens"] for row in rows] == [["a"], ["b"], ["c"]]
    assert [row["id"] for row in rows] == ["02/wsj_10.auto", "02/wsj_2.auto", "19/wsj_1.auto"]
    made["source"]["files"] = {"test": "ccg/*/*.nothing"}
    made["source"]["format"] = "ccgbank"
    with pytest.raises(DataInvalid, match=r"ccg/\*/\*.nothing cannot be read"):
        read(made | {"kind": "token_classification"}, "test", "en")


def test_only_the_star_is_special_in_a_name(tmp_path: Path) -> None:
    for name in ("a[1].x", "a1.x", "a?.x", "ab.x", "aa[1].x"):
        (tmp_path / name).touch()
    assert [p.name for p in matching(tmp_path, "a*[1].x")] == ["a[1].x", "aa[1].x"]
    assert [p.name for p in matching(tmp_path, "a*?.x")] == ["a?.x"]
    assert matching(tmp_path, "a[1].x") == [tmp_path / "a[1].x"]
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "z.x").touch()
    assert matching(tmp_path, "**/z.x") == [tmp_path / "**/z.x"], "one folder for each star"


# --- what makes a mining task


def mining(folder: Path, foreign: list[str], english: list[str], pairs: list[list[int]]) -> Any:
    made = task(folder, [{"source": foreign, "target": english, "pairs": pairs}], [])
    return made | {"kind": "bitext_mining"}


def test_mining_without_distractors_is_refused(tmp_path: Path) -> None:
    made = mining(tmp_path, ["a", "b"], ["A", "B"], [[1, 1], [2, 2]])
    with pytest.raises(DataInvalid, match="all 2 sentences of the source side are in gold pairs"):
        read(made, "test", "de")
    made = mining(tmp_path, ["a", "b", "c"], ["A", "B"], [[1, 1], [2, 2]])
    with pytest.raises(DataInvalid, match="x, test split, de: all 2 sentences of the target side"):
        read(made, "test", "de")
    made = mining(tmp_path, ["a", "b", "c"], ["A", "B", "C"], [[1, 1], [2, 2]])
    assert read(made, "test", "de").found == 2


def test_the_english_side_of_mining_is_counted(tmp_path: Path) -> None:
    made = mining(tmp_path, ["a", "b"], ["A", "B", "B"], [[1, 1]])
    made["counts"] = {"pool": {"de": 2}}
    assert len(read(made, "test", "de").rows) == 5
    made["counts"] = {"pool": {"de": 3}}
    with pytest.raises(DataInvalid, match="expected 3 distinct English sentences to mine in, fo"):
        read(made, "test", "de")
    made["source"]["files"] = {"dev": "x.jsonl"}
    assert len(read(made, "dev", "de").rows) == 5, "of the test side alone a number is known"
