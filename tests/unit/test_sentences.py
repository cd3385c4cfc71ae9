"""Sentences of paragraphs, and which of them answers a question."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.invalid import DataInvalid
from runtime.sentences import asked, breaks, pairs, pool, relevant


@pytest.mark.parametrize(
    "sentences",
    [
        ["One came.", "Two went!", "Who stayed?", "Nobody."],
        ["Dr. A. Orr met Mr. Bo in St. Mur.", "They spoke."],
        ['He said "Go."', "(She went.)", '"Why?" asked Bo.'],
        ["It costs 3.50 in the U.S. Senate.", "5 came, e.g. Ada."],
        ["ends without a stop"],
        ["Wait... what?", "Yes."],
    ],
)
def test_english_sentences(sentences: list[str]) -> None:
    text = "  " + " ".join(sentences) + " "
    assert [text[a:b] for a, b in breaks(text)] == sentences


@given(st.text(alphabet="aB. !?\n\"'", max_size=60))
def test_sentences_cover_all_that_is_no_space(text: str) -> None:
    spans = list(breaks(text))
    assert [x for span in spans for x in span] == sorted({x for span in spans for x in span})
    assert "".join("".join(text[a:b] for a, b in spans).split()) == "".join(text.split())


def record(context: str, text: str, **more: Any) -> dict[str, Any]:
    answers = {"text": [text], "start": [context.index(text)]}
    return {"id": text, "question": f"{text}?", "context": context, "answers": answers, **more}


def test_the_sentence_of_the_answer_and_its_repetitions() -> None:
    context = "Ada ran. Bo sat. Ada ran."
    found = list(asked([record(context, "Bo"), record(context, "Ada")], "inferred"))
    assert [one.answering for one in found] == [(1,), (0, 2)]
    first = next(pairs(found))
    assert first == {"id": "Bo", "query": "Bo?", "candidate": "Bo sat." + context}
    assert relevant(found, "en") == {"Bo": ["en-1-2"], "Ada": ["en-1-1", "en-1-3"]}
    assert [row["id"] for row in pool(found, "en")] == ["en-1-1", "en-1-2", "en-1-3"]


def test_an_answer_between_sentences_has_none() -> None:
    made = record("Ada ran. Bo sat.", "Bo", sentence_breaks=[[0, 8]], paragraph=4)
    (found,) = asked([made], "given")
    assert found.answering == ()
    assert list(pairs([found])) == []
    assert list(pool([found], "en")) == []


@pytest.mark.parametrize("given_", [None, [], [[0, 99]], [[3, 3]], [["0", 4]], [[0, 4, 8]]])
def test_sentence_breaks_are_checked(given_: Any) -> None:
    with pytest.raises(DataInvalid, match="sentence"):
        list(asked([record("Ada ran.", "Ada", sentence_breaks=given_)], "given"))
