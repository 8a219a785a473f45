"""Adaptive pooling: soft spatial pooling that may abstain, with one learned vector beside the positions.

Formula z = beta s + sum_i a_i x_i, (a, beta) = softmax over positions and sentinel of w . tanh(W x_i + b) and
        w . tanh(W s + b)
Paper   after Lu, Xiong, Parikh, Socher. Knowing When to Look. CVPR 2017. arXiv:1612.01887, section 2.3.
Shapes  x (B, C, H, W) -> (B, C); maps map (B, 1, H, W), what the positions get, and abstention (B, 1), beta;
        together they sum to 1.
Cost    with D = hidden: parameters D*(C + 2) + C, MACs N*(C*D + D + C) + C*D + D, N = H*W.
Differs a classifier has no words: no query asks, and the sentinel is one learned vector, not a state. beta
        says how little of the map was worth a look.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Pool, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import widen
from foveate.mechanisms.ranks import any_rank
from foveate.options import whole


@mechanisms.register("adaptive_pool")
@any_rank
class AdaptivePool(Pool):
    """Pool a map by a weighted mean of its positions and of a learned vector.

    Args:
        channels: C of the map that it will receive.
        hidden: Width of the network that weighs. None takes C/4, but at least 64.

    Raises:
        OptionError: ``hidden`` is not a positive whole number.

    Example:
        >>> import torch
        >>> AdaptivePool(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64])
    """

    facets = Facets(over=("positions",), driven_by="input", weighting="soft", sites=("pool",))
    variants = {"hidden": 8}

    def __init__(self, channels: int, *, hidden: int | None = None) -> None:
        super().__init__()
        self.channels = channels
        self.hidden = max(64, channels // 4) if hidden is None else whole("hidden", hidden)
        self.embed = nn.Conv2d(channels, self.hidden, kernel_size=1)
        self.score = nn.Conv2d(self.hidden, 1, kernel_size=1, bias=False)
        self.sentinel = nn.Parameter(torch.zeros(channels))
        self.map = MapTap("b 1 h w")
        self.abstention = MapTap("b 1")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """Return the weighted mean of the positions and the sentinel."""
        self._check(x)
        sentinel = self.sentinel[:, None, None].expand(x.shape[0], -1, 1, 1)
        slots = torch.cat([self._scores(x), self._scores(sentinel)], dim=2).softmax(dim=2)  # (B, 1, N+1)
        weights = self.map(slots[:, :, :-1].unflatten(2, x.shape[2:])).to(x.dtype)
        beta = self.abstention(slots[:, :, -1]).to(x.dtype)
        read = (x.flatten(2) @ weights.flatten(2).transpose(1, 2)).squeeze(2)
        return read + beta * self.sentinel

    def _scores(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 n"]:
        return widen(self.score(self.embed(x).tanh())).flatten(2)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        score = self.hidden * (self.channels + 1)  # the network, for one position or the sentinel
        parameters = score + self.hidden + self.channels
        macs = height * width * (score + self.channels) + score
        return Cost(parameters=parameters, macs=macs, bytes=4 * parameters)
