"""What the tokens of each kind of task are: nothing is lost, and places are places in the text."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from tinykinds import CHINESE, THAI, octets, rows, task, tokenizer

from runtime import encode
from runtime.data import DataInvalid
from runtime.encode import CUT, FIRST, LAST, seam, spaced, unknown_share, windows
from runtime.kinds import ENCODED, TRAINED

ENCODER, DECODER = tokenizer("encoder"), tokenizer("decoder")


def tokens(ids: Any, tokens_of: Any = ENCODER) -> list[str]:
    found: list[str] = tokens_of.convert_ids_to_tokens(list(ids))
    return found


def test_a_text_does_not_run_into_the_next() -> None:
    assert seam(ENCODER) == ""
    assert seam(DECODER) == "\n"


# --- words


def test_a_word_stands_at_its_first_piece_that_is_not_alone() -> None:
    (((ids, positions),),) = windows(ENCODER, [["cup", "北京", "red"]], 20)
    assert tokens(ids) == ["<s>", "▁cup", "▁", "北京", "▁red", "</s>"]
    assert positions == [1, 3, 4]


@pytest.mark.parametrize("found", [ENCODER, DECODER], ids=["encoder", "decoder"])
@pytest.mark.parametrize("length", [8, 9, 13, 99])
def test_a_long_sentence_has_one_place_for_each_word(found: Any, length: int) -> None:
    words = ["take", "cupredcup", "a", "red", "doorlamp", "what", "is", "grey"] * 4
    parts = next(windows(found, [words], length))
    assert sum(len(positions) for _, positions in parts) == len(words)
    assert (len(parts) > 1) is (length < 99)
    read = []
    for ids, positions in parts:
        assert len(ids) <= length
        assert CUT not in positions
        assert positions == sorted(set(positions))
        read += [tokens(ids, found)[place].lstrip("▁Ġ") for place in positions]
    starts = [
        piece != "" and word.startswith(piece) for piece, word in zip(read, words, strict=True)
    ]
    assert all(starts), read


def test_a_window_has_whole_words_only() -> None:
    words = ["cup", "cupred", "red", "door", "cup", "see", "cupr"]
    parts = next(windows(ENCODER, [words], 8))
    assert [tokens(ids)[1:-1] for ids, _ in parts] == [
        ["▁cup", "▁cup", "r", "e", "d", "▁red"],
        ["▁door", "▁cup", "▁see", "▁cup", "r"],
    ]


def test_a_word_without_a_token_is_read_as_unknown() -> None:
    (((ids, positions),),) = windows(ENCODER, [["cup", "", "red"]], 20)
    assert [tokens(ids)[place] for place in positions] == ["▁cup", "<unk>", "▁red"]
    (((ids, positions),),) = windows(DECODER, [["cup", "", "red"]], 20)
    assert tokens(ids, DECODER) == ["Ġcup", "Ġ", "?", "Ġred"]
    assert positions == [0, 2, 3]


SPACELESS = octets(prefix=False)


def test_words_have_the_tokens_of_running_text() -> None:
    assert [spaced(one) for one in (ENCODER, DECODER, SPACELESS)] == [False, False, True]
    words = ["take", "a", "red", "cup", "cupred", "北京"]
    for one in (ENCODER, DECODER, SPACELESS):
        ((ids, _),) = next(windows(one, [words], 60))
        assert ids == one(" ".join(words))["input_ids"]
    (((ids, positions),),) = windows(SPACELESS, [["cup", "red", "door"]], 20)
    assert tokens(ids, SPACELESS) == ["cup", "Ġred", "Ġdoor"]
    assert positions == [0, 1, 2]


def test_a_later_window_goes_on_as_the_text_does() -> None:
    words = ["cup", "red", "door"] * 5
    parts = next(windows(SPACELESS, [words], 8))
    assert [x for ids, _ in parts for x in ids] == SPACELESS(" ".join(words))["input_ids"]


def test_a_decoder_is_tagged_where_it_has_read_the_whole_word() -> None:
    words = ["cup", "cupred", "red"]
    (((ids, positions),),) = windows(SPACELESS, [words], 20, LAST)
    assert tokens(ids, SPACELESS) == ["cup", "Ġcup", "red", "Ġred"]
    assert positions == [0, 2, 3]
    (((_, first),),) = windows(SPACELESS, [words], 20, FIRST)
    assert first == [0, 1, 3]
    long = next(windows(SPACELESS, [["cup", "x" * 30, "red"]], 8, LAST))
    assert [positions for _, positions in long] == [[0], [7], [0]]
    with pytest.raises(ValueError, match="not at 'middle'"):
        next(windows(SPACELESS, [words], 20, "middle"))


def test_where_words_are_tagged_is_the_plan_s() -> None:
    of = task("token_classification")
    row = {"id": "a", "tokens": ["take", "redcup"], "tags": ["O", "B-thing"]}
    for place, expected in (("first_piece", [0, 1]), ("last_piece", [0, 2])):
        own = of | {"protocol": {"spacing": "running_text", "tag_at": place}}
        frame = ENCODED["token_classification"].encode([row], own, SPACELESS, 20)
        assert frame["positions"].to_list() == [expected]
    other = of | {"protocol": {"spacing": "none", "tag_at": "first_piece"}}
    with pytest.raises(DataInvalid, match="another rule"):
        ENCODED["token_classification"].encode([row], other, SPACELESS, 20)


@pytest.mark.parametrize("length", range(8, 14))
def test_no_cut_leaves_a_tag_on_a_lone_space(length: int) -> None:
    words = ["cup", "red", "北京", "door", "北京", "cupr", "北京"] * 3
    for ids, positions in next(windows(ENCODER, [words], length)):
        assert all(tokens(ids)[place] not in ("▁", "</s>") for place in positions)


def test_texts_are_tokenised_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tokenizer returns takes kilobytes a text: a million at once do not fit."""
    sentences = [["take", "red"], ["cup"], ["see", "a", "door"], ["北京"], ["cupr", ""]]
    choices = [
        {"id": str(n), "text": "take " * n, "choices": ["a cup", "red " * 9], "label": "1"}
        for n in range(5)
    ]
    of = task("multiple_choice", labels=["0", "1"], choices=2)
    kind = ENCODED["multiple_choice"]
    whole = list(windows(ENCODER, sentences, 8)), kind.encode(choices, of, ENCODER, 12)
    most: list[int] = []
    call = type(ENCODER).__call__

    def counted(self: Any, text: Any, *more: Any, **named: Any) -> Any:
        most.append(len(text) if isinstance(text, list) else 1)
        return call(self, text, *more, **named)

    monkeypatch.setattr(type(ENCODER), "__call__", counted)
    monkeypatch.setattr(encode, "CHUNK", 2)
    parts = list(windows(ENCODER, sentences, 8)), kind.encode(choices, of, ENCODER, 12)
    assert parts[0] == whole[0]
    assert parts[1].equals(whole[1])
    assert max(most) == 4, "two rows of two choices"


