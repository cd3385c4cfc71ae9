"""Sentence vectors of an encoder: of every layer for short lists, of one layer for long ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from runtime.batches import pad
from runtime.mining import Writer, load
from runtime.model import pool, width


class _Reached(Exception):
    """Ends a pass through the layers where no more of them are wanted."""


@dataclass(frozen=True)
class Encoder:
    """A backbone as it stands, and how sentences become vectors.

    ``scratch`` gives a folder for the vectors of a long list.
    """

    backbone: nn.Module
    pooling: str
    pad: int
    batch: int
    device: torch.device
    scratch: Callable[[str], Path]

    @property
    def layers(self) -> int:
        """The number of layers."""
        return int(self.backbone.config.get_text_config().num_hidden_layers)  # type: ignore[union-attr,operator]

    @property
    def width(self) -> int:
        """The size of a vector."""
        return width(self.backbone)

    @torch.inference_mode()
    def every_layer(self, sequences: Sequence[Sequence[int]]) -> list[Tensor]:
        """Return vectors (sentences, width) after the embeddings and after each layer."""
        layers: list[list[Tensor]] = []
        order = []
        for rows, ids, mask in self._batches(sequences):
            states = self.backbone(
                input_ids=ids, attention_mask=mask, output_hidden_states=True
            ).hidden_states
            layers.append([pool(state, mask, self.pooling).float().cpu() for state in states])
            order += rows
        back = torch.empty(len(order), dtype=torch.long)
        back[torch.tensor(order)] = torch.arange(len(order))
        return [torch.cat(chunks)[back] for chunks in zip(*layers, strict=True)]

    @torch.inference_mode()
    def one_layer(
        self, sequences: Sequence[Sequence[int]], layer: int, name: str
    ) -> NDArray[np.float16]:
        """Return vectors of length 1 after a layer, as float16 in a memory map on the disk.

        They are ``every_layer(sequences)[layer]``, and the layers above are not computed. ``name``
        tells them from other ones; asked for again, it is overwritten.
        """
        path = self.scratch(name) / "vectors.npy"
        with Writer(path, len(sequences), width(self.backbone)) as file:
            for rows, ids, mask in self._batches(sequences):
                file.put(rows, pool(self._states(ids, mask, layer), mask, self.pooling))
        return load(path)

    @torch.inference_mode()
    def all_layers(
        self, sequences: Sequence[Sequence[int]], name: str
    ) -> list[NDArray[np.float16]]:
        """Return what ``one_layer`` does of every layer, the embeddings first, in one pass."""
        folder, size = self.scratch(name), width(self.backbone)
        paths = [folder / f"{layer}.npy" for layer in range(self.layers + 1)]
        with ExitStack() as stack:
            files = [stack.enter_context(Writer(path, len(sequences), size)) for path in paths]
            for rows, ids, mask in self._batches(sequences):
                states = self.backbone(
                    input_ids=ids, attention_mask=mask, output_hidden_states=True
                ).hidden_states
                for file, state in zip(files, states, strict=True):
                    file.put(rows, pool(state, mask, self.pooling))
        return [load(path) for path in paths]

    def _batches(
        self, sequences: Sequence[Sequence[int]]
    ) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        order = sorted(range(len(sequences)), key=lambda i: -len(sequences[i]))
        self.backbone.eval()
        for start in range(0, len(order), self.batch):
            rows = order[start : start + self.batch]
            ids, mask = pad([sequences[i] for i in rows], self.pad)
            yield rows, ids.to(self.device), mask.to(self.device)

    def _states(self, ids: Tensor, mask: Tensor, layer: int) -> Tensor:
        """Return the hidden states after a layer: what the next one is given, or the last ones."""
        if layer == self.layers:
            states: Tensor = self.backbone(input_ids=ids, attention_mask=mask).last_hidden_state
            return states
        caught: list[Tensor] = []

        def catch(_module: nn.Module, words: tuple[Any, ...], named: dict[str, Any]) -> None:
            caught.append(words[0] if words else named["hidden_states"])
            raise _Reached

        hook = self._blocks()[layer].register_forward_pre_hook(catch, with_kwargs=True)
        try:
            self.backbone(input_ids=ids, attention_mask=mask)
        except _Reached:
            return caught[0]
        finally:
            hook.remove()
        raise ValueError(f"layer {layer} was passed by: the layers of this model are not in order")

    def _blocks(self) -> nn.ModuleList:
        for module in self.backbone.modules():
            if isinstance(module, nn.ModuleList) and len(module) == self.layers:
                return module
        raise ValueError(f"a model with {self.layers} layers has no list of that length")
