"""Tokenizers trained on corpora: the same bytes each time, special tokens in their places."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tinyscratch import sentences

from compiler.architecture import special_tokens
from compiler.stages import TOKENIZING
from runtime.corpora import Group, shares
from runtime.invalid import DataInvalid
from runtime.model import load_tokenizer
from runtime.vocabulary import characters, sampled, told, trained


def identity(algorithm: str = "unigram", size: int = 100, kind: str = "roberta") -> dict[str, Any]:
    special = [list(pair) for pair in special_tokens({"model_type": kind})]
    return {"algorithm": algorithm, "vocabulary": size, "special": special, **TOKENIZING}


def made_up(count: int = 300) -> list[str]:
    """Texts of syllables, so that there are more pieces to choose from than room for them."""
    draw = random.Random(0)
    syllables = [c + v for c in "bdfgklmnprst" for v in "aeiou"]
    words = ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(120)]
    return [" ".join(draw.choices(words, k=6)) for _ in range(count)]


def bytes_of(tokenizer: Any, folder: Path) -> dict[str, str]:
    tokenizer.save_pretrained(folder)
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


@pytest.mark.parametrize("algorithm", ["unigram", "bpe"])
def test_the_same_texts_give_the_same_bytes(algorithm: str, tmp_path: Path) -> None:
    texts = made_up()
    first = bytes_of(trained(texts, identity(algorithm)), tmp_path / "1")
    for name in ("2", "3"):
        assert bytes_of(trained(texts, identity(algorithm)), tmp_path / name) == first
    assert "tokenizer.json" in first
    assert bytes_of(trained(texts[1:], identity(algorithm)), tmp_path / "4") != first


SCRIPT = """
import sys
from pathlib import Path
from unit_vocabulary import identity, made_up
from runtime.vocabulary import trained
for algorithm in ("unigram", "bpe"):
    trained(made_up(), identity(algorithm)).save_pretrained(Path(sys.argv[1]) / algorithm)
