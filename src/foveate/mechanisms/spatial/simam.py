"""SimAM: one gate per value, the greater the further the value lies from its channel's mean; no parameters.

Formula y = x * sigmoid((x - mu)^2 / (4 (v + lam)) + 1/2), mu = mean(x), v = sum (x - mu)^2 / max(1, H*W - 1)
Paper   Yang, Zhang, Li, Xie. SimAM: A Simple, Parameter-Free Attention Module for Convolutional Neural
        Networks. ICML 2021, section 3.2.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, C, H, W), gates in (0.62, 1).
Cost    parameters 0, MACs 0: all is elementwise.
Differs a 1 x 1 map has a variance of 0 where the authors' code divides by 0; half-precision maps have their
        statistics in float32.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from foveate.errors import OptionError
from foveate.mechanisms.base import Cost, Facets, MapTap, mechanisms
from foveate.mechanisms.interfaces import Refine
from foveate.mechanisms.kernels.attend import at_least_one
from foveate.mechanisms.kernels.gated import BLOCK, BLOCKS, gated, plain
from foveate.mechanisms.kernels.reads import whole_channels
from foveate.mechanisms.precision import as_saved, widen
from foveate.mechanisms.ranks import any_rank
from foveate.options import whole


@mechanisms.register("simam")
@any_rank
class SimpleAttention(Refine):
    """Gate each value by how far it lies from the mean of its channel, in units of the channel's variance.

    Args:
        channels: C of the map that it will receive; nothing depends on it.
        lam: What is added to the variance, in squared units of ``x``; greater than 0. Paper: 1e-4.

    Raises:
        OptionError: ``lam`` is not a positive number.

    Example:
        >>> import torch
        >>> SimpleAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("channels", "positions"),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "pool"),
    )
    variants = {"lam": 0.1}

    def __init__(self, channels: int, *, lam: float = 1e-4) -> None:
        super().__init__()
        if not isinstance(lam, (int, float)) or not 0 < lam < math.inf:
            raise OptionError(f"lam: got {lam!r}, expected a number greater than 0, such as 1e-4")
        self.channels, self.lam = whole("channels", channels), lam
        self.map = MapTap("b c h w")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` with every value multiplied by its gate."""
        self._check(x)
        if not (self.map.recording or self.map._forward_hooks or plain(x) or widen(x) is not x):
            return _Gated.apply(x, self.lam)
        wide = widen(x)
        squares = (wide - wide.mean(dim=(2, 3), keepdim=True)).square()
        degrees = at_least_one(x.shape[2] * x.shape[3] - 1)
        variance = squares.sum(dim=(2, 3), keepdim=True) / degrees
        gates = self.map((squares / (4 * (variance + self.lam)) + 0.5).sigmoid())
        return gated(x, gates.to(x.dtype))

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        return Cost(parameters=0, macs=0, bytes=0)


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
