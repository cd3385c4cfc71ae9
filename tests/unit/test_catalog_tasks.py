"""The tasks, benchmarks and recipes that come with Stiltscale, against published numbers."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from compiler.entries import Benchmark, Task
from compiler.errors import StudyInvalid
from compiler.source import read
from compiler.terms import UNTRAINED
from compiler.training import Recipe
from compiler.validate import validate

SPECS = Path(__file__).parents[2] / "specs"
MODELS: dict[str, type[Any]] = {"tasks": Task, "benchmarks": Benchmark, "recipes": Recipe}
FILES = sorted(path for kind in MODELS for path in (SPECS / kind).glob("*.yaml"))

INTERMEDIATE = {
    "anli", "snli", "mnli", "qqp", "squad_v1", "squad_v2", "hellaswag", "ccg", "cosmos_qa",
    "commonsense_qa", "siqa", "copa",
}  # fmt: skip
TARGETS = {
    "xnli", "paws_x", "udpos", "udpos_treebanks", "pan_x", "xquad", "mlqa", "tydiqa_goldp",
    "bucc2018", "bucc2018_hub", "tatoeba", "xcopa", "mewsli_x", "lareqa",
}  # fmt: skip

XTREME = {
    "xnli": 15, "paws_x": 7, "udpos": 33, "pan_x": 40, "xquad": 11, "mlqa": 7, "tydiqa_goldp": 9,
    "bucc2018": 4, "tatoeba": 36,
}  # fmt: skip
XTREME_R = {
    "xnli": 15, "xcopa": 11, "udpos_treebanks": 38, "pan_x": 48, "xquad": 12, "mlqa": 7,
    "tydiqa_goldp": 9, "mewsli_x": 11, "lareqa": 11, "tatoeba": 41,
}  # fmt: skip
FORTY = (
    "af ar bg bn de el en es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr ms my nl pt ru sw "
    "ta te th tl tr ur vi yo zh"
)
FIFTY = (
    "af ar az bg bn de el en es et eu fa fi fr gu he hi ht hu id it ja jv ka kk ko lt ml mr ms my "
    "nl pa pl pt qu ro ru sw ta te th tl tr uk ur vi wo yo zh"
)

# Training, dev and test rows of the English data, as the data cards and papers give them.
ENGLISH = {
    "anli": (16_946 + 45_460 + 100_459, 1000 + 1000 + 1200, 1000 + 1000 + 1200),
    "snli": (550_152, None, None),
    "mnli": (392_702, 9815, 9832),
    "qqp": (363_846, 40_430, None),
    "squad_v1": (87_599, 10_570, None),
    "squad_v2": (130_319, 11_873, None),
    "hellaswag": (39_905, 10_042, None),
    "ccg": (None, None, None),
    "cosmos_qa": (25_262, 2985, None),
    "commonsense_qa": (9741, 1221, None),
    "siqa": (33_410, 1954, None),
    "copa": (400, 100, None),
    "xnli": (392_702, 2490, 5010),
    "paws_x": (49_401, 2000, 2000),
    "udpos": (21_253, 3974, 5440),
    "udpos_treebanks": (21_253, 3974, 5440),
    "pan_x": (20_000, 10_000, 10_000),
    "xquad": (None, None, 1190),
    "mlqa": (None, 1148, 11_590),
    "tydiqa_goldp": (3696, None, 440),
    "mewsli_x": (None, None, 1490),
    "mewsli_x_pairs": (167_719, 14_051, None),
    "squad_v1_pairs": (87_599, 10_570, None),
    "lareqa": (None, None, 1190),
}

# XTREME's 40 languages of PAN-X in thousands of training, dev and test rows.
PAN_X = {
    "af": (5, 1, 1), "ar": (20, 10, 10), "bg": (20, 10, 10), "bn": (10, 1, 1), "de": (20, 10, 10),
    "el": (20, 10, 10), "en": (20, 10, 10), "es": (20, 10, 10), "et": (15, 10, 10),
    "eu": (10, 10, 10), "fa": (20, 10, 10), "fi": (20, 10, 10), "fr": (20, 10, 10),
    "he": (20, 10, 10), "hi": (5, 1, 1), "hu": (20, 10, 10), "id": (20, 10, 10),
    "it": (20, 10, 10), "ja": (20, 10, 10), "jv": (0.1, 0.1, 0.1), "ka": (10, 10, 10),
    "kk": (1, 1, 1), "ko": (20, 10, 10), "ml": (10, 1, 1), "mr": (5, 1, 1), "ms": (20, 1, 1),
    "my": (0.1, 0.1, 0.1), "nl": (20, 10, 10), "pt": (20, 10, 10), "ru": (20, 10, 10),
    "sw": (1, 1, 1), "ta": (15, 1, 1), "te": (1, 1, 1), "th": (20, 10, 10), "tl": (10, 1, 1),
    "tr": (20, 10, 10), "ur": (20, 1, 1), "vi": (20, 10, 10), "yo": (0.1, 0.1, 0.1),
    "zh": (20, 10, 10),
}  # fmt: skip
TATOEBA = {
    "jv": 205, "te": 234, "ta": 307, "sw": 390, "th": 548, "kk": 575, "ml": 687, "ka": 746,
}  # fmt: skip
UDPOS_TEST = {
    "de": 22_458, "mr": 47, "tl": 55, "yo": 100, "th": 1000, "kk": 1047, "fi": 4422,
    "el": 456 + 1306 + 1047,
}  # fmt: skip
UDPOS_TRAIN = {"de": 166_849, "kk": 31, "ta": 400, "ja": 7125, "el": 1662 + 11_476 + 15_014}
TYDIQA = {
    "ar": 921, "ru": 812, "fi": 782, "te": 669, "id": 565, "sw": 499, "en": 440, "ko": 276,
    "bn": 113,
}  # fmt: skip
MLQA = {
    "en": (1148, 11_590), "es": (500, 5253), "de": (512, 4517), "ar": (517, 5335),
    "zh": (504, 5137), "vi": (511, 5495), "hi": (507, 4918),
}  # fmt: skip
MEWSLI_X = {
    "ar": 1501, "de": 1551, "en": 1490, "es": 1552, "fa": 458, "ja": 1519, "pl": 1562, "ro": 672,
    "ta": 1567, "tr": 1215, "uk": 1537,
}  # fmt: skip
LAREQA_POOL = {
    "ar": 1222, "de": 1276, "el": 1234, "en": 1180, "es": 1215, "hi": 1244, "ru": 1219, "th": 852,
    "tr": 1167, "vi": 1209, "zh": 1196,
}  # fmt: skip
BUCC = {"de": (1038, 9580), "fr": (929, 9086), "ru": (2374, 14_435), "zh": (257, 1899)}

BUCC_ENGLISH = {"de": 397_151, "fr": 368_033, "ru": 555_503, "zh": 88_360}


@cache
def entry(kind: str, name: str) -> Any:
    return validate(read(SPECS / kind / f"{name}.yaml"), MODELS[kind])


def task(name: str) -> Task:
    found: Task = entry("tasks", name)
    return found


def counts(name: str, split: str) -> dict[str, int]:
    return dict(task(name).counts.get(split, {}))


def trained(name: str) -> list[str]:
    """Return the tasks of a benchmark and those that it trains on, without what is not trained."""
    names = []
    for item in entry("benchmarks", name).tasks:
        own = item.train_on if item.train_on is not None else task(item.task).train_on
        names += [*own, *([item.task] if task(item.task).kind not in UNTRAINED else [])]
    return sorted(set(names))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_file_is_valid_and_named_after_its_entry(path: Path) -> None:
    kind = path.parent.name
    found = entry(kind, path.stem)
    assert getattr(found, kind.removesuffix("s")) == path.stem
    assert found.title
    assert found.description
    assert found.citation


@pytest.mark.parametrize("name", sorted(INTERMEDIATE | TARGETS))
def test_tasks_are_there_and_say_what_a_reader_must_know(name: str) -> None:
    found = task(name)
    assert found.citation.startswith("https://")
    assert len(found.limitations) > 100
    assert found.license
    assert list(found.languages) == sorted(set(found.languages))
    if name in INTERMEDIATE:
        assert found.languages == ("en",)
        assert {"train", "dev"} <= set(found.source.splits or found.source.files or ())
    else:
        assert "test" in (found.source.files or found.source.splits)


@pytest.mark.parametrize("name", sorted(INTERMEDIATE | TARGETS))
def test_what_needs_own_files_says_so(name: str) -> None:
    source = task(name).source
    assert (source.files is not None) == ("files of your own" in task(name).limitations[:30])
    if source.files is not None:
        assert name in {"ccg", "udpos_treebanks", "bucc2018", "lareqa"}


@pytest.mark.parametrize("name", sorted(INTERMEDIATE | TARGETS))
def test_counts_and_names_are_of_known_languages(name: str) -> None:
    found = task(name)
    known = set(found.languages) | ({"en"} if found.trains else set())
    for split, rows in found.counts.items():
        whole = split == "pool" and found.source.pool == "all"
        assert set(rows) <= ({"all"} if whole else known)
    names = found.source.names
    assert not names or set(names) == set(found.languages)
    assert len(set(names.values())) == len(names)


@pytest.mark.parametrize("name", sorted(ENGLISH))
def test_english_rows(name: str) -> None:
    found = tuple(counts(name, split).get("en") for split in ("train", "dev", "test"))
    assert found == ENGLISH[name]


def test_anli_plus_has_as_many_rows_as_its_parts() -> None:
    unlabelled = 785
    parts = [counts(name, "train")["en"] for name in ("anli", "mnli", "snli")]
    assert sum(parts) - unlabelled == 1_104_934


def test_rows_by_language() -> None:
    for index, split in enumerate(("train", "dev", "test")):
        expected = {x: round(1000 * rows[index]) for x, rows in PAN_X.items()}
        assert {x: n for x, n in counts("pan_x", split).items() if x in PAN_X} == expected
        added = {x: n for x, n in counts("pan_x", split).items() if x not in PAN_X}
        assert added == {
            "az": (10_000, 1000, 1000)[index], "gu": 100, "pa": 100, "qu": 100,
            "lt": 10_000, "pl": (20_000, 10_000, 10_000)[index],
            "ro": (20_000, 10_000, 10_000)[index], "uk": (20_000, 10_000, 10_000)[index],
        }  # fmt: skip
    tatoeba = counts("tatoeba", "test")
    assert {x: n for x, n in tatoeba.items() if n != 1000} == TATOEBA
    assert UDPOS_TEST.items() <= counts("udpos", "test").items()
    assert UDPOS_TRAIN.items() <= counts("udpos", "train").items()
    assert set(counts("udpos", "test")) - set(counts("udpos", "train")) == {"th", "tl", "yo"}
    assert set(counts("udpos", "test")) - set(counts("udpos", "dev")) == {"kk", "th", "tl", "yo"}
    assert counts("tydiqa_goldp", "test") == TYDIQA
    assert sum(TYDIQA.values()) == 5077
    for index, split in enumerate(("dev", "test")):
        assert counts("mlqa", split) == {x: rows[index] for x, rows in MLQA.items()}
        assert index == 0 or counts("bucc2018_hub", split) == counts("bucc2018", split)
        assert counts("bucc2018", split) == {x: rows[index] for x, rows in BUCC.items()}
    assert counts("bucc2018", "pool") == counts("bucc2018_hub", "pool") == BUCC_ENGLISH
    assert counts("mewsli_x", "test") == MEWSLI_X
    assert sum(MEWSLI_X.values()) == 14_624
    assert counts("mewsli_x", "pool") == {"all": 1_003_893}
    assert counts("lareqa", "pool") == LAREQA_POOL
    assert sum(LAREQA_POOL.values()) == 13_014


@pytest.mark.parametrize(
    ("name", "rows"),
    [("xnli", 5010), ("paws_x", 2000), ("xquad", 1190), ("lareqa", 1190), ("xcopa", 500)],
)
def test_parallel_tests_have_equal_sizes(name: str, rows: int) -> None:
    assert counts(name, "test") == dict.fromkeys(task(name).languages, rows)


def test_label_orders() -> None:
    for name in ("anli", "snli", "mnli", "xnli"):
        assert task(name).labels == ("entailment", "neutral", "contradiction")
    assert task("qqp").labels == ("not_duplicate", "duplicate")
    assert task("pan_x").labels == (
        "O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC",
    )  # fmt: skip
    tags = "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X"
    for name in ("udpos", "udpos_treebanks"):
        assert " ".join(task(name).labels) == tags


def test_choices_and_the_score_of_a_guesser() -> None:
    choices = {
        "hellaswag": 4, "cosmos_qa": 4, "commonsense_qa": 5, "siqa": 3, "copa": 2, "xcopa": 2,
    }  # fmt: skip
    for name, options in choices.items():
        found = task(name)
        assert (found.kind, found.choices, len(found.labels)) == (
            "multiple_choice", options, options,
        )  # fmt: skip
    for name in (*choices, "anli", "snli", "mnli", "qqp", "xnli", "paws_x", "udpos"):
        assert task(name).chance == pytest.approx(100 / len(task(name).labels), abs=0.01)


WRONG = [
    ({"source": {"hub": "a/b", "options": {"x": 1}}}, "`options` goes with `reader`"),
    ({"source": {"files": {}, "config": "x"}}, "`config` goes with `hub`"),
    ({"source": {"hub": "a/b", "supplied": True}}, "`supplied` goes with `files`"),
    ({"source": {"hub": "a/b", "files": {}}}, "exactly one of `reader`, `files` and `hub`"),
    ({"source": {"reader": "x", "format": "csv"}}, "a reader has its own"),
    ({"source": {"hub": "a/b", "pool_columns": {"id": "x"}}}, "say with `pool`"),
    ({"source": {"hub": "a/b", "pool": "all"}}, "`pool` is for dual_encoder; this is seq"),
    ({"source": {"hub": "a/b", "no_answer": "allowed"}}, "`no_answer` is for span_extraction"),
    ({"source": {"hub": "a/b", "columns": {"labels": "x"}}}, "has no column `labels` in `col"),
    ({"source": {"hub": "a/b", "unlabelled": "drop"}}, "`drop` is not possible here"),
    ({"source": {"hub": "a/b", "splits": {"testing": "x"}}}, "`testing` is not possible here"),
    ({"labels": ["one"]}, "at least two `labels`"),
    ({"kind": "multiple_choice", "choices": 3}, "each needs one of `labels`"),
]


@pytest.mark.parametrize(("change", "what"), WRONG, ids=[what for _, what in WRONG])
def test_a_task_that_contradicts_itself_is_refused(
    change: dict[str, Any], what: str, tmp_path: Path
) -> None:
    good = {
        "task": "own", "title": "Own", "kind": "sequence_classification", "languages": ["en"],
        "source": {"hub": "a/b"}, "labels": ["no", "yes"], "metric": "accuracy",
    }  # fmt: skip
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(good), encoding="utf-8")
    validate(read(path), Task)
    path.write_text(yaml.safe_dump(good | change), encoding="utf-8")
    with pytest.raises(StudyInvalid) as caught:
        validate(read(path), Task)
    assert any(what in found.message for found in caught.value.diagnostics)


def test_files_of_a_split() -> None:
    assert task("ccg").files_of("train", "en") == ("ccg/train.tsv",)
    assert task("ccg").files_of("pool", "en") == ()
    assert task("xnli").files_of("train", "en") == ()
    folder = "bucc2018/fr-en/fr-en.sample"
    assert task("bucc2018").files_of("dev", "fr") == tuple(
        f"{folder}.{ending}" for ending in ("gold", "fr", "en")
    )
    every = task("lareqa").files_of("test", "th")
    assert every[0] == "lareqa/xquad-r/th.json"
    assert set(every) == {f"lareqa/xquad-r/{x}.json" for x in task("lareqa").languages}
    assert task("lareqa").files_of("pool", "th") == every[:1]


def test_what_is_trained_on_exists_and_has_english_data() -> None:
    for path in (SPECS / "tasks").glob("*.yaml"):
        for name in yaml.safe_load(path.read_text(encoding="utf-8")).get("train_on", ()):
            assert "en" in task(name).languages
            assert "train" in (task(name).source.splits or {})
    chains = {
        "xquad": ("squad_v1",), "mlqa": ("squad_v1",), "lareqa": ("squad_v1_pairs",),
        "xcopa": ("siqa", "copa"), "mewsli_x": ("mewsli_x_pairs",), "xnli": (), "tatoeba": (),
        "bucc2018": (), "tydiqa_goldp": (),
    }  # fmt: skip
    assert {name: task(name).train_on for name in chains} == chains


def test_shared_training_data_has_one_name() -> None:
    shared = {
        "mnli": {"mnli", "xnli"},
        "squad_v1": {"squad_v1", "squad_v1_pairs", "xquad", "mlqa", "lareqa"},
        "siqa": {"siqa", "xcopa"}, "ud_en": {"udpos", "udpos_treebanks"},
        "mewsli_x_pairs": {"mewsli_x", "mewsli_x_pairs"},
    }  # fmt: skip
    found: dict[str, set[str]] = {}
    for path in (SPECS / "tasks").glob("*.yaml"):
        value = task(path.stem).train_data
        if value is not None:
            found.setdefault(value, set()).add(path.stem)
    assert {key: names for key, names in found.items() if len(names) > 1} == shared
    assert task("squad_v2").train_text == task("xquad").train_text


@pytest.mark.parametrize(
    ("name", "published", "languages"), [("xtreme", XTREME, FORTY), ("xtreme-r", XTREME_R, FIFTY)]
)
def test_benchmarks(name: str, published: dict[str, int], languages: str) -> None:
    found: Benchmark = entry("benchmarks", name)
    assert {item.task: len(item.languages or ()) for item in found.tasks} == published
    for item in found.tasks:
        assert item.languages is not None
        assert set(item.languages) <= set(task(item.task).languages)
        assert len(set(item.languages)) == len(item.languages)
    covered = {language for item in found.tasks for language in item.languages or ()}
    assert " ".join(sorted(covered)) == languages
    assert len(covered) == {"xtreme": 40, "xtreme-r": 50}[name]
    changed = {item.task: item.train_on for item in found.tasks if item.train_on is not None}
    assert changed == ({"tatoeba": ("squad_v1",)} if name == "xtreme-r" else {})


@pytest.mark.parametrize(
    ("recipe", "benchmark"),
    [("x-stilts", "xtreme"), ("xtreme", "xtreme"), ("xtreme-r", "xtreme-r"),
     ("xtreme", "xtreme-r"), ("weekend", "xtreme"), ("weekend", "xtreme-r")],
)  # fmt: skip
def test_recipes_say_how_long_every_training_is(recipe: str, benchmark: str) -> None:
    found: Recipe = entry("recipes", recipe)
    intermediate = [(name, "intermediate") for name in INTERMEDIATE]
    for name, phase in [*((n, "target") for n in trained(benchmark)), *intermediate]:
        length: dict[str, Any] = {}
        for change in (found.defaults, found.phases.get(phase), found.tasks.get(name)):
            given = change.model_dump(exclude_none=True) if change else {}
            own = {key: given[key] for key in ("steps", "epochs") if key in given}
            length = own or length
        assert len(length) == 1, f"{name} as {phase} in {recipe}: {length}"


@pytest.mark.parametrize("recipe", ["x-stilts", "xtreme", "xtreme-r", "weekend"])
def test_recipes_name_known_tasks_and_select_where_there_is_a_dev_set(recipe: str) -> None:
    found: Recipe = entry("recipes", recipe)
    assert all((SPECS / "tasks" / f"{name}.yaml").is_file() for name in found.tasks)
    assert found.tasks["tydiqa_goldp"].selection == "last"  # it has no English dev set
    for name in ("squad_v1", "tydiqa_goldp"):
        assert found.tasks[name].max_length == 384


def test_x_stilts_is_as_released() -> None:
    found: Recipe = entry("recipes", "x-stilts")
    common = found.defaults
    assert (common.learning_rate, common.weight_decay, common.warmup) == (1e-5, 0.01, 0.1)
    assert (common.batch, common.max_length, common.evaluate_every) == (32, 256, 1000)
    assert common.selection == "best_english_dev"
    epochs = {
        "xnli": 2, "paws_x": 5, "udpos": 10, "pan_x": 10, "squad_v1": 2, "xquad": 2, "mlqa": 2,
        "tydiqa_goldp": 2,
    }  # fmt: skip
    assert {name: found.tasks[name].epochs for name in epochs} == epochs
    assert {found.tasks[n].batch for n in ("squad_v1", "xquad", "mlqa", "tydiqa_goldp")} == {16}


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("xnli", {"labels_from": "train"}, "labels_from"),
        ("udpos", {"labels_from": "train"}, "labels_from"),
        ("xnli", {"labels": ["a", "a"]}, "twice"),
        ("mlqa", {"languages": ["en", "fr"]}, "no rule for fr"),
    ],
)
def test_a_task_that_could_not_be_scored_is_none(
    name: str, change: dict[str, object], why: str
) -> None:
    good = yaml.safe_load((SPECS / "tasks" / f"{name}.yaml").read_text(encoding="utf-8"))
    with pytest.raises(ValueError, match=why):
        Task.model_validate(good | change)
