"""Criss-cross attention: every position takes from its row and column, and after two rounds from everywhere.

Formula y = x + gamma * sum_p softmax_p(q_u . k_p) v_p over the H+W-1 positions p in the row and column of u;
        applied `recurrence` times with the same weights
Paper   Huang et al. CCNet: Criss-Cross Attention for Semantic Segmentation. ICCV 2019.
        arXiv:1811.11721, section 3.2.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, H, W, H+W): the column's H weights (its own position's is 0),
        then the row's W; together they sum to 1. With recurrence the map is that of the last round.
Cost    with R = max(1, C // reduction): parameters C*C + 2*C*R + C + 2*R + 1,
        MACs recurrence * N * (C*C + 2*C*R + (H+W)*(C + R)), N = H*W. Memory grows with N*(H+W).
Differs nothing; the own position is counted once, in the row, as in the authors' code.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Cost, Facets, MapTap, mechanisms
from foveate.mechanisms.interfaces import Refine
from foveate.mechanisms.kernels.attend import project
from foveate.mechanisms.kernels.crossed import cross, fits
from foveate.mechanisms.precision import full_precision, widen
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
        if not self.map.recording and fits(x, *self.parameters()):
            return self._at_once(x)
        for _ in range(self.recurrence):
            x = x + (self.gamma * self._read(x)).to(x.dtype)
        return x

    def _at_once(self, x: Tensor) -> Tensor:
        """Return the same without a map of its own for each step."""
        weight = torch.cat([self.query.weight, self.key.weight]).flatten(1)
        bias = torch.cat([self.query.bias, self.key.bias])  # type: ignore[list-item]
        value = self.gamma * self.value.weight.flatten(1), self.gamma * self.value.bias  # type: ignore[operator]
        for _ in range(self.recurrence):
            x = cross(x, (weight, bias), value)
        return x

    def _read(self, x: Tensor) -> Tensor:
        """Return what every position reads in one round."""
        query, key = (
            project(layer, x).permute(0, 2, 3, 1) for layer in (self.query, self.key)
        )  # (B, H, W, R)
        value = self.value(x).permute(0, 2, 3, 1).contiguous()  # laid out once, for rows and columns alike
        with full_precision(x):
            weights = self.map(self._weights(widen(query), widen(key))).to(value.dtype)  # (B, H, W, H+W)
            down, along = weights[..., : x.shape[2]], weights[..., x.shape[2] :]
            column = down.transpose(1, 2) @ value.transpose(1, 2)  # (B, W, H, H) (B, W, H, C)
            row = along @ value  # (B, H, W, W) (B, H, W, C)
        return (row + column.transpose(1, 2)).permute(0, 3, 1, 2)

    @staticmethod
    def _weights(query: Tensor, key: Tensor) -> Tensor:
        column = query.transpose(1, 2) @ key.permute(0, 2, 3, 1)  # (B, W, H, R) (B, W, R, H)
        rank = torch.arange(query.shape[1], device=query.device)
        column = column.masked_fill(rank[:, None] == rank, -torch.inf)  # own position: the row counts it
        row = query @ key.transpose(2, 3)  # (B, H, W, R) (B, H, R, W)
        return torch.cat([column.transpose(1, 2), row], dim=-1).softmax(dim=-1)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        weights = self.channels * (self.channels + 2 * self.width)
        parameters = weights + self.channels + 2 * self.width + 1
        macs = self.recurrence * height * width * (weights + (height + width) * (self.channels + self.width))
        return Cost(parameters=parameters, macs=macs, bytes=4 * parameters)
