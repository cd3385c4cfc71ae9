"""From logits and vectors to predictions and scores, against the plainest way of computing them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tinykinds import CHINESE, THAI, examples, task, tokenizer

from runtime.batches import Examples
from runtime.invalid import DataInvalid
from runtime.kinds import ENCODED, TRAINED, bitext_mining, retrieval
from runtime.kinds.dual_encoder import Pool
from runtime.kinds.span_extraction import best_spans
from runtime.metrics import mining
from runtime.mining import mine, neighbours

SPAN = TRAINED["span_extraction"]
CPU = torch.device("cpu")


# --- spans


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 4), min_size=1, max_size=9),
    limit=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_the_best_spans_are_those_of_all_spans(sizes: list[int], limit: int, seed: int) -> None:
    ends = np.cumsum(sizes)
    offsets = np.stack([ends - sizes, ends], axis=1)
    logits = np.random.default_rng(seed).integers(-3, 4, (len(sizes), 2)).astype(np.float32)
    every = [
        (float(logits[i, 0] + logits[j, 1]), int(offsets[i, 0]), int(offsets[j, 1]))
        for i in range(len(sizes))
        for j in range(i, len(sizes))
        if sizes[i] and sizes[j] and offsets[j, 1] - offsets[i, 0] <= limit
    ]
    expected = sorted(every, key=lambda span: -span[0])[:3]
    assert best_spans(logits, offsets, limit, 3) == expected


def rigged(data: Examples, wanted: list[str]) -> list[Any]:
    """Decode logits that are high at the ends of a text, in every window that has all of it."""
    found: list[Any] = []
    for sequence, offsets in enumerate(data.more["offsets"]):
        context = data.more["context"][data.owner(sequence)]
        text = wanted[data.owner(sequence)]
        begin = context.index(text)
        logits = torch.full((1, len(data.input_ids[sequence]), 2), -1.0)
        logits[0, 0] = -4.0 + sequence
        first = data.more["first"][sequence]
        for token, (a, b) in enumerate(offsets.tolist()):
            if a <= begin < b:
                logits[0, first + token, 0] = 5.0
            if a < begin + len(text) <= b:
                logits[0, first + token, 1] = 5.0
        batch = SPAN.present(data, [sequence])
        found += SPAN.decode(logits, batch, data, task("span_extraction"))
    return found


@pytest.mark.parametrize("name", ["encoder", "decoder"])
@pytest.mark.parametrize(
    ("language", "context", "answer"),
    [
        ("zh", CHINESE * 3, "北京"),
        ("th", THAI * 3, "กรุงเทพมหานคร"),
        ("en", "see a red cup " * 20, "red cup"),
    ],
)
def test_an_answer_is_cut_out_by_its_characters(
    name: str, language: str, context: str, answer: str
) -> None:
    row = {"id": "1", "question": "what is", "context": context,
           "answers": {"text": [answer], "start": [context.index(answer)]}}  # fmt: skip
    of = task("span_extraction")
    data = examples(name, of, [row], length={"encoder": 20, "decoder": 70}[name])
    assert len(data.input_ids) > 1, "one window is no test of many"
    columns = SPAN.predictions(rigged(data, [answer]), data, of)
    assert columns["predicted"] == [answer]
    start, end = columns["start"][0], columns["end"][0]
    assert context[start:end] == answer
    assert SPAN.score(of, data, columns, language) == {"f1": 100.0, "em": 100.0}
    if language == "zh":
        other = SPAN.score(of | {"metric": "mlqa"}, data, columns | {"predicted": ["京"]}, "zh")
        assert other["f1"] == pytest.approx(100 * 2 / 3)


def test_windows_are_ranked_together() -> None:
    of = task("span_extraction", source={"no_answer": "allowed"})
    row = {"question": "what", "context": "see a  red cup", "answers": {"text": [], "start": []}}
    data = examples("encoder", of, [row | {"id": "1"}, row | {"id": "2"}], length=8)
    assert list(data.owners) == [0, 0, 1, 1]
    found = [
        ([(3.0, 4, 5), (2.0, 5, 10)], -1.0),
        ([(4.0, 5, 10), (1.0, 0, 3)], -2.5),
        ([], 1.0),
        ([], 2.0),
    ]
    columns = SPAN.predictions(found, data, of)
    assert columns["texts"][0] == ["red", "a", "see"]  # the span of two windows once, stripped
    assert columns["scores"][0] == [4.0, 3.0, 1.0]
    assert (columns["start"][0], columns["end"][0]) == (7, 10)
    assert columns["no_answer"][0] == -2.5 - 4.0
    assert columns["predicted"][1] == ""
    assert columns["no_answer"][1] > 0


def test_no_answer_counts_where_it_may_be_right() -> None:
    row = {"question": "what", "context": "a red cup"}
    rows = [row | {"id": "1", "answers": {"text": ["red"], "start": [2]}},
            row | {"id": "2", "answers": {"text": [], "start": []}}]  # fmt: skip
    of = task("span_extraction", source={"no_answer": "allowed"})
    data = examples("encoder", of, rows)
    columns = {"predicted": ["red", "cup"], "no_answer": [-1.0, 1.0]}
    scores = SPAN.score(of, data, columns, "en")
    assert next(iter(scores.values())) == 100.0
    assert SPAN.score(of, data, columns | {"no_answer": [1.0, 1.0]}, "en")["f1"] == 50.0
    assert SPAN.chance(of, data) == 50.0
    only = examples("encoder", of, rows[:1])
    assert SPAN.score(task("span_extraction"), only, {"predicted": ["red"], "no_answer": [9.0]},
                      "en")["f1"] == 100.0  # fmt: skip


# --- words


def test_words_of_all_windows_are_scored_and_unheard_tags_are_wrong() -> None:
    kind = TRAINED["token_classification"]
    of = task("token_classification", labels=["N", "V"], metric="accuracy")
    data = Examples("token_classification", [[1, 2]] * 3, [[0, 1, -1], [1]],
                    [[0, 1], [0], [0]], 0, [0, 0, 1])  # fmt: skip
    columns = kind.predictions([[(0, 0.9), (0, 0.8)], [(1, 0.7)], [(None, 0.0)]], data, of)
    assert columns == {"predicted": [[0, 0, 1], [None]], "scores": [[0.9, 0.8, 0.7], [0.0]]}
    assert kind.score(of, data, columns, "en")["accuracy"] == 25.0


def test_data_of_an_earlier_version_may_lack_words() -> None:
    kind, of = TRAINED["token_classification"], task("token_classification", labels=["N", "V"])
    frame = pl.DataFrame({"id": ["a"], "input_ids": [[1, 2]], "positions": [[1, -1]],
                          "tags": [[1, 0]]})  # fmt: skip
    data = kind.examples(frame, of, 0)
    logits = torch.tensor([[[0.0, 0.0], [0.0, 2.0]]])
    (found,) = kind.decode(logits, kind.present(data, [0]), data, of)
    assert [tag for tag, _ in found] == [1, None]
    batch = kind.collate(data, [0], np.random.default_rng(0))
    assert batch.labels is not None
    assert batch.labels.tolist() == [[-100, 1]]


def test_parts_of_speech_have_both_scores() -> None:
    kind = TRAINED["token_classification"]
    of = task("token_classification", labels=["NOUN", "VERB"], metric="accuracy")
    data = Examples("token_classification", [[1]], [[0, 0, 1]], [[0, 1, 2]], 0, [0])
    scores = kind.score(of, data, {"predicted": [[0, 1, 1]]}, "en")
    assert list(scores) == ["accuracy", "xtreme_f1"]


# --- choices


def test_the_choice_with_the_highest_logit() -> None:
    kind, of = TRAINED["multiple_choice"], task("multiple_choice")
    data = Examples("multiple_choice", [[1]] * 6, [2, 0], [], 0, [0, 0, 0, 1, 1, 1],
                    [[0, 1, 2], [3, 4, 5]])  # fmt: skip
    columns = kind.predictions([0.1, 0.2, 0.3, 0.5, 0.5, 0.1], data, of)
    assert columns["predicted"] == [2, 0]
    assert columns["scores"] == [[0.1, 0.2, 0.3], [0.5, 0.5, 0.1]]
    assert kind.score(of, data, columns, "en") == {"accuracy": 100.0}


# --- queries


def test_queries_search_in_the_pool() -> None:
    kind, of = TRAINED["dual_encoder"], task("dual_encoder", metric="map_at_20")
    draw = np.random.default_rng(1)
    vectors = draw.normal(size=(30, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pool = Pool([f"p{n}" for n in range(30)], vectors.astype(np.float16))
    relevant = [["p3", "p7"], ["p0"], [f"p{n}" for n in range(30)]]
    queries = draw.normal(size=(3, 8)).astype(np.float32)
    data = Examples("dual_encoder", [[1]] * 3, relevant, [], 0)
    columns = kind.predictions(list(queries), data, of, pool)
    expected = []
    for query, right, found in zip(queries, relevant, columns["predicted"], strict=True):
        order = [f"p{n}" for n in np.argsort(-(vectors @ query), kind="stable")[:20]]
        assert found == order
        hits = [rank for rank, name in enumerate(order, 1) if name in right]
        points = sum((n + 1) / rank for n, rank in enumerate(hits)) / min(len(right), 20)
        expected.append(points)
    assert kind.score(of, data, columns, "en")["map_at_20"] == pytest.approx(
        100 * np.mean(expected)
    )


def test_dev_pairs_search_among_distinct_candidates() -> None:
    kind, of = TRAINED["dual_encoder"], task("dual_encoder")
    texts = [("red", "a"), ("blue", "what"), ("red", "a"), ("grey", "is")]
    pairs = [{"id": str(n), "query": q, "candidate": c} for n, (q, c) in enumerate(texts)]
    data = examples("encoder", of, pairs)
    corners = np.eye(4, dtype=np.float32)
    of_text = {"red": corners[0], "a": corners[0], "blue": corners[1], "what": corners[2],
               "grey": corners[1], "is": corners[1]}  # fmt: skip
    columns = kind.predictions([of_text[word] for pair in texts for word in pair], data, of)
    assert [row[0] for row in columns["predicted"]] == ["0", "2", "0", "2"]
    assert all(len(row) == 3 for row in columns["predicted"])
    ranks = [1, 3, 1, 1]  # blue: "is", then "a" and "what" in their order
    assert kind.score(of, data, columns, "en")["mrr_at_20"] == pytest.approx(
        100 * np.mean([1 / rank for rank in ranks])
    )
    assert kind.chance(of, data) == pytest.approx(100 * (1 + 1 / 2 + 1 / 3) / 3)


def test_queries_without_a_pool_are_refused() -> None:
    data = Examples("dual_encoder", [[1]], [["p"]], [], 0)
    with pytest.raises(DataInvalid, match="no pool"):
        TRAINED["dual_encoder"].predictions([np.ones(2)], data, task("dual_encoder"))


# --- what is found by vectors


@dataclass
class Planted:
    """Stands for an encoder: a sentence's vector is looked up by its first token."""

    table: torch.Tensor
    layers: int = 2
    device: torch.device = CPU
    width: int = 8
    asked: list[str] = field(default_factory=list)

    def all_layers(self, sequences: Any, name: str) -> Any:
        self.asked.append(f"all {name}")
        return [layer.numpy() for layer in self.every_layer(sequences)]

    def every_layer(self, sequences: Any) -> list[torch.Tensor]:
        found = self.table[[int(ids[0]) for ids in sequences]]
        return [found, -found, found.abs()]

    def one_layer(self, sequences: Any, layer: int, name: str) -> Any:
        assert layer == 1
        self.asked.append(name)
        return self.table[[int(ids[0]) for ids in sequences]].numpy()


