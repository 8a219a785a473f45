"""Channel attention of DANet: every channel takes from all channels, weighed by how much they (dis)agree.

Formula y = x + gamma * A x, with A = softmax_j(-x_i . x_j) over channels; paper=True: softmax_j(x_i . x_j)
Paper   Fu, Liu, Tian, Li, Bao, Fang, Lu. Dual Attention Network for Scene Segmentation. CVPR 2019.
        arXiv:1809.02983, section 3.3.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, C, C), rows sum to 1.
Cost    parameters 1, MACs 2*C*C*N, N = H*W.
Differs as the authors' code, the default favours the channels that agree least: it takes max - energy where
        equation 3 has the energy. Exponents below -60 count as -60: they change no digit, and denormal
        weights made the authors' code three times slower on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from foveate.mechanisms.base import Cost, Facets, MapTap, mechanisms
from foveate.mechanisms.interfaces import Refine
from foveate.mechanisms.kernels.gated import channels_last, traced
from foveate.mechanisms.precision import as_saved, full_precision, widen
from foveate.mechanisms.ranks import any_rank

# exp(-60) is 9e-27: nothing beside the row's largest weight even in float64, yet far from denormal
LEAST = -60.0
ROWS = 128  # channels that are multiplied at a time: fewer leave a matrix product that is slow


@mechanisms.register("channel")
@any_rank
class ChannelAttention(Refine):
    """Add to each channel a mixture of all channels.

    Args:
        channels: C of the map that it will receive.
        paper: Whether to weigh by agreement, as the paper's equation, and not by disagreement, as its code.

    Example:
        >>> import torch
        >>> ChannelAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("channels",),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "bottleneck", "output"),
    )
    variants = {"paper": True}
    gate = "gamma"

    def __init__(self, channels: int, *, paper: bool = False) -> None:
        super().__init__()
        self.channels, self.paper = channels, paper
        self.gamma = nn.Parameter(torch.zeros(1))
        self.map = MapTap("b c m", sums="m")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` plus gamma times what every channel took from all channels."""
        self._check(x)
        return mix_channels(x, self.map, paper=self.paper, onto=x, gain=self.gamma)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        return Cost(parameters=1, macs=2 * self.channels**2 * height * width, bytes=4)


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