"""


@pytest.mark.slow
def test_another_process_gives_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "unit_vocabulary.py").write_text(Path(__file__).read_text(encoding="utf-8"))
    (tmp_path / "script.py").write_text(SCRIPT)
    folders = {"one": {"TOKENIZERS_PARALLELISM": "false"}, "two": {"RAYON_NUM_THREADS": "3"}}
    for name, more in folders.items():
        paths = ":".join([str(tmp_path), str(Path(__file__).parents[1]), *sys.path])
        subprocess.run(
            [sys.executable, str(tmp_path / "script.py"), str(tmp_path / name)],
            env={"PYTHONPATH": paths, **more}, check=True, timeout=120,
        )  # fmt: skip
    for algorithm in ("unigram", "bpe"):
        ours = bytes_of(trained(made_up(), identity(algorithm)), tmp_path / f"own-{algorithm}")
        for name in folders:
            folder = tmp_path / name / algorithm
            theirs = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}
            assert theirs == ours


@pytest.mark.parametrize("algorithm", ["unigram", "bpe"])
@pytest.mark.parametrize(
    ("kind", "single", "pair"),
    [
        ("roberta", "<s>A</s>", "<s>A</s></s>B</s>"),
        ("bert", "[CLS]A[SEP]", "[CLS]A[SEP]B[SEP]"),
    ],
)
def test_special_tokens_are_those_of_the_type(
    algorithm: str, kind: str, single: str, pair: str
) -> None:
    tokenizer = trained(made_up(), identity(algorithm, kind=kind))
    assert len(tokenizer) == 100
    usual = {"roberta": {"cls": 0, "pad": 1, "sep": 2, "unk": 3, "mask": 4},
             "bert": {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}}[kind]  # fmt: skip
    assert {role: getattr(tokenizer, f"{role}_token_id") for role in usual} == usual
    texts = made_up()[:2]

    def shown(*given: str) -> str:
        ids = tokenizer(*given)["input_ids"]
        inner = iter("AB")
        found, last = "", False
        for number in ids:
            special = number < 5
            if special:
                found += str(tokenizer.convert_ids_to_tokens(number))
            elif not last:
                found += next(inner)
            last = not special
        return found

    assert shown(texts[0]) == single
    assert shown(*texts) == pair


@pytest.mark.parametrize("algorithm", ["unigram", "bpe"])
def test_what_is_saved_reads_as_it_was(algorithm: str, tmp_path: Path) -> None:
    tokenizer = trained(made_up(), identity(algorithm))
    tokenizer.save_pretrained(tmp_path)
    again = load_tokenizer({"tokenizer": {"folder": str(tmp_path)}})
    text = made_up()[3]
    ids = again(text)["input_ids"]
    assert ids == tokenizer(text)["input_ids"]
    assert again.decode(ids, skip_special_tokens=True).strip() == text
    assert again.unk_token_id not in ids
    assert again.mask_token_id in again("<mask>")["input_ids"]


def test_texts_are_brought_to_one_form() -> None:
    tokenizer = trained(made_up(), identity())
    text = made_up()[0]
    wide = "".join(chr(ord(c) + 0xFEE0) if c.isalpha() else "\u3000 " for c in text)
    assert wide != text
    assert tokenizer(wide)["input_ids"] == tokenizer(text)["input_ids"]


@pytest.mark.parametrize("algorithm", ["unigram", "bpe"])
def test_a_vocabulary_too_small_for_the_characters(algorithm: str) -> None:
    texts = ["".join(chr(0x4E00 + n) for n in range(200))] * 3
    with pytest.raises(DataInvalid, match=r"200 characters.*room for 94"):
        trained(texts, identity(algorithm))


@pytest.mark.parametrize("algorithm", ["unigram", "bpe"])
def test_a_small_corpus_gives_fewer_entries(algorithm: str) -> None:
    tokenizer = trained(["red cup", "blue door"] * 20, identity(algorithm, 5000))
    assert 15 < len(tokenizer) < 100


@pytest.mark.parametrize("algorithm", ["unigram", "bpe"])
def test_the_rarest_characters_are_unknown(algorithm: str) -> None:
    texts = ["red cup and blue door"] * 500 + ["qqq"]  # 3 of 10,503 characters
    tokenizer = trained(texts, identity(algorithm))
    assert tokenizer("red")["input_ids"].count(tokenizer.unk_token_id) == 0
    assert tokenizer("q")["input_ids"].count(tokenizer.unk_token_id) == 1


def test_characters_by_hand() -> None:
    assert characters(["aaaaaabbbc"], 0.9) == {"a", "b", " "}
    assert characters(["aaaaaabbbc"], 0.901) == {"a", "b", "c", " "}
    assert characters(["ab"], 0.5) == {"a", " "}  # of equally common ones the first by code


# Languages by their share

SIZES = st.dictionaries(
    st.tuples(st.integers(0, 2), st.sampled_from(["de", "en", "fr"])), st.integers(0, 500),
    min_size=1,
)  # fmt: skip


@settings(deadline=None)
@given(SIZES, st.lists(st.floats(0.05, 1.0), min_size=3, max_size=3))
def test_shares(sizes: dict[Group, int], exponents: list[float]) -> None:
    found = shares(sizes, exponents)
    total = sum(sizes.values())
    assert set(found) == {group for group, rows in sizes.items() if rows}
    if not total:
        return
    assert sum(found.values()) == pytest.approx(1)
    for corpus in {group[0] for group in found}:
        own = {group: sizes[group] for group in found if group[0] == corpus}
        part = sum(found[group] for group in own)
        assert part == pytest.approx(sum(own.values()) / total)
        for one in own:
            for other in own:
                ratio = (own[one] / own[other]) ** exponents[corpus]
                assert found[one] / found[other] == pytest.approx(ratio)


def test_small_languages_are_read_more_often() -> None:
    texts = {(0, "en"): [f"e{n}" for n in range(1000)], (0, "de"): [f"d{n}" for n in range(10)]}
    read = sampled(texts, [0.5])
    assert sum(map(len, read.values())) == 1010
    assert len(read[0, "de"]) / len(read[0, "en"]) == pytest.approx(0.1, rel=0.02)
    # 92 times from 10 rows: each nine times, and two of them once more.
    counts = [read[0, "de"].count(f"d{n}") for n in range(10)]
    assert set(counts) == {9, 10}
    assert len(set(read[0, "en"])) == len(read[0, "en"])
    assert sampled(texts, [0.5]) == read


def test_what_is_told_of_each_language() -> None:
    texts = {(n, x): sentences(x, 50, n) for n in (0, 1) for x in ("en", "de")}
    tokenizer = trained([t for rows in texts.values() for t in rows], identity())
    found = dict(told(tokenizer, texts))
    assert set(found) == {"en", "de"}
    for one in found.values():
        assert one["rows"] == 100
        assert one["characters_per_token"] > 1.5
        assert one["unknown_share"] == 0
