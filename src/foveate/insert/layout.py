"""How a map, a signal or a volume lies in a tensor, and how to lay its channels first and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from foveate.errors import ShapeError

Kind = Literal["map", "grid", "tokens"]


@dataclass(frozen=True)
class Layout:
    """Where channels and positions lie.

    Args:
        kind: ``map`` (B, C, H, W), ``grid`` (B, H, W, C) or ``tokens`` (B, prefix + H * W, C). A volume has
            D before H, a signal has W alone.
        channels: C.
        height: H on the example; 1 for a signal.
        width: W on the example.
        prefix: Class and register tokens in front of the positions; they are left alone.
        first: For a map that is joined with others: the channel at which it begins.
        within: Channels of all of them; 0 for a map that is alone.
        depth: D on the example; 1 for what is no volume.
        dims: Axes of the positions: 1 for a signal, 2 for a map, 3 for a volume.
    """

    kind: Kind
    channels: int
    height: int
    width: int
    prefix: int = 0
    first: int = 0
    within: int = 0
    depth: int = 1
    dims: int = 2

    @classmethod
    def of(cls, kind: Kind, channels: int, size: Sequence[int], *, prefix: int = 0, **part: int) -> Layout:
        """Return the layout of a map with so many positions along each of its axes."""
        depth, height, width = [1] * (3 - len(size)) + list(size)
        return cls(kind, channels, height, width, prefix, depth=depth, dims=len(size), **part)

    @property
    def size(self) -> tuple[int, ...]:
        """The positions along each axis, on the example."""
        return (self.depth, self.height, self.width)[3 - self.dims :]

    @property
    def positions(self) -> int:
        """The number of positions on the example."""
        return self.depth * self.height * self.width

    def apply(self, x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Return ``x`` with ``function``, map to map, applied to its positions."""
        if self.within:
            before, own, behind = x.split(self._split, dim=1)
            return _laid_out_as(x, torch.cat((before, function(own), behind), dim=1))
        if self.kind == "map":
            return function(x)
        if self.kind == "grid":
            return function(x.movedim(-1, 1)).movedim(1, -1)
        refined = function(self.as_map(x)).flatten(2).transpose(1, 2)
        return torch.cat((x[:, : self.prefix], refined), dim=1) if self.prefix else refined

    def as_map(self, x: Tensor) -> Tensor:
        """Return the positions of ``x`` with the channels first, as a map (B, C, H, W)."""
        if self.within:
            return x.split(self._split, dim=1)[1]
        if self.kind == "map":
            return x
        if self.kind == "grid":
            return x.movedim(-1, 1)
        laid = x[:, self.prefix :].transpose(1, 2)
        return laid if self.dims == 1 else laid.unflatten(2, self.grid_of(x.shape[1] - self.prefix))

    @property
    def _split(self) -> list[int]:
        """The channels before the map, its own, and those behind it."""
        return [self.first, self.channels, self.within - self.first - self.channels]

    def grid_of(self, positions: int) -> tuple[int, ...]:
        """Return rows and columns of ``positions`` tokens: as on the example, or nearest to its aspect.

        Of a volume with as many slices as on the example, or, if these do not fit, one.

        Raises:
            ShapeError: There are not enough tokens for one position.
        """
        if positions == self.positions:
            return self.size
        if positions < 1:
            raise ShapeError(
                f"got {positions + self.prefix} tokens, expected more than the prefix of {self.prefix}"
            )
        depth = self.depth if positions % self.depth == 0 else 1
        in_slice = positions // depth
        rows = [n for n in range(1, in_slice + 1) if in_slice % n == 0]
        wanted = math.log(self.height / self.width)
        height = min(rows, key=lambda n: abs(math.log(n * n / in_slice) - wanted))
        return ((depth,) if self.dims == 3 else ()) + (height, in_slice // height)


def _laid_out_as(x: Tensor, y: Tensor) -> Tensor:
    """Return ``y`` in the memory format of ``x``: what follows then computes the same, to the bit."""
    if x.ndim == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last):
        return y.contiguous(memory_format=torch.channels_last)
    return y
