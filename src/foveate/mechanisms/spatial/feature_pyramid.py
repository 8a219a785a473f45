"""Feature pyramid attention: a pyramid of three coarser maps weighs the positions, a global mean is added.

Formula y = W_o (p * M x + G mean(x)), p = up(D1 d1 + up(D2 d2 + up(D3 d3))), d1, d2, d3 = x pooled to a half,
        a quarter and an eighth and convolved (7x7, 5x5, 3x3 twice); each layer with BN and relu
Paper   Li, Xiong, An, Wang. Pyramid Attention Network for Semantic Segmentation. BMVC 2018. arXiv:1805.10180,
        section 3.1.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, 1, H, W), at least 0 and not bounded above.
Cost    with R = min(C, width): parameters 2*C*R + 6*R + 49*C + 135, + R*C + C if R < C; MACs C*R*(N + 1)
        + (49*C + 49)*N1 + 50*N2 + 18*N3, + R*C*N if R < C; N positions of x, N1, N2, N3 those of the coarser
        maps, each half as high and wide, rounded up; 32*R + 16 + 96 bytes of running statistics.
Differs the pyramid has one channel, as in segmentation-models-pytorch, whose block has 32 at the end: here a
        layer W_o gives back the C of the input; width=channels is that block of C, without W_o. Maps of any
        size: the pools round up, and multiples of 8 are not needed.
"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.memory_layout import like_input
from foveate.mechanisms.kernels.pyramid_steps import halved, halved_and_back, up
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import precise, roomy
from foveate.options import whole


@mechanisms.register("feature_pyramid")
class FeaturePyramidAttention(Refine):
    """Weigh each position by what a pyramid of coarser maps sees around it, and add the global mean.

    Args:
        channels: C of the map that it will receive.
        width: Channels inside. At C or more there are C, and no layer leads back to C.

    Raises:
        OptionError: ``width`` is not a positive whole number.

    Example:
        >>> import torch
        >>> FeaturePyramidAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions",), driven_by="input", weighting="soft", sites=("features", "bottleneck")
    )
    variants = {"width": 4}

    def __init__(self, channels: int, *, width: int = 32) -> None:
        super().__init__()
        self.channels, self.width = whole("channels", channels), min(channels, whole("width", width))
        self.overall = _layer(channels, self.width, 1)
        self.values = _layer(channels, self.width, 1)
        self.to_half = _layer(channels, 1, 7)
        self.to_quarter = _layer(1, 1, 5)
        self.to_eighth = nn.Sequential(_layer(1, 1, 3), _layer(1, 1, 3))
        self.from_quarter = _layer(1, 1, 5)
        self.from_half = _layer(1, 1, 7)
        back = self.width < channels
        self.expand = nn.Conv2d(self.width, channels, kernel_size=1) if back else nn.Identity()
        self.map = MapTap("b 1 h w", low=-math.inf, high=math.inf)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return the weighed map at the width of the input."""
        weighed, expand = self.weighed(x), self.expand
        return like_input(precise(expand, weighed) if isinstance(expand, nn.Conv2d) else expand(weighed), x)

    def weighed(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b r h w"]:
        """Return the weighed map at the inner width, with the global mean added."""
        self._check(x)
        overall = self.overall(x.mean(dim=(2, 3), keepdim=True))  # (B, R, 1, 1)
        return roomy(self.map(self._pyramid(x))) * self.values(x) + overall

    def _pyramid(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h w"]:
        """Return the weights, from the coarsest map up."""
        half = self.to_half(halved(x))
        quarter = self.to_quarter(halved(half))
        eighth = halved_and_back(self.to_eighth, quarter)
        quarter = self.from_quarter(quarter) + eighth
        return up(self.from_half(half) + up(quarter, half), x)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        c, r, back = self.channels, self.width, self.width < self.channels
        full, half, quarter, eighth = ((-(-height // s)) * (-(-width // s)) for s in (1, 2, 4, 8))
        parameters = 2 * c * r + 6 * r + 49 * c + 135 + (r * c + c) * back
        macs = c * r * (full + 1) + 49 * (c + 1) * half + 50 * quarter + 18 * eighth + r * c * full * back
        return Cost(parameters, macs=macs, bytes=4 * parameters + 2 * (8 * r + 8) + 6 * 16)


def _layer(channels: int, hidden: int, kernel_size: int) -> nn.Sequential:
    """Return a convolution that keeps height and width, normalised and rectified."""
    conv = nn.Conv2d(channels, hidden, kernel_size, padding=kernel_size // 2)
    return nn.Sequential(conv, BatchNorm(hidden), nn.ReLU(inplace=True))
