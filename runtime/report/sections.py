"""Puts tables and figures together into the sections that come after the main ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.analysis.estimate import Findings
from runtime.report import comparisons, differences, prospects
from runtime.report.tables import Table
from runtime.report.views import Names


@dataclass(frozen=True, slots=True)
class Section:
    """A section: what it says first, its figures by name, its tables, and those folded away.

    Tables without rows are left out; a section with none at all says why in ``empty``.
    """

    key: str
    title: str
    text: str
    tables: tuple[Table, ...]
    folded: tuple[Table, ...] = ()
    empty: str = "Nothing to show."


def differences_section(findings: Findings, names: Names) -> Section:
    """How far tasks and languages differ, and what goes with it."""
    return _section(
        "differences",
        "Where it differs",
        "How far true slopes differ between tasks is tau; the prediction interval says where one "
        "more task of this kind would lie. Counts say in how many tasks and languages, at least, "
        "there is an effect, by partial conjunction with Bonferroni, which needs no independence. "
        "Languages, their groups and the moderators are exploratory: q is the p adjusted over the "
        "family of tests (Benjamini-Hochberg), whose size stands beside it.",
        (
            differences.heterogeneity_table(findings),
            differences.count_table(findings, names),
            differences.group_table(findings, names),
            differences.contrast_table(findings),
            differences.moderator_table(findings),
            differences.family_table(findings),
        ),
        (differences.language_table(findings),),
    )


def comparisons_section(findings: Findings, names: Names) -> Section:
    """Intermediates and sizes against each other."""
    return _section(
        "comparisons",
        "Intermediates and sizes compared",
        "That one slope is significant and another is not does not make them differ; these "
        "differences do. p is adjusted over its family (Holm). The best intermediate is chosen on "
        "some data and scored on other; the naive figure, chosen and scored on the same runs, is "
        "biased upwards and only shown for comparison. Ranks that overlap are ties.",
        (
            comparisons.arm_table(findings, names),
            comparisons.size_table(findings, names),
            comparisons.rank_table(findings, names),
            comparisons.best_table(findings, names),
            comparisons.gap_table(findings, names),
        ),
    )


def collapse_section(findings: Findings, names: Names) -> Section:
    """Runs that collapsed."""
    return _section(
        "collapses",
        "Collapsed runs",
        "A run collapsed when its English development score is not above chance; test scores are "
        "never looked at for this. The gain among healthy runs is the primary one; as run, with "
        "every run counted, is what a user with a single run gets.",
        (
            comparisons.collapse_table(findings, names),
            comparisons.as_run_table(findings, names),
        ),
    )


def design_section(findings: Findings, names: Names) -> Section:
    """What could be detected, as planned, and what was."""
    return _section(
        "design",
        "Planned and achieved precision",
        "The smallest true slope that four of five such studies would detect (two-sided test at "
        "5 %), from the planned counts and noise assumed beforehand, at half and twice that noise "
        "too. Beside it stands the half-width of the interval that came out. The noise measured "
        "here is for planning another study: for this one it would only say the p-value in other "
        "words.",
        (
            prospects.detectable_table(findings),
            prospects.noise_table(findings),
            prospects.pairing_table(findings, names),
        ),
    )


def cost_section(
    findings: Findings,
    names: Names,
    costs: Sequence[Mapping[str, Any]],
    pilots: Sequence[Mapping[str, Any]] = (),
) -> Section:
    """What the intermediate training cost, against what it gained, and what pilots foretold."""
    return _section(
        "cost",
        "Cost",
        "Hours of training and scoring as recorded by the stages, on the machines named under "
        "provenance; a stage that several runs share counts once in an arm. The hours of an "
        "intermediate are those of its own training alone.",
        (
            prospects.cost_table(findings, names, costs),
            *([prospects.pilot_table(names, pilots)] if pilots else []),
        ),
        empty="No stage of this study has recorded its time.",
    )


def _section(
    key: str,
    title: str,
    text: str,
    tables: Sequence[Table],
    folded: Sequence[Table] = (),
    empty: str = "Nothing to show.",
) -> Section:
    full, more = (tuple(t for t in each if t.rows) for each in (tables, folded))
    return Section(key, title, text, full, more, empty)
