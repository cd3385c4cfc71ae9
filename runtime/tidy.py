"""The tidy score table: what `scores` writes and `analyse` reads, one row for each score."""

from __future__ import annotations

import io
import re
from pathlib import Path

import polars as pl
from pydantic import Field

from compiler.errors import ReportImpossible
from compiler.plan import Plan, Run
from compiler.study import Analysis
from runtime.coding import coded

DIRECT = "none"
MEAN = "avg"
"""What stands for the language of a published mean over languages."""
STATUSES = ("finished", "degenerate", "failed", "missing")
PANELS = ("trained", "retrieval")
VERIFIED = ("yes", "no")
SHOWN = 10
"""Wrong rows that an error lists."""

REQUIRED: dict[str, tuple[type[pl.DataType], str]] = {
    "model": (pl.String, "Name of the checkpoint."),
    "params": (pl.Int64, "Its parameters, embeddings included."),
    "intermediate": (pl.String, "Intermediate task; `none` or empty for direct fine-tuning."),
    "target": (pl.String, "Target task."),
    "language": (
        pl.String,
        "Language of the test data; `en` is left out of zero-shot averages. "
        "`avg` is a published mean over languages.",
    ),
    "seed": (pl.Int64, "Number of the run; scores of one run share it."),
    "metric": (pl.String, "What was measured."),
    "value": (pl.Float64, "The score from 0 to 100; empty where there is none."),
}
OPTIONAL: dict[str, tuple[type[pl.DataType], str]] = {
    "params_nonembedding": (pl.Int64, "Parameters without embeddings; default: `params`."),
    "family": (pl.String, "Model family; sizes of one family make one line. Default: all are one."),
    "train_data": (pl.String, "Data that the target was fine-tuned on; if it is the intermediate's "
                              "name, the pair is a self-pair."),
    "chance": (pl.Float64, "Score of guessing, 0 to 100. Default: 0."),
    "n": (pl.Int64, "Test examples."),
    "panel": (pl.String, "`trained`, or `retrieval` for a target without fine-tuning."),
    "status": (pl.String, "`finished`, `degenerate`, `failed` or `missing`."),
    "reason": (pl.String, "Why there is no score, or why it is degenerate."),
    "english_dev": (pl.Float64, "English development score of the run, 0 to 100."),
    "flags": (pl.String, "`self_pair`, `shared_text`, `control_arm`, `exploratory`; by `;`."),
    "stage": (pl.String, "What the score can be traced to. Default: its row."),
    "official": (pl.Float64, "What a benchmark averages, where it is another number."),
    "protocol": (pl.String, "How the scores were made; one for the whole table."),
    "source": (pl.String, "Where the score was published."),
    "verified": (pl.String, "`yes`, or `no` for a figure that was not read in its source."),
}  # fmt: skip
COLUMNS = REQUIRED | OPTIONAL
PUBLISHED = (*(name for name in REQUIRED if name != "seed"), "source")
"""Columns that a table of published scores must have: seldom are seeds told, always a source."""

_COUNT = re.compile(r"(\d+(?:\.\d+)?)([KMBT])", re.IGNORECASE)
_BRACKET = r"^(.*?)\s*\[(.*)\]$"


class Block(Analysis):
    """The analysis of a table: the analysis block of a study, with a title and a question."""

    title: str = Field("", description="Title of the report; default: the name of the file.")
    question: str = Field("", description="What the table is asked, in a sentence.")


def table(scores: pl.DataFrame) -> pl.DataFrame:
    """Return collected scores under the names of the tidy table, which ``read`` takes back."""
    renamed = scores.rename({"arm": "intermediate", "params_total": "params"})
    kept = [name for name in COLUMNS if name in renamed.columns]
    return renamed.select(pl.col(name).cast(COLUMNS[name][0]) for name in kept)


def written(frame: pl.DataFrame, suffix: str) -> bytes:
    """Return a table as CSV, Parquet or Arrow IPC; raises ReportImpossible for another ending."""
    buffer = io.BytesIO()
    if suffix == ".csv":
        frame.write_csv(buffer)
    elif suffix == ".parquet":
        frame.write_parquet(buffer, compression="zstd", compression_level=3)
    elif suffix in (".arrow", ".ipc", ".feather"):
        frame.write_ipc(buffer)
    else:
        raise ReportImpossible(
            "A005", f"scores are not written as `{suffix}`", hint="name a .csv, .parquet or .arrow"
        )
    return buffer.getvalue()