def test_a_word_longer_than_a_window_keeps_its_first_pieces() -> None:
    words = ["cup", "x" * 30, "red"]
    parts = next(windows(ENCODER, [words], 8))
    assert [len(positions) for _, positions in parts] == [1, 1, 1]
    assert all(len(ids) <= 8 for ids, _ in parts)


def test_windows_of_a_sentence_stay_together() -> None:
    of = task("token_classification")
    long = {
        "id": "b",
        "tokens": ["take", "red", "cup"] * 5,
        "tags": ["O", "B-colour", "B-thing"] * 5,
    }
    short = {"id": "a", "tokens": ["take", "red", "cup"], "tags": ["O", "B-colour", "B-thing"]}
    frame = ENCODED["token_classification"].encode(
        [short, long, short | {"id": "c"}], of, ENCODER, 8
    )
    assert frame["id"].to_list() == ["a", "b", "b", "b", "c"]
    data = TRAINED["token_classification"].examples(frame, of, 1)
    assert data.labels == [[0, 1, 2], [0, 1, 2] * 5, [0, 1, 2]]
    assert list(data.owners) == [0, 1, 1, 1, 2]
    batch = TRAINED["token_classification"].collate(data, [2], None)  # type: ignore[arg-type]
    assert batch.labels is not None
    assert [int(batch.labels[0, place]) for place in data.positions[2]] == (data.labels[1])[6:12]


