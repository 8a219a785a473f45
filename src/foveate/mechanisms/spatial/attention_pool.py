"""Soft spatial pooling: one weight per position, by a small network, and the weighted mean of the map.

Formula z = sum_i a_i x_i, a = softmax_i(w . tanh(W x_i + b))
Paper   Xu et al. Show, Attend and Tell. ICML 2015. arXiv:1502.03044, section 4.2, without its query;
        the score is that of Bahdanau, Cho, Bengio. ICLR 2015. arXiv:1409.0473.
Shapes  x (B, C, H, W) -> (B, C); map (B, 1, H, W), sums to 1 over all positions.
Cost    with D = hidden: parameters D*(C + 2), MACs N*(C*D + D + C), N = H*W.
Differs no query: a classifier has no words to ask for. With w = 0 it is global average pooling.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Pool, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import widen
from foveate.mechanisms.ranks import any_rank
from foveate.options import whole


@mechanisms.register("attention_pool")
@any_rank
class AttentionPool(Pool):
    """Pool a map by a weighted mean, where a small network weighs the positions.

    Args:
        channels: C of the map that it will receive.
        hidden: Width of the small network. None takes C/4, but at least 64.

    Raises:
        OptionError: ``hidden`` is not a positive whole number.

    Example:
        >>> import torch
        >>> AttentionPool(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64])
    """

    facets = Facets(over=("positions",), driven_by="input", weighting="soft", sites=("pool",))
    variants = {"hidden": 8}

    def __init__(self, channels: int, *, hidden: int | None = None) -> None:
        super().__init__()
        self.channels = channels
        self.hidden = max(64, channels // 4) if hidden is None else whole("hidden", hidden)
        self.embed = nn.Conv2d(channels, self.hidden, kernel_size=1)
        self.score = nn.Conv2d(
            self.hidden, 1, kernel_size=1, bias=False
        )  # a bias would shift all scores alike
        self.map = MapTap("b 1 h w", sums="h w")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """Return the weighted mean of ``x`` over its positions."""
        self._check(x)
        scores = widen(self.score(self.embed(x).tanh()))  # (B, 1, H, W)
        weights = self.map(scores.flatten(2).softmax(dim=-1).unflatten(2, x.shape[2:]))
        return (x.flatten(2) @ weights.to(x.dtype).flatten(2).transpose(1, 2)).squeeze(2)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        parameters = self.hidden * (self.channels + 2)
        macs = height * width * (self.channels * self.hidden + self.hidden + self.channels)
        return Cost(parameters=parameters, macs=macs, bytes=4 * parameters)
