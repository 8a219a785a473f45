"""Attentional pooling: each position weighed by its product with one learned vector; of second order in x.

Formula z = X^T X b / N = sum_i a_i x_i, a_i = x_i . b / N, with X (N, C) all N = H*W positions
Paper   Girdhar, Ramanan. Attentional Pooling for Action Recognition. NeurIPS 2017. arXiv:1711.01467,
        section 3: followed by a classifier (a . z) the rank-1 form of second-order pooling.
Shapes  x (B, C, H, W) -> (B, C); map (B, 1, H, W), any numbers: nothing normalises them.
Cost    parameters C, MACs 2*C*H*W.
Differs the mean over positions, as the authors' code, so that z does not grow with the map; the paper's
        formula has the sum (mean=False). The classes' own vectors a are the classifier's, not this file's.
"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Pool, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import full_precision, widen
from foveate.mechanisms.ranks import any_rank
from foveate.options import whole


@mechanisms.register("second_order_pool")
@any_rank
class SecondOrderPool(Pool):
    """Pool a map by its positions' products with one learned vector.

    Args:
        channels: C of the map that it will receive.
        mean: Whether the weights are divided by the number of positions.

    Raises:
        OptionError: ``channels`` is not a positive whole number.

    Example:
        >>> import torch
        >>> SecondOrderPool(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64])
    """

    facets = Facets(over=("positions",), driven_by="input", weighting="soft", sites=("pool",))
    variants = {"mean": False}

    def __init__(self, channels: int, *, mean: bool = True) -> None:
        super().__init__()
        self.channels, self.mean = whole("channels", channels), mean
        self.score = nn.Conv2d(channels, 1, kernel_size=1, bias=False)
        self.map = MapTap("b 1 h w", low=-math.inf, high=math.inf)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """Return the weighted sum of ``x`` over its positions."""
        self._check(x)
        values = widen(x).flatten(2)  # (B, C, N): of second order, too great for float16
        with full_precision(x):
            weights = widen(self.score.weight).flatten(1) @ values  # (B, 1, N)
            if self.mean:
                weights = weights / (x.shape[2] * x.shape[3])
            weights = self.map(weights.unflatten(2, x.shape[2:])).flatten(2)
            return (values @ weights.transpose(1, 2)).squeeze(2).to(x.dtype)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        return Cost(self.channels, macs=2 * self.channels * height * width, bytes=4 * self.channels)
