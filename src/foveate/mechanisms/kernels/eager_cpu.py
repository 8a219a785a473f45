"""What the fast paths share: when they apply, sums in the order of memory, and blocks that fit in a cache.

A fast path is for eager PyTorch on a CPU. ``torch.compile``, export, tracing, ``torch.func``, counting and
every other device get the plain formula. Each kernel asks here; no mechanism does.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from foveate.mechanisms.switch import is_as_written

BLOCK = 1 << 18  # numbers in a block: 1 MB of float32, what a core keeps close
BLOCKS = 8  # blocks that are written at once where nothing is summed
SMALL = 1 << 19  # maps of fewer numbers are faster in the plain way


def total(x: Tensor, *dims: int) -> Tensor:
    """Return the sums over ``dims``, which are kept with size 1.

    PyTorch sums one axis of a channels_last map ten times slower than the same numbers seen as (B, H, W, C).
    """
    if not channels_last(x):
        return x.sum(dim=dims, keepdim=True)
    moved = [x.ndim - 1 if dim == 1 else dim - (dim > 1) for dim in dims]
    return x.movedim(1, -1).sum(dim=moved, keepdim=True).movedim(-1, 1)


def weighted(x: Tensor, weight: Tensor, over: str) -> Tensor:
    """Return the sums of ``x`` times ``weight`` over ``"channels"`` or ``"positions"``.

    As a row times a matrix, which is several times faster than times a column.
    """
    if fusing():
        return (x * weight).sum(dim=1 if over == "channels" else (2, 3), keepdim=True)
    flat, row = x.flatten(2), weight.flatten(2)
    if not torch.is_grad_enabled():  # matmul copies the map for one that requires a gradient, wanted or not
        flat, row = flat.detach(), row.detach()
    if over == "positions":
        return (row @ flat.transpose(1, 2)).transpose(1, 2).unsqueeze(3)
    row = row.transpose(1, 2)
    return ((row if len(row) > 1 else row[0]) @ flat).unflatten(2, x.shape[2:])


def fusing() -> bool:
    """Whether ``torch.compile`` is at work, which fuses products and sums but no call of a library."""
    return torch.compiler.is_compiling() and not torch.compiler.is_exporting()


def channels_last(x: Tensor) -> bool:
    """Whether the channels of one position are adjacent in memory, without gaps."""
    return x.ndim == 4 and x.stride(1) == 1 and x.is_contiguous(memory_format=torch.channels_last)


def traced(x: Tensor) -> bool:
    """Whether the plain formula must run: for a compiler, a transform or another device."""
    return (
        torch.compiler.is_compiling()
        or is_as_written()
        or torch.jit.is_tracing()  # type: ignore[attr-defined]
        or x.device.type != "cpu"
        or torch._C._are_functorch_transforms_active()  # vmap and jvp have their rules for the plain one
    )


def plain(x: Tensor, *gates: Tensor) -> bool:
    """Whether the plain formula must or should run: traced, a small map, or a rare layout or type."""
    return (
        traced(x)
        or x.numel() < SMALL
        or x.ndim < 3
        or not (x.is_contiguous() or channels_last(x))
        or any(g.ndim != x.ndim or (g.dtype != x.dtype and torch.result_type(x, g) != x.dtype) for g in gates)
    )


def blocks(x: Tensor, size: int) -> Iterator[tuple[slice, ...]]:
    """Cut ``x`` into pieces of about ``size`` numbers, each in one stretch of memory."""
    axis = 2 if channels_last(x) else 1
    sample = x[0].numel()
    samples = max(1, size // sample)
    step = -(-x.shape[axis] // -(-sample // size))
    for start in range(0, x.shape[0], samples):
        for begin in range(0, x.shape[axis], step):
            index = [slice(None)] * (axis + 1)
            index[0], index[axis] = slice(start, start + samples), slice(begin, begin + step)
            yield tuple(index)


def part(gate: Tensor, index: tuple[slice, ...]) -> Tensor:
    """Return what of ``gate`` broadcasts to the block at ``index``."""
    return gate[tuple(i if size > 1 else slice(None) for i, size in zip(index, gate.shape, strict=False))]
