"""S2-MLPv2: two opposite ways to shift a map by one position and the map itself, weighed channel by channel.

Formula [u1; u2; u3] = W0 x + b0; X_1 = shift(u1), X_2 = shift'(u2), X_3 = u3;
        a = softmax_i(W2 gelu(W1 sum_hw(X_1 + X_2 + X_3))); y = W3 sum_i a_i * X_i + b3.
        shift moves the quarters of the channels down, up, right and left; shift' right, left, down and up
Paper   Yu, Li, Cai, Sun, Li. S2-MLPv2: Improved Spatial-Shift MLP Architecture for Vision. 2021.
        arXiv:2108.01072, section 3.2.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, 3, C, 1, 1), sums to 1 over the three branches.
Cost    parameters 8*C*C + 4*C, MACs 4*C*C*H*W + 4*C*C.
Differs none. The border keeps its own values. The paper's sums grow with H*W: for maps of several sizes
        take pool="mean".
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, gelu

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import mixture
from foveate.mechanisms.kernels.reductions import mean
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import full_precision, widen
from foveate.options import one_of

DOWN, UP, RIGHT, LEFT = (2, True), (2, False), (3, True), (3, False)


def shifted(x: Float[Tensor, "b c h w"], *moves: tuple[int, bool]) -> Float[Tensor, "b c h w"]:
    """Move each quarter of the channels by one position, along an axis, onwards or back.

    Every quarter is copied: in place, each row would be copied from the one just overwritten.
    """
    cuts = [x.shape[1] * quarter // 4 for quarter in range(5)]
    quarters = [x[:, start:end] for start, end in pairwise(cuts)]
    return torch.cat([_move(q, *move) for q, move in zip(quarters, moves, strict=True)], dim=1)


def _move(x: Tensor, axis: int, onwards: bool) -> Tensor:
    size = x.shape[axis]
    if onwards:
        return torch.cat([x.narrow(axis, 0, 1), x.narrow(axis, 0, size - 1)], dim=axis)
    return torch.cat([x.narrow(axis, 1, size - 1), x.narrow(axis, size - 1, 1)], dim=axis)


@mechanisms.register("s2")
class SpatialShift(Refine):
    """Mix neighbouring positions by shifts alone, and let each channel choose among them.

    Args:
        channels: C of the map that it will receive.
        pool: What the weights are computed from: "sum" (paper) or "mean" of all positions.

    Raises:
        OptionError: ``pool`` is neither.

    Example:
        >>> import torch
        >>> SpatialShift(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(over=("branches", "channels"), driven_by="input", weighting="soft", sites=("features",))
    variants = {"pool": "mean"}

    def __init__(self, channels: int, *, pool: Literal["sum", "mean"] = "sum") -> None:
        super().__init__()
        one_of("pool", pool, ("sum", "mean"))
        self.channels, self.pool = channels, pool
        self.expand = nn.Conv2d(channels, 3 * channels, kernel_size=1)
        self.squeeze = nn.Conv2d(channels, channels, kernel_size=1, bias=False)
        self.select = nn.Conv2d(channels, 3 * channels, kernel_size=1, bias=False)
        self.output = nn.Conv2d(channels, channels, kernel_size=1)
        self.map = MapTap("b s c 1 1", sums="s")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return the mixed map."""
        self._check(x)
        first, second, third = self.expand(x).chunk(3, dim=1)
        branches = [shifted(first, DOWN, UP, RIGHT, LEFT), shifted(second, RIGHT, LEFT, DOWN, UP), third]
        mixed: Tensor = self.output(mixture(branches, self.map(self._weigh(branches))))
        return mixed

    def _weigh(self, branches: list[Tensor]) -> Tensor:
        pooled = sum(widen(mean(each, 2, 3)) for each in branches)
        assert isinstance(pooled, Tensor)
        if self.pool == "sum":
            pooled = pooled * (branches[0].shape[2] * branches[0].shape[3])
        with full_precision(pooled):  # sums over a whole map leave the range of half precision
            hidden = gelu(conv2d(pooled, widen(self.squeeze.weight)))
            logits = conv2d(hidden, widen(self.select.weight))
            return logits.unflatten(1, (3, self.channels)).softmax(dim=1).to(branches[0].dtype)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        square = self.channels**2
        parameters = 8 * square + 4 * self.channels
        return Cost(parameters, macs=4 * square * (height * width + 1), bytes=4 * parameters)
