"""Traces what a model costs to train on tensors without storage, from its architecture alone."""

from __future__ import annotations

import contextlib
import importlib.metadata
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from compiler.entries import Adapter, Model
from compiler.identity import digest
from compiler.resources import SCHEMA, Resources, Terms, Trace, Traced, fingerprint, key
from runtime import adapters

VOCABULARY = 64
"""Tokens of a traced model: its embeddings are counted apart, as they are no part of a layer."""

POINTS = ((1, 64), (64, 64), (8, 512))
"""Sequences and their length that are traced: few subwords, and as many cut in two ways."""

ON_CPU = 2_000_000_000
"""Weights up to which a model is traced as on a CPU too."""


DEPTH = ("num_hidden_layers", "n_layer", "num_layers", "layer_types")
"""Fields of architectures that say how many layers there are."""


def trace(model: Model) -> Traced:
    """Trace a model of a catalog that has an architecture.

    One and two of its layers are traced: memory and operations are linear in the layers, as these
    are alike (the layers of Gemma 3 differ in which tokens they see, which changes neither). They
    are linear too in sequences x length and in sequences x length^2, so that three `POINTS` tell
    all. Raises ValueError when the model has no architecture.
    """
    if not model.architecture:
        raise ValueError(f"`{model.name}` has no `architecture`, from which it could be traced")
    config = configuration(model)
    counts = counted(config)
    devices = ("cpu", "cuda") if counts["total"] < ON_CPU else ("cuda",)
    ways = [
        (device, precision, tuning)
        for device in devices
        for precision in ("fp32", *(("bf16",) if device == "cuda" else ()))
        for tuning in ("full", "lora")
    ]
    traces = {key(*way): _trace(config, *way) for way in ways}
    return Traced(
        architecture=fingerprint(model),
        **{name: counts[name] for name in Traced.model_fields if name in counts},
        traces=traces,
    )


def traced_family(name: str, members: tuple[Model, ...], say: Callable[[str], None]) -> Resources:
    """Trace the members of a family that have an architecture."""
    found: dict[str, Traced] = {}
    alike: dict[str, Traced] = {}
    for model in members:
        if not model.architecture:
            continue
        kind = digest({k: v for k, v in model.architecture.items() if k not in DEPTH})
        if kind in alike:  # only cut elsewhere: a layer costs the same
            counts = counted(configuration(model)) | {"architecture": fingerprint(model)}
            fields = {k: v for k, v in counts.items() if k in Traced.model_fields}
            found[model.name] = alike[kind].model_copy(update=fields)
        else:
            say(model.name)
            found[model.name] = alike[kind] = trace(model)
    versions = {x: importlib.metadata.version(x).split("+")[0] for x in ("torch", "transformers")}
    return Resources(schema=SCHEMA, family=name, versions=versions, models=found)


def configuration(model: Model) -> Any:
    """Return the Transformers configuration of a catalog's model, cut to the layers it keeps."""
    from transformers import AutoConfig

    fields = {k: v for k, v in model.architecture.items() if k != "model_type"}
    config = AutoConfig.for_model(str(model.architecture["model_type"]), **fields)
    return cut(config, model.layers or config.get_text_config().num_hidden_layers)


def cut(config: Any, layers: int, vocabulary: int | None = None) -> Any:
    """Return a copy of a configuration with other numbers of layers and of tokens."""
    import copy

    changed = copy.deepcopy(config)
    text = changed.get_text_config()
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:layers]
    text.num_hidden_layers = layers
    if vocabulary is not None:
        text.vocab_size = vocabulary
    return changed


def build(config: Any) -> nn.Module:
    """Return the backbone of a configuration with random weights, as `runtime.model` loads it."""
    from transformers import AutoModel, AutoModelForTextEncoding

    kind = AutoModelForTextEncoding if config.is_encoder_decoder else AutoModel
    if config.model_type == "mt5":  # the catalog describes its encoder
        kind = AutoModelForTextEncoding
    made: Any = kind.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    if isinstance(getattr(made, "pooler", None), nn.Module):
        made.pooler = None
    found: nn.Module = made
    return found


def step(
    config: Any, device: str, precision: str, tuning: str, b: int, s: int, *, twice: bool = False
) -> dict[str, int]:
    """Trace one micro-batch of a training whose gradients are there already; return bytes.

    ``saved`` is what is kept at the end of the way forth, ``peak`` the most that is there beside
    weights and gradients, ``forward`` and ``flops`` the operations of the way forth and of both.
    """
    with torch.device("meta"):
        backbone: Any = build(config)
        adapters.attach(backbone, _tuned(tuning))
    with FakeTensorMode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that Transformers will change
        _fake(backbone)
        backbone.train()
        if twice:
            backbone.gradient_checkpointing_enable({"use_reentrant": False})
        for parameter in backbone.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
        ids = torch.ones(b, s, dtype=torch.long)
        mask = torch.ones_like(ids)
        memory, counter = MemTracker(), FlopCounterMode(display=False)
        memory.track_external(backbone)
        kernel = fused() if device == "cuda" else contextlib.nullcontext()
        with memory, counter, kernel:
            before = _total(memory, "current")
            with torch.autocast("cpu", torch.bfloat16, enabled=precision != "fp32"):
                hidden = backbone(input_ids=ids, attention_mask=mask).last_hidden_state
            saved, forward = _total(memory, "current") - before, int(counter.get_total_flops())
            hidden.backward(torch.zeros_like(hidden))
        peak = _total(memory, "peak") - before
    return {
        "saved": saved,
        "peak": peak,
        "forward": forward,
        "flops": int(counter.get_total_flops()),
    }


