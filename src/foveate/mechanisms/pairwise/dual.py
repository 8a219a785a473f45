"""Dual attention: DANet's position and channel attention side by side, on one residual.

Formula y = x + gamma_p * P(x) + gamma_c * A x, with P and A as in position.py and channel.py
Paper   Fu, Liu, Tian, Li, Bao, Fang, Lu. Dual Attention Network for Scene Segmentation. CVPR 2019.
        arXiv:1809.02983, section 3.4.
Shapes  x (B, C, H, W) -> (B, C, H, W); maps (B, N, N), N = H*W, formed only while recording, and (B, C, C).
Cost    with R = max(1, C // reduction): parameters C*C + 2*C*R + C + 2*R + 2,
        MACs N*(C*C + 2*C*R) + N*N*(C + R) + 2*C*C*N.
Differs one residual: the paper sums two whole branches, which starts as 2*x; none of the head's convolutions.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.channel_mixing import mix_channels
from foveate.mechanisms.kernels.memory_layout import tokens, untoken
from foveate.mechanisms.kernels.pointwise_convolution import project
from foveate.mechanisms.kernels.softmax_attention import attend
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.ranks import any_rank
from foveate.options import reduced


@mechanisms.register("dual")
@any_rank
class DualAttention(Refine):
    """Add to the map what its positions read at all positions, and its channels at all channels.

    Args:
        channels: C of the map that it will receive.
        reduction: How many times narrower queries and keys of the positions are. Paper: 8.
        paper: Whether channels are weighed by agreement, as the paper's equation, and not as its code.

    Attributes:
        gamma: Two numbers that start at zero: for positions and for channels.

    Example:
        >>> import torch
        >>> DualAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions", "channels"),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "bottleneck", "output"),
    )
    variants = {"reduction": 2, "paper": True}
    gate = "gamma"

    def __init__(self, channels: int, *, reduction: int = 8, paper: bool = False) -> None:
        super().__init__()
        self.channels, self.width, self.paper = channels, reduced(channels, reduction), paper
        self.query = nn.Conv2d(channels, self.width, kernel_size=1)
        self.key = nn.Conv2d(channels, self.width, kernel_size=1)
        self.value = nn.Conv2d(channels, channels, kernel_size=1)
        self.gamma = nn.Parameter(torch.zeros(2))
        self.position_map = MapTap("b n m", sums="m")
        self.channel_map = MapTap("b c m", sums="m")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` plus both attentions, each times its gamma."""
        self._check(x)
        context = attend(
            tokens(project(self.query, x)),
            tokens(project(self.key, x)),
            tokens(self.value(x)),
            self.position_map,
        )
        x_and_read = x + (self.gamma[0] * untoken(context, like=x)).to(x.dtype)
        return mix_channels(x, self.channel_map, paper=self.paper, onto=x_and_read, gain=self.gamma[1])

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        positions, weights = height * width, self.channels * (self.channels + 2 * self.width)
        parameters = weights + self.channels + 2 * self.width + 2
        macs = positions * weights + positions**2 * (self.channels + self.width)
        macs += 2 * self.channels**2 * positions
        return Cost(parameters=parameters, macs=macs, bytes=4 * parameters)
