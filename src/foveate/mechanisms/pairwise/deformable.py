"""Deformable attention: every position reads at a few places, which it chooses itself.

Formula y_q = x_q + W_o [sum_p A_kqp V_k(q + D_kqp) for each head k], V = W_v n, A = softmax_p(W_a n_q), D =
        W_d n_q + b_d in positions, n = LN(x); V between positions bilinear, outside the map 0
Paper   Zhu, Su, Lu, Li, Wang, Dai. Deformable DETR. ICLR 2021. arXiv:2010.04159, section 4.1.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, K, N, P), K heads, N = H*W, P points; rows sum to 1.
Cost    parameters 2*C*C + 2*C + 3*K*P*(C + 1), + 2*C with norm; MACs N*(2*C*C + 3*K*P*C). Memory grows with
        N*P.
Differs one map, not several scales; normalises before, not after; adds no code of the position. As in the
        authors' code W_d and W_a start at 0, and b_d puts the points of head k 1, 2, ... positions away in
        its own of K directions.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.memory_layout import like_input, tokens, untoken
from foveate.mechanisms.kernels.pointwise_convolution import project
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import full_precision, widen
from foveate.options import heads_of, whole


@mechanisms.register("deformable")
class DeformableAttention(Refine):
    """Let each position read, with several heads, at a few places relative to its own.

    Args:
        channels: C of the map that it will receive.
        heads: Number of heads; must divide ``channels``. None takes the most that do, up to the paper's 8.
        points: Number of places that a head reads at. Paper: 4.
        norm: Whether a layer normalisation comes first.
        residual: Whether ``x`` is added to what was read.

    Raises:
        OptionError: ``heads`` does not divide ``channels``, or ``points`` is not a positive whole number.

    Example:
        >>> import torch
        >>> DeformableAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions", "heads"),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "bottleneck"),
    )
    variants = {"heads": 2, "points": 3, "norm": False, "residual": False}

    def __init__(
        self,
        channels: int,
        *,
        heads: int | None = None,
        points: int = 4,
        norm: bool = True,
        residual: bool = True,
    ) -> None:
        super().__init__()
        self.channels, self.heads, self.residual = channels, heads_of(channels, heads), residual
        self.points = whole("points", points)
        self.norm = nn.LayerNorm(channels) if norm else nn.Identity()
        self.value = nn.Conv2d(channels, channels, kernel_size=1)
        self.offset = nn.Conv2d(channels, 2 * self.heads * points, kernel_size=1)  # to the right, downwards
        self.score = nn.Conv2d(channels, self.heads * points, kernel_size=1)
        self.merge = nn.Conv2d(channels, channels, kernel_size=1)
        for layer in (self.value, self.merge):
            nn.init.xavier_uniform_(layer.weight)
        for path, parameter in self.named_parameters():
            if path in ("offset.weight", "score.weight") or (path.endswith("bias") and path != "norm.bias"):
                nn.init.zeros_(parameter)
        self.offset.bias = nn.Parameter(_ring(self.heads, points).flatten())
        self.map = MapTap("b k n p", sums="p")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` plus what every position read."""
        self._check(x)
        normed = untoken(self.norm(tokens(x)), like=x)
        value = self.value(normed)
        with full_precision(x):  # half precision would round places by up to half a position
            weights = project(self.score, normed).flatten(2).unflatten(1, (self.heads, self.points))
            weights = self.map(weights.softmax(dim=2).transpose(2, 3))  # (B, K, N, P)
            sampled = self._sample(widen(value), project(self.offset, normed))  # (B, K, d, N, P)
            context = (sampled * weights.unsqueeze(2)).sum(dim=4).flatten(1, 2)
        read = self.merge(untoken(context.transpose(1, 2), like=x).to(value.dtype)).to(x.dtype)
        return x + read if self.residual else like_input(read, x)

    def _sample(self, value: Tensor, offset: Tensor) -> Float[Tensor, "b k d n p"]:
        height, width = value.shape[2:]
        steps = offset.flatten(2).unflatten(1, (self.heads, self.points, 2)).permute(0, 1, 4, 2, 3)
        rows = torch.arange(height, device=value.device)[:, None].expand(-1, width).reshape(-1, 1)
        columns = torch.arange(width, device=value.device).expand(height, -1).reshape(-1, 1)
        right, down = columns + steps[..., 0], rows + steps[..., 1]
        # From positions, whole numbers in their centres, to -1 and 1 at the outer edges of the map.
        grid = torch.stack([(2 * right + 1) / width - 1, (2 * down + 1) / height - 1], dim=4)
        split = value.unflatten(1, (self.heads, -1)).flatten(0, 1)  # (B*K, d, H, W)
        sampled = F.grid_sample(split, grid.flatten(0, 1), mode="bilinear", align_corners=False)
        return sampled.unflatten(0, (-1, self.heads))

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        weights = 2 * self.channels**2 + 3 * self.heads * self.points * self.channels
        parameters = sum(p.numel() for p in self.parameters())
        return Cost(parameters=parameters, macs=height * width * weights, bytes=4 * parameters)


def _ring(heads: int, points: int) -> Float[Tensor, "k p 2"]:
    """Return the first places: head k looks in its own direction, point p at p + 1."""
    angle = torch.arange(heads) * (2 * math.pi / heads)
    ring = torch.stack([angle.cos(), angle.sin()], dim=1)
    ring = ring / ring.abs().amax(dim=1, keepdim=True)
    return ring[:, None] * torch.arange(1, points + 1)[:, None]
