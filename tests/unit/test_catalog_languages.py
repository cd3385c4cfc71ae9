"""The languages of the catalog: unique, complete for the benchmarks and families, and right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from compiler.catalog import Languages
from compiler.entries import Family, LanguageEntry
from compiler.source import read
from compiler.validate import validate

SPECS = Path(__file__).parents[2] / "specs"
ENTRIES = validate(read(SPECS / "languages.yaml"), Languages).languages
BY_CODE = {entry.language: entry for entry in ENTRIES}

XTREME = (
    "af ar bg bn de el en es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr ms my nl pt ru sw"
    " ta te th tl tr ur vi yo zh"
).split()
XTREME_R = (*XTREME, *"az gu ht lt pa pl qu ro uk wo".split())
EMBEDDED = "ar de el en es fa fr hi id it ja ko nl pl pt ru th tr uk zh".split()


def test_codes_are_unique_valid_and_in_order() -> None:
    codes = [entry.language for entry in ENTRIES]
    assert codes == sorted(set(codes))
    for entry in ENTRIES:
        assert re.fullmatch(r"[A-Z][a-z]{3}", entry.script), entry.language
        assert entry.name == entry.name.strip() != ""
        assert entry.family
    threes = [entry.iso639_3 for entry in ENTRIES]
    assert len(threes) == len(set(threes))
    assert all(entry.iso639_3 == entry.language for entry in ENTRIES if len(entry.language) == 3)
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES)


def test_the_benchmarks_are_covered() -> None:
    assert (len(XTREME), len(set(XTREME_R))) == (40, 50)
    assert {*XTREME_R, *EMBEDDED} <= set(BY_CODE)


WITH_TEXTS = [p for kind in ("tasks", "corpora") for p in sorted((SPECS / kind).glob("*.yaml"))]


@pytest.mark.parametrize("path", WITH_TEXTS, ids=lambda p: p.stem)
def test_every_language_of_a_task_or_corpus_is_known(path: Path) -> None:
    assert set(read(path).value["languages"]) <= set(BY_CODE)


@pytest.mark.parametrize("path", sorted((SPECS / "models").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_language_of_a_family_is_known(path: Path) -> None:
    codes = validate(read(path), Family).languages
    assert {code.removesuffix("-Latn") for code in codes} <= set(BY_CODE)


@pytest.mark.parametrize(("family", "field"), [("bloom", "bloom"), ("xlm-r", "xlm_r")])
def test_the_flags_are_those_of_the_families(family: str, field: str) -> None:
    codes = validate(read(SPECS / "models" / f"{family}.yaml"), Family).languages
    assert {code for code, entry in BY_CODE.items() if getattr(entry, field)} == set(codes)


def test_the_flags_count_as_published() -> None:
    # BLOOM counts 46 with Chinese in two scripts. XLM-R counts 100 with that, five romanized
    # languages and Burmese in a second encoding.
    assert sum(entry.bloom for entry in ENTRIES) == 46 - 1
    assert sum(entry.xlm_r for entry in ENTRIES) == 100 - 1 - 5 - 1


def test_the_families_count_as_published() -> None:
    def languages(name: str) -> int:
        return len(validate(read(SPECS / "models" / f"{name}.yaml"), Family).languages)

    assert languages("mbert") == 104 - 1  # Chinese in two scripts
    assert languages("mt5-encoder") == 101 + 6  # six romanized parts
    assert languages("xglm") == 30
    assert languages("qwen-3") == 119 - 7 - 1  # eight kinds of Arabic, two scripts of Chinese


@pytest.mark.parametrize(
    ("code", "name", "script", "family", "three", "bloom", "xlm_r"),
    [
        ("sw", "Swahili", "Latn", "Niger-Congo", "swa", True, True),
        ("yo", "Yoruba", "Latn", "Niger-Congo", "yor", True, False),
        ("qu", "Quechua", "Latn", "Quechuan", "que", False, False),
        ("ht", "Haitian Creole", "Latn", "Creole", "hat", False, False),
        ("ka", "Georgian", "Geor", "Kartvelian", "kat", False, True),
        ("ta", "Tamil", "Taml", "Dravidian", "tam", True, True),
        ("th", "Thai", "Thai", "Kra-Dai", "tha", False, True),
        ("de", "German", "Latn", "Indo-European", "deu", False, True),
        ("ur", "Urdu", "Arab", "Indo-European", "urd", True, True),
        ("no", "Norwegian", "Latn", "Indo-European", "nor", False, True),
        ("my", "Burmese", "Mymr", "Sino-Tibetan", "mya", False, True),
        ("wo", "Wolof", "Latn", "Niger-Congo", "wol", True, False),
    ],
)
def test_some_facts(
    code: str, name: str, script: str, family: str, three: str, bloom: bool, xlm_r: bool
) -> None:
    assert BY_CODE[code] == LanguageEntry(
        language=code,
        name=name,
        script=script,
        family=family,
        iso639_3=three,
        bloom=bloom,
        xlm_r=xlm_r,
    )
