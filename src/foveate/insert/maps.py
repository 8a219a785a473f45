"""Which of the tensors that flow through a model are maps, and where their channels lie."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

from foveate.insert.layout import Layout
from foveate.insert.probe import SIGNAL_LAYERS, Call, Key, Probe

_MOST_PREFIX = 16  # class, distillation and register tokens in front of the positions
_CHANNELS_FIRST = (
    nn.Conv2d,
    nn.ConvTranspose2d,
    nn.BatchNorm2d,
    nn.GroupNorm,
    nn.InstanceNorm2d,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.Conv3d,
    nn.ConvTranspose3d,
    nn.BatchNorm3d,
    nn.InstanceNorm3d,
    nn.MaxPool3d,
    nn.AvgPool3d,
    nn.AdaptiveAvgPool3d,
    nn.AdaptiveMaxPool3d,
    *SIGNAL_LAYERS,
)


@dataclass(frozen=True)
class _Grid:
    """The size of a map that tokens may have come from."""

    made: int
    size: tuple[int, ...]


class Maps:
    """The layouts of all tensors of one run.

    Channels-first or channels-last is told by the layers that made or took the tensor; a tensor that no
    telling layer touched is laid out as the others of its shape.
    """

    def __init__(self, notes: Probe) -> None:
        self.rank = notes.rank
        self.batch = notes.batch.shape[0] if notes.batch.ndim == 2 + notes.rank else 1
        self._by_key: dict[Key, bool] = {}
        self._by_shape: dict[tuple[int, ...], bool] = {}
        self._grids: list[_Grid] = []
        for call in notes.calls.values():
            self._learn(call)
        for call in notes.calls.values():
            self._remember_grid(call)

    def output(self, call: Call) -> Layout | None:
        """Return the layout of what came out of ``call``, None if that is no map."""
        if call.output is None or not call.plain:
            return None
        return self.of(call.output, call.output_key, call.ended)

    def input(self, call: Call) -> Layout | None:
        """Return the layout of the first tensor that went into ``call``, None if that is no map."""
        return self.of(call.inputs[0][2], call.inputs[0][1], call.started) if call.inputs else None

    def of(self, tensor: Tensor, key: Key, seen: int) -> Layout | None:
        """Return the layout of a tensor that was seen at a time, None if it is no map."""
        if not tensor.is_floating_point():
            return None
        told = self._by_key.get(key, self._by_shape.get(tuple(tensor.shape)))
        if tensor.ndim in self._axes and (tensor.ndim > 3 or told is False):
            if told:
                return Layout.of("grid", tensor.shape[-1], tensor.shape[1:-1])
            return Layout.of("map", tensor.shape[1], tensor.shape[2:])
        return self._tokens(tensor, seen) if tensor.ndim == 3 else None

    @property
    def _axes(self) -> tuple[int, ...]:
        """How many axes a map can have: those of an image, and those of what comes in."""
        return (4, 2 + self.rank)

    def _learn(self, call: Call) -> None:
        """Note what a telling layer says about what it took and what it made."""
        last = _channels_last(call)
        if last is None:
            return
        tensors = [(key, tensor) for _, key, tensor in call.inputs[:1]]
        if call.output is not None:
            tensors.append((call.output_key, call.output))
        for key, tensor in tensors:
            if tensor.ndim in self._axes:
                self._by_key.setdefault(key, last)
                self._by_shape.setdefault(tuple(tensor.shape), last)

    def _remember_grid(self, call: Call) -> None:
        """Tokens of a video come from volumes; what has four axes there are the weights of heads."""
        if call.output is None or call.output.ndim not in self._axes or call.output.shape[0] != self.batch:
            return
        if self.rank == 3 and call.output.ndim == 4:
            return
        layout = self.of(call.output, call.output_key, call.ended)
        if layout is not None and layout.kind != "tokens" and layout.positions > 1:
            self._grids.append(_Grid(call.ended, layout.size))

    def _tokens(self, tensor: Tensor, seen: int) -> Layout | None:
        """Lay tokens out on the latest map before them that has nearly as many positions."""
        if tensor.shape[0] != self.batch:
            return None
        count = tensor.shape[1]
        for grid in reversed(self._grids):
            prefix = count - math.prod(grid.size)
            if grid.made <= seen and 0 <= prefix <= min(_MOST_PREFIX, count // 2):
                return Layout.of("tokens", tensor.shape[2], grid.size, prefix=prefix)
        return None


def _channels_last(call: Call) -> bool | None:
    """Return whether a layer takes channels last, None if it does not tell."""
    if not call.inputs:
        return None
    shape, module = call.inputs[0][2].shape, call.module
    if isinstance(module, _CHANNELS_FIRST):
        return False
    if not 3 <= len(shape) <= 5:
        return None
    if isinstance(module, nn.Linear):
        return True
    if isinstance(module, nn.LayerNorm):
        channels = module.normalized_shape[-1]
        return shape[-1] == channels and "2d" not in type(module).__name__.lower()
    return None
