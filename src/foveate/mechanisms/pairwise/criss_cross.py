"""Criss-cross attention: every position takes from its row and column, and after two rounds from everywhere.

Formula y = x + gamma * sum_p softmax_p(q_u . k_p) v_p over the H+W-1 positions p in the row and column of u;
        applied `recurrence` times with the same weights
Paper   Huang et al. CCNet: Criss-Cross Attention for Semantic Segmentation. ICCV 2019.
        arXiv:1811.11721, section 3.2.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, H, W, H+W): the column's H weights (its own position's is 0),
        then the row's W; together they sum to 1. With recurrence the map is that of the last round.
Cost    with R = max(1, C // reduction): parameters C*C + 2*C*R + C + 2*R + 1,
        MACs recurrence * N * (C*C + 2*C*R + (H+W)*(C + R)), N = H*W. Memory grows with N*(H+W).
Differs none; the own position is counted once, in the row, as in the authors' code.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.criss_cross_attention import criss_cross
from foveate.mechanisms.map_tap import MapTap
from foveate.options import reduced, whole


@mechanisms.register("criss_cross")
class CrissCrossAttention(Refine):
    """Add to each position what it reads along its row and column.

    Args:
        channels: C of the map that it will receive.
        reduction: How many times narrower queries and keys are. Paper: 8.
        recurrence: How many rounds, with the same weights. Paper: 2, then all positions reach each other.

    Raises:
        OptionError: ``recurrence`` is not a positive whole number.

    Example:
        >>> import torch
        >>> CrissCrossAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions",),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "bottleneck", "output"),
    )
    variants = {"reduction": 2, "recurrence": 1}
    gate = "gamma"

    def __init__(self, channels: int, *, reduction: int = 8, recurrence: int = 2) -> None:
        super().__init__()
        self.channels, self.width = channels, reduced(channels, reduction)
        self.recurrence = whole("recurrence", recurrence)
        self.query = nn.Conv2d(channels, self.width, kernel_size=1)
        self.key = nn.Conv2d(channels, self.width, kernel_size=1)
        self.value = nn.Conv2d(channels, channels, kernel_size=1)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.map = MapTap("b h w m", sums="m")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` after the last round."""
        self._check(x)
        layers = self.query, self.key, self.value
        return criss_cross(x, layers, self.gamma, self.map, rounds=self.recurrence)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        weights = self.channels * (self.channels + 2 * self.width)
        parameters = weights + self.channels + 2 * self.width + 1
        macs = self.recurrence * height * width * (weights + (height + width) * (self.channels + self.width))
        return Cost(parameters=parameters, macs=macs, bytes=4 * parameters)
