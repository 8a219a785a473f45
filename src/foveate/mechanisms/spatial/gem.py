"""Generalised-mean pooling: between the mean (p = 1) and the maximum (p = infinity) of each channel.

Formula z_c = m_c = (mean_i x_ci^p)^(1/p) = sum_i a_ci x_ci, a_ci = x_ci^(p-1) / (N m_c^(p-1)), N = H*W;
        x = max(x, eps)
Paper   Radenovic, Tolias, Chum. Fine-tuning CNN Image Retrieval with No Human Annotation. TPAMI 2019.
        arXiv:1711.02512, section 3.2.
Shapes  x (B, C, H, W) -> (B, C); map (B, C, H, W), the weights that the mean implies, formed only while
        recording: in [0, 1] for p >= 1, and 1/N for p = 1.
Cost    parameters 1 (0 with learnable=False), MACs 0: all is elementwise.
Differs powers are of x over its channel's maximum, the same numbers without overflow.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.base import Pool, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.power_mean import power_mean
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import widen
from foveate.mechanisms.ranks import any_rank
from foveate.options import whole


@mechanisms.register("gem")
@any_rank
class GeneralizedMeanPool(Pool):
    """Pool each channel by a generalised mean, which prefers strong positions the more, the greater p is.

    Args:
        channels: C of the map that it will receive; nothing depends on it.
        p: Exponent of the mean, at least 1, or its start where it is learned. Paper: 3.
        learnable: Whether p is learned, one for all channels.
        eps: Least value, in units of ``x``: smaller ones, and negative ones, count as this. Authors: 1e-6.

    Raises:
        OptionError: ``p`` is less than 1, or ``eps`` not positive.

    Example:
        >>> import torch
        >>> GeneralizedMeanPool(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64])
    """

    facets = Facets(over=("positions",), driven_by="input", weighting="soft", sites=("pool",))
    variants = {"p": 2.0, "learnable": False, "eps": 0.1}

    def __init__(self, channels: int, *, p: float = 3.0, learnable: bool = True, eps: float = 1e-6) -> None:
        super().__init__()
        for option, value, least in (("p", p, 1.0), ("eps", eps, 1e-12)):
            if not isinstance(value, (int, float)) or not least <= value < math.inf:
                raise OptionError(f"{option}: got {value!r}, expected a number of at least {least:g}")
        self.channels, self.learnable, self.eps = whole("channels", channels), learnable, eps
        self.p = nn.Parameter(torch.full((1,), float(p))) if learnable else float(p)
        self.map = MapTap("b c h w")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """Return the generalised mean of each channel of ``x``."""
        self._check(x)
        wide = widen(x).clamp(min=self.eps)
        p = widen(self.p) if isinstance(self.p, Tensor) else self.p
        return power_mean(wide, p, self.map).to(x.dtype)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        parameters = int(self.learnable)
        return Cost(parameters, macs=0, bytes=4 * parameters)
