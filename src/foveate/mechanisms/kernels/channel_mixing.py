"""Every channel of a map plus a mixture of all channels, weighed by how much they agree or disagree.

Plainly ``onto + gain * softmax(X X^T) X``. On an eager CPU half of the symmetric X X^T is copied, and one
product gives its gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import FunctionCtx

from foveate.mechanisms.kernels.eager_cpu import channels_last, traced
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import as_saved, full_precision, widen

# exp(-60) is 9e-27: nothing beside the row's largest weight even in float64, yet far from denormal
LEAST = -60.0
ROWS = 128  # channels that are multiplied at a time: fewer leave a matrix product that is slow


def mix_channels(
    x: Float[Tensor, "b c h w"], tap: MapTap, *, paper: bool, onto: Float[Tensor, "b c h w"], gain: Tensor
) -> Float[Tensor, "b c h w"]:
    """Return ``onto + gain * A x`` in the type of ``x``, as one product that is written onto ``onto``.

    In float32 at least: energies, sums over all positions, overflow float16.
    """
    rows, below = widen(x).flatten(2), widen(onto).flatten(2)
    with full_precision(x):
        energies = rows @ rows.transpose(1, 2) if traced(x) else _Energies.apply(rows)  # (B, C, C)
        exponents = energies if paper else -energies
        exponents = (exponents - exponents.detach().amax(dim=-1, keepdim=True)).clamp(min=LEAST)
        weights = gain * tap(exponents.softmax(dim=-1))
        if channels_last(x) and not x.is_contiguous():  # the product's memory format is that of its factors
            turned = (part.transpose(1, 2) for part in (below, rows, weights))
            mixed = torch.baddbmm(*turned).transpose(1, 2)
        else:
            mixed = torch.baddbmm(below, weights, rows)
    return mixed.unflatten(2, x.shape[2:]).to(x.dtype)


class _Energies(torch.autograd.Function):
    """``X X^T``, which is symmetric: half of it is copied, and one product gives the gradient, not two."""

    @staticmethod
    def forward(ctx: FunctionCtx, rows: Float[Tensor, "b c n"]) -> Float[Tensor, "b c c"]:
        ctx.save_for_backward(rows)
        channels = rows.shape[1]
        found = rows.new_empty(len(rows), channels, channels)
        for i in range(0, channels, ROWS):
            some = slice(i, i + ROWS)
            torch.bmm(rows[:, some], rows[:, : i + ROWS].transpose(1, 2), out=found[:, some, : i + ROWS])
            found[:, :i, some] = found[:, some, :i].transpose(1, 2)
        return found

    @staticmethod
    @as_saved
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (rows,) = ctx.saved_tensors
        return (grad + grad.transpose(1, 2)) @ rows
