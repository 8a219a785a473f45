"""ParNet's skip-squeeze-excitation: gated channels beside a 1x1 and a 3x3 convolution, summed.

Formula y = silu(BN(conv1x1(x)) + BN(conv3x3(x)) + x * sigmoid(W mean_hw(x) + b))
Paper   Goyal, Bochkovskiy, Deng, Koltun. Non-deep Networks. NeurIPS 2022. arXiv:2110.07641, section 3.1.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, C, 1, 1), gates in (0, 1).
Cost    parameters 11*C*C + 5*C, MACs 10*C*C*H*W + C*C; 16*C + 16 bytes of running statistics.
        Of signals 5 for 11, 4 for 10 and L for H*W, of volumes 29, 28 and D*H*W.
Differs the convolutions have no biases, which the normalisation after them would cancel.
"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import silu

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import gated
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.ranks import RANKS, Dimensions, convolution, of_rank, places
from foveate.options import whole


@mechanisms.register("parnet")
class ParNetAttention(Refine):
    """Sum a channel-gated copy of the map and two convolutions of it.

    Args:
        channels: C of the map that it will receive.
        dimensions: 1 for signals (B, C, L), 2 for maps (B, C, H, W), 3 for volumes (B, C, D, H, W).

    Raises:
        OptionError: ``channels`` is not a positive whole number.

    Example:
        >>> import torch
        >>> ParNetAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("channels",), driven_by="input", weighting="soft", sites=("features", "skip", "bottleneck")
    )
    variants = {"dimensions": 3}
    dims = RANKS

    def __init__(self, channels: int, *, dimensions: Dimensions = 2) -> None:
        super().__init__()
        self.channels, self.dimensions = whole("channels", channels), dimensions
        layer = convolution(dimensions)
        self.point = layer(channels, channels, kernel_size=1, bias=False)
        self.point_norm = BatchNorm(channels)
        self.around = layer(channels, channels, kernel_size=3, padding=1, bias=False)
        self.around_norm = BatchNorm(channels)
        self.excite = layer(channels, channels, kernel_size=1)
        self.map = MapTap(of_rank("b c 1 1", dimensions))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """Return the activated sum of the three branches."""
        self._check(x)
        gates = self.map(self.excite(x.mean(dim=places(x), keepdim=True)).sigmoid())
        convolved = self.point_norm(self.point(x)) + self.around_norm(self.around(x))
        return silu(convolved + gated(x, gates))

    def cost(self, *size: int) -> Cost:
        """Return the closed form of the header."""
        square, taps = self.channels**2, 3**self.dimensions + 1
        parameters = (taps + 1) * square + 5 * self.channels
        macs = square * (taps * math.prod(size) + 1)
        return Cost(parameters, macs, bytes=4 * parameters + 16 * self.channels + 16)
