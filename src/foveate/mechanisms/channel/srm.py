"""Style-based recalibration: one gate per channel, from that channel's own mean and standard deviation.

Formula y = x * sigmoid(BN(w1_c * mean_hw x_c + w2_c * sqrt(var_hw x_c + eps)))
Paper   Lee, Kim, Nam. SRM: A Style-based Recalibration Module for Convolutional Neural Networks. ICCV 2019.
        arXiv:1903.10829, section 3, equations 1 to 5.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, C, 1, 1), gates in (0, 1).
Cost    parameters 4*C, MACs 0: two products per channel, element by element, are not counted; 8*C + 8 bytes
        of running statistics.
Differs the variance is divided by H*W, as printed; the authors' code divides by H*W - 1 (unbiased=True),
        which has no value at 1 x 1: there we divide by 1. Both weights start at 0, as in their code: fresh
        gates are all 0.5.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import gated
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import widen
from foveate.mechanisms.ranks import any_rank
from foveate.options import whole

EPS = 1e-5


@mechanisms.register("srm")
@any_rank
class StyleRecalibration(Refine):
    """Gate each channel by its own mean and standard deviation, two weights a channel.

    Args:
        channels: C of the map that it will receive.
        unbiased: Whether the variance is divided by H*W - 1 instead of H*W. Paper: no; authors' code: yes.

    Raises:
        OptionError: ``channels`` is not a positive whole number.

    Example:
        >>> import torch
        >>> StyleRecalibration(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("channels",), driven_by="input", weighting="soft", sites=("features", "skip", "pool")
    )
    variants = {"unbiased": True}

    def __init__(self, channels: int, *, unbiased: bool = False) -> None:
        super().__init__()
        self.channels, self.unbiased = whole("channels", channels), unbiased
        self.style = nn.Parameter(torch.zeros(2, channels, 1, 1))
        self.norm = BatchNorm(channels)
        self.map = MapTap("b c 1 1")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` with every channel multiplied by its gate."""
        self._check(x)
        positions, wide = x.shape[2] * x.shape[3], widen(x)
        mean = wide.mean(dim=(2, 3), keepdim=True)
        # The norm of the differences: a quarter of the time of torch.var_mean on a CPU, and as exact.
        variance = torch.linalg.vector_norm(wide - mean, dim=(2, 3), keepdim=True).square()
        variance = variance / (max(positions - 1, 1) if self.unbiased else positions)
        style = self.style[0] * mean + self.style[1] * (variance + EPS).sqrt()
        return gated(x, self.map(self.norm(style.to(x.dtype)).sigmoid()))

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        parameters = 4 * self.channels
        return Cost(parameters, macs=0, bytes=4 * parameters + 8 * self.channels + 8)