def test_retrieval_is_that_of_the_declared_depth() -> None:
    table = torch.randn(20, 6, generator=torch.manual_seed(2))
    table[10:] = table[:10] + 0.8 * torch.randn(10, 6)
    frame = pl.DataFrame(
        {
            "id": [str(n) for n in range(10)],
            "source_ids": [[n + 10] for n in range(10)],
            "target_ids": [[n] for n in range(10)],
        }
    )
    result, columns = retrieval.find({}, {"test": frame}, Planted(table), 0.5)  # type: ignore[arg-type]
    unit = torch.nn.functional.normalize(table, dim=1)
    cosines = unit[:10] @ unit[10:].T  # English queries
    forward = cosines.argmax(1)
    assert columns["predicted"].to_list() == forward.tolist()
    assert columns["reverse"].to_list() == cosines.argmax(0).tolist()
    truth = torch.arange(10)
    right = 100 * float((forward == truth).double().mean())
    back = 100 * float((cosines.argmax(0) == truth).double().mean())
    scores = result["scores"]
    assert (scores["top1"], scores["top1_reverse"]) == (right, back)
    assert scores["top1_both"] == (right + back) / 2
    assert next(iter(scores)) == "top1"
    near = [cosines.topk(4, dim=side).values.mean(dim=side) for side in (0, 1)]
    ratio = cosines / ((near[0][None, :] + near[1][:, None]) / 2)
    mask = torch.zeros_like(cosines).scatter(1, cosines.topk(4, dim=1).indices, 1).bool()
    best = ratio.masked_fill(~mask, -9).argmax(1)
    assert scores["top1_margin"] == 100 * float((best == truth).double().mean())
    every = torch.arange(10)
    for end, margin in (
        ("_margin", ratio),
        ("_distance", cosines - (near[0][None, :] + near[1][:, None]) / 2),
    ):
        for query, side, way in ((1, "predicted", "score"), (0, "reverse", "reverse_score")):
            near4 = cosines.topk(4, dim=query).indices
            own = torch.zeros_like(cosines).scatter(query, near4, 1).bool()
            masked = margin.masked_fill(~own, -9)
            assert columns[f"{side}{end}"].to_list() == masked.argmax(query).tolist()
            values = masked.max(dim=query).values.tolist()
            assert columns[f"{way}{end}"].to_list() == pytest.approx(values, abs=1e-5)
            found = 100 * float((masked.argmax(query) == every).double().mean())
            assert found == scores[{1: "top1", 0: "top1_reverse"}[query] + end]
    assert [layer["depth"] for layer in result["layers"]] == [0.0, 0.5, 1.0]
    assert result["layers"][2]["top1"] != scores["top1"]
    assert result["n"] == 10