def test_tags_of_the_training_set() -> None:
    of = task("token_classification", labels=[], labels_from="train")
    row = {"id": "a", "tokens": ["take", "red"], "tags": ["S/NP", "N"]}
    frame = ENCODED["token_classification"].encode([row], of, ENCODER, 8)
    assert frame["tags"].to_list() == [["S/NP", "N"]]
    data = TRAINED["token_classification"].examples(frame, of | {"labels": ["N", "NP"]}, 1)
    assert data.labels == [[-1, 0]]


# --- choices


def choice(text: str, choices: list[str], length: int, found: Any = ENCODER) -> Any:
    row = {"id": "1", "text": text, "choices": choices, "label": "1"}
    of = task("multiple_choice", labels=["0", "1"], choices=2)
    return ENCODED["multiple_choice"].encode([row], of, found, length)


@pytest.mark.parametrize("found", [ENCODER, DECODER], ids=["encoder", "decoder"])
def test_choices_stay_whole_and_the_end_of_the_text_too(found: Any) -> None:
    frame = choice("take a cup " * 9 + "what is", ["a red door", "grey"], 12, found)
    for ids, answer in zip(frame["input_ids"], ["a red door", "grey"], strict=True):
        whole = found(["what is" + seam(found)], [answer])["input_ids"][0]
        bare = [i for i in whole if i not in found.all_special_ids]
        mine = [i for i in ids if i not in found.all_special_ids]
        assert mine[-len(bare) :] == bare
        assert len(ids) == 12
    assert frame["answer_cut"].to_list() == [False, False]
    assert frame["label"].to_list() == [1, 1]
    assert found.truncation_side == "right"


def test_a_choice_that_fills_the_length_is_read_alone() -> None:
    frame = choice("take a cup", ["red " * 20, "red red red red red red"], 10)
    first, second = (tokens(ids) for ids in frame["input_ids"])
    assert first == ["<s>", "</s>", "</s>", *["▁red"] * 6, "</s>"]
    assert second == first
    assert frame["answer_cut"].to_list() == [True, False]


def test_rows_have_the_choices_of_the_task() -> None:
    frame = choice("take", ["a", "red"], 10)
    with pytest.raises(DataInvalid, match="3 choices"):
        TRAINED["multiple_choice"].examples(frame, task("multiple_choice"), 1)


# --- spans


def spans(row: dict[str, Any], length: int, found: Any = ENCODER) -> Any:
    of = task("span_extraction")
    return ENCODED["span_extraction"].encode([{"id": "1", **row}], of, found, length)


