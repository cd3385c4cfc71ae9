"""Sends what a training says of itself to the trackers that the study names, by Accelerate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from compiler.plan import Plan, Stage

Log = Callable[[Mapping[str, Any]], None]


@contextmanager
def tracked(accelerator: Accelerator, plan: Plan, stage: Stage, folder: Path) -> Iterator[Log]:
    """Give a function that logs a training's progress: ``step``, ``loss`` and other numbers.

    One run for each training or pretraining stage, under ``folder``, named by the stage's key;
    Weights & Biases and MLflow also follow their environment variables, such as ``WANDB_MODE``.
    Other stages, and studies without `tracking`, log nothing. Raises RuntimeError when a tracker
    that the study names is not installed: Accelerate would leave it out without a word.
    """
    names = list(plan.execution.get("tracking", ()))
    if not names or stage.kind not in ("pretrain", "train"):
        yield lambda _progress: None
        return
    found = [str(getattr(name, "value", name)) for name in accelerator.log_with]
    absent = [name for name in names if name not in found]
    if absent:
        raise RuntimeError(f"not installed here: {', '.join(absent)}, which the study tracks with")
    accelerator.project_configuration.logging_dir = str(folder / stage.key)
    name = {"name": stage.key}
    run = {"wandb": name, "trackio": name, "mlflow": {"run_name": stage.key}}
    accelerator.init_trackers(
        plan.name,
        config={"stage": stage.key, "model": stage.model, "task": stage.task},
        init_kwargs={name: run[name] for name in names if name in run},
    )

    def log(progress: Mapping[str, Any]) -> None:
        values = {k: v for k, v in progress.items() if k != "step" and isinstance(v, (int, float))}
        accelerator.log(values, step=progress.get("step"))

    try:
        yield log
    finally:
        for tracker in accelerator.trackers:  # `end_training` would end the process group too
            tracker.finish()
        accelerator.trackers.clear()
