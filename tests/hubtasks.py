"""Every data set of the benchmarks as it is published, with made-up rows: ids, columns, splits.

What real files are known to do wrong is in them: labels as text, as -1 or empty, one pool for all
languages, two splits in one name, a loading script, files without a README, multiword tokens.
By hand: ``python tests/hubtasks.py ROOT``, then ``python tests/hub.py ROOT``.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from hubdata import (
    COLOURS,
    NAMES,
    NLI,
    SPECS,
    SPLITS,
    THINGS,
    USUAL,
    VERBS,
    Rows,
    pairs,
    say,
    word,
    write_dataset,
    write_hub,
    write_mnli,
    write_readme,
)

ANSWERS = {"text": "string", "answer_start": "int32"}
UPOS = ("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN",
        "PUNCT", "SCONJ", "SYM", "VERB", "X")  # fmt: skip
NER = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
UNTAUGHT = ("th", "tl", "yo")
"""Languages of UDPOS with nothing but a test split; Kazakh lacks a dev split."""


def languages(task: str) -> list[str]:
    """Return the languages of a task of the catalog."""
    found: list[str] = _task(task)["languages"]
    return found


SIZES = {
    ("anli", "train"): 48, ("anli", "dev"): 24, ("anli", "test"): 24,
    ("bucc2018", "dev"): 4, ("bucc2018", "test"): 5, ("bucc2018", "pool"): None,
    ("lareqa", "test"): 9, ("lareqa", "pool"): 9, ("mewsli_x", "pool"): 24,
}  # fmt: skip
"""Rows of the splits that are not of the usual size; of BUCC, pairs."""


def counts(names: Iterable[str]) -> list[dict[str, Any]]:
    """Return a study's counts: how many rows there are here, where the catalog says so of others.

    Test sets are counted in every language, those too that the catalog does not count.
    """
    made = []
    for name in dict.fromkeys(names):
        task = _task(name)
        parts: dict[str, dict[str, int]] = dict(task.get("counts", {}))
        if "test" in (task["source"].get("splits") or task["source"]["files"]):
            parts["test"] = dict.fromkeys(languages(name), 0)
        rows = {
            split: dict.fromkeys(found, SIZES.get((name, split), SPLITS.get(split, 0)))
            for split, found in parts.items()
        }
        made.append({"task": name, "rows": rows, "reason": "made-up rows"})
    return made


def write_tasks(root: Path) -> dict[str, dict[str, int]]:
    """Write every data set and model that the tests know; return the models' parameter counts."""
    counts = write_hub(root)
    write_sequence_tasks(root)
    write_choices(root)
    write_questions(root)
    write_tags(root)
    write_retrieval(root)
    return counts


