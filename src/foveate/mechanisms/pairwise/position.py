"""Position attention of DANet: every position takes from all positions whose features answer its query.

Formula y = x + gamma * softmax_j(q_i . k_j) v_j, with q, k, v = 1x1 convolutions of x and no 1/sqrt(d)
Paper   Fu, Liu, Tian, Li, Bao, Fang, Lu. Dual Attention Network for Scene Segmentation. CVPR 2019.
        arXiv:1809.02983, section 3.2.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, N, N), N = H*W, rows sum to 1, formed only while recording.
Cost    with R = max(1, C // reduction): parameters C*C + 2*C*R + C + 2*R + 1,
        MACs N*(C*C + 2*C*R) + N*N*(C + R). Memory grows with N, in training too: the
        weights come in blocks of rows, again in the backward pass.
Differs none in the numbers; the authors keep all N*N weights.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.memory_layout import tokens, untoken
from foveate.mechanisms.kernels.pointwise_convolution import pointwise, project
from foveate.mechanisms.kernels.softmax_attention import attend
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.ranks import any_rank
from foveate.options import reduced


@mechanisms.register("position")
@any_rank
class PositionAttention(Refine):
    """Add to each position what it reads at all positions, weighed by query and key.

    Args:
        channels: C of the map that it will receive.
        reduction: How many times narrower queries and keys are. Paper: 8.

    Example:
        >>> import torch
        >>> PositionAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions",),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "bottleneck", "output"),
    )
    variants = {"reduction": 2}
    gate = "gamma"

    def __init__(self, channels: int, *, reduction: int = 8) -> None:
        super().__init__()
        self.channels, self.width = channels, reduced(channels, reduction)
        self.query = nn.Conv2d(channels, self.width, kernel_size=1)
        self.key = nn.Conv2d(channels, self.width, kernel_size=1)
        self.value = nn.Conv2d(channels, channels, kernel_size=1)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.map = MapTap("b n m", sums="m")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` plus gamma times what every position read."""
        self._check(x)
        query, key = (tokens(project(layer, x)) for layer in (self.query, self.key))
        context = attend(query, key, tokens(pointwise(self.value, x)), self.map)
        return x + (self.gamma * untoken(context, like=x)).to(x.dtype)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        positions, weights = height * width, self.channels * (self.channels + 2 * self.width)
        parameters = weights + self.channels + 2 * self.width + 1
        macs = positions * weights + positions**2 * (self.channels + self.width)
        return Cost(parameters=parameters, macs=macs, bytes=4 * parameters)
