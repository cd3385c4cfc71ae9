"""Builds the report's files from a plan and findings: no clock, no store, no network."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

import jinja2
import polars as pl
from altair.utils import schemapi
from markupsafe import Markup

from compiler.identity import digest
from compiler.plan import Plan
from compiler.render import atomic_write, templates_folder, unwritable
from runtime.analysis.analyse import headline_sentence
from runtime.analysis.claims import Judgement
from runtime.analysis.estimate import Estimate, Findings
from runtime.coding import spelled
from runtime.intake import totals
from runtime.report import (
    benchmark,
    captions,
    claims,
    comparisons,
    contract,
    curve,
    custody,
    drawing,
    evidence,
    figures,
    heat,
    latex,
    ledger,
    pdf,
    pretraining,
    probe,
    sections,
    tables,
    views,
)
from runtime.report.wording import LEVELS_PLAIN, PLAINLY

SCHEMA = contract.SCHEMA
LONG = 100_000
"""Scores from which a process of its own draws the figures."""
_NAMES = tuple(field.name for field in fields(Estimate))


def build_report(
    plan: Plan,
    findings: Findings,
    provenance: Mapping[str, Any],
    *,
    title: str,
    intake: Sequence[Mapping[str, Any]] = (),
    pretrained: Sequence[pretraining.Row] = (),
    costs: Sequence[Mapping[str, Any]] = (),
    pilots: Sequence[Mapping[str, Any]] = (),
    published: Sequence[evidence.Shown] = (),
    judged: Sequence[Judgement] = (),
    probed: probe.Compared | None = None,
    alone: bool = False,
    as_of: str = "",
) -> dict[str, bytes]:
    """Return the report as file name to content; the same inputs give the same bytes.

    ``intake`` says what was done to the data, see ``runtime.intake``; ``pretrained`` is what
    `pretraining.pretrained` collects: nothing of a study of checkpoints; ``costs`` has the hours of
    each model and arm, where they were recorded, ``pilots`` what those of each model measured, see
    ``compiler.calibration.takes``; ``published`` are the series of published scores,
    ``judged`` the study's claims, ``probed`` its sharding probe, if it has one; ``alone`` says that
    the report is about the first series; ``as_of`` is the moment after which no record counts.
    """
    names = views.names(plan)
    # Compiled code and a process of their own make figures, Parquet and PDF beside the tables.
    with ThreadPoolExecutor(max_workers=2) as beside:
        frames = beside.submit(_frames, findings, digest(plan.study["analysis"])[:16])
        drawn = beside.submit(_figures, findings, names)
        context = _context(plan, findings, provenance, title, costs, pilots) | {
            "data": custody.data_table(intake, names),
            "pretraining": pretraining.pretraining_table(pretrained, names),
            "pretraining_note": pretraining.NOTE,
            **_beside(findings, names, published, judged, alone=alone),
            "as_of": as_of,
            "probe": probe.probe_table(probed, names),
            "probe_notes": probe.notes(probed, names),
        }
        context["flow"] += probe.step(probed)
        context["sections"]["cost"] = probe.costed(context["sections"]["cost"], probed)
        if alone:
            context |= {
                "sections": {x: context["sections"][x] for x in ("differences", "comparisons")},
                "statuses": None,
                "missing": None,
            }
        pictures = drawn.result()
        shown = [*_tables(context), *(picture["table"] for picture in pictures.values())]
        page = beside.submit(pdf.document, context, pictures, shown) if pdf.available() else None
        body = _json(plan, findings, provenance, title) | {
            "costs": plain(costs),
            "pilots": plain(pilots),
            "evidence": plain(evidence.plain(published)),
            "claims": plain(claims.plain(judged)),
            "pretraining": plain(pretrained),
            "data": {"splits": plain(intake), "totals": plain(totals([dict(x) for x in intake]))},
            "caveats": [
                {"task": task, "language": language, "caveat": text}
                for task, language, text in ledger.caveats(plan)
            ],
            **({"sharding_probe": plain(probe.plain(probed))} if probed else {}),
        }
        texts = {
            "report.html": render("report.html.j2", {**context, "figures": pictures}),
            "report.md": render("report.md.j2", {**context, "figures": pictures}),
            "report.json": written(body),
            "report.schema.json": written(contract.schema()),
            "tables.tex": latex.document(shown),
            **{f"figure-{name}.svg": str(picture["svg"]) for name, picture in pictures.items()},
        }
        return {
            **{name: text.encode("utf-8") for name, text in texts.items()},
            **frames.result(),
            **({"evidence.parquet": evidence.table_bytes(published)} if published else {}),
            **({"report.pdf": page.result()} if page is not None else {}),
        }


def _frames(findings: Findings, plan_hash: str) -> dict[str, bytes]:
    """Return the tables as Parquet files."""
    return {
        "estimates.parquet": as_parquet(_estimates(findings, plan_hash)),
        "cells.parquet": as_parquet(findings.cells),
        "runs.parquet": as_parquet(spelled(findings.scores)),
    }


def _beside(
    findings: Findings,
    names: views.Names,
    published: Sequence[evidence.Shown],
    judged: Sequence[Judgement],
    *,
    alone: bool,
) -> dict[str, Any]:
    """Return the sections of published scores and claims, which most studies do not have."""
    sections_ = (
        claims.claims_section(judged, alone=alone),
        evidence.evidence_section(published, names, findings, alone=alone),
    )
    return {
        "alone": alone,
        "published": [section for section in sections_ if section is not None],
        "limits": evidence.limits(published[0].series, findings) if alone else (),
    }


def write_report(files: Mapping[str, bytes], folder: Path) -> None:
    """Write each file whole or not at all; raises EnvironmentUnready when that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            atomic_write(folder / name, content)
    except OSError as error:
        raise unwritable(folder, error) from error


