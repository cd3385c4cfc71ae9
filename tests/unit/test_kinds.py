"""Each kind of task is learnt by an encoder and by a decoder, and its scores are what they say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tinykinds import TASKS, backbone, examples, model, rows, task, tokenizer, trained
from transformers import (
    BloomConfig,
    BloomModel,
    DebertaV2Config,
    DebertaV2Model,
    Gemma3TextConfig,
    Gemma3TextModel,
    LlamaConfig,
    MT5Config,
    MT5EncoderModel,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from runtime.invalid import DataInvalid
from runtime.kinds import FOUND, TRAINED
from runtime.language_head import language_head
from runtime.model import Model, load_backbone
from runtime.score import predict
from runtime.vectors import Encoder
from runtime.weights import aliases, trained_state

CPU = torch.device("cpu")
BOTH = [(name, kind) for name in ("encoder", "decoder") for kind in TASKS
        if (name, kind) != ("decoder", "masked_lm")]  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """These models are so small that threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("name", "kind"), BOTH)
def test_what_a_word_gives_away_is_learnt(name: str, kind: str) -> None:
    of = task(kind)
    data, dev = examples(name, of, rows(kind, 64)), examples(name, of, rows(kind, 24, 1))
    made = model(name, of)
    before = predict(made, dev, of, 8, CPU)
    result = trained(made, data, dev, of, steps=40)
    assert result["loss_last"] < 0.8 * result["loss_first"]
    after = predict(made, dev, of, 8, CPU)
    old, new = (next(iter(TRAINED[kind].score(of, dev, p, "en").values())) for p in (before, after))
    assert result["english_dev"]["value"] == new == by_hand(kind, dev, after)
    assert new > max(old, result["english_dev"]["chance"])
    assert 0 <= result["english_dev"]["chance"] < 100


def by_hand(kind: str, dev: Any, found: dict[str, Any]) -> float:
    """Score predictions in the plainest way; every right span here is one word."""
    if kind == "dual_encoder":
        ranks = [
            row.index(gold[0]) + 1 for gold, row in zip(dev.labels, found["predicted"], strict=True)
        ]
        return pytest.approx(100 * float(np.mean([1 / rank for rank in ranks])))
    if kind == "token_classification":
        gold = [tag for tags in dev.labels for tag in tags]
        tags = [tag for tags in found["predicted"] for tag in tags]
        right = sum(a == b != 0 for a, b in zip(gold, tags, strict=True))
        return pytest.approx(100 * 2 * right / (sum(map(bool, gold)) + sum(map(bool, tags))))
    if kind == "masked_lm":
        pairs = [
            pair
            for rows_ in zip(found["gold"], found["predicted"], strict=True)
            for pair in zip(*rows_, strict=True)
        ]
    elif kind == "span_extraction":
        pairs = [
            (answers[0], text) for answers, text in zip(dev.labels, found["predicted"], strict=True)
        ]
    else:
        pairs = list(zip(dev.labels, found["predicted"], strict=True))
    return pytest.approx(100 * sum(a == b for a, b in pairs) / len(pairs))


@pytest.mark.parametrize(("name", "kind"), BOTH)
def test_padding_changes_nothing(name: str, kind: str) -> None:
    of = task(kind)
    data = examples(name, of, rows(kind, 12), length=20)
    made = model(name, of)
    alone, many = (predict(made, data, of, size, CPU) for size in (1, 64))
    assert alone.keys() == many.keys()
    for column in alone:
        flat = [np.asarray(_flat(found[column])) for found in (alone, many)]
        if flat[0].dtype.kind == "f":
            assert np.allclose(*flat, atol=1e-5)
        else:
            assert flat[0].tolist() == flat[1].tolist()


def _flat(value: Any) -> list[Any]:
    return [x for v in value for x in _flat(v)] if isinstance(value, list) else [value]


