"""The section of claims: what was published, what came out here, and the verdict on each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from runtime.analysis.claims import Judgement
from runtime.report.sections import Section
from runtime.report.tables import Cell, Table
from runtime.report.wording import counted, freedom, interval, listing, number

ESTIMANDS = {
    "gain": "gain over direct",
    "slope": "slope of the gain, per tenfold parameters",
    "difference": "gain of the larger minus the smaller size",
    "arm_difference": "difference of intermediates",
}
TEXT = (
    "Each claim is judged by an estimate of its own, over the scores that it is about and at the "
    "level that the study names for it. A claim with a sign is replicated when the whole 95 % "
    "interval has that sign, contradicted when it has the other one, inconclusive when the "
    "interval holds zero. A claim of no difference is replicated when the 90 % interval lies "
    "within its margin, contradicted when the 95 % one lies outside of it. Without an interval, or "
    "without the scores that it is about, a claim is not testable here. Whether the published "
    "value lies in the interval is another question and no part of the verdict. Every claim is "
    "judged at 5 % by itself."
)


def claims_section(judged: Sequence[Judgement], *, alone: bool) -> Section | None:
    """Return the section; None of a study without claims."""
    if not judged:
        return None
    tally = Counter(one.verdict for one in judged)
    shown = listing([f"{count} {word}" for word, count in tally.items()])
    source = "published scores, not runs of this study" if alone else "this study's runs"
    start = f"{counted(len(judged), 'claim')}: {shown}. Judged by {source}. "
    table = claims_table(judged)
    return Section("claims", "Published claims", start + TEXT, (table,))


def claims_table(judged: Sequence[Judgement]) -> Table:
    """Every claim with its verdict, the published value and the estimate beside it."""
    head = ("Claim", "Verdict", "Published", "Here", "Over", "Source")
    return Table("Published claims and what came out", head, tuple(map(_row, judged)), stubs=1)


def _row(one: Judgement) -> tuple[Cell, ...]:
    claim, e = one.claim, one.estimate
    covered = {None: "", True: "within the interval", False: "outside the interval"}[one.covered]
    value = number(claim["value"]) if claim["value"] is not None else "no number"
    what = ESTIMANDS[claim["estimand"]]
    sign = {"positive": "above 0", "negative": "below 0"}.get(
        claim["direction"], f"within {claim['margin'] or 0:g} of 0"
    )
    here, over = Cell("none"), Cell("")
    if e is not None and e.estimate is not None:
        df = f", df {freedom(e.df)}" if e.df is not None else ""
        here = Cell(
            number(e.estimate), f"{e.level}: {interval(e.lo, e.hi)}{df}",
            f"method: {e.method}", numeric=True,
        )  # fmt: skip
        parts = (
            counted(e.n_sizes, "size"), counted(e.n_tasks, "task"),
            counted(e.n_languages, "language"), counted(e.n_seeds, "run", "seeds"),
        )  # fmt: skip
        over = Cell(_subset(claim), ", ".join(parts))
    return (
        Cell(claim["claim"], claim["says"]),
        Cell(one.verdict, one.reason),
        Cell(value, covered or f"{what} {sign}", numeric=claim["value"] is not None),
        here,
        over if over.text else Cell(_subset(claim)),
        Cell("", claim["source"]),
    )


def _subset(claim: Any) -> str:
    of, average = claim["of"], claim["average"]
    parts = [", ".join(of["targets"]) or "all targets"]
    languages = of["languages"]
    if isinstance(languages, str):
        parts.append(
            {"all": "all languages"}.get(languages, f"languages {languages} in pretraining")
        )
    else:
        parts.append(", ".join(languages))
    arms = ", ".join(of["intermediates"])
    if claim["against"]:
        arms += f" against {', '.join(claim['against'])}"
    parts += [text for text in (arms, ", ".join(of["models"])) if text]
    if average == "xtreme":
        parts.append("English included")
    return "; ".join(parts)


def plain(judged: Sequence[Judgement]) -> list[dict[str, Any]]:
    """Return the judgements as report.json has them."""
    return [
        {
            "claim": dict(one.claim),
            "verdict": one.verdict,
            "reason": one.reason,
            "estimate": None if one.estimate is None else asdict(one.estimate),
            "published_within_interval": one.covered,
        }
        for one in judged
    ]
