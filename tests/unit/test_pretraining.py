"""Models from scratch: what they come to, what their keys hash, and what their stages share."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from studies import SMALL, plan_of, resolved

from compiler import lock as locks
from compiler.architecture import (
    DEFAULTS,
    SIZE,
    filled,
    parameters,
    positions,
    problems,
    special_tokens,
)
from compiler.diff import compare
from compiler.display import naive_stages, plan_view
from compiler.entries import Model
from compiler.expand import expand
from compiler.explain import explain
from compiler.formats import dot, mermaid
from compiler.plan import Plan, Stage, from_json
from compiler.pretraining import Pretraining
from compiler.resolve import Resolved
from runtime.abilities import refuse_unknown
from runtime.fetch import wants
from runtime.publish import _checkpoint
from runtime.report.ledger import model_table
from runtime.report.views import names as names_of
from runtime.store import Store

pytestmark = pytest.mark.usefixtures("fixed_catalog")

MADE: dict[str, Any] = SMALL | {"models": {"family": "made"}}
PER_SEED: dict[str, Any] = SMALL | {"models": {"family": "made", "pretrain": {"seeds": "per_seed"}}}
ENCODER: dict[str, Any] = {
    "model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 16,
}  # fmt: skip


def of_kind(plan: Plan, kind: str) -> list[Stage]:
    return [stage for stage in plan.stages.values() if stage.kind == kind]


def codes(study: Resolved) -> dict[str, str]:
    return {d.code: d.message for d in study.diagnostics}


# What an architecture comes to


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(sorted(DEFAULTS)),
    heads=st.integers(1, 4),
    width=st.integers(1, 8),
    layers=st.integers(1, 3),
    inner=st.integers(1, 40),
    vocabulary=st.integers(64, 300),
    rows=st.integers(8, 40),
    types=st.integers(1, 2),
)
def test_counts_are_those_of_the_built_model(
    kind: str,
    heads: int,
    width: int,
    layers: int,
    inner: int,
    vocabulary: int,
    rows: int,
    types: int,
) -> None:
    import torch
    from transformers import AutoConfig, AutoModel

    from runtime.model import parameter_counts

    given_ = {
        "hidden_size": heads * width, "num_hidden_layers": layers, "num_attention_heads": heads,
        "intermediate_size": inner, "max_position_embeddings": rows, "type_vocab_size": types,
    }  # fmt: skip
    whole = filled({"model_type": kind, **given_}, vocabulary)
    fields = {name: value for name, value in whole.items() if name != "model_type"}
    with torch.device("meta"):
        backbone = AutoModel.from_config(AutoConfig.for_model(kind, **fields))
    backbone.pooler = None
    counted = parameters(whole)
    assert counted is not None
    assert counted.model_dump() == parameter_counts(backbone)


@pytest.mark.parametrize("kind", DEFAULTS)
def test_defaults_are_those_of_transformers(kind: str) -> None:
    from transformers import AutoConfig

    fresh = AutoConfig.for_model(kind)
    assert {name: getattr(fresh, name) for name in DEFAULTS[kind]} == DEFAULTS[kind]


@pytest.mark.parametrize("kind", DEFAULTS)
def test_the_longest_input_fits_and_one_more_does_not(kind: str) -> None:
    import torch
    from transformers import AutoConfig, AutoModel

    whole = filled(ENCODER | {"model_type": kind, "max_position_embeddings": 12}, 64)
    fields = {name: value for name, value in whole.items() if name != "model_type"}
    model = AutoModel.from_config(AutoConfig.for_model(kind, **fields))
    most = positions(whole)
    assert most is not None
    model(input_ids=torch.full((1, most), 7))
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.full((1, most + 1), 7))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"model_type": None}, "model_type"),
        ({"hidden_size": 9}, "hidden_size"),
        ({"hidden_size": 8.0}, "hidden_size"),
        ({"num_hidden_layers": True}, "num_hidden_layers"),
        ({"hidden_act": "bert"}, "hidden_act"),
        ({"pad_token_id": 5}, "pad_token_id"),
        ({"attention_probs_dropout_prob": 1}, "attention_probs_dropout_prob"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps"),
        ({"hidden_sizes": 8}, "hidden_sizes"),
        ({"model_type": "roberta", "bos_token_id": 2}, "pad_token_id"),
    ],
    ids=str,
)
def test_what_is_wrong_with_an_architecture(change: dict[str, Any], field: str) -> None:
    assert not list(problems(filled(ENCODER, 64)))
    wrong = filled(ENCODER | change, 64)
    assert field in {name for name, *_ in problems(wrong)}
    assert parameters(wrong) is None


def test_special_tokens_stand_where_the_architecture_has_them() -> None:
    usual = (("pad", "[PAD]"), ("unk", "[UNK]"), ("cls", "[CLS]"), ("sep", "[SEP]"),
             ("mask", "[MASK]"))  # fmt: skip
    assert special_tokens(filled(ENCODER, 64)) == usual
    moved = special_tokens(filled(ENCODER | {"pad_token_id": 3}, 64))
    assert [role for role, _ in moved] == ["unk", "cls", "sep", "pad", "mask"]
    for kind in ("roberta", "xlm-roberta", "another"):
        whole = filled({"model_type": kind}, 64)
        roles = [role for role, _ in special_tokens(whole)]
        assert roles == ["cls", "pad", "sep", "unk", "mask"]
        assert dict(special_tokens(whole))["cls"] == "<s>"


def test_another_place_of_the_padding_is_another_tokenizer() -> None:
    study = resolved(MADE)
    first, second = study.models
    swap = shaped(pad_token_id=0, bos_token_id=1)
    before = named(expand(study))
    after = named(expand(replace(study, models=(swap(first), swap(second)))))
    assert not set(before.values()) & set(after.values())
    kinds = Counter(
        s.kind for s in expand(replace(study, models=(swap(first), second))).stages.values()
    )
    assert kinds["tokenizer"] == 2


def test_what_is_declared_of_a_pretraining() -> None:
    aligned = SMALL | {"models": {"family": "made", "pretrain": {"initialisation": "aligned"}}}
    plain = SMALL | {"models": {"family": "made", "pretrain": {
        "corpus": "plain", "objectives": {"mlm": {}}}}}  # fmt: skip
    for study, there in ((MADE, {"probe"}), (aligned, {"probe", "aligned"}), (plain, set())):
        for stage in of_kind(plan_of(study), "pretrain"):
            assert {"probe", "aligned"} & set(stage.identity) == there
            assert ("pooling" in stage.identity) == ("probe" in there)


# How settings come together


def test_shared_settings_and_a_models_own() -> None:
    models = {
        "architecture": ENCODER,
        "pretrain": {"corpus": "paired", "tokens": 1000, "tokenizer": {"vocabulary": 100}},
        "members": [
            {"name": "small"},
            {"name": "large", "architecture": {"hidden_size": 16}, "pretrain": {"tokens": 4000}},
        ],
    }
    small, large = resolved(SMALL, models=models).models
    assert (small.pretrain, large.pretrain) == (
        Pretraining.model_validate(models["pretrain"]),
        Pretraining.model_validate(models["pretrain"] | {"tokens": 4000}),
    )
    assert small.architecture == filled(ENCODER, 100)
    assert large.architecture == filled(ENCODER | {"hidden_size": 16}, 100)
    assert small.parameters == parameters(small.architecture)
    listed = [
        {"name": "small", "architecture": ENCODER, "pretrain": models["pretrain"]},
        {
            "name": "large",
            "architecture": ENCODER | {"hidden_size": 16},
            "pretrain": models["pretrain"] | {"tokens": 4000},
        },
    ]
    assert resolved(SMALL, models=listed).models == (small, large)


def test_a_study_changes_a_family_and_the_counts_follow() -> None:
    before, after = (
        resolved(SMALL, models={"family": "made", **change}).models
        for change in ({}, {"pretrain": {"tokenizer": {"vocabulary": 600}}})
    )
    for old, new in zip(before, after, strict=True):
        assert new.counts.non_embedding == old.counts.non_embedding
        more = 100 * new.architecture["hidden_size"]
        assert new.counts.total == old.counts.total + more


def test_another_type_is_possible_with_its_counts() -> None:
    model = {
        "name": "other", "architecture": {"model_type": "funnel", "d_model": 8},
        "pretrain": {"corpus": "paired", "tokens": 9},
        "parameters": {"total": 30, "non_embedding": 20},
    }  # fmt: skip
    (found,) = resolved(SMALL, models=[model]).models
    assert found.architecture == {"model_type": "funnel", "d_model": 8, "vocab_size": 8000}
    assert found.counts.total == 30


# Stages


def test_counts_of_one_pretraining_for_all_seeds() -> None:
    plan = plan_of(MADE)
    kinds = Counter(stage.kind for stage in plan.stages.values())
    # 2 sizes, 2 seeds; arms none and pairs; targets topics (trained) and twins (retrieved).
    assert kinds == {
        "tokenizer": 1, "prepare": 2 + 3, "pretrain": 2, "train": 2 * 2 * 3, "evaluate": 2 * 2 * 2,
        "retrieve": 2 + 2 * 2,
    }  # fmt: skip


def test_counts_of_a_pretraining_for_each_seed() -> None:
    plan = plan_of(PER_SEED)
    kinds = Counter(stage.kind for stage in plan.stages.values())
    assert (kinds["tokenizer"], kinds["pretrain"]) == (1, 2 * 2)
    assert kinds["retrieve"] == 2 * 2 * 2  # each seed has an untouched model of its own
    for run in plan.runs:
        if run.train is None:
            start = plan.stages[plan.stages[run.score].inputs["weights"]]
            assert start.identity["seed"] == run.seed
    # One seed of the study, given to all, is that seed's own pretraining.
    fixed = SMALL | {"models": {"family": "made", "pretrain": {"seeds": 2}}}
    ours = {canonical_identity(stage) for stage in of_kind(plan_of(fixed), "pretrain")}
    theirs = {canonical_identity(s) for s in of_kind(plan, "pretrain") if s.identity["seed"] == 2}
    assert ours == theirs


def canonical_identity(stage: Stage) -> str:
    return json.dumps([stage.identity, stage.inputs], sort_keys=True)


@pytest.mark.parametrize("study", [MADE, PER_SEED], ids=["shared", "per_seed"])
@pytest.mark.parametrize("pack", ["target", "seed"])
def test_a_plan_holds_together(study: dict[str, Any], pack: str) -> None:
    plan = plan_of(study, controls=["step_matched", "placebo"], hardware={"pack": pack})
    order = [key for job in plan.jobs for key in job.stages]
    assert sorted(order) == sorted(plan.stages)
    done: set[str] = set()
    for job in plan.jobs:
        for key in job.stages:
            assert set(plan.stages[key].inputs.values()) <= done
            done.add(key)
    made = {stage.key: stage for stage in of_kind(plan, "pretrain")}
    for stage in of_kind(plan, "train"):
        start = plan.stages[stage.inputs["start"]]
        assert start.model == stage.model
        assert start.kind in ("pretrain", "train")
    for run in plan.runs:
        weights = plan.stages[run.score].inputs["weights"]
        assert run.train == (None if weights in made else weights)
    kinds = [plan.stages[key].kind for key in order]
    assert max(i for i, kind in enumerate(kinds) if kind in ("tokenizer", "prepare")) < min(
        i for i, kind in enumerate(kinds) if kind not in ("tokenizer", "prepare")
    )
    trained = [plan.stages[k].identity["seed"] for k in order if plan.stages[k].kind == "train"]
    assert trained == sorted(trained)
    # The largest first, so that no long job is left for the end.
    assert [made[key].model for key in order if key in made][:2] == ["made-2", "made-1"]


def test_what_the_sizes_share() -> None:
    plan = plan_of(MADE)
    (tokenizer,) = of_kind(plan, "tokenizer")
    texts = {s.task: s for s in of_kind(plan, "prepare") if s.reads_corpus}
    assert set(texts) == {"paired", "plain"} == set(plan.corpora)
    assert texts["plain"].parts == ("train.de", "train.en", "train.fr")
    for stage in of_kind(plan, "prepare"):
        assert stage.inputs == {"tokenizer": tokenizer.key}
        assert "tokenizer" not in stage.identity
    for stage in of_kind(plan, "pretrain"):
        assert stage.inputs == {
            "tokenizer": tokenizer.key,
            "data:paired": texts["paired"].key,
            "data:plain": texts["plain"].key,
        }
        assert stage.identity["corpora"] == [
            {"exponent": 0.3, "data": ["train.de", "train.en", "train.zh"]},
            {"exponent": 0.5, "data": ["train.de", "train.en", "train.fr"]},
        ]
    (untouched,) = (
        s for s in of_kind(plan, "prepare") if s.task == "twins"
    )  # of two sizes, one stage
    assert untouched.identity["max_length"] == 32  # the recipe's, as for any other text


def test_languages_of_the_pretraining_are_what_is_read() -> None:
    chosen = {"family": "made", "pretrain": {"languages": ["fr", "en", "de"], "exponent": 1.0}}
    plan = plan_of(SMALL, models=chosen)
    stage = of_kind(plan, "pretrain")[0]
    assert stage.identity["corpora"] == [
        {"exponent": 1.0, "data": ["train.de", "train.en"]},
        {"exponent": 1.0, "data": ["train.de", "train.en", "train.fr"]},
    ]
    said = codes(resolved(SMALL, models=chosen))["C219"]
    assert said == "not in the pretraining of `made`, whose tokenizer may not cover them: zh"
    assert "C219" not in codes(resolved(MADE))


def test_replay_reads_the_corpus_with_the_models_own_tokenizer() -> None:
    arm = {"task": "pairs", "replay": {"corpus": "plain", "rate": 0.1}}
    for study in (MADE, SMALL):
        plan = plan_of(study, intermediate=[arm])
        replays = [stage for stage in of_kind(plan, "train") if "replay" in stage.inputs]
        assert {stage.task for stage in replays} == {"pairs"}
        for stage in replays:
            texts = plan.stages[stage.inputs["replay"]]
            assert (texts.kind, texts.task, texts.reads_corpus) == ("prepare", "plain", True)
            assert stage.identity["replay"] == {
                "objective": "mlm", "rate": 0.1, "exponent": 0.5,
                "data": ["train.de", "train.en", "train.fr"], "protocol": {"mask_share": 0.15},
            }  # fmt: skip
    own = arm | {"replay": {"corpus": "plain", "rate": 0.1, "exponent": 1.0}}
    ours, theirs = (
        {s.key for s in of_kind(plan_of(SMALL, intermediate=[one]), "train") if s.task == "pairs"}
        for one in (arm, own)
    )
    assert len(ours) == len(theirs) == 4
    assert not ours & theirs


# What a key must depend on, and how far a change reaches

EVERY = r""
ALL_BUT_TEXTS = r"^pretrain|^train|^evaluate|^retrieve"
TEXTS_LENGTH = rf"^prepare-(paired|plain) |{ALL_BUT_TEXTS}"
FIELDS: dict[str, tuple[Any, str]] = {
    "corpus": (("paired",), EVERY),
    "languages": (("de", "en"), EVERY),
    "exponent": (0.7, EVERY),
    "tokenizer": ({"algorithm": "bpe", "vocabulary": 500}, EVERY),
    "objectives": ({"mlm": {"masked": 0.2}, "translation_pairs": {}}, ALL_BUT_TEXTS),
    "initialisation": ("aligned", ALL_BUT_TEXTS),
    "tokens": (20_000, ALL_BUT_TEXTS),
    "batch": (65, ALL_BUT_TEXTS),
    "learning_rate": (1e-3, ALL_BUT_TEXTS),
    "warmup": (0.2, ALL_BUT_TEXTS),
    "schedule": ("constant", ALL_BUT_TEXTS),
    "weight_decay": (0.02, ALL_BUT_TEXTS),
    "clip": (2.0, ALL_BUT_TEXTS),
    "max_length": (33, TEXTS_LENGTH),
    "precision": ("bf16", ALL_BUT_TEXTS),
    "seeds": (1, ALL_BUT_TEXTS),
}


def named(plan: Plan) -> dict[str, str]:
    """Name each stage by what it does, without the hash, and without the words of a tokenizer."""
    found = {}
    for stage in plan.stages.values():
        words = "tokenizer" if stage.kind == "tokenizer" else stage.key.rpartition("-v1-")[0]
        found[f"{words} {stage.model}"] = stage.key
    assert len(found) == len(plan.stages)
    return found


def test_every_field_is_tried() -> None:
    assert set(FIELDS) == set(Pretraining.model_fields)


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_reaches_the_pretraining_and_all_below_it(field: str) -> None:
    value, reaches = FIELDS[field]
    before = named(plan_of(MADE))
    after = named(plan_of(SMALL, models={"family": "made", "pretrain": {field: value}}))
    gone = {"prepare-plain made-1"} if field == "corpus" else set()
    assert set(before) - set(after) == gone
    moved = {name for name in after if before[name] != after[name]}
    assert moved == {name for name in after if re.search(reaches, name)}


Change = Callable[[Model], Model]


def shaped(**fields: Any) -> Change:
    return lambda model: model.model_copy(update={"architecture": model.architecture | fields})


@pytest.mark.parametrize(
    "change",
    [
        *(shaped(**{field: 99}) for field in (*SIZE, *DEFAULTS["xlm-roberta"], "vocab_size")),
        lambda model: model.model_copy(update={"pooling": "first"}),
    ],
)
def test_what_a_model_is_reaches_all_of_it_and_no_other(change: Change) -> None:
    study = resolved(MADE)
    first, second = study.models
    before, after = (
        named(expand(replace(study, models=models)))
        for models in ((first, second), (change(first), second))
    )
    moved = {name for name in before if before[name] != after[name]}
    # Its own retrieval data too, where its longest input is another.
    prepared = {name for name in moved if name.startswith("prepare-")}
    own = {n for n in before if n.endswith(" made-1") and not re.match("prepare|tokenizer", n)}
    assert moved - prepared == own
    assert prepared <= {"prepare-twins made-1"}


def test_what_changes_no_key() -> None:
    before = set(plan_of(MADE).stages)
    for fields in (
        {"hardware": {"device": "cuda", "pack": "seed", "threads": 3}},
        {"question": "Why?"},
        {"analysis": {"size_axis": "total"}},
        {"acknowledge": [{"code": "C211", "reason": "planned for later"}]},
    ):
        assert set(plan_of(MADE, **fields).stages) == before
    study = resolved(MADE)
    words = {
        name: corpus.model_copy(update={"title": "T", "description": "D", "limitations": "L",
                                        "license": "X", "counts": {"de": 3}, "citation": "C"})
        for name, corpus in study.catalog.corpora.items()
    }  # fmt: skip
    catalog = replace(study.catalog, corpora=words)
    assert set(expand(replace(study, catalog=catalog)).stages) == before


def test_a_seed_of_the_study_is_in_no_shared_pretraining() -> None:
    one, two = plan_of(MADE, seeds=[1]).stages, plan_of(MADE, seeds=[2]).stages
    shared = set(one) & set(two)
    assert {one[k].kind for k in shared} == {"tokenizer", "prepare", "pretrain", "retrieve"}
    one, two = plan_of(PER_SEED, seeds=[1]).stages, plan_of(PER_SEED, seeds=[2]).stages
    assert {one[k].kind for k in set(one) & set(two)} == {"tokenizer", "prepare"}


def test_a_text_file_is_in_the_keys(fixed_catalog: Path, tmp_path: Path) -> None:
    own = shutil.copytree(fixed_catalog, tmp_path / "own")
    models = {"family": "made", "pretrain": {"corpus": "letters", "objectives": {"mlm": {}}}}

    def plan() -> Plan:
        return plan_of(SMALL, models=models, catalog=str(own))

    before = plan()
    (own / "corpora/letters/train.fr.jsonl").write_text('{"text": "Une lettre."}\n')
    assert set(plan().stages) == set(before.stages)
    (own / "corpora/letters/train.de.jsonl").write_text('{"text": "Noch ein Brief."}\n')
    after = plan()
    assert not set(before.stages) & set(after.stages)
    assert before.corpora == after.corpora
    assert before.corpora["letters"]["source"]["folder"] == str((own / "corpora").resolve())


# What is said of it


def test_sizes_that_differ_by_more_than_size() -> None:
    models = {
        "pretrain": {"corpus": "paired", "tokens": 1000, "tokenizer": {"vocabulary": 100}},
        "architecture": ENCODER,
        "members": [
            {"name": "small"},
            {
                "name": "large",
                "architecture": {"hidden_size": 16, "hidden_act": "relu"},
                "pretrain": {"tokens": 4000, "objectives": {"mlm": {"masked": 0.3}}},
            },
        ],
    }
    study = resolved(SMALL, models=models)
    assert codes(study)["C220"] == (
        "the sizes are pretrained by different settings: `objectives`, "
        "`tokens` (small 1,000, large 4,000)"
    )
    ledger = {entry["what"]: entry["detail"] for entry in expand(study).confounds}
    assert set(ledger) == {
        "pretraining", "tokens (pretraining)", "objectives (pretraining)",
        "hidden_act (architecture)",
    }  # fmt: skip
    assert ledger["tokens (pretraining)"] == "small 1000, large 4000"
    assert "C220" not in codes(resolved(MADE))
    assert [e["what"] for e in plan_of(MADE).confounds] == ["pretraining"]


def test_a_ladder_beside_checkpoints() -> None:
    models = [{"family": "made"}, {"family": "ladder", "sizes": ["s"]}]
    plan = plan_of(SMALL, models=models)
    (first, *_) = plan.confounds
    assert "separately pretrained" in first["detail"]
    shared = set(plan_of(MADE).stages)
    assert shared < set(plan.stages)
    assert {plan.stages[key].model for key in set(plan.stages) - shared} == {"ladder-s"}


def test_a_corpus_from_the_source_of_a_target_is_named(fixed_catalog: Path, tmp_path: Path) -> None:
    own = shutil.copytree(fixed_catalog, tmp_path / "own")
    path = own / "corpora" / "paired.yaml"
    source = resolved(SMALL).task("topics").source.hub
    assert source
    path.write_text(path.read_text().replace("example/paired", source))
    study = resolved(MADE, catalog=str(own))
    assert codes(study)["C221"].startswith(
        "the corpus `paired` is made from the source of `topics`"
    )
    assert "C221" not in codes(resolved(MADE))


def test_models_from_scratch_are_not_refused() -> None:
    for study in (MADE, PER_SEED):
        assert "C211" not in codes(resolved(study))
        refuse_unknown(plan_of(study))


def test_run_refuses_what_check_warns_of() -> None:
    replay = [{"task": "pairs", "replay": {"corpus": "plain", "rate": 0.1}}]
    assert "C211" not in codes(resolved(SMALL, intermediate=replay))
    refuse_unknown(plan_of(SMALL, intermediate=replay))


def test_what_is_fetched_of_corpora(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = {want.name: want for want in wants(plan_of(MADE), store)}
    assert {want.kind for want in found.values()} == {"dataset"}
    paired = [("paired", "train", language) for language in ("de", "en", "zh")]
    assert found["example/paired"].texts == paired
    assert found["example/paired"].parts == []
    assert found["example/pairs"].texts == []
    assert found["example/pairs"].parts == [("pairs", "train", "en"), ("pairs", "dev", "en")]


def test_explained() -> None:
    plan = plan_of(MADE)
    text = explain(plan, of_kind(plan, "pretrain")[0].key)
    for part in (
        "pretrain: made-1 pretrained on paired and 1 more, seed 0\n",
        "  corpus paired (Translations)\n",
        "    tokens: 10000\n",
        "      num_hidden_layers: 1\n",
        "    tokenizer: a tokenizer trained on paired and 1 more\n",
        "  8 of 16 runs",
    ):
        assert part in text
    train = next(s for s in of_kind(plan, "train") if s.model == "made-1")
    text = explain(plan, train.key)
    assert "      architecture\n" in text
    assert "        model_type: xlm-roberta\n" in text
    (tokenizer,) = of_kind(plan, "tokenizer")
    assert "  16 of 16 runs" in explain(plan, tokenizer.key)


def test_compared() -> None:
    more = SMALL | {"models": {"family": "made", "pretrain": {"tokens": 20_000}}}
    found = compare(plan_of(MADE), plan_of(more))
    (cause,) = found.causes
    assert (cause.kind, cause.stages) == ("pretrain", 2)
    assert [(c.field, c.old, c.new) for c in cause.changes] == [("tokens", 10_000, 20_000)]
    assert not found.added
    assert not found.dropped
    wider = resolved(MADE)
    changed = replace(wider, models=(shaped(num_hidden_layers=3)(wider.models[0]), wider.models[1]))
    fields = {c.field for cause in compare(expand(wider), expand(changed)).causes
              for c in cause.changes}  # fmt: skip
    assert fields == {"architecture.num_hidden_layers", "model.architecture.num_hidden_layers"}


def test_shown() -> None:
    plan = plan_of(MADE)
    console = Console(width=120, color_system=None)
    with console.capture() as capture:
        console.print(plan_view(plan))
    text = capture.get()
    assert "10,000 tokens of paired, plain" in text
    assert re.search(r"tokenizer +1 +16 ", text)
    assert re.search(r"pretrain +2 +16 ", text)
    naive = naive_stages(plan)
    trained = 4 * 1 + 4 * 2 + 4 * 1  # topics; pairs, then topics; pairs, then twins
    assert naive["train"] == trained
    assert naive["prepare"] == 16 + trained + 16 * 2
    for drawing in (mermaid(plan), dot(plan)):
        assert all(key in drawing for key in plan.stages)
    ladder = plan_of(SMALL)
    with console.capture() as capture:
        console.print(plan_view(ladder))
    assert "tokenizer" not in capture.get()


def test_a_plan_reads_as_it_was_written() -> None:
    plan = plan_of(PER_SEED)
    again = from_json(plan.to_json())
    assert again.to_json() == plan.to_json()
    assert again.corpora == plan.corpora
    assert plan.models["made-1"]["pretrain"]["seeds"] == "per_seed"
    assert "checkpoint" not in plan.models["made-1"]


def test_the_report_says_where_such_models_come_from() -> None:
    plan = plan_of(MADE)
    assert _checkpoint(plan.models["made-1"]) == "from scratch, 10,000 tokens of paired, plain"
    (first, *_) = model_table(plan, names_of(plan)).rows
    assert "tokens: 10000" in first[-1].text


def test_a_lock_holds_the_corpora() -> None:
    models = {"family": "made", "pretrain": {"corpus": "paired"}}
    study = resolved(SMALL, models=models)
    unpinned = study.catalog.corpora["paired"]
    source = unpinned.source.model_copy(update={"revision": None})
    catalog = replace(
        study.catalog, corpora={"paired": unpinned.model_copy(update={"source": source})}
    )
    study = replace(study, catalog=catalog)
    commit = "c" * 40
    made = locks.make(study, lambda _kind, _name, _revision: commit)
    assert made.datasets["example/paired"] == commit
    assert "ladder" not in " ".join(made.models)
    _, pinned = locks.pinned(study.study, catalog, made)
    assert pinned.corpora["paired"].source.revision == commit
    other = replace(study, catalog=replace(catalog, corpora={
        "paired": unpinned.model_copy(update={"parallel": False, "source": source})}))  # fmt: skip
    assert locks.study_digest(study) != locks.study_digest(other)
