"""Attention refinement of BiSeNet: one gate per channel, from a single normalised layer on the channel means.

Formula y = u * sigmoid(BN(W mean_hw(u))), u = x, or u = relu(BN(conv3x3(x))) with conv=True
Paper   Yu, Wang, Peng, Gao, Yu, Sang. BiSeNet: Bilateral Segmentation Network for Real-time Semantic
        Segmentation. ECCV 2018. arXiv:1808.00897, section 3.2 and figure 2b.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, C, 1, 1), gates in (0, 1).
Cost    parameters C*C + 2*C, MACs C*C, whatever H and W; 8*C + 8 bytes of running statistics. With conv=True
        9*C*C + 2*C more parameters, 9*C*C*H*W more MACs and the same number of bytes of statistics again.
        Of signals 3 for 9 and L for H*W, of volumes 27 and D*H*W.
Differs the default is the figure, which has no 3x3 convolution. The authors' code has one that goes to 128
        channels; conv=True is that with C channels in and out.
"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import gated
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.ranks import RANKS, Dimensions, convolution, of_rank, places
from foveate.options import whole


@mechanisms.register("attention_refinement")
class AttentionRefinement(Refine):
    """Gate each channel by one batch-normalised layer on all channel means.

    Args:
        channels: C of the map that it will receive.
        conv: Whether a 3x3 convolution, normalisation and ReLU come first, as in the authors' code.
        dimensions: 1 for signals (B, C, L), 2 for maps (B, C, H, W), 3 for volumes (B, C, D, H, W).

    Raises:
        OptionError: ``channels`` is not a positive whole number.

    Example:
        >>> import torch
        >>> AttentionRefinement(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("channels",), driven_by="input", weighting="soft", sites=("features", "skip", "bottleneck")
    )
    variants = {"conv": True, "dimensions": 3}
    dims = RANKS

    def __init__(self, channels: int, *, conv: bool = False, dimensions: Dimensions = 2) -> None:
        super().__init__()
        self.channels, self.conv, self.dimensions = whole("channels", channels), conv, dimensions
        layer = convolution(dimensions)
        self.refine = (
            nn.Sequential(
                layer(channels, channels, kernel_size=3, padding=1, bias=False),
                BatchNorm(channels),
                nn.ReLU(),
            )
            if conv
            else nn.Identity()
        )
        self.excite = layer(channels, channels, kernel_size=1, bias=False)
        self.norm = BatchNorm(channels)
        self.map = MapTap(of_rank("b c 1 1", dimensions))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """Return ``x``, or what the convolution made of it, with every channel multiplied by its gate."""
        self._check(x)
        refined = self.refine(x)
        means = refined.mean(dim=places(x), keepdim=True)
        return gated(refined, self.map(self.norm(self.excite(means)).sigmoid()))

    def cost(self, *size: int) -> Cost:
        """Return the closed form of the header."""
        square = self.channels**2
        extra = 3**self.dimensions * square * self.conv
        parameters = square + extra + 2 * self.channels * (1 + self.conv)
        statistics = (8 * self.channels + 8) * (1 + self.conv)
        return Cost(parameters, square + extra * math.prod(size), bytes=4 * parameters + statistics)
