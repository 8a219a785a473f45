"""How a map, a signal or a volume lies in a tensor, and how to lay its channels first and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from foveate.errors import ShapeError
from foveate.mechanisms.kernels.eager_cpu import traced

Kind = Literal["map", "grid", "tokens", "flat", "sequence"]


@dataclass(frozen=True)
class Layout:
    """Where channels and positions lie.

    Args:
        kind: ``map`` (B, C, H, W), ``grid`` (B, H, W, C), ``tokens`` (B, prefix + H * W + suffix, C),
            ``flat`` (B, C, H * W) or ``sequence`` (H * W, B, C). A volume has D before H, a
            signal has W alone.
        channels: C.
        height: H on the example; 1 for a signal.
        width: W on the example.
        prefix: Class and register tokens in front of the positions; they are left alone.
        first: For a map that is joined with others: the channel at which it begins.
        within: Channels of all of them; 0 for a map that is alone.
        suffix: Tokens behind the positions; they are left alone.
        parts: For positions in another order than row by row, such as window by window: the sizes of the
            axes that they are split into, as they lie. They may take several axes of the tensor.
        order: Which of ``parts`` comes first, second ... row by row.
        depth: D on the example; 1 for what is not a volume.
        dims: Axes of the positions: 1 for a signal, 2 for a map, 3 for a volume.
    """

    kind: Kind
    channels: int
    height: int
    width: int
    prefix: int = 0
    first: int = 0
    within: int = 0
    suffix: int = 0
    parts: tuple[int, ...] = ()
    order: tuple[int, ...] = ()
    depth: int = 1
    dims: int = 2

    @classmethod
    def of(cls, kind: Kind, channels: int, size: Sequence[int], **part: Any) -> Layout:
        """Return the layout of a map with so many positions along each of its axes."""
        depth, height, width = [1] * (3 - len(size)) + list(size)
        return cls(kind, channels, height, width, depth=depth, dims=len(size), **part)

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
            return _with_strides(x, function(x))
        refined = function(self.as_map(x))
        if self.kind == "grid":
            return _laid_out_as(x, refined.movedim(1, -1))
        tokens, places = self._in_line(x), self._in_order(refined.flatten(2).transpose(1, 2), back=True)
        if self.prefix or self.suffix:
            end = tokens.shape[1] - self.suffix
            places = torch.cat((tokens[:, : self.prefix], places, tokens[:, end:]), dim=1)
        if self.kind in _TURNED:
            places = places.transpose(*_TURNED[self.kind])
        return _laid_out_as(x, places.reshape(x.shape))

    def as_map(self, x: Tensor) -> Tensor:
        """Return the positions of ``x`` with the channels first, as a map (B, C, H, W)."""
        if self.within:
            return x.split(self._split, dim=1)[1]
        if self.kind == "map":
            return x
        if self.kind == "grid":
            return x.movedim(-1, 1)
        tokens = self._in_line(x)
        count = tokens.shape[1] - self.prefix - self.suffix
        size = self.grid_of(count)
        tokens = self._in_order(tokens[:, self.prefix : self.prefix + count])
        return tokens.transpose(1, 2).unflatten(2, size)

    @property
    def _split(self) -> list[int]:
        """The channels before the map, its own, and those behind it."""
        return [self.first, self.channels, self.within - self.first - self.channels]

    def _in_line(self, x: Tensor) -> Tensor:
        """Return all tokens as (B, N, C)."""
        return x.transpose(*_TURNED[self.kind]) if self.kind in _TURNED else x.flatten(1, -2)

    def _in_order(self, x: Tensor, back: bool = False) -> Tensor:
        """Return positions (B, N, C) row by row, or put those back as they lay."""
        if not self.parts:
            return x
        sizes = [self.parts[n] for n in self.order] if back else self.parts
        order = [self.order.index(n) for n in range(len(sizes))] if back else self.order
        return x.unflatten(1, sizes).permute(0, *(n + 1 for n in order), -1).flatten(1, -2)

    def grid_of(self, positions: int) -> tuple[int, ...]:
        """Return rows and columns of ``positions`` tokens: as on the example, or nearest to its aspect.

        Of a volume with as many slices as on the example, or, if these do not fit, one.

        Raises:
            ShapeError: There are not enough tokens for one position, or others than on the example where
                their order depends on their number.
        """
        if positions == self.positions:
            return self.size
        if positions < 1:
            raise ShapeError(
                f"got {positions + self.prefix} tokens, expected more than the prefix of {self.prefix}"
            )
        if self.parts:
            raise ShapeError(
                f"got {positions} tokens, expected {self.positions} as on the example: here they "
                "are not in the order of rows, so that only images of the example's size can be taken. "
                "Insert with an example of this size"
            )
        if self.dims == 1:
            return (positions,)
        depth = self.depth if positions % self.depth == 0 else 1
        in_slice = positions // depth
        rows = [n for n in range(1, in_slice + 1) if in_slice % n == 0]
        wanted = math.log(self.height / self.width)
        height = min(rows, key=lambda n: abs(math.log(n * n / in_slice) - wanted))
        return ((depth,) if self.dims == 3 else ()) + (height, in_slice // height)


_TURNED: dict[str, tuple[int, int]] = {"flat": (1, 2), "sequence": (0, 1)}  # what makes them (B, N, C)


def _laid_out_as(x: Tensor, y: Tensor) -> Tensor:
    """Return ``y`` in the memory format of ``x``: what follows then computes the same, to the bit."""
    if x.is_contiguous():
        y = y.contiguous()
    elif x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last):
        y = y.contiguous(memory_format=torch.channels_last)
    return _with_strides(x, y)


def _with_strides(x: Tensor, y: Tensor) -> Tensor:
    """Return ``y`` with the strides that ``x`` has along axes of size 1: kernels are chosen by these too."""
    if traced(x) or x.shape != y.shape or x.stride() == y.stride():
        return y
    pairs = zip(x.shape, x.stride(), y.stride(), strict=True)
    same = all(size == 1 or theirs == ours for size, theirs, ours in pairs)
    return y.as_strided(x.shape, x.stride()) if same else y
