"""Spatial squeeze-and-excitation: one gate per position, a sigmoid of one weighted sum of its channels.

Formula y_ij = x_ij * sigmoid(w . x_ij + b)
Paper   Roy, Navab, Wachinger. Recalibrating Fully Convolutional Networks with Spatial and Channel "Squeeze
        and Excitation" Blocks. IEEE TMI 2018. arXiv:1808.08127, section 3 (sSE).
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, 1, H, W), gates in (0, 1).
Cost    parameters C + 1 (C with bias=False), MACs C*H*W.
Differs a bias, as in segmentation-models-pytorch and MONAI; the paper's equation prints none (bias=False).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import gated
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.ranks import any_rank
from foveate.options import whole


@mechanisms.register("sse")
@any_rank
class SpatialSqueezeExcitation(Refine):
    """Gate each position by one weighted sum of its channels.

    Args:
        channels: C of the map that it will receive.
        bias: Whether the sum has a bias.

    Raises:
        OptionError: ``channels`` is not a positive whole number.

    Example:
        >>> import torch
        >>> SpatialSqueezeExcitation(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions",), driven_by="input", weighting="soft", sites=("features", "skip", "pool")
    )
    variants = {"bias": False}

    def __init__(self, channels: int, *, bias: bool = True) -> None:
        super().__init__()
        self.channels, self.bias = whole("channels", channels), bias
        self.squeeze = nn.Conv2d(channels, 1, kernel_size=1, bias=bias)
        self.map = MapTap("b 1 h w")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` with every position multiplied by its gate."""
        self._check(x)
        return gated(x, self.weigh(x))

    def weigh(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h w"]:
        """Return the gates alone, for mechanisms that combine them with others."""
        gates: Tensor = self.map(self.squeeze(x).sigmoid())
        return gates

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        parameters = self.channels + self.bias
        return Cost(parameters, macs=self.channels * height * width, bytes=4 * parameters)
