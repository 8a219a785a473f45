"""How a map lies in a tensor, and how to turn it into (B, C, H, W) and back."""

from __future__ import annotations

import math
from collections.abc import Callable
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
        kind: ``map`` (B, C, H, W), ``grid`` (B, H, W, C) or ``tokens`` (B, prefix + H * W, C).
        channels: C.
        height: H on the example.
        width: W on the example.
        prefix: Class and register tokens in front of the positions; they are left alone.
        first: For a map that is joined with others: the channel at which it begins.
        within: Channels of all of them; 0 for a map that is alone.
    """

    kind: Kind
    channels: int
    height: int
    width: int
    prefix: int = 0
    first: int = 0
    within: int = 0

    def apply(self, x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Return ``x`` with ``function``, map to map, applied to its positions."""
        if self.within:
            before, own, behind = x.split(self._split, dim=1)
            return _laid_out_as(x, torch.cat((before, function(own), behind), dim=1))
        if self.kind == "map":
            return function(x)
        if self.kind == "grid":
            return function(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        refined = function(self.as_map(x)).flatten(2).transpose(1, 2)
        return torch.cat((x[:, : self.prefix], refined), dim=1) if self.prefix else refined

    def as_map(self, x: Tensor) -> Tensor:
        """Return the positions of ``x`` as a map (B, C, H, W)."""
        if self.within:
            return x.split(self._split, dim=1)[1]
        if self.kind == "map":
            return x
        if self.kind == "grid":
            return x.permute(0, 3, 1, 2)
        height, width = self.grid_of(x.shape[1] - self.prefix)
        return x[:, self.prefix :].transpose(1, 2).unflatten(2, (height, width))

    @property
    def _split(self) -> list[int]:
        """The channels before the map, its own, and those behind it."""
        return [self.first, self.channels, self.within - self.first - self.channels]

    def grid_of(self, positions: int) -> tuple[int, int]:
        """Return rows and columns of ``positions`` tokens: as on the example, or nearest to its aspect.

        Raises:
            ShapeError: There are not enough tokens for one position.
        """
        if positions == self.height * self.width:
            return self.height, self.width
        if positions < 1:
            raise ShapeError(
                f"got {positions + self.prefix} tokens, expected more than the prefix of {self.prefix}"
            )
        rows = [n for n in range(1, positions + 1) if positions % n == 0]
        wanted = math.log(self.height / self.width)
        height = min(rows, key=lambda n: abs(math.log(n * n / positions) - wanted))
        return height, positions // height


def _laid_out_as(x: Tensor, y: Tensor) -> Tensor:
    """Return ``y`` in the memory format of ``x``: what follows then computes the same, to the bit."""
    if x.ndim == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last):
        return y.contiguous(memory_format=torch.channels_last)
    return y
