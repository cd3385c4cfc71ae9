"""A field of a task that would do nothing is refused, with what to do, and none is ignored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from unit.test_presence import said

from compiler.entries import Corpus, Task

FILES = {"files": {"train": "x.jsonl", "test": "{language}.jsonl"}}
BASE: dict[str, dict[str, Any]] = {
    "sequence_classification": {"labels": ["no", "yes"], "metric": "accuracy"},
    "token_classification": {"labels": ["A", "B"], "metric": "accuracy"},
    "multiple_choice": {"labels": ["a", "b"], "choices": 2, "metric": "accuracy"},
    "span_extraction": {"metric": "squad"},
    "retrieval": {"metric": "top1"},
    "bitext_mining": {"metric": "mining_f1"},
    "dual_encoder": {"metric": "map_at_20"},
    "masked_lm": {"metric": "accuracy"},
}


def body(kind: str, source: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    common = {"task": "x", "title": "X", "kind": kind, "languages": ["de", "en"]}
    return {**common, **BASE[kind], "source": {**FILES, **(source or {})}, **more}


@pytest.mark.parametrize("kind", BASE)
def test_what_is_not_idle_is_valid(kind: str) -> None:
    assert Task.model_validate(body(kind, counts={"test": {"de": 3, "en": 4}})).kind == kind


@pytest.mark.parametrize(
    ("kind", "source", "what"),
    [
        ("retrieval", {"splits": {"test": "validation"}}, "`splits` goes with `hub`|`splits` has"),
        ("retrieval", {"revision": "abc"}, "`revision` has no meaning for `files`"),
        ("span_extraction", {"label_base": 1}, "`label_base` is for sequence_classification and"),
        ("retrieval", {"unlabelled": "dropped"}, "`unlabelled` is for .*; this is retrieval"),
        ("token_classification", {"placeholders": ["NS"]}, "`placeholders` is for"),
        ("retrieval", {"no_answer": "allowed"}, "`no_answer` is for span_extraction"),
        ("sequence_classification", {"group": "split"}, "`splits` joins none"),
    ],
)
def test_fields_of_a_source_that_would_do_nothing(
    kind: str, source: dict[str, Any], what: str
) -> None:
    with pytest.raises(ValidationError, match=what):
        Task.model_validate(body(kind, source))


@pytest.mark.parametrize(
    ("kind", "more", "what"),
    [
        ("span_extraction", {"labels": ["a", "b"]}, "a span_extraction task has no `labels`"),
        ("sequence_classification", {"choices": 2}, "`choices` is for multiple_choice"),
        ("sequence_classification", {"counts": {"dev": {"en": 1}}}, "has dev, a split that the"),
        ("sequence_classification", {"counts": {"pool": {"en": 1}}}, "has pool, a split that"),
        ("sequence_classification", {"counts": {"test": {"fr": 1}}}, r"`counts.test` has fr"),
        ("sequence_classification", {"caveats": {"fr": "odd"}}, "`caveats` has fr"),
        ("sequence_classification", {"f1_of": "maybe"}, "`f1_of` names `maybe`"),
        ("token_classification", {"f1_of": "A"}, "`f1_of` is for sequence_classification"),
    ],
)
def test_fields_of_a_task_that_would_do_nothing(kind: str, more: dict[str, Any], what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        Task.model_validate(body(kind, **more))


def test_labels_of_the_training_set_are_not_numbered() -> None:
    made = body("token_classification", {"label_base": 1}, labels=[], labels_from="train")
    with pytest.raises(ValidationError, match="`label_base` numbers listed `labels`"):
        Task.model_validate(made)


def test_a_pool_of_all_languages_has_one_count() -> None:
    files = {"files": {"test": "t.jsonl", "pool": "p.jsonl"}, "pool": "all"}
    made = body("dual_encoder", files, counts={"pool": {"all": 5}})
    assert Task.model_validate(made).codes("pool") == {"all"}
    with pytest.raises(ValidationError, match=r"`counts.pool` has de"):
        Task.model_validate(body("dual_encoder", files, counts={"pool": {"de": 5}}))


@pytest.mark.parametrize("source", [{"label_base": 1}, {"unlabelled": "dropped"}, {"pool": "all"}])
def test_a_corpus_is_held_to_the_same(source: dict[str, Any]) -> None:
    made = {"corpus": "x", "title": "X", "languages": ["de"]}
    assert Corpus.model_validate(made | {"source": FILES})
    with pytest.raises(ValidationError, match="this is masked_lm"):
        Corpus.model_validate(made | {"source": FILES | source})


def test_the_error_says_its_code_and_place(tmp_path: Path) -> None:
    task = body("retrieval", {"splits": {"test": "validation"}})
    (one,) = said(tmp_path, task, "S013", languages=["de"])
    assert one.message.startswith("`source`: ")
    assert one.span is not None
    assert one.span.file.endswith("own/tasks/x.yaml")
    assert one.span.line > 1


def test_local_files_bear_the_names_of_the_source() -> None:
    task = Task.model_validate(body("retrieval", {"names": {"de": "German"}}))
    assert task.files_of("test", "de") == ("German.jsonl",)
    assert task.files_of("test", "en") == ("en.jsonl",)
    bucc = {"files": {"test": "{language}-en.gold"}, "names": {"de": "deu"}}
    assert Task.model_validate(body("bitext_mining", bucc)).files_of("test", "de") == (
        "deu-en.gold", "deu-en.deu", "deu-en.en",
    )  # fmt: skip
    made = {"corpus": "x", "title": "X", "languages": ["de"]}
    source = {"files": {"train": "{language}.txt"}, "names": {"de": "deu"}, "format": "jsonl"}
    assert Corpus.model_validate(made | {"source": source}).files_of("train", "de") == ("deu.txt",)


def test_a_flaw_of_a_language_is_a_warning_where_it_is_scored(tmp_path: Path) -> None:
    assert {x.message.split()[2] for x in said(tmp_path, "udpos", "C233")} == {
        "el:", "fr:", "ru:", "zh:",
    }  # fmt: skip
    (one,) = said(tmp_path, "udpos", "C233", languages=["el", "de", "en"])
    assert one.severity == "warning"
    assert "2,353 of the 2,809" in one.message
    seen = [{"code": "C233", "reason": "shown apart"}]
    (one,) = said(tmp_path, "udpos", "C233", languages=["el"], acknowledge=seen)
    assert one.severity == "note"
    assert not said(tmp_path, "udpos", "C233", languages=["de", "en"])