@pytest.mark.parametrize(("name", "kind"), BOTH)
def test_padding_changes_no_loss(name: str, kind: str) -> None:
    of = task(kind)
    data = examples(name, of, rows(kind, 6), length=20)
    made = model(name, of).train()
    batch = TRAINED[kind].collate(data, range(6), np.random.default_rng(0))
    wider = [torch.nn.functional.pad(x, (0, 5), value=v) for x, v in
             ((batch.input_ids, data.pad), (batch.attention_mask, 0))]  # fmt: skip
    more = {"input_ids": wider[0], "attention_mask": wider[1]}
    if kind in ("token_classification", "masked_lm"):
        assert batch.labels is not None
        more["labels"] = torch.nn.functional.pad(batch.labels, (0, 5), value=-100)
    if batch.chosen is not None:
        more["chosen"] = torch.nn.functional.pad(batch.chosen, (0, 5))
    losses = []
    for one in (batch, type(batch)(**{**vars(batch), **more})):
        logits = made(one.input_ids, one.attention_mask, one.chosen)
        losses.append(float(TRAINED[kind].loss(logits, one, of).detach()))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


@pytest.mark.parametrize("kind", TASKS)
def test_a_placebo_keeps_the_texts_and_breaks_what_they_teach(kind: str) -> None:
    from runtime.stages.train import shuffled

    of = task(kind)
    data = examples("encoder", of, rows(kind, 40))
    mixed = shuffled(data, 7)
    assert len(mixed) == len(data)
    assert (mixed.labels, mixed.items, list(mixed.positions), _ids(mixed)) != (
        data.labels, data.items, list(data.positions), _ids(data)
    )  # fmt: skip
    assert sorted(map(sorted, _ids(mixed))) == sorted(map(sorted, _ids(data)))
    batches = [TRAINED[kind].collate(d, [3, 4], np.random.default_rng(1)) for d in (mixed, data)]
    assert batches[0].input_ids.shape[0] == batches[1].input_ids.shape[0]
    assert shuffled(data, 7).labels == mixed.labels


def _ids(data: Any) -> list[list[int]]:
    return [[int(i) for i in ids] for ids in data.input_ids]


# --- the loss of a dual encoder


def test_the_same_candidate_is_not_called_wrong() -> None:
    of = task("dual_encoder")
    pairs = [
        {"id": str(n), "query": q, "candidate": c}
        for n, (q, c) in enumerate([("red", "a cup"), ("see", "a cup"), ("want", "a door")])
    ]
    data = examples("encoder", of, pairs)
    kind = TRAINED["dual_encoder"]
    batch = kind.collate(data, [0, 1, 2], np.random.default_rng(0))
    vectors = torch.nn.functional.normalize(
        torch.randn(6, 4, generator=torch.manual_seed(1)), dim=1
    )
    q, c = vectors[0::2], vectors[1::2]
    rivals = {0: [0, 2], 1: [1, 2], 2: [0, 1, 2]}
    expected = [
        float(torch.logsumexp(20 * (q[i] @ c[js].T), 0) - 20 * q[i] @ c[i])
        for i, js in rivals.items()
    ]
    assert float(kind.loss(vectors, batch, of)) == pytest.approx(np.mean(expected), rel=1e-5)


# --- the head that predicts tokens


def masked(folder: Path) -> tuple[XLMRobertaForMaskedLM, dict[str, Any]]:
    torch.manual_seed(3)
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer("encoder")), hidden_size=16, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=32, max_position_embeddings=60, pad_token_id=1,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    whole = XLMRobertaForMaskedLM(config).eval()
    torch.nn.init.normal_(whole.lm_head.bias)
    whole.save_pretrained(folder)
    return whole, {"checkpoint": {"folder": str(folder)}}


def test_the_checkpoints_own_head_is_used(tmp_path: Path) -> None:
    whole, entry = masked(tmp_path)
    body = load_backbone(entry).eval()
    of = task("masked_lm")
    data = examples("encoder", of, rows("masked_lm", 4))
    head = TRAINED["masked_lm"].head(body, of, entry)
    assert head.origin == "checkpoint"
    made = Model(body, head, TRAINED["masked_lm"].logits, "mean", 0.0)
    batch = TRAINED["masked_lm"].collate(data, range(4), np.random.default_rng(0))
    with torch.no_grad():
        expected = whole(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
        assert batch.chosen is not None
        found = made.train()(batch.input_ids, batch.attention_mask, batch.chosen)
    assert torch.allclose(found, expected[batch.chosen], atol=1e-5)
    # Cut to its first layer, it is the head of another model, and still that head.
    assert language_head(load_backbone(entry | {"layers": 1}), entry | {"layers": 1}) is not None


def test_a_tied_head_is_saved_once_and_loaded_whole(tmp_path: Path) -> None:
    _, entry = masked(tmp_path)
    of = task("masked_lm")

    def fresh() -> Model:
        body = load_backbone(entry)
        return Model(body, TRAINED["masked_lm"].head(body, of, entry),
                     TRAINED["masked_lm"].logits, "mean", 0.0)  # fmt: skip

    made = fresh()
    data = examples("encoder", of, rows("masked_lm", 16))
    trained(made, data, None, of, steps=3)
    state = trained_state(made)
    assert "head.parts.lm_head.decoder.weight" in aliases(made)
    assert not set(state) & aliases(made)
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "w")
    other = fresh()
    found = other.load_state_dict(load_file(tmp_path / "w"), strict=False)
    assert set(found.missing_keys) <= aliases(other)
    assert predict(other, data, of, 8, CPU) == predict(made, data, of, 8, CPU)


