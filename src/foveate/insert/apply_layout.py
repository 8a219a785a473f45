"""Apply a mechanism to the map in a tensor, and keep the tensor's memory format and strides."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from foveate.insert.layout import Layout
from foveate.mechanisms.kernels.eager_cpu import traced


def apply_to_map(layout: Layout, x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Return ``x`` with ``function``, map to map, applied to its positions.

    The result has the memory format of ``x``: what follows then computes the same, to the bit.
    """
    y = layout.put_back(x, function(layout.as_map(x)))
    is_plain_map = layout.kind == "map" and not layout.within
    return _with_strides(x, y if is_plain_map else _in_format_of(x, y))


def _in_format_of(x: Tensor, y: Tensor) -> Tensor:
    """Return ``y`` in the memory format of ``x``."""
    if x.is_contiguous():
        return y.contiguous()
    if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last):
        return y.contiguous(memory_format=torch.channels_last)
    return y


def _with_strides(x: Tensor, y: Tensor) -> Tensor:
    """Return ``y`` with the strides that ``x`` has along axes of size 1: kernels are chosen by these too."""
    if traced(x) or x.shape != y.shape or x.stride() == y.stride():
        return y
    pairs = zip(x.shape, x.stride(), y.stride(), strict=True)
    same = all(size == 1 or theirs == ours for size, theirs, ours in pairs)
    return y.as_strided(x.shape, x.stride()) if same else y
