"""What someone gets wrong in the first hour, and that the answer leads on."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from runtime import abilities
from runtime.cli import app

GOOD = """study: own
models: {family: e5-depth, sizes: [1, 2]}
intermediate: [intents, intent_slots]
targets: [emoji_category, intent_slots]
languages: [en, de, es]
seeds: [1, 2, 3]
recipe: quickstart
hardware: {device: cpu}
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def said(verb: str, old: str = "", new: str = "") -> tuple[int, str]:
    assert old in GOOD
    Path("own.yaml").write_text(GOOD.replace(old, new) if old else GOOD, encoding="utf-8")
    done = CliRunner().invoke(app, [verb, "own.yaml"])
    return done.exit_code, " ".join(done.output.split())


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("languages:", "langauges:", "did you mean `languages`?"),
        ("e5-depth", "xlm-roberta", "did you mean `xlm-r`?"),
        ("{family: e5-depth, sizes: [1, 2]}", "xlm-roberta-base", "`stiltscale models` lists"),
        ("es]", "no]", "`stiltscale languages` lists all"),
        (
            "[intents, intent_slots]",
            "[intents intent_slots]",
            "did you mean `intents, intent_slots",
        ),
        ("quickstart", "{name: quickstart, defaults: {lr: 1e-4}}", "did you mean `learning_rate`?"),
        ("device: cpu", "device: gpu", "did you mean `cuda`?"),
        ("models: {family", "models:\n\tfamily: {", "indent with spaces"),
    ],
)
def test_one_mistake_is_one_finding_with_a_way_on(old: str, new: str, hint: str) -> None:
    code, text = said("check", old, new)
    assert code == 1
    assert hint in text
    assert text.endswith("1 error")


def test_a_language_that_no_target_has_is_a_warning_at_the_language() -> None:
    code, text = said("check", "es]", "es, sw]")
    assert code == 0
    assert "own.yaml:5:25: warning C234: no target has data in `sw`" in text
    assert "C234" not in said("check")[1]


def test_a_gpu_that_is_not_there_is_missed_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(abilities, "has_cuda", lambda: False)
    code, text = said("run", "device: cpu", "device: cuda")
    assert code == 2
    assert "E008" in text
    assert "`device: cpu`" in text
    assert not Path("build").exists()


def test_what_is_asked_for_shows_what_can_be_answered() -> None:
    answers = "e5-depth\n1,2\nintents\nemoji_category\nen,sw\nen,de\n1\n\n\n"
    done = CliRunner().invoke(app, ["init", "own.yaml"], input=answers)
    assert done.exit_code == 0, done.output
    assert "without a download: emoji_category, intent_pairs, intent_slots, intents" in done.output
    assert "`sw` is not known in the targets" in done.output
    assert "Fewer than three seeds" in done.output


def test_the_version_and_the_verbs_in_their_order() -> None:
    assert CliRunner().invoke(app, ["--version"]).output.startswith("stiltscale 0.")
    shown = CliRunner().invoke(app, ["--help"]).output
    places = [shown.index(f"│ {verb} ") for verb in ("init", "check", "plan", "run", "report")]
    assert places == sorted(places)
