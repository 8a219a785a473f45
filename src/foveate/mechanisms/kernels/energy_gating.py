"""A map whose every value is gated by how far it lies from its channel's mean, as SimAM does.

Plainly the formula below. On an eager CPU it is formed in blocks, and no gate is kept for the backward pass.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from foveate.mechanisms.kernels.eager_cpu import BLOCK, BLOCKS, plain
from foveate.mechanisms.kernels.gating import gated
from foveate.mechanisms.kernels.reductions import whole_channels
from foveate.mechanisms.kernels.symbolic_sizes import at_least_one
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import as_saved, widen


def gated_by_energy(x: Float[Tensor, "b c h w"], lam: float, tap: MapTap) -> Float[Tensor, "b c h w"]:
    """Return ``x * sigmoid(d^2 / (4 (v + lam)) + 1/2)``, d the distance to a channel's mean, v its variance.

    Args:
        x: The map.
        lam: What is added to the variance; greater than 0.
        tap: Gets the gates (B, C, H, W), which are formed only while it is recorded or hooked.
    """
    if not (tap.recording or tap._forward_hooks or plain(x) or widen(x) is not x):
        return _Gated.apply(x, lam)
    wide = widen(x)
    squares = (wide - wide.mean(dim=(2, 3), keepdim=True)).square()
    degrees = at_least_one(x.shape[2] * x.shape[3] - 1)
    variance = squares.sum(dim=(2, 3), keepdim=True) / degrees
    gates = tap((squares / (4 * (variance + lam)) + 0.5).sigmoid())
    return gated(x, gates.to(x.dtype))


class _Gated(torch.autograd.Function):
    """The same sample by sample, with nothing kept but the input; the backward pass forms the gates again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, lam: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.lam = lam
        y = torch.empty_like(x)
        for index in whole_channels(x, BLOCKS * BLOCK):
            given, out = x[index], y[index]
            _gates(torch.sub(given, given.mean(dim=(2, 3), keepdim=True), out=out), lam, out=out)
            out.mul_(given)
        return y

    @staticmethod
    @as_saved
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """With d = x - mu, q = 1 / (4 (v + lam)) and h = g x s (1 - s), the slope of the gates' logits."""
        (x,) = ctx.saved_tensors
        grad_x, count = torch.empty_like(x), x.shape[2] * x.shape[3]
        for index in whole_channels(x, min(BLOCK, x.numel() // 16)):
            given, back, out = x[index], grad[index], grad_x[index]
            gates = torch.empty_like(given)
            away = given - given.mean(dim=(2, 3), keepdim=True)
            scale = _gates(away, ctx.lam, out=gates)
            torch.mul(back, gates, out=out)  # what comes through the product
            gates.neg_().add_(1).mul_(out).mul_(given)  # h
            gates.mul_(away)  # h d
            level = gates.sum(dim=(2, 3), keepdim=True) * (-2 * scale / count)  # through mu
            out.addcmul_(gates, 2 * scale).add_(level)
            slope = gates.mul_(away).sum(dim=(2, 3), keepdim=True) * (-8 * scale.square())
            out.addcmul_(away, slope / max(1, count - 1))  # through v
        return grad_x, None


def _gates(away: Tensor, lam: float, out: Tensor) -> Tensor:
    """Write the gates for ``away``, x - mu, to ``out``; return 1 / (4 (v + lam)) for each channel."""
    torch.square(away, out=out)
    variance = out.sum(dim=(2, 3), keepdim=True) / max(1, away.shape[2] * away.shape[3] - 1)
    scale = 1 / (4 * (variance + lam))
    out.mul_(scale).add_(0.5).sigmoid_()
    return scale
