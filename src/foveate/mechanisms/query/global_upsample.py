"""Global attention upsample: a coarse map says which channels of a fine one are added to it.

Formula y = up(g) + relu(BN(conv3x3(x) + b)) * sigmoid(BN(W mean_hw(g) + c))
Paper   Li, Xiong, An, Wang. Pyramid Attention Network for Semantic Segmentation. BMVC 2018. arXiv:1805.10180,
        section 3.3.
Shapes  x (B, C, H, W), gating (B, G, h, w) -> (B, G, H, W); map (B, G, 1, 1), gates in (0, 1).
Cost    parameters 9*C*G + G*G + 6*G, MACs 9*C*G*H*W + G*G; 16*G + 16 bytes of running statistics.
        Of signals 3 for 9 and L for H*W, of volumes 27 and D*H*W.
Differs the authors published no code; this follows segmentation_models_pytorch, including the resizing with
        aligned corners (align_corners=False for half-pixel centres).
"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from foveate.mechanisms.base import Gate, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import gated
from foveate.mechanisms.kernels.reductions import mean
from foveate.mechanisms.kernels.resizing import linear_mode
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.ranks import RANKS, Dimensions, convolution, of_rank, places
from foveate.options import whole


@mechanisms.register("global_upsample")
class GlobalAttentionUpsample(Gate):
    """Add to a coarse map what its channel means let through of a fine one.

    Args:
        channels: C of the fine map.
        gating: G of the coarse map, and of the result.
        align_corners: Whether the coarse map is resized so that corners stay on corners.
        dimensions: 1 for signals (B, C, L), 2 for maps (B, C, H, W), 3 for volumes (B, C, D, H, W).

    Example:
        >>> import torch
        >>> fine, coarse = torch.rand(2, 64, 17, 23), torch.rand(2, 32, 9, 12)
        >>> GlobalAttentionUpsample(64, gating=32)(fine, coarse).shape
        torch.Size([2, 32, 17, 23])
    """

    facets = Facets(over=("channels",), driven_by="query", weighting="soft", sites=("skip",))
    variants = {"align_corners": False, "dimensions": 3}
    dims = RANKS

    def __init__(
        self, channels: int, *, gating: int, align_corners: bool = True, dimensions: Dimensions = 2
    ) -> None:
        super().__init__()
        self.channels, self.align_corners = whole("channels", channels), align_corners
        self.dimensions, layer = dimensions, convolution(dimensions)
        self.gating = self.out_channels = whole("gating", gating)
        self.weigh = nn.Sequential(layer(gating, gating, kernel_size=1), BatchNorm(gating))
        self.see = nn.Sequential(layer(channels, gating, kernel_size=3, padding=1), BatchNorm(gating))
        self.map = MapTap(of_rank("b c 1 1", dimensions))

    def forward(
        self, x: Float[Tensor, "b c *space"], gating: Float[Tensor, "b g *coarse"]
    ) -> Float[Tensor, "b g *space"]:
        """Return the coarse map at the size of ``x``, plus what the gates let through of ``x``."""
        self._check(x)
        self._check_gating(x, gating)
        gates: Tensor = self.map(self.weigh(mean(gating, *places(gating))).sigmoid())
        coarse = interpolate(gating, size=x.shape[2:], mode=linear_mode(x), align_corners=self.align_corners)
        return coarse + gated(self.see(x).relu_(), gates)

    def cost(self, *size: int) -> Cost:
        """Return the closed form of the header."""
        see, weigh = 3**self.dimensions * self.channels * self.gating, self.gating**2
        parameters = see + weigh + 6 * self.gating
        return Cost(
            parameters, macs=see * math.prod(size) + weigh, bytes=4 * parameters + 16 * self.gating + 16
        )
