"""SimAM: one gate per value, the greater the further the value lies from its channel's mean; no parameters.

Formula y = x * sigmoid((x - mu)^2 / (4 (v + lam)) + 1/2), mu = mean(x), v = sum (x - mu)^2 / max(1, H*W - 1)
Paper   Yang, Zhang, Li, Xie. SimAM: A Simple, Parameter-Free Attention Module for Convolutional Neural
        Networks. ICML 2021, section 3.2.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, C, H, W), gates in (0.62, 1).
Cost    parameters 0, MACs 0: all is elementwise.
Differs a 1 x 1 map has a variance of 0 where the authors' code divides by 0; half-precision maps have their
        statistics in float32.
"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from foveate.errors import OptionError
from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.energy_gating import gated_by_energy
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.ranks import any_rank
from foveate.options import whole


@mechanisms.register("simam")
@any_rank
class SimpleAttention(Refine):
    """Gate each value by how far it lies from the mean of its channel, in units of the channel's variance.

    Args:
        channels: C of the map that it will receive; nothing depends on it.
        lam: What is added to the variance, in squared units of ``x``; greater than 0. Paper: 1e-4.

    Raises:
        OptionError: ``lam`` is not a positive number.

    Example:
        >>> import torch
        >>> SimpleAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("channels", "positions"),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "pool"),
    )
    variants = {"lam": 0.1}

    def __init__(self, channels: int, *, lam: float = 1e-4) -> None:
        super().__init__()
        if not isinstance(lam, (int, float)) or not 0 < lam < math.inf:
            raise OptionError(f"lam: got {lam!r}, expected a number greater than 0, such as 1e-4")
        self.channels, self.lam = whole("channels", channels), lam
        self.map = MapTap("b c h w")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` with every value multiplied by its gate."""
        self._check(x)
        return gated_by_energy(x, self.lam, self.map)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        return Cost(parameters=0, macs=0, bytes=0)