@pytest.mark.parametrize("found", [ENCODER, DECODER], ids=["encoder", "decoder"])
@pytest.mark.parametrize("length", [20, 28, 150])
@pytest.mark.parametrize(
    ("context", "answer"), [(CHINESE, "北京"), (THAI, "เมือง"), ("take  a red cup , see", "red cup")]
)
def test_places_are_characters_of_the_context(
    context: str, answer: str, length: int, found: Any
) -> None:
    context = " ".join([context] * 3)
    start = context.index(answer, len(context) // 2)
    row = {
        "question": "what is",
        "context": context,
        "answers": {"text": [answer], "start": [start]},
    }
    frame = spans(row, length, found)
    covered: set[int] = set()
    answered = 0
    for window in frame.iter_rows(named=True):
        assert len(window["input_ids"]) <= length
        last = window["input_ids"][-1]
        assert last in found.all_special_ids, "the last token is of the context"
        pairs = list(zip(window["offsets"][::2], window["offsets"][1::2], strict=True))
        for a, b in pairs:
            covered |= set(range(a, b))
        if window["start"]:
            answered += 1
            first = window["first"]
            a, b = pairs[window["start"] - first][0], pairs[window["end"] - first][1]
            assert context[a:b].strip() == answer or answer in context[a:b]
            assert a <= start
            assert b >= start + len(answer)
        else:
            inside = pairs[0][0] <= start and pairs[-1][1] >= start + len(answer)
            assert not inside
    assert answered >= 1
    assert {n for n, c in enumerate(context) if not c.isspace()} <= covered


def test_windows_overlap_by_the_stride_or_by_what_fits() -> None:
    row = {"question": "what", "context": "red cup " * 200, "answers": {"text": [], "start": []}}
    for length, overlap in ((300, 128), (25, 10)):
        ends = [(w[0], w[-1]) for w in spans(row, length)["offsets"]]
        shared = [(old[1] - new[0]) / 4 for old, new in pairwise(ends)]
        assert all(abs(s - overlap) <= 1 for s in shared[:-1]), (length, shared)


def test_a_long_question_leaves_half_to_the_context() -> None:
    row = {"question": "red " * 90, "context": "cup " * 60, "answers": {"text": [], "start": []}}
    frame = spans(row, 24)
    assert frame["first"].to_list()[0] == 1 + (24 - 4) // 2 + 2
    frame = spans(row, 200)
    assert frame["first"].to_list()[0] == 1 + 64 + 2


# --- pairs, queries, pools; masks


def test_candidates_of_one_text_have_one_number() -> None:
    pairs = [{"id": str(n), "query": "red", "candidate": c} for n, c in enumerate(["a", "b", "a"])]
    frame = ENCODED["dual_encoder"].encode(pairs, task("dual_encoder"), ENCODER, 8)
    assert frame["candidate"].to_list() == [0, 1, 0]
    data = TRAINED["dual_encoder"].examples(frame, task("dual_encoder"), 1)
    assert data.items == [(0, 1), (2, 3), (4, 5)]
    assert len(data) == 3


def test_masks_cover_no_special_token_and_repeat_in_scoring() -> None:
    of = task("masked_lm")
    texts = [{"id": str(n), "text": "red cup door " * (n + 1), "language": "en"} for n in range(6)]
    kind = TRAINED["masked_lm"]
    frame = ENCODED["masked_lm"].encode([*texts, {"id": "x", "text": "", "language": "en"}], of,
                                        ENCODER, 30)  # fmt: skip
    assert len(frame) == 6, "a text without tokens has nothing to mask"
    data = kind.examples(frame, of, 1)
    batch, again = kind.present(data, range(6)), kind.present(data, [5, 4])
    assert batch.chosen is not None
    assert batch.labels is not None
    for line, ids in enumerate(data.input_ids):
        chosen = batch.chosen[line].nonzero()[:, 0].tolist()
        assert len(chosen) == max(1, round(0.15 * (len(ids) - 2)))
        assert 0 < min(chosen) <= max(chosen) < len(ids) - 1
        assert [int(batch.labels[line, place]) for place in chosen] == [int(ids[p]) for p in chosen]
    assert again.input_ids[0].tolist() == batch.input_ids[5].tolist()
    with pytest.raises(DataInvalid, match="no token of any text"):
        ENCODED["masked_lm"].encode([{"id": "x", "text": "", "language": "en"}], of, ENCODER, 30)
    with pytest.raises(DataInvalid, match="no mask token"):
        ENCODED["masked_lm"].encode(texts, of, DECODER, 30)


def test_of_the_chosen_tokens_80_10_10() -> None:
    import numpy as np

    of = task("masked_lm")
    texts = [{"id": str(n), "text": "red cup door " * 60, "language": "en"} for n in range(60)]
    frame = ENCODED["masked_lm"].encode(texts, of, ENCODER, 190)
    data = TRAINED["masked_lm"].examples(frame, of, 1)
    batch = TRAINED["masked_lm"].collate(data, range(60), np.random.default_rng(1))
    assert batch.chosen is not None
    assert batch.labels is not None
    shown, gold = batch.input_ids[batch.chosen], batch.labels[batch.chosen]
    masked = float((shown == ENCODER.mask_token_id).double().mean())
    kept = float((shown == gold).double().mean())
    assert 0.77 < masked < 0.83
    assert 0.08 < kept < 0.14
    assert (batch.input_ids[~batch.chosen] == pad(data, 190)[~batch.chosen]).all()


def pad(data: Any, length: int) -> Any:
    from runtime.batches import pad

    return pad(data.input_ids, data.pad)[0][:, :length]


def test_the_share_of_unknown_tokens() -> None:
    of = task("sequence_classification")
    row = {"id": "1", "text": "red Ж", "label": "red"}
    frame = ENCODED["sequence_classification"].encode([row], of, ENCODER, 8)
    assert unknown_share(frame, ENCODER.unk_token_id) == pytest.approx(1 / 5)
    with pytest.raises(DataInvalid, match="text_pair"):
        ENCODED["sequence_classification"].encode(
            [row, *rows("sequence_classification", 1)], of, ENCODER, 8
        )
