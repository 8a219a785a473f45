"""Sums and maxima of a map that is gated afterwards, whose gradients go into the one map that gating makes.

Plainly ``(x, (x * weight).sum(dims))`` and ``(x, x.amax(dims))``, which is what ``torch.compile`` and export
get. In eager PyTorch every way in which ``x`` is used makes a gradient as large as ``x``, and the engine adds
them up. Here each function passes ``x`` on, and in the backward pass adds to the gradient that arrives, in
place. So use the ``x`` that was returned, and end in ``gated``, whose gradient no one else holds.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d

from foveate.mechanisms.kernels.eager_cpu import (
    BLOCK,
    blocks,
    channels_last,
    fusing,
    part,
    plain,
    total,
    traced,
    weighted,
)
from foveate.mechanisms.precision import as_saved
from foveate.mechanisms.ranks import places

AXES = {"channels": 1, "rows": 2, "columns": 3}


def mean(x: Tensor, *dims: int) -> Tensor:
    """Return the means over ``dims``, which are kept with size 1.

    Example:
        >>> mean(torch.tensor([[[[1.0, 3.0]]]]), 2, 3).item()
        2.0
    """
    alike = not torch.is_grad_enabled() and (len(dims) > 1 or not channels_last(x))
    if alike or x.dtype == torch.float16 or traced(x):  # in float16 a sum overflows where the mean does not
        return x.mean(dim=dims, keepdim=True)
    # The gradient of a mean is a new map, divided; that of a sum is a view of one number for each sum.
    return total(x, *dims) / math.prod(x.shape[dim] for dim in dims)


def row_and_column_means(x: Tensor) -> Tensor:
    """Return the means of all rows, then of all columns: (B, C, H, W) to (B, C, H + W, 1).

    By ``mean``, not by adaptive pooling: ONNX bakes the example's size into that and errs silently at others.
    """
    rows, columns = mean(x, 3), mean(x, 2).transpose(2, 3)
    if channels_last(x):  # joined in the order of memory, too
        return torch.cat([rows.movedim(1, -1), columns.movedim(1, -1)], dim=1).movedim(-1, 1)
    return torch.cat([rows, columns], dim=2)


def weighted_sum(x: Tensor, weight: Tensor, over: str, *, shared: bool = False) -> tuple[Tensor, Tensor]:
    """Return ``x`` and its sums, weighed by ``weight``, over ``"channels"`` or over ``"positions"``.

    Args:
        x: A map (B, C, H, W).
        weight: (B or 1, C, 1, 1) for a sum over channels, (B, 1, H, W) for one over positions.
        over: What is summed.
        shared: Whether the gradient of the returned ``x`` may be used elsewhere too, as that of a sum is, and
            so must not be written to.

    Example:
        >>> x, sums = weighted_sum(torch.ones(1, 3, 2, 2), torch.ones(1, 3, 1, 1), "channels")
        >>> sums.shape, sums.sum().item()
        (torch.Size([1, 1, 2, 2]), 12.0)
    """
    if weight.dtype != x.dtype or plain(x):
        return x, weighted(x, weight, over)
    if not torch.is_grad_enabled() or fusing():
        return x, weighted(x, weight, over)
    handed_on, sums = _WeightedSum.apply(x, weight, over, shared)
    return handed_on, sums


def maximum(x: Tensor, over: str, scale: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return ``x`` and the maxima of ``x * scale`` over a part of its axes, which are kept with size 1.

    Args:
        x: A map (B, C, H, W).
        over: ``"channels"``, ``"positions"``, or ``"rows"`` for H alone, ``"columns"`` for W. Of equal
            maxima over the first two one gets the gradient, over a line they may share it.
        scale: (B, C, 1, 1), for maxima over channels only.

    Example:
        >>> maximum(torch.tensor([[[[1.0, 5.0]]]]), "positions")[1].item()
        5.0
    """
    if x.ndim != 4 or plain(x) or (scale is not None and scale.dtype != x.dtype):
        scaled = x if scale is None else x * scale
        if x.ndim != 4:
            return x, scaled.amax(dim=1 if over == "channels" else places(x), keepdim=True)
        if fusing():  # no places are kept: finding them again costs a comparison, which is fused
            return x, scaled.amax(dim=(2, 3) if over == "positions" else AXES[over], keepdim=True)
        if over == "positions":
            return x, adaptive_max_pool2d(scaled, 1) if torch.is_grad_enabled() else scaled.amax((2, 3), True)
        if torch.is_grad_enabled():  # max keeps the places of the maxima: twice as fast backward
            return x, scaled.max(dim=AXES[over], keepdim=True).values
        return x, _maxima(scaled, over, None)
    if not torch.is_grad_enabled():
        return x, _maxima(x, over, scale)
    if over in ("rows", "columns"):
        handed_on, maxima = _LineMaximum.apply(x, over)
    else:
        handed_on, maxima = _Maximum.apply(x, over, scale)
    return handed_on, maxima