def markdown(text: object) -> str:
    """Escape a text so that Markdown shows it as it is, in a table or outside one."""
    line = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;")
    for sign in "\\`|[]*_#":
        line = line.replace(sign, f"\\{sign}")
    return line


def _figures(findings: Findings, names: views.Names) -> dict[str, dict[str, Any]]:
    told = {
        "gain": ("Gain against parameters", captions.gain_caption, tables.gain_data),
        "forest": ("Slope of every task", captions.forest_caption, tables.forest_data),
        "heat": ("Gain by language and size", captions.heat_caption, tables.heat_data),
        "pairs": ("Gain by target task and intermediate", captions.pair_caption, heat.pair_data),
        "curve": ("The slope by every choice", captions.curve_caption, curve.curve_table),
    }
    draw = {
        "gain": figures.gain_figure,
        "forest": figures.forest_figure,
        "heat": figures.heat_figure,
        "pairs": heat.pair_figure,
        "curve": curve.curve_figure,
    }
    result: dict[str, dict[str, Any]] = {}
    long = findings.scores.height >= LONG
    with drawing.beside() if long else nullcontext(drawing.here) as pen:
        for number, (name, (title, caption, table)) in enumerate(told.items(), start=1):
            text = caption(findings, names)
            with schemapi.debug_mode(False):  # the tests check the charts against Altair's schema
                picture = Markup(draw[name](findings, names, f"{title}. {text}", pen))
            result[name] = {
                "number": number,
                "title": title,
                "caption": text,
                "svg": picture,
                "table": table(findings, names),
            }
    return result


def written(body: Mapping[str, Any]) -> str:
    """Write JSON as files have it: keys sorted, a line at the end."""
    return json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _tables(context: Mapping[str, Any]) -> Iterator[tables.Table]:
    """Yield the tables of a report's context, in their order, but for the long raw ones."""
    for name, value in context.items():
        if name in ("seeds", "provenance"):
            continue
        for each in value if isinstance(value, list | tuple) else [value]:
            if isinstance(each, tables.Table) and each.rows:
                yield each
    for section in (*context["published"], *context["sections"].values()):
        yield from (*section.tables, *section.folded)


