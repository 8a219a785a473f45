"""A convolution of few planes to one, as gates for positions have it: matrix products of shifted copies.

Plainly ``conv2d``, whose CPU kernels are made for many channels: with two of them a 7x7 kernel runs at a
thirtieth of the machine's rate, and its backward pass takes longer than all else in a gate. Here the k shifts
along a row are laid side by side, one product gives what each row adds to each of its k neighbours, and those
are added up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.grad import conv2d_input, conv2d_weight

from foveate.mechanisms.kernels.eager_cpu import BLOCK, traced
from foveate.mechanisms.precision import as_saved

FEW = 1 << 14  # numbers below which conv2d is as fast


def convolve(layer: nn.Conv2d, planes: Tensor) -> Tensor:
    """Return ``layer(planes)`` for (B, c, M, N) with few planes c, an odd square kernel and one plane out.

    Signals and volumes go through their own layer.

    Example:
        >>> convolve(nn.Conv2d(2, 1, 7, padding=3), torch.rand(1, 2, 9, 5)).shape
        torch.Size([1, 1, 9, 5])
    """
    kind = planes.device.type
    rare = planes.dtype not in (torch.float32, torch.float64) or planes.dtype != layer.weight.dtype
    if planes.ndim != 4 or traced(planes) or planes.numel() < FEW or rare or torch.is_autocast_enabled(kind):
        return layer(planes)
    convolved = _Convolution.apply(planes, layer.weight)
    return convolved if layer.bias is None else convolved + layer.bias


def _shifts(planes: Tensor, k: int) -> Tensor:
    """Lay the k shifts of every row side by side: (B, c, M, N) to (B, c*k, M*N)."""
    width = planes.shape[3]
    shifted = pad(planes, (k // 2, k // 2)).unfold(3, width, 1)  # (B, c, M, k, N)
    return shifted.permute(0, 1, 3, 2, 4).reshape(len(planes), -1, planes.shape[2] * width)


def _taps(weight: Tensor) -> Tensor:
    """Return the kernel as a matrix: what row, by which plane and shift."""
    return weight[0].transpose(0, 1).flatten(1)


def _overlaps(k: int, length: int) -> Iterator[tuple[int, slice, slice]]:
    """Yield each tap, what of an axis it reads and where it adds it; the middle tap first."""
    for tap in sorted(range(k), key=lambda tap: abs(tap - k // 2)):
        by = tap - k // 2
        if abs(by) < length:
            yield tap, slice(max(by, 0), length + min(by, 0)), slice(max(-by, 0), length + min(-by, 0))


def _samples(planes: Tensor, k: int) -> Iterator[slice]:
    """Yield slices of samples whose shifts fill one block."""
    few = max(1, BLOCK // (k * planes[0].numel()))
    return (slice(start, start + few) for start in range(0, len(planes), few))


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, planes: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(planes, weight)
        k, taps = weight.shape[2], _taps(weight)
        summed = planes.new_zeros(len(planes), *planes.shape[2:])
        for few in _samples(planes, k):
            some, into = planes[few], summed[few]
            rows = (taps @ _shifts(some, k)).unflatten(2, some.shape[2:])  # (B, k, M, N)
            for tap, source, target in _overlaps(k, planes.shape[2]):
                into[:, target] += rows[:, tap, source]
        return summed.unsqueeze(1)

    @staticmethod
    @as_saved
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        planes, weight = ctx.saved_tensors
        (count, k), taps = weight.shape[1:3], _taps(weight)
        if torch.is_grad_enabled():  # a second derivative is asked for
            back = conv2d_input(planes.shape, weight, grad, padding=k // 2)
            return back, conv2d_weight(planes, weight.shape, grad, padding=k // 2)
        grad_planes, grad_taps = torch.zeros_like(planes), torch.zeros_like(taps)
        for few in _samples(planes, k):
            some, back, into = planes[few], grad[few, 0], grad_planes[few]
            rows = back.new_zeros(len(some), k, *back.shape[1:])
            for tap, source, target in _overlaps(k, planes.shape[2]):
                rows[:, tap, source] = back[:, target]
            flat = rows.flatten(2)
            grad_taps += (flat @ _shifts(some, k).transpose(1, 2)).sum(dim=0)
            shifted = (taps.t() @ flat).unflatten(2, back.shape[1:]).unflatten(1, (count, k))
            for tap, source, target in _overlaps(k, planes.shape[3]):
                into[..., source] += shifted[:, :, tap, :, target]
        return grad_planes, grad_taps.unflatten(1, (count, k)).transpose(0, 1).unsqueeze(0)
