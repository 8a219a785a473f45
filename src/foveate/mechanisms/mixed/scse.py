"""Concurrent spatial and channel squeeze-and-excitation: a gate per channel plus a gate per position.

Formula y = x * (sigmoid(W2 relu(W1 mean_hw(x) + b1) + b2) + sigmoid(w . x_ij + b))
Paper   Roy, Navab, Wachinger. Concurrent Spatial and Channel Squeeze & Excitation in Fully Convolutional
        Networks. MICCAI 2018. arXiv:1803.02579, section 2.
Shapes  x (B, C, H, W) -> (B, C, H, W); maps channel.map (B, C, 1, 1) and map (B, 1, H, W), each in (0, 1).
Cost    with R = max(1, C // reduction): parameters 2*C*R + C + R + C + 1, MACs 2*C*R + C*H*W.
Differs reduction 16, as in segmentation-models-pytorch; the paper takes 2. The two gated maps are added, as
        in the paper; its journal version tries other ways to combine them.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.channel.se import SqueezeExcitation
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import gated_by_sum
from foveate.mechanisms.kernels.position_scores import position_scores
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.ranks import any_rank


@mechanisms.register("scse")
@any_rank
class SpatialChannelSqueezeExcitation(Refine):
    """Gate the channels and, beside them, the positions; add the two.

    Args:
        channels: C of the map that it will receive.
        reduction: How many times narrower the hidden layer of the channel gate is. Paper: 2.

    Example:
        >>> import torch
        >>> SpatialChannelSqueezeExcitation(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("channels", "positions"),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "pool"),
    )
    variants = {"reduction": 2}

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__()
        self.channels = channels
        self.channel = SqueezeExcitation(channels, reduction=reduction)
        self.squeeze = nn.Conv2d(channels, 1, kernel_size=1)
        self.map = MapTap("b 1 h w")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` multiplied by its channel's gate plus its position's gate."""
        self._check(x)
        channels = self.channel.weigh(x)
        x, logits = position_scores(self.squeeze, x)
        return gated_by_sum(x, channels, self.map(logits.sigmoid()))

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        parameters = self.channels + 1
        positions = Cost(parameters, macs=self.channels * height * width, bytes=4 * parameters)
        return self.channel.cost(height, width) + positions