def _context(
    plan: Plan,
    findings: Findings,
    provenance: Mapping[str, Any],
    title: str,
    costs: Sequence[Mapping[str, Any]],
    pilots: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    names = views.names(plan)
    return {
        "sections": {
            "differences": sections.differences_section(findings, names),
            "comparisons": sections.comparisons_section(findings, names),
            "collapses": sections.collapse_section(findings, names),
            "design": sections.design_section(findings, names),
            "cost": sections.cost_section(findings, names, costs, pilots),
        },
        "title": title,
        "question": str(plan.study.get("question", "")),
        "headline": findings.headline,
        "plainly": PLAINLY[findings.headline.verdict],
        "unfinished": ledger.unfinished(findings),
        "sentence": headline_sentence(findings),
        "margin_reason": str(plan.study["analysis"].get("margin_reason") or ""),
        "axis": names.axis,
        "levels": tables.levels_table(findings),
        "levels_plain": LEVELS_PLAIN,
        "ladder": ledger.ladder(plan),
        "models": ledger.model_table(plan, names),
        "limitations": ledger.limitations(plan, names),
        "sizes": tables.size_table(findings, names, "trained"),
        "arms": tables.arm_table(findings, names, "trained"),
        "scales": comparisons.scale_table(findings, names),
        "benchmark": benchmark.benchmark_table(findings, names),
        "pairs": tables.pair_table(findings, names),
        "marks": tables.MARKS,
        "retrieval": tables.size_table(findings, names, "retrieval"),
        "retrieval_arms": tables.arm_table(findings, names, "retrieval"),
        "sensitivity": tables.sensitivity_tables(findings, names),
        "flow": ledger.flow(findings),
        "statuses": ledger.status_table(findings, names),
        "missing": ledger.missing_table(findings, names),
        "exclusions": ledger.exclusion_table(findings, names),
        "seeds": ledger.seed_table(findings, names),
        "confounds": ledger.mapping_table("Confounds of the size comparison", plan.confounds),
        "locked": "lock" in plan.study,
        "deviations": ledger.mapping_table(
            "Deviations from what was locked", plan.study.get("deviations", ())
        ),
        "notes": ledger.mapping_table("Notes of the compiler on this study", plan.notes),
        "provenance": ledger.provenance_tables(provenance),
    }


def render(template: str, context: Mapping[str, Any]) -> str:
    """Fill a template; what goes into HTML is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_folder()),
        autoescape=template.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["markdown"] = markdown
    return environment.get_template(template).render(context)


def _json(
    plan: Plan, findings: Findings, provenance: Mapping[str, Any], title: str
) -> dict[str, Any]:
    names = views.names(plan)
    levels = {level: views.pooled_slope(findings, level) for level in LEVELS_PLAIN}
    sizes = [
        {
            "model": model,
            "title": names.models[model],
            "parameters": dict(plan.models[model]["parameters"]),
            "estimates": [
                plain(as_fields(e))
                for e in views.select(findings, model=model, variant="primary", scale="points")
                if e.target == "*" and e.estimand in ("score", "gain")
            ],
        }
        for model in names.sizes
    ]
    return {
        "schema": SCHEMA,
        "title": title,
        "study": plain(plan.study),
        "headline": {
            "sentence": headline_sentence(findings),
            "estimate": plain(as_fields(findings.headline)),
            "levels": {level: plain(as_fields(e)) if e else None for level, e in levels.items()},
        },
        "estimates": [plain(as_fields(e)) for e in findings.estimates],
        "counts": plain(findings.counts),
        "sizes": sizes,
        "provenance": plain(provenance),
    }


def as_fields(e: Estimate) -> dict[str, Any]:
    """Return an estimate's fields; `asdict` would copy each value, ten times as slowly."""
    return {name: getattr(e, name) for name in _NAMES}


def plain(value: Any) -> Any:
    """Return a value as JSON knows it; a number that is not finite becomes null."""
    if value is None or type(value) is str:  # half of all, and the checks below cost as much
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value if isinstance(value, bool | int) else str(value)


def _estimates(findings: Findings, plan_hash: str) -> pl.DataFrame:
    """Return the estimates as a frame whose column types do not depend on the values.

    ``plan_hash`` is the digest of the analysis plan that they follow, as `lock` prints it.
    """
    kinds: dict[str, type[pl.DataType]] = {"str": pl.String, "int": pl.Int64}
    schema = {
        field.name: next(
            (kind for word, kind in kinds.items() if str(field.type).startswith(word)), pl.Float64
        )
        for field in fields(Estimate)
    }
    for name in ("estimand", "level", "scale", "average", "panel", "axis"):
        schema[name] = pl.String
    rows = [as_fields(e) for e in findings.estimates]
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return frame.with_columns(pl.lit(plan_hash).alias("plan_hash"))


def as_parquet(frame: pl.DataFrame) -> bytes:
    """Return a frame as Parquet."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", compression_level=3, statistics=True)
    return buffer.getvalue()