def _task(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((SPECS / "tasks" / f"{name}.yaml").read_text("utf-8"))
    return found


def draw_for(*words: str) -> random.Random:
    """Return a source of chance that depends on words alone."""
    return random.Random("/".join(words))


# --- pairs of texts


def write_sequence_tasks(root: Path) -> None:
    """Write ANLI by round, SNLI with undecided rows, and GLUE's MNLI and QQP."""
    columns = {"premise": "string", "hypothesis": "string", "label": NLI}
    anli: dict[str, Rows] = {}
    for split in (f"{s}_r{r}" for r in (1, 2, 3) for s in ("train", "dev", "test")):
        anli[split] = [
            {"uid": f"{split}-{n}", "premise": one, "hypothesis": two, "label": NLI.index(label),
             "reason": ""}
            for n, (one, two, label) in enumerate(pairs("anli", "en", split))
        ]  # fmt: skip
    features = {"uid": "string", **columns, "reason": "string"}
    write_dataset(root, "facebook/anli", {"plain_text": features}, {"plain_text": anli})
    snli = {
        split: [
            {"premise": one, "hypothesis": two, "label": -1 if n % 8 == 5 else NLI.index(label)}
            for n, (one, two, label) in enumerate(pairs("snli", "en", split))
        ]
        for split in USUAL
    }
    write_dataset(root, "stanfordnlp/snli", {"plain_text": columns}, {"plain_text": snli})
    qqp = {
        split: [
            {"question1": f"{one} ?", "question2": f"{two} ?", "idx": n,
             "label": -1 if split == "test" else int(label == "entailment")}
            for n, (one, two, label) in enumerate(pairs("qqp", "en", split))
        ]
        for split in USUAL
    }  # fmt: skip
    write_mnli(root, {"qqp": qqp})


# --- a choice of several


def _choice(
    task: str, language: str, split: str, options: int
) -> Iterator[tuple[str, list[str], int]]:
    """Make (prompt, choices, right one): what colour a thing of the prompt has."""
    draw = draw_for(task, language, split)
    for number in range(SPLITS[split]):
        right, thing = number % options, draw.choice(THINGS)
        colours = draw.sample(COLOURS, options)
        prompt = say((draw.choice(NAMES), draw.choice(VERBS), thing, colours[right]), language)
        yield prompt, [say((thing, colour), language) for colour in colours], right


def write_choices(root: Path) -> None:
    """Write the five multiple-choice data sets and XCOPA, each with labels in its own form."""
    one_file = "data/{split}-00000-of-00001.parquet"
    hellaswag = {
        split: [
            {"ind": n, "activity_label": "Made up", "ctx_a": f"{prompt}.", "ctx_b": "dam",
             "ctx": f"{prompt}. dam", "endings": choices, "source_id": f"made~v_{n}",
             "split": split, "split_type": "indomain",
             "label": "" if split == "test" else str(right)}
            for n, (prompt, choices, right) in enumerate(_choice("hellaswag", "en", split, 4))
        ]
        for split in USUAL
    }  # fmt: skip
    text = ("activity_label", "ctx_a", "ctx_b", "ctx")
    features: dict[str, Any] = {"ind": "int32", **dict.fromkeys(text, "string")}
    features |= {"endings": ["string"]}
    features |= dict.fromkeys(("source_id", "split", "split_type", "label"), "string")
    write_dataset(
        root, "Rowan/hellaswag", {"default": features}, {"default": hellaswag}, file=one_file
    )
    commonsense = {
        split: [
            {"id": f"{split}{n}", "question": f"{prompt} ?", "question_concept": "dam",
             "choices": {"label": list("ABCDE"), "text": choices},
             "answerKey": "" if split == "test" else "ABCDE"[right]}
            for n, (prompt, choices, right) in enumerate(_choice("csqa", "en", split, 5))
        ]
        for split in USUAL
    }  # fmt: skip
    features = dict.fromkeys(("id", "question", "question_concept", "answerKey"), "string")
    features |= {"choices": {"label": "string", "text": "string"}}
    write_dataset(
        root, "tau/commonsense_qa", {"default": features}, {"default": commonsense}, file=one_file
    )
    siqa = {
        split: [
            {"context": prompt, "question": "nim ?", "label": str(right + 1)}
            | {f"answer{name}": choice for name, choice in zip("ABC", choices, strict=True)}
            for prompt, choices, right in _choice("siqa", "en", split, 3)
        ]
        for split in ("train", "validation")
    }
    names = ("context", "question", "answerA", "answerB", "answerC", "label")
    features = dict.fromkeys(names, "string")
    write_dataset(root, "lighteval/siqa", {"default": features}, {"default": siqa}, file=one_file)
    _write_cosmos(root)
    _write_copa(root)


def _write_cosmos(root: Path) -> None:
    """Write a repository whose only data is in the branch of converted files."""
    rows = {
        split: [
            {"id": f"{split}##{n}", "context": f" {prompt}. " * 4, "question": "nim ?",
             "label": -1 if split == "test" else right}
            | {f"answer{place}": choice for place, choice in enumerate(choices)}
            for n, (prompt, choices, right) in enumerate(_choice("cosmos", "en", split, 4))
        ]
        for split in USUAL
    }  # fmt: skip
    names = ("id", "context", "question", *(f"answer{n}" for n in range(4)))
    features = dict.fromkeys(names, "string") | {"label": "int32"}
    write_dataset(
        root, "allenai/cosmos_qa", {"default": features}, {"default": rows},
        file="{config}/{split}/0000.parquet", revision="refs/convert/parquet",
    )  # fmt: skip
    folder = root / "datasets" / "allenai" / "cosmos_qa"
    write_readme(folder, {"license": "cc-by-4.0"})
    (folder / "cosmos_qa.py").write_text("raise SystemExit('a loading script was run')\n")


def _write_copa(root: Path) -> None:
    """Write SuperGLUE with another configuration beside COPA, and its converted branch; and XCOPA.

    The converted branch has both in one tree, and no README that tells them apart.
    """
    names = ("choice1", "choice2")

    def rows(task: str, language: str, split: str) -> Rows:
        return [
            {"premise": f"{prompt}.", "choice1": choices[0], "choice2": choices[1],
             "question": ("cause", "effect")[n % 2], "idx": n, "changed": n % 5 == 0,
             "label": right}
            for n, (prompt, choices, right) in enumerate(_choice(task, language, split, 2))
        ]  # fmt: skip

    text = dict.fromkeys(("premise", "choice1", "choice2", "question"), "string")
    boolq = {"question": "string", "passage": "string", "idx": "int32", "label": ("False", "True")}
    both = {"boolq": boolq, "copa": text | {"idx": "int32", "label": names}}
    copa = {s: rows("copa", "en", s) for s in USUAL}
    copa["test"] = [row | {"label": -1} for row in copa["test"]]
    copa = {s: [{k: v for k, v in r.items() if k != "changed"} for r in x] for s, x in copa.items()}
    made = [{"question": "dam", "passage": "nim", "idx": 0, "label": 1}]
    content = {"boolq": dict.fromkeys(USUAL, made), "copa": copa}
    write_dataset(root, "aps/super_glue", both, content)
    write_dataset(
        root, "aps/super_glue", both, content,
        file="{config}/{split}/0000.parquet", revision="refs/convert/parquet",
    )  # fmt: skip
    parts = {
        language: {s: rows("xcopa", language, s) for s in ("validation", "test")}
        for language in languages("xcopa")
    }
    features = {**text, "label": "int32", "idx": "int32", "changed": "bool"}
    write_dataset(root, "cambridgeltl/xcopa", dict.fromkeys(parts, features), parts)


# --- questions about a paragraph


def paragraph(
    task: str, language: str, split: str, number: int
) -> tuple[list[str], str, list[tuple[str, str, int]]]:
    """Make (sentences, paragraph, questions): who does something with a thing of a colour.

    A question is (question, answer, its place). The same in every language, by words' numbers.
    """
    draw = draw_for(task, split, str(number))
    names = draw.sample(NAMES, 3)
    stop, gap = ("。", "") if language in ("ja", "zh") else (".", " ")
    facts = [
        (name, draw.choice(VERBS), draw.choice(THINGS), draw.choice(COLOURS)) for name in names
    ]
    sentences = [say(fact, language) + stop for fact in facts]
    asked = []
    for place, (name, *rest) in enumerate(facts):
        start = sum(len(s) + len(gap) for s in sentences[:place])
        asked.append((say(rest, language) + " ?", word(name, language), start))
    return sentences, gap.join(sentences), asked


def squad_rows(task: str, language: str, split: str, count: int, *, titled: bool = True) -> Rows:
    """Make rows in SQuAD's form: three questions a paragraph."""
    rows: Rows = []
    for number in range(-(-count // 3)):
        _, context, asked = paragraph(task, language, split, number)
        for place, (question, answer, start) in enumerate(asked):
            rows.append(
                {"id": f"{split}{number:04d}{place}", "context": context, "question": question,
                 "answers": {"text": [answer], "answer_start": [start]}}
                | ({"title": "Made_up"} if titled else {})
            )  # fmt: skip
    return rows[:count]


def write_questions(root: Path) -> None:
    """Write SQuAD v1.1 and v2, XQuAD, MLQA and TyDiQA-GoldP."""
    short = {"id": "string", "context": "string", "question": "string", "answers": ANSWERS}
    features = {"id": "string", "title": "string", **{k: v for k, v in short.items() if k != "id"}}
    english = {s: squad_rows("squad", "en", s, SPLITS[s]) for s in ("train", "validation")}
    for row in english["validation"]:  # several people answered the dev questions
        row["answers"] = {name: values * 3 for name, values in row["answers"].items()}
    write_dataset(root, "rajpurkar/squad", {"plain_text": features}, {"plain_text": english})
    none: dict[str, list[Any]] = {"text": [], "answer_start": []}
    second = {
        split: [
            row if n % 3 else row | {"answers": none, "id": f"{row['id']}n"}
            for n, row in enumerate(rows)
        ]
        for split, rows in english.items()
    }
    write_dataset(root, "rajpurkar/squad_v2", {"squad_v2": features}, {"squad_v2": second},
                  file="{config}/{split}-00000-of-00001.parquet")  # fmt: skip
    xquad = {
        f"xquad.{x}": {"validation": squad_rows("xquad", x, "test", 8, titled=False)}
        for x in languages("xquad")
    }
    write_dataset(root, "google/xquad", dict.fromkeys(xquad, short), xquad)
    pool: dict[str, Rows] = {"train": [], "validation": []}
    for language, name in _task("tydiqa_goldp")["source"]["names"].items():
        for split, rows in pool.items():
            made = squad_rows("tydiqa", language, split, SPLITS[split])
            rows += [row | {"id": f"{name}-{row['id']}"} for row in made]
    for rows in pool.values():
        draw_for("tydiqa").shuffle(rows)
    write_dataset(root, "google-research-datasets/tydiqa", {"secondary_task": features},
                  {"secondary_task": pool})  # fmt: skip


# --- tags


def tagged(
    task: str, language: str, split: str, tags: Iterable[str]
) -> Iterator[tuple[list[str], list[str]]]:
    """Make (words, tags) sentences: the words of one tag have numbers of their own."""
    draw, known = draw_for(task, language, split), list(tags)
    for number in range(SPLITS[split]):
        chosen = [known[number % len(known)], *draw.choices(known, k=3)]
        words = [word((known.index(t) * 2 + draw.randrange(2)) % 36, language) for t in chosen]
        yield words, chosen


def entities(language: str, split: str) -> Iterator[tuple[list[str], list[str]]]:
    """Make (words, BIO tags) sentences."""
    draw = draw_for("wikiann", language, split)
    for number in range(SPLITS[split]):
        kind = ("PER", "ORG", "LOC")[number % 3]
        numbers = [draw.choice(VERBS), *draw.sample(NAMES, 2), draw.choice(THINGS)]
        yield [word(n, language) for n in numbers], ["O", f"B-{kind}", f"I-{kind}", "O"]


def write_tags(root: Path) -> None:
    """Write WikiANN, and the configurations of XTREME that the catalog reads: UDPOS and MLQA."""
    wikiann = {}
    for language in languages("pan_x"):
        wikiann[language] = {
            split: [
                {"tokens": words, "ner_tags": [NER.index(t) for t in tags],
                 "langs": [language] * len(words), "spans": [" ".join(words[1:3])]}
                for words, tags in entities(language, split)
            ]
            for split in ("validation", "test", "train")
        }  # fmt: skip
    features = {"tokens": ["string"], "ner_tags": [NER], "langs": ["string"], "spans": ["string"]}
    write_dataset(root, "unimelb-nlp/wikiann", dict.fromkeys(wikiann, features), wikiann)
    content: dict[str, dict[str, Rows]] = {}
    for language, name in _task("udpos")["source"]["names"].items():
        splits = ("test",) if language in UNTAUGHT else USUAL
        splits = ("train", "test") if language == "kk" else splits
        content[f"udpos.{name}"] = {
            split: [
                {"tokens": words, "pos_tags": [UPOS.index(t) for t in tags]}
                for words, tags in tagged("udpos", language, split, UPOS)
            ]
            for split in splits
        }
    words: dict[str, Any] = {"tokens": ["string"], "pos_tags": [UPOS]}
    columns = dict.fromkeys(content, words)
    text: dict[str, Any] = dict.fromkeys(("id", "title", "context", "question"), "string")
    text |= {"answers": {"answer_start": "int32", "text": "string"}}
    for one in languages("mlqa"):
        for other in (one, "en"):
            name = f"MLQA.{one}.{other}"
            columns[name] = text
            content[name] = {s: squad_rows("mlqa", one, s, 8) for s in ("test", "validation")}
    write_dataset(root, "google/xtreme", columns, content)


# --- retrieval


def write_retrieval(root: Path) -> None:
    """Write Tatoeba as gzipped lines, and Mewsli-X as lines and lines in a tar archive."""
    folder = root / "datasets" / "mteb" / "tatoeba-bitext-mining"
    configs = []
    for language, code in _task("tatoeba")["source"]["names"].items():
        draw = draw_for("tatoeba", language)
        rows = []
        for number in range(SPLITS["test"]):
            numbers = (number, draw.choice(COLOURS), draw.choice(VERBS), draw.choice(NAMES))
            both = {"sentence1": say(numbers, language), "sentence2": say(numbers, "en")}
            rows.append({**both, "lang": f"{code}-eng"})
        path = f"test/{code}-eng.jsonl.gz"
        (folder / "test").mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(gzip.compress(_lines(rows), mtime=0))
        files = [{"path": path, "split": "test"}]
        configs.append({"config_name": f"{code}-eng", "data_files": files})
    everything = {"config_name": "default", "data_files": [{"path": "test/*", "split": "test"}]}
    write_readme(folder, {"configs": [everything, *configs]})
    _write_mewsli(root / "datasets" / "izhx" / "mewsli-x")


def _write_mewsli(folder: Path) -> None:
    """Write mentions by language, their entities, and entities that no mention means."""
    codes = languages("mewsli_x")
    pool = []
    for number in range(24):
        language = (*codes, "fr", "zh")[number % 13]
        numbers = (NAMES[number % 12], VERBS[number % 6], THINGS[number // 2])
        pool.append({"entity_id": f"Q{number}", "description": say(numbers, language),
                     "title": f"Made_{number}", "description_language": language,
                     "description_url": f"http://{language}.example.org/{number}"})  # fmt: skip

    def mention(number: int, language: str) -> str:
        name, rest = word(NAMES[number % 12], language), say((THINGS[number // 2],), language)
        return f"{name}: {rest} {{ {name} }} {rest}"

    config: list[dict[str, Any]] = []
    paired = {"train": "train", "validation": "dev"}
    for split, name in paired.items():
        rows = [
            {"mention": mention(n % 24, "en"), "entity": pool[n % 24]["description"]}
            for n in range(SPLITS[split])
        ]
        _tar(folder / "wikipedia_pairs" / f"{name}.jsonl.tar.gz", f"{name}.jsonl", _lines(rows))
    files = [{"split": s, "path": f"wikipedia_pairs/{n}.jsonl.tar.gz"} for s, n in paired.items()]
    config.append({"config_name": "wikipedia_pairs", "data_files": files})
    for place, language in enumerate(codes):
        files = []
        for split, name in {"validation": "dev", "test": "test"}.items():
            meant = [(place + 2 * n) % 24 for n in range(SPLITS[split])]
            rows = [
                {"example_id": f"{language}-{name}-{n}", "mention": mention(number, language),
                 "entity_id": f"Q{number}", "entity": pool[number]["description"]}
                for n, number in enumerate(meant)
            ]  # fmt: skip
            path = f"wikinews_mentions/{language}/{name}.jsonl"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(_lines(rows))
            files.append({"split": split, "path": path})
        config.append({"config_name": language, "data_files": files})
    name = "candidate_entities.jsonl"
    _tar(folder / f"{name}.tar.gz", name, _lines(pool))
    files = [{"split": "test", "path": f"{name}.tar.gz"}]
    config.append({"config_name": "candidate_entities", "data_files": files})
    write_readme(folder, {"configs": config})


def _lines(rows: Iterable[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _tar(path: Path, name: str, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    inside = tarfile.TarInfo(name)
    inside.size = len(content)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(inside, io.BytesIO(content))
    path.write_bytes(gzip.compress(packed.getvalue(), mtime=0))


if __name__ == "__main__":
    print(write_tasks(Path(sys.argv[1])))
