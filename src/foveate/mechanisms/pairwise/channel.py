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

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.channel_mixing import mix_channels
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.ranks import any_rank


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
