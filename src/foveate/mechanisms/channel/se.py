"""Squeeze-and-excitation: one gate per channel, computed from the channel means.

Formula y = x * sigmoid(W2 relu(W1 mean(x) + b1) + b2)
Paper   Hu, Shen, Sun. Squeeze-and-Excitation Networks. CVPR 2018. arXiv:1709.01507, section 3.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, C, 1, 1), gates in (0, 1).
Cost    with R = max(least, C // reduction): parameters 2*C*R + C + R, MACs 2*C*R, whatever H and W.
Differs biases on both layers, as in the authors' released models; equation 3 prints none (bias=False).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import gated
from foveate.mechanisms.kernels.pointwise_convolution import pointwise
from foveate.mechanisms.kernels.reductions import mean
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.ranks import any_rank
from foveate.options import reduced, whole


@mechanisms.register("se")
@any_rank
class SqueezeExcitation(Refine):
    """Gate each channel by a two-layer function of all channel means.

    Args:
        channels: C of the map that it will receive.
        reduction: How many times narrower the hidden layer is. Paper: 16.
        bias: Whether both layers have biases.
        least: Fewest channels of the hidden layer. timm: 8.

    Example:
        >>> import torch
        >>> SqueezeExcitation(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("channels",), driven_by="input", weighting="soft", sites=("features", "skip", "pool")
    )
    variants = {"reduction": 4, "bias": False, "least": 9}

    def __init__(self, channels: int, *, reduction: int = 16, bias: bool = True, least: int = 1) -> None:
        super().__init__()
        self.channels, self.bias = channels, bias
        self.hidden = reduced(channels, reduction, least=whole("least", least))
        self.squeeze = nn.Conv2d(channels, self.hidden, kernel_size=1, bias=bias)
        self.excite = nn.Conv2d(self.hidden, channels, kernel_size=1, bias=bias)
        self.map = MapTap("b c 1 1")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` with every channel multiplied by its gate."""
        self._check(x)
        return gated(x, self.weigh(x))

    def weigh(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 1 1"]:
        """Return the gates alone, for mechanisms that combine them with others."""
        means = mean(x, 2, 3)
        gates: Tensor = self.map(pointwise(self.excite, pointwise(self.squeeze, means).relu()).sigmoid())
        return gates

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        weights = 2 * self.channels * self.hidden
        parameters = weights + (self.channels + self.hidden) * self.bias
        return Cost(parameters=parameters, macs=weights, bytes=4 * parameters)
