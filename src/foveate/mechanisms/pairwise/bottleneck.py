"""Bottleneck attention: multi-head attention over positions that knows how far apart they are.

Formula y_i = sum_j softmax_j(q_i . k_j / sqrt(d) + q_i . r_u + q_i . s_w) v_j in each head; q, k, v = 1x1
        convolutions of x; r_u, s_w = learned vectors for the distance from i to j in rows, in columns
Paper   Srinivas, Lin, Parmar, Shlens, Abbeel, Vaswani. Bottleneck Transformers for Visual Recognition.
        CVPR 2021. arXiv:2101.11605, section 3.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, K, N, N), K heads, N = H*W, rows sum to 1,
        formed only while recording.
Cost    with d = C // K: parameters 3*C*C + 2*(2*size-1)*d, + 3*C with bias;
        MACs 3*N*C*C + N*(H+W)*C + 2*N*N*C. Memory grows with N*(H+W), in training too.
Differs one set of weights for any size of map: the vectors of distances are stretched from those learned for
        ``size``. In the paper it replaces a 3x3 convolution, so there is no residual.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.memory_layout import like_input
from foveate.mechanisms.kernels.pointwise_convolution import project
from foveate.mechanisms.kernels.relative_attention import attend_placed, distances, relative
from foveate.mechanisms.map_tap import MapTap
from foveate.options import heads_of, whole


@mechanisms.register("bottleneck")
class BottleneckAttention(Refine):
    """Replace each position by what it reads at all positions, by content and by distance.

    Args:
        channels: C of the map that it will receive.
        heads: Number of heads; must divide ``channels``. None takes the most that do, up to the paper's 4.
        size: Height and width, in positions, that the tables of distances are for. Paper: 14, at 224 pixels.
        scale_positions: Whether the energies of distances are divided by sqrt(d) too.
        bias: Whether queries, keys and values have biases.

    Raises:
        OptionError: ``heads`` does not divide ``channels``, or ``size`` is not a positive whole number.

    Example:
        >>> import torch
        >>> BottleneckAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions", "heads"),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "bottleneck"),
    )
    variants = {"heads": 2, "size": 7, "scale_positions": True, "bias": True}

    def __init__(
        self,
        channels: int,
        *,
        heads: int | None = None,
        size: int = 14,
        scale_positions: bool = False,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.channels, self.heads = channels, heads_of(channels, heads, most=4)
        self.width, self.scale_positions = channels // self.heads, scale_positions
        self.project = nn.Conv2d(channels, 3 * channels, kernel_size=1, bias=bias)  # queries, keys, values
        self.rows = nn.Parameter(torch.empty(2 * whole("size", size) - 1, self.width))
        self.columns = nn.Parameter(torch.empty(2 * size - 1, self.width))
        for table in (self.rows, self.columns):
            nn.init.normal_(table, std=self.width**-0.5)
        self.map = MapTap("b k n m", sums="m")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return what every position read."""
        self._check(x)
        height, width = x.shape[2:]
        projected = project(self.project, x).unflatten(1, (3, self.heads, -1)).movedim(3, -1)
        query, key, value = projected.unbind(1)  # (B, K, H, W, d) each
        scale = self.width**-0.5
        asked = query * scale if self.scale_positions else query
        down, along = relative(asked, distances(self.rows, height), distances(self.columns, width))
        query, key, value = (part.flatten(2, 3) for part in (query, key, value))
        context = attend_placed(query, key, value, down, along, self.map, scale=scale)
        merged = context.transpose(2, 3).flatten(1, 2)  # (B, C, N)
        return like_input(merged.unflatten(2, (height, width)), x)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        positions = height * width
        parameters = sum(p.numel() for p in self.parameters())
        macs = positions * self.channels * (3 * self.channels + height + width + 2 * positions)
        return Cost(parameters=parameters, macs=macs, bytes=4 * parameters)
