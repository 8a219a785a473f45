"""Dilation instead of a smaller map: strides become 1, and later convolutions keep their field of view."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from foveate.mechanisms.base import Mechanism


def dilate(stages: dict[int, Any], output_stride: int, dilate_first: bool) -> None:
    """Keep the size, and look further instead, in every stage that goes beyond ``output_stride``.

    Args:
        stages: The blocks of each stage, by the stride that it ends at, rising.
        output_stride: The greatest stride.
        dilate_first: Whether a stage's first block is dilated as the others are.
    """
    before = 1
    for stride, blocks in stages.items():
        dilation = max(1, stride // output_stride)
        for number, block in enumerate(blocks):
            if dilation > 1:
                _dilate(block, dilation if number or dilate_first else before)
        before = dilation


def _dilate(block: nn.Module, dilation: int) -> None:
    for conv in convolutions(block):
        conv.stride = (1, 1)
        if conv.kernel_size != (1, 1):
            conv.dilation = tuple(d * dilation for d in conv.dilation)
            conv.padding = tuple(int(p) * dilation for p in conv.padding)


def convolutions(module: nn.Module) -> Iterator[nn.Conv2d]:
    """Yield a block's own convolutions, none of a mechanism inserted into it."""
    if isinstance(module, nn.Conv2d):
        yield module
    for child in module.children():
        if not isinstance(child, Mechanism):
            yield from convolutions(child)
