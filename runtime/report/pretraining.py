"""Says in the report how the sizes of a ladder from scratch were pretrained, and how it went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from compiler.plan import Plan
from runtime.records import Record
from runtime.report.tables import Cell, Table, stage_title
from runtime.report.views import Names
from runtime.report.wording import parameters, score

Row = Mapping[str, Any]

NOTE = (
    "Alignment is how many held-out rows of a parallel corpus find their translation (top 1, the "
    "mean of both directions and of some languages with the pivot), before the first step and "
    "after the last one. It is a probe of the pretraining on texts like those it read, not a "
    "result of the study."
)
"""What a reader has to know of the probe."""


class Records(Protocol):
    """What is read from a store: the record of a stage's part."""

    def record(self, key: str, part: str) -> Record | None:
        """Return the complete record, or None."""


def pretrained(plan: Plan, store: Records) -> list[dict[str, Any]]:
    """Return what each pretraining that is done says of itself, in the order of the plan.

    Of its record: steps, tokens, the losses of the first and last steps, and of each parallel
    corpus the retrieval of held-out rows, 0 to 100.
    """
    found = []
    for stage in plan.stages.values():
        record = store.record(stage.key, "all") if stage.kind == "pretrain" else None
        if record is None:
            continue
        result = record.result
        before, after = (result["alignment"][when] for when in ("before", "after"))
        found.append(
            {
                "model": stage.model,
                "stage": stage.key,
                "seed": stage.identity["seed"],
                "parameters": dict(result["parameters"]),
                "budget": stage.identity["tokens"],
                "initialisation": stage.identity["initialisation"],
                "steps": result["steps"],
                "tokens": result["tokens"],
                "losses": dict(result["losses"]),
                "alignment": {
                    corpus: {
                        **{name: one[name] for name in ("pivot", "rows", "chance", "languages")},
                        "before": before[corpus]["mean"],
                        "after": one["mean"],
                    }
                    for corpus, one in after.items()
                },
            }
        )
    return found


def pretraining_table(rows: Sequence[Row], names: Names) -> Table:
    """One row for each pretraining, the smallest size first."""
    losses = list(dict.fromkeys(name for row in rows for name in row["losses"]))
    corpora = list(dict.fromkeys(name for row in rows for name in row["alignment"]))
    head = (
        "Size", "Seed", "Parameters", "Non-embedding", "Tokens", "Steps",
        *(f"Loss, {name.replace('_', ' ')}" for name in losses),
        *(f"Alignment, {name}" for name in corpora),
    )  # fmt: skip
    order = list(names.sizes)
    body = tuple(
        (
            Cell(names.models[row["model"]], title=stage_title([row["stage"]])),
            Cell(str(row["seed"])),
            *(
                Cell(parameters(int(row["parameters"][axis])), numeric=True)
                for axis in ("total", "non_embedding")
            ),
            *(Cell(f"{row[name]:,}", numeric=True) for name in ("tokens", "steps")),
            *(_loss(row["losses"].get(name)) for name in losses),
            *(_alignment(row["alignment"].get(name)) for name in corpora),
        )
        for row in sorted(rows, key=lambda row: order.index(row["model"]))
    )
    return Table("Pretraining of each size", head, body, stubs=2)


def _loss(found: Mapping[str, float] | None) -> Cell:
    if found is None:
        return Cell("", numeric=True)
    return Cell(f"{found['last']:.3f}", f"from {found['first']:.3f}", numeric=True)


def _alignment(found: Row | None) -> Cell:
    if found is None:
        return Cell("", numeric=True)
    note = f"from {score(found['before'])}, chance {score(found['chance'])}"
    return Cell(score(found["after"]), note, numeric=True)
