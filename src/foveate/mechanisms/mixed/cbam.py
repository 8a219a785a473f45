"""Convolutional block attention: one gate per channel, then one per position.

Formula z = x * sigmoid(MLP(mean_hw x) + MLP(max_hw x)), MLP(v) = W2 relu(W1 v + b1) + b2;
        y = z * sigmoid(BN(conv_k([max_c z; mean_c z])))
Paper   Woo, Park, Lee, Kweon. CBAM: Convolutional Block Attention Module. ECCV 2018. arXiv:1807.06521,
        section 3.
Shapes  x (B, C, H, W) -> (B, C, H, W); maps channel.map (B, C, 1, 1) and spatial.map (B, 1, H, W), gates in
        (0, 1).
Cost    with R = max(1, C // reduction): parameters 2*C*R + C + R + 2*k*k + 2, MACs 4*C*R + 2*k*k*H*W;
        20 bytes of running statistics. Of signals k for k*k and L for H*W, of volumes k*k*k and D*H*W.
Differs none from the authors' code; equation 2 prints no biases (bias=False, which is timm's default and
        C + R parameters fewer), and the paper does not mention the normalisation, whose scale starts at 0:
        the fresh position gates are all 0.5.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import gated_in_turn
from foveate.mechanisms.kernels.pointwise_convolution import pointwise
from foveate.mechanisms.kernels.reductions import maximum, mean
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.ranks import RANKS, Dimensions, convolution, of_rank, places
from foveate.mechanisms.spatial.spatial import SpatialAttention
from foveate.options import flag, reduced


class ChannelGate(nn.Module):
    """Gate each channel by one two-layer function of the channel means plus the same of the channel maxima.

    Args:
        channels: C of the map that it will receive.
        reduction: How many times narrower the hidden layer is.
        bias: Whether its two layers have biases.
        dimensions: How many axes of positions the map has.
    """

    def __init__(self, channels: int, reduction: int, bias: bool = True, dimensions: int = 2) -> None:
        super().__init__()
        hidden, layer = reduced(channels, reduction), convolution(dimensions)
        self.squeeze = layer(channels, hidden, kernel_size=1, bias=bias)
        self.excite = layer(hidden, channels, kernel_size=1, bias=bias)
        self.map = MapTap(of_rank("b c 1 1", dimensions))

    def forward(self, x: Float[Tensor, "b c *space"]) -> tuple[Tensor, Float[Tensor, "b c *ones"]]:
        """Return ``x`` to continue with and the gates of its channels."""
        means = mean(x, *places(x))
        x, maxima = maximum(x, "positions")
        of_means, of_maxima = (
            pointwise(self.excite, pointwise(self.squeeze, v).relu()) for v in (means, maxima)
        )
        return x, self.map((of_means + of_maxima).sigmoid())


@mechanisms.register("cbam")
class ConvolutionalBlockAttention(Refine):
    """Gate the channels, then the positions of what they leave.

    Args:
        channels: C of the map that it will receive.
        reduction: How many times narrower the hidden layer of the channel gate is. Paper: 16.
        kernel_size: Width and height of the position gate's convolution, in positions; odd. Paper: 7.
        bias: Whether the layers of the channel gate have biases.
        dimensions: 1 for signals (B, C, L), 2 for maps (B, C, H, W), 3 for volumes (B, C, D, H, W).

    Example:
        >>> import torch
        >>> ConvolutionalBlockAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("channels", "positions"),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "pool"),
    )
    variants = {"reduction": 4, "kernel_size": 3, "bias": False, "dimensions": 3}
    dims = RANKS

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        kernel_size: int = 7,
        bias: bool = True,
        dimensions: Dimensions = 2,
    ) -> None:
        super().__init__()
        self.bias = flag("bias", bias)
        self.channels, self.hidden = channels, reduced(channels, reduction)
        self.dimensions = dimensions
        self.channel = ChannelGate(channels, reduction, bias, dimensions)
        self.spatial = SpatialAttention(channels, kernel_size=kernel_size, dimensions=dimensions)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """Return ``x`` with every channel, then every position multiplied by its gate."""
        self._check(x)
        x, channels = self.channel(x)
        return gated_in_turn(x, channels, self.spatial.weigh)

    def cost(self, *size: int) -> Cost:
        """Return the closed form of the header."""
        weights = 2 * self.channels * self.hidden
        parameters = weights + (self.channels + self.hidden) * self.bias
        # The two layers run twice, on the means and on the maxima.
        return Cost(parameters, macs=2 * weights, bytes=4 * parameters) + self.spatial.cost(*size)
