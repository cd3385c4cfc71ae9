"""What a pretraining is put together from: texts, batches, first embeddings, losses, models."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tinyscratch import corpus_rows
from torch.nn import functional

from compiler.architecture import filled, special_tokens
from compiler.plan import Stage
from compiler.stages import PROBE, TOKENIZING
from runtime.batches import Batch
from runtime.inputs import needs
from runtime.invalid import DataInvalid
from runtime.kinds import masked_lm
from runtime.language_head import NewHead, language_head
from runtime.model import load_backbone
from runtime.pretraining import Texts, built, gathered
from runtime.pretraining.decomposition import align, counts, vectors, weighted
from runtime.pretraining.loop import _paired
from runtime.pretraining.objectives import Learner
from runtime.pretraining.sampling import Step, steps
from runtime.pretraining.speed import Gauge, flops_per_token
from runtime.vocabulary import trained

LANGUAGES = ("de", "en", "fr")
SIZES = {"parallel": dict.fromkeys(LANGUAGES, 60), "plain": {"de": 20, "en": 160}}
SHAPE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
         "intermediate_size": 32, "max_position_embeddings": 40}  # fmt: skip
BOTH: dict[str, Any] = {
    "mlm": {"masked": 0.15, "weight": 1.0},
    "translation_pairs": {"temperature": 0.05, "weight": 1.0},
}
SETTINGS: dict[str, Any] = {
    "objectives": BOTH, "batch": 8, "tokens": 20_000,
    "corpora": [{"exponent": 0.3}, {"exponent": 0.5}],
}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    special = [list(pair) for pair in special_tokens({"model_type": "xlm-roberta"})]
    texts = [r["text"] for x in LANGUAGES for r in corpus_rows("parallel", x, 100)]
    return trained(texts, {"algorithm": "bpe", "vocabulary": 90, "special": special, **TOKENIZING})


@pytest.fixture(scope="module")
def frames(tokenizer: Any) -> dict[tuple[int, str], pl.DataFrame]:
    found = {}
    for number, (name, sizes) in enumerate(SIZES.items()):
        for language, count in sizes.items():
            rows = corpus_rows(name, language, count)
            frame = masked_lm.encode(rows, {}, tokenizer, 16)
            found[number, language] = frame.with_columns(language=pl.lit(language))
    return found


@pytest.fixture(scope="module")
def texts(frames: dict[tuple[int, str], pl.DataFrame]) -> Texts:
    return gathered(frames, [True, False], 0.15, 1, PROBE)


# Texts


def test_held_out_rows_are_in_nothing_that_trains(texts: Texts) -> None:
    held = {row for rows in texts.held[0].values() for row in rows.values()}
    assert len(texts.held[0]) == 6  # a tenth of 60
    assert len(held) == 6 * 3
    assert not held & {row for rows in texts.groups.values() for row in rows.tolist()}
    assert not held & {row for rows in texts.documents[0].values() for row in rows.values()}
    sizes = {group: len(rows) for group, rows in texts.groups.items()}
    assert sizes == {(0, "de"): 54, (0, "en"): 54, (0, "fr"): 54, (1, "de"): 20, (1, "en"): 160}
    drawn = {row for step in steps(texts, SETTINGS, 1) for row in seen(step)}
    assert not held & drawn
    assert len(drawn) > 250


def test_which_rows_are_held_out_depends_on_their_ids_alone(
    frames: dict[tuple[int, str], pl.DataFrame], texts: Texts
) -> None:
    turned = {group: frame.reverse() for group, frame in reversed(frames.items())}
    again = gathered(turned, [True, False], 0.15, 1, PROBE)
    assert set(again.held[0]) == set(texts.held[0])
    few = gathered(frames, [True, False], 0.15, 1, PROBE | {"rows": 2})
    assert set(few.held[0]) < set(texts.held[0])
    assert len(few.held[0]) == 2
    assert not gathered(frames, [True, False], 0.15, 1, None).held


def test_documents_are_translations(texts: Texts, tokenizer: Any) -> None:
    by_id = {x: {r["id"]: r["text"] for r in corpus_rows("parallel", x, 60)} for x in LANGUAGES}
    for name, rows in texts.documents[0].items():
        assert set(rows) == set(LANGUAGES)
        for language, row in rows.items():
            text = tokenizer.decode(texts.examples.input_ids[row], skip_special_tokens=True)
            assert text.strip() == by_id[language][name]


def test_equal_texts_have_equal_numbers(texts: Texts) -> None:
    ids: Any = texts.examples.input_ids
    for one in range(0, len(ids), 7):
        for other in range(0, len(ids), 5):
            same = ids[one].tolist() == ids[other].tolist()
            assert (texts.numbers[one] == texts.numbers[other]) == same


def test_no_rows_are_no_texts(frames: dict[tuple[int, str], pl.DataFrame]) -> None:
    with pytest.raises(DataInvalid, match="no rows"):
        gathered({(0, "en"): frames[0, "en"].clear()}, [False], 0.15, 1, None)


# Batches


def seen(step: Step) -> list[int]:
    return [*step.rows, *(row for pair in step.pairs for row in pair)]


@pytest.mark.parametrize("objectives", [BOTH, {"mlm": BOTH["mlm"]},
                                        {"translation_pairs": BOTH["translation_pairs"]}],
                         ids=["both", "mlm", "pairs"])  # fmt: skip
def test_the_last_step_reaches_the_budget(texts: Texts, objectives: dict[str, Any]) -> None:
    settings = SETTINGS | {"objectives": objectives, "tokens": 5000}
    made = list(steps(texts, settings, 3))
    read = [int(texts.lengths[seen(step)].sum()) for step in made]
    assert sum(read) >= 5000 > sum(read[:-1])
    assert all(bool(step.rows) == ("mlm" in objectives) for step in made)
    assert all(bool(step.pairs) == ("translation_pairs" in objectives) for step in made)
    assert {len(step.rows) for step in made} <= {0, 8}
    assert all(len(step.pairs) in (0, 2, 3, 4) for step in made)
    assert made == list(steps(texts, settings, 3))
    assert made != list(steps(texts, settings, 4))


def test_pairs_are_translations_of_two_languages(texts: Texts) -> None:
    where = {row: (name, x) for name, rows in texts.documents[0].items() for x, row in rows.items()}
    kinds: Counter[tuple[str, str]] = Counter()
    for step in steps(texts, SETTINGS, 1):
        languages = {(where[one][1], where[other][1]) for one, other in step.pairs}
        assert len(languages) == 1
        assert all(where[one][0] == where[other][0] for one, other in step.pairs)
        assert len(set(step.pairs)) == len(step.pairs)
        kinds.update(languages)
    assert len(kinds) == 3
    assert max(kinds.values()) < 2 * min(kinds.values())


def test_languages_are_drawn_by_their_share(texts: Texts) -> None:
    group = {row: g for g, rows in texts.groups.items() for row in rows.tolist()}
    settings = SETTINGS | {"objectives": {"mlm": BOTH["mlm"]}, "tokens": 300_000}
    drawn = Counter(group[row] for step in steps(texts, settings, 1) for row in step.rows)
    total = drawn.total()
    # By hand: 162 of 342 rows are parallel, a third in each; of the others 20 and 160 rows come as
    # the roots of 20 and 160.
    plain = 180 / 342
    wanted = {
        (0, "de"): 54 / 342, (0, "en"): 54 / 342, (0, "fr"): 54 / 342,
        (1, "de"): plain * 20**0.5 / (20**0.5 + 160**0.5),
        (1, "en"): plain * 160**0.5 / (20**0.5 + 160**0.5),
    }  # fmt: skip
    for name, share in wanted.items():
        assert drawn[name] / total == pytest.approx(share, rel=0.05)
    # Within a language nothing comes again before all has come; the last pool is cut short.
    rows = Counter(row for step in steps(texts, settings, 1) for row in step.rows)
    for name, own in texts.groups.items():
        times = [rows[row] for row in own.tolist()]
        assert max(times) - min(times) <= 2, name


def test_a_batch_has_rows_of_like_length(texts: Texts) -> None:
    spread = [np.ptp(texts.lengths[step.rows]) for step in steps(texts, SETTINGS, 1)]
    whole = np.ptp(texts.lengths[np.concatenate(list(texts.groups.values()))])
    assert np.mean(spread) < whole / 3


def test_languages_without_a_row_in_common(frames: dict[tuple[int, str], pl.DataFrame]) -> None:
    apart = {(0, "de"): frames[0, "de"].head(20), (0, "en"): frames[0, "en"].tail(20)}
    with pytest.raises(DataInvalid, match="no two languages"):
        next(steps(gathered(apart, [True], 0.15, 1, PROBE), SETTINGS, 1))


# First embeddings


def test_counts_by_hand(texts: Texts) -> None:
    found = counts(texts, 90).toarray()
    documents = list(texts.documents[0].values())
    assert found.shape == (90, len(documents))
    assert found[:5].sum() == 0  # special tokens say nothing
    for column, rows in list(enumerate(documents))[::9]:
        wanted: Counter[int] = Counter()
        for row in rows.values():
            wanted.update(texts.examples.input_ids[row][1:-1].tolist())  # type: ignore[attr-defined]
        assert {n: int(c) for n, c in enumerate(found[:, column]) if c} == dict(wanted)


def test_weights_by_hand() -> None:
    from scipy import sparse

    matrix = np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 4.0]])
    rows = sparse.csr_array(matrix)
    assert weighted(rows, "log").toarray() == pytest.approx(np.log1p(matrix))
    # Of 8: p(0, 0) = 2/8 against 2/8 * 3/8; p(1, 0) = 1/8 against 2/8 * 3/8; and so on.
    wanted = [[np.log(8 / 3), 0], [np.log(8 / 6), 0], [0, np.log(8 / 5)]]
    assert weighted(rows, "ppmi").toarray() == pytest.approx(np.array(wanted))
    with pytest.raises(ValueError, match="none"):
        weighted(rows, "none")


def test_vectors_are_those_of_a_whole_decomposition(texts: Texts) -> None:
    matrix = weighted(counts(texts, 90), "ppmi")
    left, values, _ = np.linalg.svd(matrix.toarray(), full_matrices=False)
    found = vectors(matrix, 10, 0.5)
    for column in range(10):
        wanted = left[:, column] * values[column] ** 0.5
        wanted *= np.sign(wanted[np.abs(wanted).argmax()])
        assert found[:, column] == pytest.approx(wanted, abs=1e-6)
    assert np.array_equal(found, vectors(matrix, 10, 0.5))
    assert vectors(matrix, 500, 0.5).shape[1] == min(matrix.shape) - 1


def test_translations_begin_alike_and_the_rest_as_usual(texts: Texts, tokenizer: Any) -> None:
    architecture = filled({"model_type": "xlm-roberta", **SHAPE}, len(tokenizer))
    usual, made = (built(architecture, tokenizer, True, 5) for _ in range(2))
    before = usual.backbone.get_input_embeddings().weight.detach().clone()
    said = align(made.backbone, texts, {"weighting": "ppmi", "power": 0.5})
    after = made.backbone.get_input_embeddings().weight.detach()
    known = sorted({t for row in range(len(texts.lengths)) if row in in_documents(texts)
                    for t in texts.inner(row).tolist()})  # fmt: skip
    others = [n for n in range(len(before)) if n not in known]
    assert said == {"tokens": len(known), "rows": 54, "columns": 16}
    assert torch.equal(after[others], before[others])
    assert float(after[known].std(correction=0)) == pytest.approx(0.02, rel=1e-3)
    for name, value in made.backbone.state_dict().items():
        if "word_embeddings" not in name:
            assert torch.equal(value, usual.backbone.state_dict()[name]), name

    def vector(text: str) -> torch.Tensor:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        return after[ids].mean(dim=0)

    same = [("dred", "fred"), ("red", "dred"), ("dblue", "blue"), ("dwant", "fwant")]
    other = [("dred", "fblue"), ("red", "dgrey"), ("dblue", "want"), ("dwant", "fsee")]
    near, far = (
        np.mean(
            [float(functional.cosine_similarity(vector(a), vector(b), dim=0)) for a, b in pairs]
        )
        for pairs in (same, other)
    )
    assert near > far + 0.3


def in_documents(texts: Texts) -> set[int]:
    return {row for rows in texts.documents[0].values() for row in rows.values()}


# Losses


@pytest.mark.parametrize("kind", ["xlm-roberta", "bert"])
def test_the_loss_of_masked_tokens_is_that_of_transformers(
    texts: Texts, tokenizer: Any, kind: str
) -> None:
    from transformers import AutoConfig, AutoModelForMaskedLM

    architecture = filled({"model_type": kind, **SHAPE, "hidden_dropout_prob": 0.0,
                           "attention_probs_dropout_prob": 0.0}, 90)  # fmt: skip
    made = built(architecture, tokenizer, True, 5)
    learner = Learner(made.backbone, made.head, "mean", BOTH)
    batch = masked_lm.collate(texts.examples, [0, 5, 70, 9], np.random.default_rng(0))
    ours = learner(batch, None)["mlm"]
    assert list(learner(batch, None)) == ["mlm"]
    torch.manual_seed(5)
    whole = AutoModelForMaskedLM.from_config(AutoConfig.for_model(**architecture))
    theirs = whole(batch.input_ids, batch.attention_mask, labels=batch.labels).loss
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-5)
    ours.backward()
    theirs.backward()
    table = made.backbone.get_input_embeddings().weight.grad
    assert torch.allclose(table, whole.get_input_embeddings().weight.grad, atol=1e-6)


class Fixed(torch.nn.Module):
    """Stands for a backbone whose states are given."""

    def __init__(self, states: torch.Tensor) -> None:
        super().__init__()
        self.states = states

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        class Output:
            last_hidden_state = self.states

        return Output


def pairs_loss(vectors: list[list[float]], numbers: list[int], temperature: float) -> float:
    """Two tokens each, the second one padding that must not count."""
    states = torch.tensor(vectors).unsqueeze(1).repeat(1, 2, 1)
    states[:, 1] = 99.0
    mask = torch.tensor([[1, 0]] * len(vectors))
    batch = Batch(list(range(len(vectors))), mask, mask, torch.tensor(numbers))
    objectives = {"translation_pairs": {"temperature": temperature}}
    learner = Learner(Fixed(states), torch.nn.Identity(), "mean", objectives)
    return float(learner(None, batch)["translation_pairs"])


def test_the_loss_of_pairs_by_hand() -> None:
    # Two pairs; cosines of one side with the other: [[1, 0], [0.6, 0.8]].
    vectors = [[2.0, 0.0], [1.0, 0.0], [0.6, 0.8], [0.0, 5.0]]
    forward = [np.log(1 + np.exp((0.0 - 1.0) / 0.5)), np.log(1 + np.exp((0.6 - 0.8) / 0.5))]
    back = [np.log(1 + np.exp((0.6 - 1.0) / 0.5)), np.log(1 + np.exp((0.0 - 0.8) / 0.5))]
    assert pairs_loss(vectors, [0, 1, 2, 3], 0.5) == pytest.approx(np.mean([*forward, *back]))


@pytest.mark.parametrize("numbers", [[0, 1, 2, 1], [0, 1, 0, 3]])
def test_an_equal_text_is_no_wrong_answer(numbers: list[int]) -> None:
    assert pairs_loss([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [1.0, 1.0]], numbers, 0.05) == 0


def test_flops_of_an_objective_are_six_a_weight_and_attention(texts: Texts, tokenizer: Any) -> None:
    made = built(filled({"model_type": "bert", **SHAPE}, 90), tokenizer, True, 5)
    learner = Learner(made.backbone, made.head, "mean", BOTH)
    rows = [row for pair in next(steps(texts, SETTINGS, 3)).pairs for row in pair]
    batch = _paired(texts, list(zip(rows[0::2], rows[1::2], strict=True)))
    length, config = batch.input_ids.shape[1], made.backbone.config
    weights = sum(p.numel() for n, p in made.backbone.encoder.named_parameters() if p.ndim > 1)
    # Scores and their use: two products forward; the way back of the fused kernel has five.
    attention = config.num_hidden_layers * config.hidden_size * length * 2 * (2 + 5)
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    random = torch.get_rng_state()
    found = flops_per_token(learner, "translation_pairs", batch)
    # Cosines of all sides: one product forward, two back, shared by the tokens of the batch.
    cosines = 3 * 2 * (len(rows) // 2) ** 2 * config.hidden_size / batch.input_ids.numel()
    assert found == pytest.approx(6 * weights + attention + cosines, rel=0.02)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(p.grad is None for p in learner.parameters())
    assert all(torch.equal(before[name], value) for name, value in learner.state_dict().items())
    masked = masked_lm.collate(texts.examples, rows, np.random.default_rng(0))
    head = flops_per_token(learner, "mlm", masked) - 6 * weights - attention
    assert head > 0


def test_tokens_of_each_objective_cost_their_own(
    texts: Texts, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = {"mlm": 5.0, "translation_pairs": 2.0}
    monkeypatch.setattr(
        "runtime.pretraining.speed.flops_per_token", lambda _, name, __: costs[name]
    )
    made = built(filled({"model_type": "bert", **SHAPE}, 90), tokenizer, True, 5)
    gauge = Gauge(Learner(made.backbone, made.head, "mean", BOTH))
    gauge.begin(0, 1000.0)
    masked = masked_lm.collate(texts.examples, [0, 5], np.random.default_rng(0))
    pairs = _paired(texts, [(0, 5), (70, 9)])
    one, other = (int(x.attention_mask.sum()) for x in (masked, pairs))
    assert gauge.count(1, {"mlm": masked, "translation_pairs": pairs}) == one + other
    assert gauge.count(2, {"mlm": masked, "translation_pairs": None}) == one
    assert gauge.flops == 2 * one * 5 + other * 2
    assert gauge.result(10.0)["mfu"] == pytest.approx(
        gauge.flops / gauge.tokens * 10 / 1000, abs=1e-4
    )


# Models


@pytest.mark.parametrize("kind", ["xlm-roberta", "roberta", "bert", "electra", "modernbert"])
def test_what_is_saved_is_loaded_with_its_head(
    kind: str, tokenizer: Any, texts: Texts, tmp_path: Path
) -> None:
    made = built({"model_type": kind, **SHAPE, "vocab_size": 90}, tokenizer, True, 5)
    learner = Learner(made.backbone, made.head, "mean", BOTH)
    learner.eval()
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    batch = masked_lm.collate(texts.examples, [0, 5, 70, 9], np.random.default_rng(0))
    before = float(learner(batch, None)["mlm"].detach())
    made.save(tmp_path)
    model = {"checkpoint": {"folder": str(tmp_path)}}
    backbone = load_backbone(model)
    head = language_head(backbone, model)
    assert getattr(head, "origin", None) == "checkpoint"
    again = Learner(backbone, head, "mean", BOTH).eval()
    assert float(again(batch, None)["mlm"].detach()) == pytest.approx(before, rel=1e-5)


def test_without_guessing_the_backbone_alone_is_saved(tokenizer: Any, tmp_path: Path) -> None:
    architecture = filled({"model_type": "bert", **SHAPE}, 90)
    made = built(architecture, tokenizer, False, 5)
    made.save(tmp_path)
    model = {"checkpoint": {"folder": str(tmp_path)}}
    backbone = load_backbone(model)
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, made.backbone.state_dict()[name])
    assert isinstance(language_head(backbone, model), NewHead)


def test_seeds_and_encoder_decoders(tokenizer: Any) -> None:
    architecture = filled({"model_type": "bert", **SHAPE}, 90)
    one, same, other = (
        built(architecture, tokenizer, True, seed).backbone.state_dict() for seed in (5, 5, 6)
    )
    name = "embeddings.word_embeddings.weight"
    assert torch.equal(one[name], same[name])
    assert not torch.equal(one[name], other[name])
    with pytest.raises(ValueError, match="encoder-decoder"):
        built({"model_type": "t5", "vocab_size": 90}, tokenizer, True, 5)


# What a stage reads


def stage(kind: Any, identity: dict[str, Any], inputs: dict[str, str]) -> Stage:
    return Stage("k", kind, "m", "t", identity, inputs)


def test_parts_of_several_inputs() -> None:
    corpora = [{"data": ["train.de", "train.en"]}, {"data": ["train.en@1f"]}]
    found = stage("pretrain", {"corpora": corpora},
                  {"tokenizer": "t", "data:b": "B", "data:a": "A"})  # fmt: skip
    assert needs(found, "all") == [
        ("t", "all"), ("B", "train.de"), ("B", "train.en"), ("A", "train.en@1f"),
    ]  # fmt: skip
    replay = stage(
        "train", {"data": ["train.en", "dev.en"], "replay": {"data": ["train.fr"]}},
        {"data": "D", "replay": "R", "start": "S"},
    )  # fmt: skip
    assert needs(replay, "all") == [
        ("D", "train.en"), ("D", "dev.en"), ("R", "train.fr"), ("S", "all"),
    ]  # fmt: skip
    mix = stage("train", {"mix": [{"data": ["train.en"]}, {"data": ["train.en", "dev.en"]}]},
                {"data:x": "X", "data:y": "Y"})  # fmt: skip
    assert needs(mix, "all") == [("X", "train.en"), ("Y", "train.en"), ("Y", "dev.en")]
    assert needs(stage("tokenizer", {}, {}), "all") == []


def test_lengths_are_sorted_in_a_pool(texts: Texts) -> None:
    pools = list(steps(texts, SETTINGS | {"tokens": 12_000}, 2))[:16]
    ends = sorted((min(texts.lengths[s.rows]), max(texts.lengths[s.rows])) for s in pools)
    assert all(one[1] <= other[0] for one, other in pairwise(ends))
