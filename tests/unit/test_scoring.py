"""Scoring reads all languages in one pass, and many processes read each sequence once."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tinykinds import TASKS, examples, model, rows, task

from runtime import score as scoring
from runtime.batches import MORE, Examples, joined, scoring_batches
from runtime.kinds import TRAINED
from runtime.score import decoded, predict, score

CPU = torch.device("cpu")
KINDS = [kind for kind in TASKS if kind != "masked_lm"]


def languages(name: str, of: dict[str, Any]) -> list[Examples]:
    """Return splits of other sizes and lengths."""
    return [examples(name, of, rows(of["kind"], size, seed=size), length=20) for size in (9, 5, 12)]


@pytest.mark.parametrize("name", ["encoder", "decoder"])
@pytest.mark.parametrize("kind", KINDS)
def test_languages_read_together_have_the_scores_that_each_has_alone(name: str, kind: str) -> None:
    of = task(kind)
    parts = languages(name, of)
    made = model(name, of)
    found = decoded(made, joined(parts), of, 4, CPU)
    assert len(found) == sum(len(data.input_ids) for data in parts)
    start = 0
    for data in parts:
        own = found[start : start + len(data.input_ids)]
        start += len(own)
        together = TRAINED[kind].predictions(own, data, of)
        alone = predict(made, data, of, 4, CPU)
        assert together.keys() == alone.keys()
        for column, values in alone.items():
            flat = [np.asarray(_flat(found_)) for found_ in (values, together[column])]
            if flat[0].dtype.kind == "f":
                assert np.allclose(*flat, atol=1e-5)
            else:
                assert flat[0].tolist() == flat[1].tolist()
        assert score(data, of, together, "en") == score(data, of, alone, "en")


def test_what_is_joined_keeps_its_order() -> None:
    for kind in KINDS:
        parts = languages("encoder", task(kind))
        whole = joined(parts)
        assert joined(parts[:1]) is parts[0]
        assert len(whole) == sum(map(len, parts))
        lines = rows_ = items = 0
        for data in parts:
            for line, ids in enumerate(data.input_ids):
                assert list(whole.input_ids[lines + line]) == list(ids)
                assert whole.owner(lines + line) == rows_ + data.owner(line)
            for place, item in enumerate(data.items):
                assert list(whole.items[items + place]) == [lines + line for line in item]
            assert whole.labels[rows_ : rows_ + len(data)] == data.labels
            for name, values in data.more.items():
                assert len(whole.more[name]) == sum(len(one.more[name]) for one in parts)
                start = sum(len(one.more[name]) for one in parts[: parts.index(data)])
                for place, value in enumerate(values):
                    assert np.array_equal(whole.more[name][start + place], value)
            lines, rows_ = lines + len(data.input_ids), rows_ + len(data)
            items += len(data.items)


def test_no_batch_is_larger_than_the_first() -> None:
    sizes = [1, 3, 40, 7, 2, 2, 30, 5, 5, 6, 1, 9, 33, 2, 1, 1, 1, 4] * 5
    data = Examples("sequence_classification", [[7] * n for n in sizes], [0] * len(sizes), [], 0)
    batches = list(scoring_batches(data, TRAINED[data.kind].present, 4))
    seen = Counter(row for batch in batches for row in batch.rows)
    assert seen == Counter(range(len(sizes)))
    shapes = [batch.input_ids.shape for batch in batches]
    assert shapes[0] == (4, 40)
    assert all(n * length <= 160 and n <= 4 * MORE for n, length in shapes)
    assert all(n >= 4 for n, _ in shapes[:-1])
    assert [length for _, length in shapes] == sorted((x for _, x in shapes), reverse=True)
    assert len(batches) < len(sizes) / 4
    assert not list(scoring_batches(Examples("x", [], [], [], 0), TRAINED[data.kind].present, 4))


@pytest.mark.parametrize("apart", [False, True])
def test_a_divided_model_is_asked_equally_often_in_all_processes(
    apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each process waits for what the others hold: one pass more than theirs would never end."""
    of = task("sequence_classification")
    data = examples("encoder", of, rows("sequence_classification", 13), length=20)
    data = Examples(data.kind, data.input_ids, data.labels, [], data.pad)
    made = model("encoder", of)
    whole = decoded(made, data, of, 1, CPU)
    monkeypatch.setattr(scoring, "divided", lambda _: apart)
    monkeypatch.setattr(scoring, "scoring_batches", lambda d, p, b: scoring_batches(d, p, 2))
    monkeypatch.setattr("runtime.batches.MORE", 1)
    calls: Counter[int] = Counter()
    merged: dict[int, Any] = {}
    for rank in range(3):
        heard = made.register_forward_pre_hook(lambda *_, rank=rank: calls.update([rank]))
        monkeypatch.setattr(scoring, "gather_object", lambda some: some)
        one: Any = SimpleNamespace(process_index=rank, num_processes=3)
        found = decoded(made, data, of, 1, CPU, shared=one)
        heard.remove()
        for place, value in enumerate(found):
            if value is not None:
                assert place not in merged, "each sequence is predicted once"
                merged[place] = value
    assert sorted(merged) == list(range(13))
    assert [merged[place][0] for place in range(13)] == [best for best, _ in whole]
    assert list(calls.values()) == ([3, 3, 3] if apart else [3, 2, 2])


def _flat(value: Any) -> list[Any]:
    return [x for v in value for x in _flat(v)] if isinstance(value, list) else [value]