def corpus(seed: int, noise: float, copies: bool = False) -> tuple[pl.DataFrame, torch.Tensor]:
    """Make two sides of 30 sentences, 20 of which have a partner; first tokens are 0 to 59."""
    draw = torch.manual_seed(seed)
    table = torch.randn(60, 8, generator=draw)
    table[30:50] = table[:20] + noise * torch.randn(20, 8, generator=draw)
    texts = [f"s{n}" for n in range(30)]
    if copies:
        texts[25] = texts[0]
    rows = [{"id": f"f{n}", "side": "source", "text": texts[n], "matches": [f"e{n}"][: n < 20]}
            for n in range(30)]  # fmt: skip
    rows += [{"id": f"e{n}", "side": "target", "text": f"t{n}", "matches": []} for n in range(30)]
    frame = ENCODED["bitext_mining"].encode(
        [row | {"text": "red"} for row in rows], task("masked_lm"), tokenizer("encoder"), 8
    )
    numbers = {text: n for n, text in enumerate(dict.fromkeys(texts))}
    frame = frame.with_columns(
        input_ids=pl.Series([[n] for n in range(60)]),
        text=pl.Series([*(numbers[t] for t in texts), *range(30)], dtype=pl.Int32),
    )
    return frame, table


MINING = {"protocol": {"neighbours": 4, "margin": "ratio"}}


