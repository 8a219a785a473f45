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

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.attend import full_precision, widen
from foveate.mechanisms.base import Cost, Facets, MapTap, mechanisms
from foveate.mechanisms.interfaces import Refine

LEAST = (
    -60.0
)  # exp(-60) is 9e-27: nothing beside the row's largest weight even in float64, yet far from denormal


@mechanisms.register("channel")
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
        return x + (self.gamma * mix_channels(x, self.map, paper=self.paper)).to(x.dtype)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        return Cost(parameters=1, macs=2 * self.channels**2 * height * width, bytes=4)


def mix_channels(x: Float[Tensor, "b c h w"], tap: MapTap, *, paper: bool) -> Float[Tensor, "b c h w"]:
    """Return ``A x``, in float32 at least: energies, sums over all positions, overflow float16."""
    rows = widen(x).flatten(2)
    with full_precision(x):
        energies = rows @ rows.transpose(1, 2)  # (B, C, C)
        exponents = energies if paper else -energies
        exponents = (exponents - exponents.detach().amax(dim=-1, keepdim=True)).clamp(min=LEAST)
        return (tap(exponents.softmax(dim=-1)) @ rows).unflatten(2, x.shape[2:])
