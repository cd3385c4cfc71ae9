"""YAML 1.2 values, exact places, and no text at all that ends in a traceback."""

from __future__ import annotations

import copy
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import pytest
from fuzz import fuzz
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.check import check
from compiler.display import diagnostic_text
from compiler.errors import StudyInvalid
from compiler.expand import expand
from compiler.source import Path_, parse

pytestmark = pytest.mark.usefixtures("fixed_catalog")

GOOD = """\
# A study that has nothing wrong with it.
study: small
question: "Does it help?"
models: {family: ladder, sizes: [s, m, l]}
intermediate:
  - pairs
  - {name: again, task: tags}
targets: [topics, {task: tags, languages: [de, en]}]
languages: &all [de, en, zh]
seeds: [1, 2, 3]
recipe:
  name: short
  defaults: {learning_rate: 1e-5}
analysis: {margin: 0.5, margin_reason: less would not be seen}
"""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("y", "y"), ("True", True),
        ("false", False), ("null", None), ("~", None), ("", None), ("'null'", "null"),
        ("1e-5", 1e-5), ("1E5", 1e5), (".5", 0.5), ("1.", 1.0), ("-.inf", -math.inf), ("+3", 3),
        ("010", 10), ("0o10", 8), ("0x1F", 31), ("1_000", "1_000"), ("12:30:45", "12:30:45"),
        ("2026-01-01", "2026-01-01"), ("=", "="), ("'1'", "1"), ('"\\u00e9"', "é"),
        ("!!str s", "s"),
        ("<<", "<<"), ("0b1", "0b1"), (".e5", ".e5"), ("1.2.3", "1.2.3"),
    ],
)  # fmt: skip
def test_scalars_are_of_yaml_1_2(text: str, value: Any) -> None:
    found = parse(f"a: {text}\n").value["a"]
    assert (type(found), found) == (type(value), value)


def test_nan_is_a_number() -> None:
    assert math.isnan(parse("a: .nan").value["a"])


SPANS: list[tuple[Path_, bool, str, int]] = [
    (("study",), False, "small", 2),
    (("study",), True, "study", 2),
    (("question",), False, '"Does it help?"', 3),
    (("models", "sizes"), False, "[s, m, l]", 4),
    (("models", "sizes", 2), False, "l", 4),
    (("intermediate", 0), False, "pairs", 6),
    (("intermediate", 1, "task"), False, "tags", 7),
    (("intermediate", 1, "task"), True, "task", 7),
    (("targets", 1, "languages", 1), False, "en", 8),
    (("recipe", "defaults"), True, "defaults", 13),
    (("recipe", "defaults", "learning_rate"), False, "1e-5", 13),
    (("recipe", "nothing", "here"), False, "name: short", 12),
]


@pytest.mark.parametrize(("path", "key", "text", "line"), SPANS)
def test_a_span_covers_its_text(path: Path_, key: bool, text: str, line: int) -> None:
    span = parse(GOOD).span(path, key=key)
    assert span.line == line
    assert span.text == GOOD.splitlines()[line - 1]
    assert span.text[span.column - 1 :][: span.width] == text


def test_the_caret_stands_under_what_is_meant() -> None:
    with pytest.raises(StudyInvalid) as caught:
        parse('a: {"大きさ": 1, "大きさ": 2}\n')
    lines = diagnostic_text(caught.value.diagnostics[0]).splitlines()
    # Each of the three letters takes two columns of the terminal.
    assert lines[2] == "      |" + " " * 18 + "^" * 8


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"))),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text("abcdefg_", min_size=1, max_size=6), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text("abcdefg_", min_size=1, max_size=6), json_values, min_size=1))
def test_json_is_read_as_json(value: dict[str, Any]) -> None:
    noted = json.dumps(value).replace("Infinity", ".inf")
    if "\\u" not in noted and "\ufeff" not in noted:
        assert parse(noted).value == value


def survives(content: bytes) -> bool:
    """Check a file; True when the study is good. Anything but StudyInvalid fails the test."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.yaml"
        path.write_bytes(content)
        try:
            expand(check(path, installed=False)).to_json().encode("utf-8")
        except StudyInvalid as error:
            for diagnostic in error.diagnostics:
                assert diagnostic_text(diagnostic).encode("utf-8")
                assert diagnostic.message
            return False
        return True


def test_the_good_study_is_good() -> None:
    assert survives(GOOD.encode())


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace")))
def test_random_bytes_end_in_findings(content: bytes) -> None:
    assert not survives(content)


PIECES = [
    *"{}[]:,&*!|>-?#%@'\"\\\t\n ", "\r\n", "---\n", "...\n", "%YAML 9.9\n", "&all ", "*all",
    "<<: *all", "!!binary x", "? ", "- - -", '"\\UFFFFFFFF"', '"\\ud800"', '"\\0"', "null", "true",
    "1e999", "[[[[", "9" * 5000, "0x" + "f" * 500, "大", "\ufeff", "\u2028", "\x85", "a" * 5000,
    "../..", "/", "-1", ".nan", "{}", "[]", "none", "en",
]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_studies_end_in_findings(data: st.DataObject) -> None:
    text = GOOD
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 12)))
        text = text[:start] + data.draw(st.sampled_from(PIECES)) + text[end:]
    survives(text.encode("utf-8", "replace"))


VALUES = [
    None, True, 0, -1, 1.5, 10**30, math.inf, "", "x", "none", "en", [], [[]], {}, ["de"],
    [None], {"task": None}, {"name": 3}, [{"task": "twins"}, "twins"], "a" * 3000,
]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_wrong_values_end_in_findings(data: st.DataObject) -> None:
    study = parse(GOOD).value
    for _ in range(data.draw(st.integers(1, 2))):
        at: Any = study
        while True:
            key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
            if not (isinstance(at[key], (dict, list)) and at[key] and data.draw(st.booleans())):
                break
            at = at[key]
        at[key] = copy.deepcopy(data.draw(st.sampled_from(VALUES)))
    survives(json.dumps(study).replace("Infinity", ".inf").encode())


@pytest.mark.slow
def test_half_a_minute_of_damaged_files() -> None:
    """`make fuzz` does the same for five minutes."""
    found = fuzz(30, seed=1)
    assert found["files"] > 200
    assert found["accepted"]