def mined(table: torch.Tensor) -> dict[tuple[str, str], float]:
    pairs = mine(neighbours(table[:30], table[30:], 4), "ratio")
    every = zip(pairs.source, pairs.target, pairs.score, strict=True)
    return {(f"f{a}", f"e{b}"): float(score) for a, b, score in every}


def test_a_threshold_is_tuned_on_dev_and_applied_to_test() -> None:
    (dev, dev_table), (test, table) = corpus(1, 0.5), corpus(2, 0.8)
    shifted = test.with_columns(pl.col("input_ids").list.eval(pl.element() + 60))
    encoder = Planted(torch.cat([dev_table, table]))
    result, pairs = bitext_mining.find(MINING, {"dev": dev, "test": shifted}, encoder, 0.5)  # type: ignore[arg-type]
    gold = {(f"f{n}", f"e{n}") for n in range(20)}
    threshold = mining.best_threshold(mined(dev_table), gold)
    expected = mining.mining_f1(gold, mining.accepted(mined(table), threshold))
    assert result["scores"]["threshold"] == threshold
    assert {name: result["scores"][name] for name in expected} == expected
    assert result["scores"]["best_f1"] >= result["scores"]["mining_f1"]
    assert (result["n"], result["tuned_on"]) == (20, "dev")
    kept = set(pairs.filter(pl.col("predicted")).select("source", "target").rows())
    assert kept == mining.accepted(mined(table), threshold)
    assert set(pairs.filter(pl.col("gold")).select("source", "target").rows()) == gold
    assert pairs.filter(pl.col("score").is_null())["gold"].all()


