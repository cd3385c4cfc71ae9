"""A study with every kind of task runs from its files to its records."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from tiny import write_yaml
from tinykinds import COLOURS, THINGS, VERBS, octets, pieces, rows
from transformers import LlamaConfig, LlamaModel, XLMRobertaConfig, XLMRobertaForMaskedLM

from compiler.check import check
from compiler.expand import expand
from compiler.plan import Plan, Stage
from runtime.batches import Examples
from runtime.inputs import needs
from runtime.metrics import ranking
from runtime.model import load_backbone, parameter_counts
from runtime.score import decoded
from runtime.stages import evaluate
from runtime.store import Store
from runtime.worker import Worker

LANGUAGES = ("en", "de", "fr")


def write(path: Path, made: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")


def write_models(folder: Path) -> list[dict[str, Any]]:
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
             "intermediate_size": 32, "max_position_embeddings": 200}  # fmt: skip
    members = []
    for name, tokens in (("encoder", pieces()), ("decoder", octets())):
        torch.manual_seed(1)
        size = len(tokens)
        if name == "encoder":
            config = XLMRobertaConfig(vocab_size=size, type_vocab_size=1, pad_token_id=1, **shape)
            made: Any = XLMRobertaForMaskedLM(config)
        else:
            made = LlamaModel(LlamaConfig(vocab_size=size, num_key_value_heads=2, **shape))
        made.save_pretrained(folder / name)
        tokens.save_pretrained(folder / name)
        counts = parameter_counts(load_backbone({"checkpoint": {"folder": str(folder / name)}}))
        members.append(
            {"name": name, "size": name, "parameters": counts,
             "checkpoint": {"folder": f"../weights/{name}"},
             "pooling": {"encoder": "mean", "decoder": "last"}[name]}
        )  # fmt: skip
    return members


def files(name: str, *splits: str) -> dict[str, Any]:
    return {"files": {split: f"../data/{name}.{split}.{{language}}.jsonl" for split in splits}}


def write_catalog(folder: Path) -> Path:
    """Write a task of each kind with its data, and one family of two models."""
    catalog = folder / "own"
    for name in ("tasks", "models", "recipes", "data", "weights"):
        (catalog / name).mkdir(parents=True)
    data = catalog / "data"
    common = {"languages": list(LANGUAGES), "title": "made up"}
    every = ("train", "dev", "test")
    gold = {split: f"../data/{{language}}.{split}.gold" for split in every[1:]}
    kinds: dict[str, dict[str, Any]] = {
        "choose": {"kind": "multiple_choice", "labels": ["0", "1", "2"], "choices": 3,
                   "metric": "accuracy", "source": files("choose", *every)},
        "answer": {"kind": "span_extraction", "metric": "squad",
                   "source": files("answer", "train", "test") | {"supplied": True}},
        "doubt": {"kind": "span_extraction", "metric": "squad",
                  "source": files("answer", *every) | {"no_answer": "allowed"}},
        "supertags": {"kind": "token_classification", "labels_from": "train", "metric": "accuracy",
                      "source": files("supertags", *every)},
        "corpus": {"kind": "masked_lm", "metric": "accuracy", "source": files("corpus", *every)},
        "search_pairs": {"kind": "dual_encoder", "metric": "mrr_at_20",
                         "source": files("search_pairs", "train", "dev")},
        "search": {"kind": "dual_encoder", "metric": "map_at_20", "train_on": ["search_pairs"],
                   "source": files("search", "test", "pool") | {"pool": "each"}},
        "mine": {"kind": "bitext_mining", "metric": "mining_f1", "languages": ["de", "fr"],
                 "source": {"supplied": True, "format": "bucc", "files": gold}},
    }  # fmt: skip
    for name, entry in kinds.items():
        entry = {"task": name, **common, **entry}
        if entry["kind"] != "bitext_mining":
            entry["train_data"] = name
        write_yaml(catalog / "tasks" / f"{name}.yaml", entry)
    for language in LANGUAGES:
        for seed, split in enumerate(every):
            count = 24 if split == "train" else 12
            for name, kind in (("choose", "multiple_choice"), ("answer", "span_extraction"),
                               ("corpus", "masked_lm"), ("search_pairs", "dual_encoder"),
                               ("supertags", "token_classification")):  # fmt: skip
                made = rows(kind, count, seed)
                for row in made:
                    row |= {"language": language} if kind == "masked_lm" else {}
                if name == "supertags":
                    for row in made:
                        row["tags"][1] = "NEW" if split == "test" else "N/N"
                    made[0] |= {"tokens": ["red"] * 40, "tags": ["N/N"] * 40}
                if name == "answer" and split == "dev":
                    made[0]["answers"] = {"text": [], "start": []}
                write(data / f"{name}.{split}.{language}.jsonl", made)
        pool = [{"id": f"{language}.{n}", "text": f"what is {verb}", "language": language}
                for n, verb in enumerate(VERBS)]  # fmt: skip
        write(data / f"search.pool.{language}.jsonl", pool)
        asked = [
            {"id": f"q{n}", "query": f"a {c}", "relevant": [f"{x}.{n}" for x in LANGUAGES]}
            for n, c in enumerate(COLOURS)
        ]
        write(data / f"search.test.{language}.jsonl", asked)
    for language, splits in {"de": ("dev", "test"), "fr": ("test",)}.items():
        for split in splits:
            sides = {"en": "en", language: language}
            words = [f"{verb} {thing}" for verb in VERBS for thing in THINGS]
            for side in sides:
                lines = [f"{side}-{n}\t{text}\n" for n, text in enumerate(words)]
                (data / f"{language}.{split}.{side}").write_text("".join(lines), encoding="utf-8")
            lines = [f"{language}-{n}\ten-{n}\n" for n in range(0, len(words), 2)]
            (data / f"{language}.{split}.gold").write_text("".join(lines), encoding="utf-8")
    write_yaml(catalog / "models" / "both.yaml",
               {"family": "both", "members": write_models(catalog / "weights")})  # fmt: skip
    recipe = {"steps": 4, "batch": 8, "learning_rate": 0.003, "max_length": 24}
    write_yaml(catalog / "recipes" / "short.yaml", {"recipe": "short", "defaults": recipe})
    return catalog


def write_study(folder: Path, **changes: Any) -> Path:
    study = {
        "study": "kinds", "models": {"family": "both"}, "intermediate": ["choose"],
        "targets": ["choose", "answer", "doubt", "supertags", "search", "mine"],
        "languages": ["en", "de", "fr"], "seeds": [1], "recipe": "short", "catalog": "own",
        "hardware": {"device": "cpu", "threads": 1, "pack": "seed"},
    }  # fmt: skip
    path = folder / "study.yaml"
    write_yaml(path, study | changes)
    return path


def finish(study: Path, store: Store) -> Plan:
    plan = expand(check(study, installed=False))
    store.prepare()
    for job in plan.jobs:
        assert Worker(plan, store, job.stages, job.processes, store.root.parent).run() == 0
    return plan


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Store, Path]:
    folder = tmp_path_factory.mktemp("kinds")
    write_catalog(folder)
    store = Store(folder / "store")
    return finish(write_study(folder), store), store, folder


def stages(plan: Plan, kind: str, task: str, model: str = "encoder") -> list[Stage]:
    return [s for s in plan.stages.values() if (s.kind, s.task, s.model) == (kind, task, model)]


def test_every_cell_has_a_score_and_its_predictions(done: tuple[Plan, Store, Path]) -> None:
    plan, store, _ = done
    expected = {
        "choose": {"id", "gold", "predicted", "scores"},
        "answer": {"id", "gold", "predicted", "start", "end", "texts", "scores", "no_answer"},
        "supertags": {"id", "gold", "predicted", "scores"},
        "search": {"id", "gold", "predicted", "scores"},
        "mine": {"source", "target", "score", "gold", "predicted"},
    }
    expected["doubt"] = expected["answer"]
    cells = list(plan.cells())
    assert len(cells) == 2 * (5 * 3 + 2) + 2 * (4 * 3 + 2)
    for cell in cells:
        part = plan.part_of(cell.stage, cell.language)
        record = store.record(cell.stage, part)
        assert record is not None
        assert 0 <= record.result["value"] <= 100
        assert record.result["metric"] == plan.tasks[cell.target]["metric"]
        found = pl.read_parquet(store.verified(cell.stage, part) / "predictions.parquet")
        assert set(found.columns) == expected[cell.target]
        if cell.target != "mine":
            assert len(found) == record.result["n"] == found["id"].n_unique()


def test_the_languages_of_a_target_are_read_in_one_pass(
    done: tuple[Plan, Store, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, store, _ = done
    stage = stages(plan, "evaluate", "supertags")[0]
    assert len(stage.parts) == 3
    passes: list[int] = []

    def counted(model: Any, data: Examples, *words: Any, **named: Any) -> list[Any]:
        passes.append(len(data))
        return decoded(model, data, *words, **named)

    monkeypatch.setattr(evaluate, "decoded", counted)
    before = {part: store.record(stage.key, part) for part in stage.parts}
    found = {}
    for at_once in (evaluate.AT_ONCE, 1):  # of languages too long together each is read alone
        monkeypatch.setattr(evaluate, "AT_ONCE", at_once)
        other = Store(tmp_path / str(at_once))
        shutil.copytree(store.root, other.root)
        first, *rest = stage.parts
        for part in rest if at_once > 1 else stage.parts:  # what has its record is not read again
            shutil.rmtree(other.folder(stage.key, part))
        assert Worker(plan, other, (stage.key,), 1, tmp_path).run() == 0
        found[at_once] = {part: other.record(stage.key, part) for part in stage.parts}
        assert found[at_once][first] is not None
    sizes = [record.result["n"] for record in before.values() if record is not None]
    assert passes == [sum(sizes[1:]), *sizes]
    for part, record in before.items():
        for others in found.values():
            other_record = others[part]
            assert record is not None
            assert other_record is not None
            assert other_record.result == record.result


def test_labels_of_the_training_set_stay_with_the_weights(done: tuple[Plan, Store, Path]) -> None:
    plan, store, _ = done
    for stage in stages(plan, "evaluate", "supertags"):
        weights = store.verified(stage.inputs["weights"])
        labels = json.loads((weights / "labels.json").read_text(encoding="utf-8"))
        assert labels == ["B-thing", "N/N", "O"]
        part = next(p for p in stage.parts if p.startswith("en"))
        found = pl.read_parquet(store.verified(stage.key, part) / "predictions.parquet")
        gold = [[labels.index(tag) if tag in labels else -1 for tag in row["tags"]]
                for row in rows("token_classification", 12, 2)]  # fmt: skip
        assert found["gold"].to_list()[0] == [labels.index("N/N")] * 40, "a long sentence is cut"
        assert [row[0] for row in found["gold"].to_list()[1:]] == [row[0] for row in gold[1:]]
        assert [row[1] for row in found["gold"].to_list()[1:]] == [-1] * 11
        flat = [pair for g, p in found.select("gold", "predicted").rows()
                for pair in zip(g, p, strict=True)]  # fmt: skip
        record = store.record(stage.key, part)
        assert record is not None
        assert record.result["value"] == pytest.approx(
            100 * sum(a == b for a, b in flat) / len(flat)
        )


def test_the_pool_has_the_languages_of_the_task(done: tuple[Plan, Store, Path]) -> None:
    plan, store, folder = done
    (stage, *_) = stages(plan, "evaluate", "search")
    assert [part.split("@")[0] for part in stage.identity["pool"]] == [
        f"pool.{x}" for x in LANGUAGES
    ]
    part = stage.parts[0]
    prepared = stage.inputs["data"]
    assert {(prepared, f"test.{part}"), *((prepared, p) for p in stage.identity["pool"]),
            (stage.inputs["weights"], "all")} == set(needs(stage, part))  # fmt: skip
    found = pl.read_parquet(store.verified(stage.key, part) / "predictions.parquet")
    everyone = {f"{x}.{n}" for x in LANGUAGES for n in range(len(VERBS))}
    assert all(set(row) == everyone for row in found["predicted"])
    gold, ranked = (
        dict(zip(found["id"], found[c].to_list(), strict=True)) for c in ("gold", "predicted")
    )
    record = store.record(stage.key, part)
    assert record is not None
    assert record.result["value"] == ranking.map_at_k(gold, ranked, 20)["map_at_20"]
    fewer = expand(check(write_study(folder, languages=["en"], targets=["search", "choose"])))
    assert stages(fewer, "evaluate", "search")[0].identity["pool"] == stage.identity["pool"]
    assert stages(fewer, "evaluate", "search")[0].key == stage.key
    data = folder / "own" / "data" / "search.pool.fr.jsonl"
    kept = data.read_text(encoding="utf-8")
    data.write_text(kept.replace("what is", "what"), encoding="utf-8")
    other = expand(check(write_study(folder, languages=["en"], targets=["search", "choose"])))
    data.write_text(kept, encoding="utf-8")
    assert stages(other, "evaluate", "search")[0].key != stage.key, "the pool is not in the key"


def test_mining_is_tuned_on_dev_where_there_is_one(done: tuple[Plan, Store, Path]) -> None:
    plan, store, folder = done
    (stage, *_) = stages(plan, "retrieve", "mine")
    assert stage.identity["threshold"] == "dev"
    tuned = {}
    for part in stage.parts:
        record = store.record(stage.key, part)
        assert record is not None
        tuned[part.split("@")[0]] = record.result["tuned_on"]
        wanted = {name.split(".")[0] for _, name in needs(stage, part) if name[:3] != "all"}
        assert wanted == ({"test", "dev"} if part.startswith("de") else {"test"})
        assert part.count("-") == part.startswith("de")
    assert tuned == {"de": "dev", "fr": "halves"}
    text = folder / "own" / "data" / "de.dev.de"
    kept = text.read_text(encoding="utf-8")
    text.write_text(kept.replace("cup", "door"), encoding="utf-8")
    other = expand(check(write_study(folder)))
    text.write_text(kept, encoding="utf-8")
    (changed, *_) = stages(other, "retrieve", "mine")
    assert changed.key == stage.key
    assert len(set(changed.parts) - set(stage.parts)) == 1


def test_without_a_dev_split_nothing_is_scored_in_training(done: tuple[Plan, Store, Path]) -> None:
    plan, store, _ = done
    for task, there in (("answer", False), ("doubt", True)):
        for stage in stages(plan, "train", task):
            record = store.record(stage.key)
            assert record is not None
            assert (record.result["english_dev"] is not None) is there
            assert len(stage.identity["data"]) == 1 + there
    (record,) = {store.record(s.key).result["english_dev"]["chance"]  # type: ignore[union-attr]
                 for s in stages(plan, "train", "doubt")[:1]}  # fmt: skip
    assert record == pytest.approx(100 / 12)


def test_nothing_is_left_in_the_store(done: tuple[Plan, Store, Path]) -> None:
    _, store, _ = done
    assert not [p for p in (store.root / "tmp").iterdir() if not p.name.startswith("scratch.")]


def test_masked_texts_are_an_intermediate_task(
    done: tuple[Plan, Store, Path], tmp_path: Path
) -> None:
    _, _, folder = done
    study = write_study(
        folder,
        intermediate=["corpus"],
        targets=["choose"],
        languages=["en"],
    )
    plan = expand(check(study))
    store = Store(tmp_path / "store")
    store.prepare()
    outcomes = [
        Worker(plan, store, job.stages, job.processes, store.root.parent).run() for job in plan.jobs
    ]
    assert 3 in outcomes, "a decoder has no mask token"
    (stage,) = stages(plan, "train", "corpus")
    record = store.record(stage.key)
    assert record is not None
    assert record.result["head"] == "checkpoint"
    assert 0 <= record.result["english_dev"]["chance"] < 100
    (after,) = [s for s in stages(plan, "train", "choose") if "start" in s.inputs]
    assert store.record(after.key) is not None
    (failed,) = stages(plan, "prepare", "corpus", "decoder")
    failure = store.failure(failed.key)
    assert failure is not None
    assert failure.failure_class == "data"
    assert "no mask token" in failure.message


def test_tasks_of_every_kind_are_mixed(done: tuple[Plan, Store, Path]) -> None:
    _, store, folder = done
    names = ["choose", "answer", "supertags", "search_pairs", "corpus"]
    arm = {"name": "mixed", "mix": names, "sampling": {"strategy": "uniform"}}
    study = write_study(
        folder,
        models={"family": "both", "sizes": ["encoder"]},
        intermediate=[arm],
        targets=["choose"],
        languages=["en"],
        recipe={"name": "short", "tasks": {"mixed": {"steps": 20}}},
    )
    plan = finish(study, store)
    (stage,) = [s for s in plan.stages.values() if "mix" in s.identity]
    record = store.record(stage.key)
    assert record is not None
    assert list(record.result["sources"]) == names
    assert {one["steps"] for one in record.result["sources"].values()} == {4}
    heads = dict.fromkeys((f"head:{name}" for name in names), "new")
    assert record.result["head"] == heads | {"head:corpus": "checkpoint"}
    assert set(record.result["english_dev"]["tasks"]) == set(names) - {"answer"}
    weights = store.verified(stage.key)
    labels = json.loads((weights / "labels.json").read_text(encoding="utf-8"))
    assert labels == {"supertags": ["B-thing", "N/N", "O"]}
    kept = {name.split(".")[0] for name in load_file(weights / "weights.safetensors")}
    assert kept == {"backbone", *heads} - {"head:search_pairs"}, "comparing vectors has no weights"
    (after,) = [s for s in plan.stages.values() if s.inputs.get("start") == stage.key]
    assert store.record(after.key) is not None
