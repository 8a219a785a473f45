"""Cross-normalised linear attention of UFO-ViT: queries, and keys times values, each of unit length.

Formula y = x + W_o [X(q_i) X(sum_j k_j v_j^T) for each head], X(a) = gamma * a / |a| along the last axis,
        q, k, v = linear layers of LN(x)
Paper   Song. UFO-ViT: High Performance Linear Vision Transformer without Softmax. 2021. arXiv:2109.14382,
        section 3.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, K, N, D), K heads of D = C/K channels, N = H*W: how much every
        position takes of each of the D rows that sum up the map; unbounded, of length gamma.
Cost    parameters 4*C*C + K, + 4*C with bias, + 2*C with norm; MACs 4*N*C*C + 2*N*C*D. Memory grows with N.
Differs gamma, one per head for both X, starts at 1 (a re-implementation draws it).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.memory_layout import like_input, tokens, untoken
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import full_precision, widen
from foveate.mechanisms.ranks import any_rank
from foveate.options import heads_of


@mechanisms.register("ufo")
@any_rank
class CrossNormalizedAttention(Refine):
    """Let each position read a summary of the map, without a softmax and without N*N products.

    Args:
        channels: C of the map that it will receive.
        heads: Number of heads; must divide ``channels``. None takes the most that do, up to 8.
        norm: Whether a layer normalisation comes first.
        bias: Whether the linear layers have biases.
        residual: Whether ``x`` is added to what was read.

    Raises:
        OptionError: ``heads`` does not divide ``channels``.

    Example:
        >>> import torch
        >>> CrossNormalizedAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions", "heads"),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "bottleneck"),
    )
    variants = {"heads": 2, "norm": False, "bias": False, "residual": False}

    def __init__(
        self,
        channels: int,
        *,
        heads: int | None = None,
        norm: bool = True,
        bias: bool = True,
        residual: bool = True,
    ) -> None:
        super().__init__()
        self.channels, self.heads, self.residual = channels, heads_of(channels, heads), residual
        self.norm = nn.LayerNorm(channels) if norm else nn.Identity()
        self.project = nn.Linear(channels, 3 * channels, bias=bias)  # queries, keys, values
        self.gamma = nn.Parameter(torch.ones(self.heads, 1, 1))
        self.merge = nn.Linear(channels, channels, bias=bias)
        self.map = MapTap("b k n m", low=-torch.inf, high=torch.inf)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` plus what every position read."""
        self._check(x)
        projected = self.project(self.norm(tokens(x)))
        query, key, value = projected.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        with full_precision(x):  # the sum over all positions and its length outgrow half precision
            summary = widen(key).transpose(2, 3) @ widen(value)  # (B, K, D, D)
            weights = self.map(self.gamma * F.normalize(widen(query), dim=-1))  # (B, K, N, D)
            context = (weights @ (self.gamma * F.normalize(summary, dim=-1))).to(value.dtype)
        read = untoken(self.merge(context.transpose(1, 2).flatten(2)), like=x).to(x.dtype)
        return x + read if self.residual else like_input(read, x)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        parameters = sum(p.numel() for p in self.parameters())
        head = self.channels // self.heads
        macs = height * width * self.channels * (4 * self.channels + 2 * head)
        return Cost(parameters=parameters, macs=macs, bytes=4 * parameters)