def test_all_layers_are_scored_where_their_vectors_fit() -> None:
    (dev, dev_table), (test, table) = corpus(1, 0.5), corpus(2, 0.8)
    shifted = test.with_columns(pl.col("input_ids").list.eval(pl.element() + 60))
    parts = {"dev": dev, "test": shifted}
    of_a_split = 60 * 3 * 8 * 2 / 2**30
    every = {}
    for gib, swept in ((0.0, None), (of_a_split, "dev"), (2 * of_a_split, "test")):
        encoder = Planted(torch.cat([dev_table, table]))
        of = {"protocol": MINING["protocol"] | {"sweep_gib": gib}}
        result, pairs = bitext_mining.find(of, parts, encoder, 0.5)  # type: ignore[arg-type]
        every[swept] = (result, pairs)
        assert result["layers_of"] == swept
        one = [] if swept == "test" else ["test"] if swept == "dev" else ["dev", "test"]
        whole = [x for x in ("dev", "test") if x not in one]
        assert sorted(encoder.asked) == sorted(
            [f"{x}-{side}" for x in one for side in ("source", "target")]
            + [f"all {x}-{side}" for x in whole for side in ("source", "target")]
        )
        assert pairs.sort(pairs.columns).equals(every[None][1].sort(pairs.columns))
        assert result["scores"] == every[None][0]["scores"]
    assert every[None][0]["layers"] == []
    swept = every["test"][0]["layers"]
    assert [layer["depth"] for layer in swept] == [0.0, 0.5, 1.0]
    assert {k: v for k, v in swept[1].items() if k != "depth"} == every[None][0]["scores"]
    threshold = mining.best_threshold(mined(dev_table.abs()), GOLD)
    expected = mining.mining_f1(GOLD, mining.accepted(mined(table.abs()), threshold))
    assert swept[2]["threshold"] == threshold
    assert swept[2]["mining_f1"] == expected["mining_f1"] != swept[1]["mining_f1"]
    best = mining.best_threshold(mined(dev_table.abs()), GOLD)
    expected = mining.mining_f1(GOLD, mining.accepted(mined(dev_table.abs()), best))
    assert every["dev"][0]["layers"][2] == {"depth": 1.0, "best_f1": expected["mining_f1"]}


GOLD = {(f"f{n}", f"e{n}") for n in range(20)}


def test_without_dev_each_half_is_cut_by_the_other() -> None:
    test, table = corpus(3, 0.6)
    result, pairs = bitext_mining.find(MINING, {"test": test}, Planted(table), 0.5)  # type: ignore[arg-type]
    gold = {(f"f{n}", f"e{n}") for n in range(20)}
    expected = mining.crossfit(mined(table), gold)
    assert {name: result["scores"][name] for name in expected} == expected
    assert result["tuned_on"] == "halves"
    kept = set(pairs.filter(pl.col("predicted")).select("source", "target").rows())
    assert mining.mining_f1(gold, kept)["mining_f1"] == expected["mining_f1"]


def test_a_text_that_comes_twice_is_embedded_once() -> None:
    test, table = corpus(4, 0.1, copies=True)
    encoder = Planted(table)
    _, pairs = bitext_mining.find(MINING, {"test": test}, encoder, 0.5)  # type: ignore[arg-type]
    first = pairs.filter(pl.col("target") == "e0")
    assert sorted(first["source"].to_list()) == ["f0", "f25"]
    assert first["score"].n_unique() == 1
    frame = ENCODED["bitext_mining"].encode(
        [{"id": str(n), "side": side, "text": text, "matches": []}
         for n, (side, text) in enumerate([("source", "a"), ("target", "a"), ("source", "b"),
                                           ("source", "a")])],
        {}, tokenizer("encoder"), 8,
    )  # fmt: skip
    assert frame["text"].to_list() == [0, 0, 1, 0]


def test_a_guesser_of_words_says_the_commonest_tag() -> None:
    """Else a run that tags every word alike would pass for one that has learnt something."""
    kind = TRAINED["token_classification"]
    data = Examples("token_classification", [[1], [2]], [[0, 1, 0], [0]], [[0], [0]], 0)
    words = {"kind": "token_classification", "metric": "accuracy", "chance": 5.88}
    assert kind.chance(words, data) == 75.0
    assert kind.chance(words | {"metric": "span_f1", "chance": 0.0}, data) == 0.0