@contextlib.contextmanager
def fused() -> Iterator[None]:
    """Let attention be computed by the kernel that CUDA devices have for padded sequences.

    It keeps no matrix of length x length of each head, which the CPU's does where there is dropout.
    """

    def attention(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
        shared = query.shape[1] // key.shape[1]
        if shared > 1:
            key, value = (x.repeat_interleave(shared, 1) for x in (key, value))
        bias = None
        if attn_mask is not None:
            bias = torch.zeros(attn_mask.shape, dtype=query.dtype)
            bias = bias.expand(*query.shape[:3], key.shape[2])
        kernel = torch.ops.aten._scaled_dot_product_efficient_attention
        found: Tensor = kernel(query, key, value, bias, True, dropout_p, is_causal, scale=scale)[0]
        return found

    usual = functional.scaled_dot_product_attention
    functional.scaled_dot_product_attention = attention
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = usual


def _fake(module: nn.Module) -> None:
    """Give a module of the meta device tensors that say they are on the CPU, in place.

    Its own `to` would swap them, which tensors without storage do not allow. Frozen weights become
    buffers: the tracker hangs a hook on every parameter, and without a gradient there is none.
    """
    for part in module.modules():
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)
        for name, old in list(part._parameters.items()):
            if old is None:
                continue
            new = torch.empty(old.shape, dtype=old.dtype)
            if old.requires_grad:
                part._parameters[name] = nn.Parameter(new)
            else:
                del part._parameters[name]
                part.register_buffer(name, new)


def _tuned(tuning: str) -> Mapping[str, Any]:
    if tuning == "full":
        return {"tuning": "full"}
    return {"tuning": "lora", "adapter": Adapter.model_validate({}).model_dump()}


def _total(memory: MemTracker, which: str) -> int:
    snapshot = memory.get_tracker_snapshot(which)
    return sum(int(sizes["Total"]) for sizes in snapshot.values())


def _trace(config: Any, device: str, precision: str, tuning: str) -> Trace:
    known = int(getattr(config.get_text_config(), "max_position_embeddings", 0) or POINTS[2][1])
    points = tuple((b, min(s, known - 2)) for b, s in POINTS)
    one, two = (
        [step(cut(config, depth, VOCABULARY), device, precision, tuning, b, s) for b, s in points]
        for depth in (1, 2)
    )
    first, both = (
        {k: _fit(points, [p[k] for p in row]) for k in ("saved", "flops", "forward")}
        for row in (one, two)
    )
    layer = {k: [y - x for x, y in zip(first[k], both[k], strict=True)] for k in first}
    base = {k: [x - y for x, y in zip(first[k], layer[k], strict=True)] for k in first}
    return Trace(
        saved_base=_rounded(base["saved"]),
        saved_layer=_rounded(layer["saved"]),
        transient=_rounded(_transient(points, [p["peak"] - p["saved"] for p in two])),
        flops_base=_rounded(base["flops"]),
        flops_layer=_rounded(layer["flops"]),
        forward_layer=_rounded(layer["forward"]),
    )


def _fit(points: tuple[tuple[int, int], ...], values: list[int]) -> list[float]:
    """Return the coefficients of 1, b s and b s^2 that give the values at three points."""
    matrix = torch.tensor([[1.0, b * s, b * s * s] for b, s in points], dtype=torch.float64)
    solved = torch.linalg.solve(matrix, torch.tensor(values, dtype=torch.float64))
    found: list[float] = solved.tolist()
    return found


def _transient(points: tuple[tuple[int, int], ...], values: list[int]) -> list[float]:
    """Return coefficients of a bound: what little needs, and what much needs, together.

    With few subwords the gradients of weights decide, with many those of activations; between the
    two the peak is at most their sum.
    """
    (_, *rest), (floor, *much) = points, values
    matrix = torch.tensor([[float(b * s), b * s * s] for b, s in rest], dtype=torch.float64)
    linear, square = torch.linalg.solve(matrix, torch.tensor(much, dtype=torch.float64)).tolist()
    return [float(floor), max(0.0, linear), max(0.0, square)]


def _rounded(terms: list[float]) -> Terms:
    """Round to six digits; what is left of a term that is zero becomes so."""
    constant, linear, square = (float(f"{term:.6g}") if abs(term) > 1e-3 else 0.0 for term in terms)
    return constant, linear, square


def counted(config: Any) -> dict[str, int]:
    """Count weights: of the whole, of a layer, of its linear parts, and of adapters beside them."""
    layers = config.get_text_config().num_hidden_layers
    with torch.device("meta"):
        whole: Any = build(config)
        adapted: Any = build(cut(config, 1, VOCABULARY))
    total = sum(p.numel() for p in whole.parameters())
    stack = max((m for m in whole.modules() if isinstance(m, nn.ModuleList)), key=len)
    one = sum(p.numel() for p in stack[-1].parameters())
    linear = [m.weight.numel() for m in stack[-1].modules() if isinstance(m, nn.Linear)]
    tokens = whole.get_input_embeddings().weight.numel()
    with torch.device("meta"):
        adapters.attach(adapted, _tuned("lora"))
    extra = sum(p.numel() for name, p in adapted.named_parameters() if adapters.is_adapter(name))
    return {
        "total": total,
        "layers": layers,
        "width": int(config.get_text_config().hidden_size),
        "tokens": tokens,
        "layer": one,
        "base": total - tokens - layers * one,
        "linear": sum(linear),
        "largest": max(linear),
        "adapter": extra,
    }