def maximum_and_mean(x: Tensor, scale: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return ``x`` and, as two planes, the maximum and the mean over the channels of ``x * scale``.

    Args:
        x: A signal, map or volume (B, C, ...).
        scale: (B, C, 1, ...), or None for ``x`` as it is.

    Example:
        >>> maximum_and_mean(torch.tensor([[[[1.0]], [[5.0]]]]))[1].flatten()
        tensor([5., 3.])
    """
    if x.ndim != 4 or plain(x):
        scaled = x if scale is None else x * scale
        maxima, means = maximum(scaled, "channels")[1], scaled.mean(dim=1, keepdim=True)
    else:
        x, maxima = maximum(x, "channels", scale)
        shares = x.new_ones(1, x.shape[1], 1, 1) if scale is None else scale
        x, means = weighted_sum(x, shares / x.shape[1], "channels")
    return x, torch.cat([maxima, means], dim=1)


def _maxima(x: Tensor, over: str, scale: Tensor | None) -> Tensor:
    """Return the maxima alone."""
    if over == "positions":
        return x.amax(dim=(2, 3), keepdim=True)
    if scale is None and channels_last(x):  # the same in the order of its memory takes a tenth of the time
        axis = {1: 3, 2: 1, 3: 2}[AXES[over]]
        return x.movedim(1, -1).amax(dim=axis, keepdim=True).movedim(-1, 1)
    if scale is None:
        return x.amax(dim=AXES[over], keepdim=True)
    found = x.new_empty(x.shape[0], 1, *x.shape[2:])
    for index in whole_columns(x):
        torch.amax(x[index] * part(scale, index), dim=1, keepdim=True, out=found[index])
    return found


def whole_columns(x: Tensor) -> list[tuple[slice, ...]]:
    """Cut ``x`` into blocks that have all channels: samples where channels are not adjacent."""
    if channels_last(x):
        return list(blocks(x, BLOCK))
    return [(slice(start, start + 1),) for start in range(x.shape[0])]


def whole_channels(x: Tensor, size: int) -> list[tuple[slice, ...]]:
    """Cut ``x`` into blocks of about ``size`` numbers that have all positions of their channels.

    In channels_last no thinner than half the channels: short stretches of memory are slow.
    """
    least = -(-x.shape[1] // 2) if channels_last(x) else 1
    step = max(least, size // (x.shape[2] * x.shape[3]))
    starts = itertools.product(range(x.shape[0]), range(0, x.shape[1], step))
    return [(slice(b, b + 1), slice(c, c + step)) for b, c in starts]


def owned(grad: Tensor) -> Tensor:
    """Return a ``grad`` that may be written to: a copy where it is an expanded view."""
    return grad if grad.is_contiguous() or channels_last(grad) else grad.contiguous()


class _WeightedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, over: str, shared: bool) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x, weight)
        ctx.over, ctx.shared = over, shared
        return x.view_as(x), weighted(x, weight, over)

    @staticmethod
    @as_saved
    def backward(ctx: Any, grad: Tensor, grad_sums: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad_weight = None
        if ctx.needs_input_grad[1]:
            other = "positions" if ctx.over == "channels" else "channels"
            grad_weight = weighted(x, grad_sums, other).sum_to_size(weight.shape)
        if not ctx.needs_input_grad[0]:
            return None, grad_weight, None, None
        if torch.is_grad_enabled() or ctx.shared:
            return torch.addcmul(grad, weight, grad_sums), grad_weight, None, None
        return owned(grad).addcmul_(weight, grad_sums), grad_weight, None, None


class _Maximum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, over: str, scale: Tensor | None) -> tuple[Tensor, Tensor]:
        ctx.over = over
        if over == "positions":
            maxima, places = adaptive_max_pool2d(x, 1, return_indices=True)
        else:
            maxima = x.new_empty(x.shape[0], 1, *x.shape[2:])
            places = torch.empty_like(maxima, dtype=torch.long)
            for index in whole_columns(x):
                block = x[index] if scale is None else x[index] * part(scale, index)
                torch.max(block, dim=1, keepdim=True, out=(maxima[index], places[index]))
        ctx.save_for_backward(x, places, *(() if scale is None else (scale,)))
        return x.view_as(x), maxima

    @staticmethod
    @as_saved
    def backward(ctx: Any, grad: Tensor, grad_maxima: Tensor) -> tuple[Tensor | None, ...]:
        x, places, *given = ctx.saved_tensors
        axis = 2 if ctx.over == "positions" else 1
        places, grad_maxima, flat = places.flatten(2), grad_maxima.flatten(2), x.flatten(2)
        grad_scale = None
        if given:  # (B, C, 1, 1): what was scaled at position i is the channel places[i]
            channels, scale = places.squeeze(1), given[0].flatten(1)
            if ctx.needs_input_grad[2]:
                change = (grad_maxima * flat.gather(1, places)).squeeze(1)
                grad_scale = torch.zeros_like(scale).scatter_add(1, channels, change).view_as(given[0])
            grad_maxima = grad_maxima * scale.gather(1, channels).unsqueeze(1)
        if not ctx.needs_input_grad[0]:
            return None, None, grad_scale
        if torch.is_grad_enabled():
            return grad.flatten(2).scatter_add(axis, places, grad_maxima).view_as(x), None, grad_scale
        grad = owned(grad)
        grad.flatten(2).scatter_add_(axis, places, grad_maxima)
        return grad, None, grad_scale


class _LineMaximum(torch.autograd.Function):
    """Without places, which take longer to find than to look for again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, over: str) -> tuple[Tensor, Tensor]:
        maxima = _maxima(x, over, None)
        ctx.axis = AXES[over]
        ctx.save_for_backward(x, maxima)
        return x.view_as(x), maxima

    @staticmethod
    @as_saved
    def backward(ctx: Any, grad: Tensor, grad_maxima: Tensor) -> tuple[Tensor | None, ...]:
        x, maxima = ctx.saved_tensors
        if torch.is_grad_enabled():
            hits = (x == maxima).to(x.dtype)
            return grad + hits * (grad_maxima / hits.sum(dim=ctx.axis, keepdim=True)), None
        grad = owned(grad)
        for index in whole_channels(x, BLOCK):
            given = x[index]
            hits = torch.eq(given, part(maxima, index), out=torch.empty_like(given))
            shares = part(grad_maxima, index) / total(hits, ctx.axis)
            grad[index].addcmul_(hits, shares)
        return grad, None