def read(path: Path, *, published: bool = False) -> pl.DataFrame:
    """Read a tidy table and check every row; returns what ``analyse`` takes.

    Of ``published`` scores every row has a source, and may lack a seed (it is 0 then) and the
    number of parameters (such a model has no place on a size axis); parameters may be written as
    ``7.1B``, and a metric such as ``f1[zero-shot]`` has its protocol in brackets. Names are texts
    in them, and categories in all other tables, which may be long: see ``coding``.

    Raises ReportImpossible: A005 when the file cannot be read or lacks a column, A006 with the
    numbers of wrong rows. A CSV's rows are its lines, the head being line 1.
    """
    first = 2 if path.suffix == ".csv" else 1
    raw = _load(path)
    required = PUBLISHED if published else tuple(REQUIRED)
    absent = [name for name in required if name not in raw.columns]
    unknown = [name for name in raw.columns if name not in COLUMNS]
    if absent or unknown:
        what = f"lacks {', '.join(absent)}" if absent else f"has unknown {', '.join(unknown)}"
        raise ReportImpossible(
            "A005", f"the score table {what}", where=str(path),
            hint="its columns are " + ", ".join(COLUMNS),
        )  # fmt: skip
    texts = raw.select(
        name
        if raw.schema[name] == COLUMNS[name][0] != pl.String
        else pl.col(name).cast(pl.String).str.strip_chars().replace("", None)
        for name in raw.columns
    )
    if published:
        texts = _spelled(texts)
    cast = texts.select(pl.col(n).cast(COLUMNS[n][0], strict=False) for n in texts.columns)
    problems = _problems(texts, cast, first, required)
    if problems:
        more = [f"  and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        lines = [f"row {row}: {what}" for row, what in problems[:SHOWN]] + more
        raise ReportImpossible(
            "A006", f"{len(problems)} entries of the score table are wrong\n  "
            + "\n  ".join(lines), where=str(path), hint="mend these rows",
        )  # fmt: skip
    whole = _completed(cast, first, published)
    return whole if published else coded(whole)


def _load(path: Path) -> pl.DataFrame:
    try:
        if path.suffix == ".csv":
            return pl.read_csv(path, infer_schema=False)
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        if path.suffix in (".arrow", ".ipc", ".feather"):
            return pl.read_ipc(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ReportImpossible(
            "A005", f"no score table can be read: {first}", where=str(path),
            hint="give a CSV in UTF-8 or a Parquet file",
        ) from error  # fmt: skip
    raise ReportImpossible(
        "A005", f"scores are not read from `{path.suffix}`", where=str(path),
        hint="give a .csv, .parquet or .arrow",
    )  # fmt: skip


def _spelled(texts: pl.DataFrame) -> pl.DataFrame:
    """Return published scores with their parameters as numbers and their protocol in its column."""
    inside = pl.col("metric").str.extract(_BRACKET, 2).str.strip_chars().replace("", None)
    stated = pl.col("protocol") if "protocol" in texts.columns else pl.lit(None, dtype=pl.String)
    outside = pl.coalesce(pl.col("metric").str.extract(_BRACKET, 1), pl.col("metric"))
    texts = texts.with_columns(
        pl.concat_str(stated, inside, separator=", ", ignore_nulls=True)
        .replace("", None)
        .alias("protocol"),
        outside.replace("", None).alias("metric"),
        *(
            pl.col(name).map_elements(_whole, return_dtype=pl.String)
            for name in ("params", "params_nonembedding")
            if name in texts.columns
        ),
    )
    return texts if "seed" in texts.columns else texts.with_columns(pl.lit("0").alias("seed"))


def _whole(text: str) -> str:
    """Return a number of parameters such as ``7.1B`` in digits; other texts as they are."""
    found = _COUNT.fullmatch(text)
    if found is None:
        return text
    return str(round(float(found[1]) * 10 ** {"K": 3, "M": 6, "B": 9, "T": 12}[found[2].upper()]))


def _problems(
    texts: pl.DataFrame, cast: pl.DataFrame, first: int, required: tuple[str, ...]
) -> list[tuple[int, str]]:
    """Return every wrong entry as the number of its row and what is wrong, in order."""
    found: list[tuple[int, int, str]] = []

    def say(wrong: pl.Series, name: str, what: str) -> None:
        for row in wrong.fill_null(False).arg_true().to_list()[: SHOWN * 100]:
            value = texts[name][row]
            shown = "is empty" if value is None else f"`{str(value)[:40]}` {what}"
            found.append((row, list(COLUMNS).index(name), f"{name} {shown}"))

    for name in cast.columns:
        kind = COLUMNS[name][0]
        word = "is no whole number" if kind is pl.Int64 else "is no number"
        say(texts[name].is_not_null() & cast[name].is_null(), name, word)
        open_ = ("value", "intermediate") + (("params",) if "source" in required else ())
        if name in required and name not in open_:
            say(texts[name].is_null(), name, "")
    for name in ("value", "chance", "english_dev", "official"):
        if name in cast.columns:
            good = cast[name].is_between(0.0, 100.0)
            say(cast[name].is_not_null() & ~good, name, "is not from 0 to 100")
    for name in ("params", "params_nonembedding"):
        if name in cast.columns:
            say(cast[name] <= 0, name, "is not above zero")
    for name, words in (
        ("status", STATUSES), ("panel", PANELS), ("verified", VERIFIED)
    ):  # fmt: skip
        if name in cast.columns:
            wrong = cast[name].is_not_null() & ~cast[name].is_in(words)
            say(wrong, name, f"is none of {', '.join(words)}")
    if "status" in cast.columns:
        say(cast["value"].is_null() & (cast["status"] == "finished"), "value", "")
    return [(row + first, what) for row, _, what in sorted(found)]


def _completed(cast: pl.DataFrame, first: int, published: bool) -> pl.DataFrame:
    """Return the frame that the analysis takes: other names, and what is left out by default."""
    for name, (kind, _) in COLUMNS.items():
        if name not in cast.columns:
            cast = cast.with_columns(pl.lit(None, dtype=kind).alias(name))
    arm = pl.col("intermediate").fill_null(DIRECT)
    own = (pl.col("train_data") == arm).fill_null(False)
    known = pl.col("flags").fill_null("")
    flags = pl.when(own & ~known.str.contains("self_pair")).then(
        (known + ";self_pair").str.strip_chars(";")
    ).otherwise(known)  # fmt: skip
    row = pl.format("row {}", pl.int_range(pl.len()) + first)
    trace = pl.coalesce("stage", row) if published else pl.coalesce("stage", "source", row)
    return cast.select(
        "model",
        pl.col("family").fill_null("all").alias("family"),
        pl.col("params").alias("params_total"),
        pl.col("params_nonembedding").fill_null(pl.col("params")),
        arm.alias("arm"),
        "target",
        pl.col("panel").fill_null("trained"),
        "language",
        "seed",
        "metric",
        "value",
        pl.col("official").fill_null(pl.col("value")),
        "n",
        pl.col("chance").fill_null(0.0),
        pl.col("status").fill_null(
            pl.when(pl.col("value").is_null()).then(pl.lit("missing")).otherwise(pl.lit("finished"))
        ),
        pl.col("reason").fill_null(""),
        "english_dev",
        flags.alias("flags"),
        trace.alias("stage"),
        "protocol",
        "source",
        "verified",
    )


def as_plan(frame: pl.DataFrame, block: Block, name: str) -> Plan:
    """Return the plan that a table would have come from, as far as the table tells.

    Raises ReportImpossible (A007) when the table joins scores of several protocols: those are never
    one series.
    """
    protocols = frame["protocol"].drop_nulls().unique(maintain_order=True).to_list()
    if len(protocols) > 1 or (protocols and frame["protocol"].null_count()):
        raise ReportImpossible(
            "A007", "the table joins scores of several protocols: " + "; ".join(protocols),
            hint="make a table for each",
        )  # fmt: skip
    analysis = block.model_dump(mode="json", exclude={"title", "question"})
    models = {
        r["model"]: {
            "family": r["family"],
            "title": r["model"],
            "parameters": {
                "total": r["params_total"], "non_embedding": r["params_nonembedding"]
            },
        }
        for r in frame.select("model", "family", "params_total", "params_nonembedding")
        .unique("model", keep="first", maintain_order=True)
        .to_dicts()
    }  # fmt: skip
    arms = dict.fromkeys([DIRECT, *frame["arm"].unique(maintain_order=True).to_list()])
    tasks = frame.select("target", "panel", "metric", "chance")
    tasks = tasks.unique("target", keep="first", maintain_order=True)
    runs = frame.group_by("model", "arm", "target", "seed", maintain_order=True).agg(
        pl.col("language").unique(maintain_order=True), pl.col("stage").first(),
        pl.col("flags").first(),
    )  # fmt: skip
    unsaid = "a score table does not say which of the sizes differ in more than size"
    return Plan(
        study={
            "name": name,
            "question": block.question,
            "languages": frame["language"].unique(maintain_order=True).to_list(),
            "seeds": frame["seed"].unique().sort().to_list(),
            "analysis": analysis,
        },
        models=models,
        arms={a: {"title": "direct fine-tuning" if a == DIRECT else a} for a in arms},
        tasks={
            r["target"]: {
                "title": r["target"],
                "kind": "retrieval" if r["panel"] == "retrieval" else "sequence_classification",
                "metric": r["metric"],
                "chance": r["chance"],
            }
            for r in tasks.to_dicts()
        },
        recipes={},
        stages={},
        jobs=(),
        runs=tuple(
            Run(
                r["model"], r["arm"], r["target"], r["seed"], tuple(r["language"]), None,
                r["stage"], tuple(filter(None, r["flags"].split(";"))),
            )
            for r in runs.to_dicts()
        ),
        confounds=({"what": "not known", "detail": f"{unsaid}, data, steps, tuning or precision"},),
    )  # fmt: skip


def page(generated: str) -> str:
    """Write the reference page of the columns."""
    kinds: dict[type[pl.DataType], str] = {
        pl.String: "text", pl.Int64: "whole number", pl.Float64: "number"
    }  # fmt: skip
    rows = [
        f"| `{name}` | {kinds[kind]} | {'yes' if name in REQUIRED else 'no'} | {about} |"
        for name, (kind, about) in COLUMNS.items()
    ]
    return "\n".join(
        [
            "# The table of scores", "", generated, "",
            "One row for each score, finished or not: what `stiltscale scores` writes, and what "
            "`stiltscale analyse` reads as", "CSV, Parquet or Arrow. Columns may be in any order; "
            "no others are allowed. An empty entry is no value.", "",
            "| column | type | required | meaning |", "|---|---|---|---|", *rows, "",
        ]
    )  # fmt: skip
