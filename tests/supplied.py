"""The files that users supply for four tasks, in their published forms, with made-up contents."""

from __future__ import annotations

import json
from pathlib import Path

from hubdata import COLOURS, NAMES, THINGS, say
from hubtasks import UNTAUGHT, UPOS, draw_for, languages, paragraph, tagged

SUPERTAGS = ("NP/N", "N", "(S[dcl]\\NP)/NP", "N/N", ".")


def write_supplied(folder: Path) -> None:
    """Write what lies beside the tasks that need own files: CCG, BUCC, LAReQA, UD treebanks."""
    write_ccg(folder / "ccg")
    write_bucc(folder / "bucc2018")
    write_lareqa(folder / "lareqa" / "xquad-r")
    write_treebanks(folder / "udpos")


def write_ccg(folder: Path) -> None:
    """Write supertagged sentences as TSV and in CCGbank's form of derivations (``.auto``)."""
    folder.mkdir(parents=True)
    for name, split in (("train", "train"), ("dev", "validation"), ("test", "test")):
        lines, trees = ["tokens\ttags"], []
        for number, (words, tags) in enumerate(tagged("ccg", "en", split, SUPERTAGS)):
            if name == "test" and number == 0:
                tags[0] = "N\\N"  # which the training file has not
            lines.append(f"{' '.join(words)}\t{' '.join(tags)}")
            leaves = [f"(<L {tag} NN NN {w} {tag}>)" for w, tag in zip(words, tags, strict=True)]
            tree = leaves[0]
            for leaf in leaves[1:]:
                tree = f"(<T S[dcl] 0 2> {tree} {leaf} )"
            trees.append(f"ID=wsj_0001.{number + 1} PARSER=GOLD NUMPARSE=1\n{tree}")
        (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / f"{name}.auto").write_text("\n".join(trees) + "\n", encoding="utf-8")


def write_bucc(folder: Path) -> None:
    """Write two collections and the pairs among them; both sides have sentences without a pair."""
    for language in languages("bucc2018"):
        here = folder / f"{language}-en"
        here.mkdir(parents=True)
        for name, count in (("sample", 8), ("training", 10)):
            draw, shift = draw_for("bucc", language, name), 0 if name == "sample" else 100
            sentences = [
                (n, draw.choice(THINGS), draw.choice(COLOURS), draw.choice(NAMES))
                for n in range(2 * count)
            ]
            said = [[f"{language}-{shift + n:09d}\t{say(s, language)}"
                     for n, s in enumerate(sentences[:count])],
                    [f"en-{shift + n:09d}\t{say(s, 'en')}"
                     for n, s in enumerate(sentences[count // 2 :])]]  # fmt: skip
            gold = [f"{language}-{shift + n:09d}\ten-{shift + n - count // 2:09d}"
                    for n in range(count // 2, count)]  # fmt: skip
            for ending, lines in ((language, said[0]), ("en", said[1]), ("gold", gold)):
                path = here / f"{language}-en.{name}.{ending}"
                path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_lareqa(folder: Path) -> None:
    """Write XQuAD-R: SQuAD's form with the sentences of each paragraph; ids are the same in all."""
    folder.mkdir(parents=True)
    for language in languages("lareqa"):
        paragraphs = []
        for number in range(3):
            sentences, context, asked = paragraph("xquad", language, "test", number)
            breaks, start = [], 0
            for sentence in sentences:
                start = context.index(sentence, start)
                breaks.append([start, start + len(sentence)])
            paragraphs.append(
                {"context": context, "sentences": sentences, "sentence_breaks": breaks,
                 "qas": [{"id": f"test{number:04d}{place}", "question": question,
                          "answers": [{"text": answer, "answer_start": begin}]}
                         for place, (question, answer, begin) in enumerate(asked)]}
            )  # fmt: skip
        body = {"version": "1.1", "data": [{"title": "Made_up", "paragraphs": paragraphs}]}
        text = json.dumps(body, ensure_ascii=False)
        (folder / f"{language}.json").write_text(text, encoding="utf-8")


def write_treebanks(folder: Path) -> None:
    """Write treebanks in CoNLL-U: comments, a multiword token and an empty node among the words."""
    for language in languages("udpos_treebanks"):
        (folder / language).mkdir(parents=True)
        for name, split in (("train", "train"), ("dev", "validation"), ("test", "test")):
            if language in UNTAUGHT and name != "test":
                continue
            blocks = []
            for number, (words, tags) in enumerate(tagged("ud", language, split, UPOS)):
                lines = [f"# sent_id = {name}-{number}", f"# text = {' '.join(words)}"]
                for place, (form, tag) in enumerate(zip(words, tags, strict=True), 1):
                    if place == 2:
                        joined = "".join(words[1:3])
                        lines.append("\t".join(("2-3", joined, *"________")))
                    lines.append("\t".join((str(place), form, "_", tag, *"______")))
                lines.append("\t".join(("4.1", "dam", "_", "X", *"______")))
                blocks.append("\n".join(lines) + "\n")
            text = "\n".join(blocks) + "\n"
            (folder / language / f"{name}.conllu").write_text(text, encoding="utf-8")