def test_a_model_without_such_a_head_gets_a_new_one(tmp_path: Path) -> None:
    body = backbone("encoder")
    body.save_pretrained(tmp_path)  # type: ignore[operator]
    head = language_head(body, {"checkpoint": {"folder": str(tmp_path)}})
    assert head.origin == "new_tied"
    assert head(torch.zeros(3, 32)).shape == (3, len(tokenizer("encoder")))
    names = {name for name, _ in head.named_parameters()}
    assert names == {"dense.weight", "dense.bias", "norm.weight", "norm.bias", "bias"}
    LlamaConfig(vocab_size=9, hidden_size=8, num_attention_heads=2).save_pretrained(tmp_path)
    decoder = language_head(backbone("decoder"), {"checkpoint": {"folder": str(tmp_path)}})
    assert decoder.origin == "new_tied"


# --- vectors of a layer


SHAPE = {"vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
         "intermediate_size": 32}  # fmt: skip
BODIES = {
    "encoder": lambda: backbone("encoder", layers=3),
    "decoder": lambda: backbone("decoder", layers=3),
    "deberta": lambda: DebertaV2Model(DebertaV2Config(**SHAPE, type_vocab_size=0)),
    "bloom": lambda: BloomModel(BloomConfig(vocab_size=60, hidden_size=16, n_layer=3, n_head=2)),
    "mt5": lambda: MT5EncoderModel(
        MT5Config(vocab_size=60, d_model=16, d_kv=8, d_ff=32, num_layers=3, num_heads=2)
    ),
    "gemma": lambda: Gemma3TextModel(Gemma3TextConfig(**SHAPE, num_key_value_heads=1, head_dim=8)),
}


@pytest.mark.parametrize("name", BODIES)
def test_one_layer_is_that_of_all(name: str, tmp_path: Path) -> None:
    asked: list[str] = []

    def scratch(which: str) -> Path:
        asked.append(which)
        return tmp_path

    encoder = Encoder(BODIES[name](), "mean", 1, 4, CPU, scratch)
    sequences = [[5, 6, 7][: n % 3 + 1] * (n % 4 + 1) for n in range(10)]
    every = encoder.every_layer(sequences)
    assert len(every) == encoder.layers + 1 == 4
    assert not asked
    for layer, expected in enumerate(every):
        found = np.array(encoder.one_layer(sequences, layer, "x"), dtype=np.float32)
        unit = torch.nn.functional.normalize(expected, dim=-1).numpy()
        assert np.allclose(found, unit, atol=2e-3), layer
        assert not np.allclose(
            unit, torch.nn.functional.normalize(every[layer - 1], dim=-1).numpy()
        )
    assert asked == ["x"] * 4
    for layer, found in enumerate(encoder.all_layers(sequences, "y")):
        assert np.array_equal(found, np.load(tmp_path / f"{layer}.npy"))
        unit = torch.nn.functional.normalize(every[layer], dim=-1).numpy()
        assert np.allclose(np.array(found, dtype=np.float32), unit, atol=2e-3), layer


def test_the_best_weights_need_a_dev_split() -> None:
    of = task("span_extraction")
    data = examples("encoder", of, rows("span_extraction", 8))
    with pytest.raises(DataInvalid, match="no English dev split"):
        trained(model("encoder", of), data, None, of, selection="best_english_dev")
    assert trained(model("encoder", of), data, None, of, steps=1)["english_dev"] is None


def test_every_kind_has_its_functions() -> None:
    from compiler.terms import METRICS, UNTRAINED

    assert set(FOUND) == set(UNTRAINED)
    assert set(TRAINED) | set(FOUND) == set(METRICS)
