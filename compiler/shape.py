"""What a job asks of a machine room: machines, processes, devices and time, read in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from compiler.plan import Job, Plan
from compiler.site import Site

LADDER = (15, 30, 60, 120, 240, 480, 720, 1440, 2880, 5760, 10080)
"""Time limits in minutes."""

CLASSES = (240, 1440)
"""Minutes up to which jobs share an array, whose limit is that of its longest: a short limit lets
Slurm fill gaps with short jobs, and few arrays keep its queue readable."""

LAYERS = {
    "bert": "BertLayer",
    "bloom": "BloomBlock",
    "deberta-v2": "DebertaV2Layer",
    "gemma3_text": "Gemma3DecoderLayer",
    "llama": "LlamaDecoderLayer",
    "mt5": "MT5Block",
    "qwen2": "Qwen2DecoderLayer",
    "qwen3": "Qwen3DecoderLayer",
    "xglm": "XGLMDecoderLayer",
    "xlm-roberta": "XLMRobertaLayer",
    "xlm-roberta-xl": "XLMRobertaXLLayer",
}
"""By model type: the layer that FSDP wraps, as Transformers names it."""


@dataclass(frozen=True, slots=True, order=True)
class Shape:
    """Resources of a job: machines, processes on each, how they share a model, and on what."""

    nodes: int
    per_node: int
    strategy: str
    device: str
    minutes: int

    @property
    def processes(self) -> int:
        """All processes of the job."""
        return self.nodes * self.per_node

    @property
    def words(self) -> str:
        """Name the shape, for files."""
        many = f"{self.nodes}x{self.per_node}" if self.nodes > 1 else str(self.per_node)
        return f"{many}{'' if self.device == 'cpu' else 'gpu'}"


def strategy_of(plan: Plan, job: Job) -> str:
    """Return how a job's processes share its model: ``single``, ``ddp`` or ``fsdp2``."""
    planned = plan.execution.get("resources", {})
    trained = {
        stage.model for stage in map(plan.stages.__getitem__, job.stages) if stage.kind == "train"
    }
    if any(plan.stages[key].kind == "train" and plan.stages[key].probe for key in job.stages):
        return "fsdp2"
    if any(str(planned[name]["strategy"]).startswith("fsdp2") for name in trained & planned.keys()):
        return "fsdp2"
    return "ddp" if job.processes > 1 else "single"


def shape(plan: Plan, job: Job, site: Site | None = None) -> Shape:
    """Return what a job asks for.

    Raises ValueError when its processes cannot be divided evenly among machines: Accelerate would
    round down without a word.
    """
    per_node = int(plan.execution.get("devices_per_node", 1))
    if plan.execution.get("device") == "cpu" and any(plan.stages[k].probe for k in job.stages):
        per_node = max(per_node, job.processes)  # which share the machine's one CPU
    nodes = -(-job.processes // per_node)
    if job.processes % nodes:
        raise ValueError(f"{job.name}: {job.processes} processes do not fill {nodes} machines")
    device = "gpu" if plan.execution.get("device") == "cuda" else "cpu"
    limit = minutes(job, site or Site())
    return Shape(nodes, job.processes // nodes, strategy_of(plan, job), device, limit)


def minutes(job: Job, site: Site) -> int:
    """Return a job's time limit: its estimate with a margin, or what the site says without one."""
    found = site.minutes
    if job.seconds is not None:
        wanted = (site.headroom * job.seconds + site.notice_seconds) / 60
        found = next(
            (step for step in LADDER if step >= wanted), -(-int(wanted + 1) // 1440) * 1440
        )
    return min(found, site.most_minutes or found)


def class_of(limit: int) -> int:
    """Return the longest limit of the jobs that one with such a limit shares an array with."""
    return next((step for step in CLASSES if limit <= step), LADDER[-1])


def layer(plan: Plan, job: Job) -> str | None:
    """Return the layer of a job's models that FSDP wraps; None where it is not known here.

    Accelerate then asks the model itself.
    """
    names = {plan.stages[key].model for key in job.stages}
    kinds: set[Any] = set()
    for name in names:
        kinds.add((plan.models[name].get("architecture") or {}).get("model_type"))
    found = {LAYERS.get(kind) for kind in kinds}
    return found.pop() if len(found) == 1 else None
