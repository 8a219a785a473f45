"""Point-wise spatial attention of PSANet: every position predicts a weight for every place around it.

Formula y = x + f([z_c; z_d]), z_c,p = sum_q softmax_q(m_p[q - p]) u_q (collect), z_d,q = sum_p
        softmax_p(m_p[q - p]) u_p (distribute); u = f(x), m = W_m f(u), for each branch its own, m 0 for
        steps q - p beyond the mask; f = relu(BN(1x1 convolution))
Paper   Zhao, Zhang, Liu, Shi, Loy, Lin, Jia. PSANet: Point-wise Spatial Attention Network for Scene
        Parsing. ECCV 2018, section 3.
Shapes  x (B, C, H, W) -> (B, C, H, W); maps collect.map and distribute.map (B, N, N), N = H*W: how much
        each position takes of each; rows sum to 1.
Cost    with R = max(1, C // reduction), M = (2*size - 1)^2, V branches: parameters V*(C*R + R*R + R*M +
        4*R) + V*R*C + 2*C, MACs V*n*(R*R + R*m + n*R) + 2*V*N*R*C, n = N or with shrink
        ceil(H/s)*ceil(W/s), m the steps of the mask that occur in the map; 16*V*R + 8*C bytes of running
        statistics and 8 a layer. Memory grows with n*(m + n): the predicted masks are the weights.
Differs adds x, which the authors concatenate, so that C stays. Masks cover maps up to size x size; 30 and
        reduction 4 are the authors' mask of 59 and 512 of 2048 channels, whose maps are halved first
        (shrink=2). Without the softmax weights="mean" divides by the positions, as the paper, "sum" by
        nothing, as the authors' code.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.memory_layout import tokens, untoken
from foveate.mechanisms.kernels.symbolic_sizes import at_most
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import full_precision, precise, roomy, widen
from foveate.options import one_of, reduced, whole


def _convolve(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out, kernel_size=1, bias=False), BatchNorm(out), nn.ReLU())


@mechanisms.register("point_wise")
class PointWiseAttention(Refine):
    """Add to each position what it collects from all others, and what these distribute to it.

    Args:
        channels: C of the map that it will receive.
        reduction: How many times narrower what moves between positions is. Paper: 4.
        size: Height and width, in positions, of the largest map whose pairs the mask covers all; in larger
            maps weights beyond it are those of a 0. Paper: 30.
        direction: "collect", "distribute" or "both".
        weights: "softmax"; "mean", the masks as they are, divided by the number of positions; or "sum".
        shrink: How many times lower and narrower the map is made for this. Authors: 2.

    Raises:
        OptionError: ``direction`` or ``weights`` is unknown, or a number is not positive and whole.

    Example:
        >>> import torch
        >>> PointWiseAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions",), driven_by="input", weighting="soft", sites=("features", "bottleneck", "output")
    )
    variants = {
        "reduction": 2,
        "size": 4,
        "direction": "collect",
        "weights": "mean",
        "shrink": 2,
    }

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 4,
        size: int = 30,
        direction: str = "both",
        weights: str = "softmax",
        shrink: int = 1,
    ) -> None:
        super().__init__()
        for option, value, known in (
            ("direction", direction, ("collect", "distribute", "both")),
            ("weights", weights, ("softmax", "mean", "sum")),
        ):
            one_of(option, value, known)
        self.channels, self.width = channels, reduced(channels, reduction)
        self.size, self.shrink = whole("size", size), whole("shrink", shrink)
        self.directions = ("collect", "distribute") if direction == "both" else (direction,)
        for each in self.directions:
            branch = Branch(channels, self.width, size, each == "distribute", weights, halved=shrink > 1)
            setattr(self, each, branch)
        self.merge = _convolve(len(self.directions) * self.width, channels)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` plus what every position took."""
        self._check(x)
        return (x + self._read(x)).to(x.dtype)

    def read(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return what every position took: what ``forward`` adds, and what PSANet puts beside ``x``."""
        return self._read(x).to(x.dtype)

    def _read(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        small = tuple((side - 1) // self.shrink + 1 for side in x.shape[2:])
        taken = [self.get_submodule(each)(x, small) for each in self.directions]
        convolve, norm, rectify = self.merge
        read: Tensor = rectify(norm(precise(cast(nn.Conv2d, convolve), torch.cat(taken, dim=1))))
        if self.shrink > 1:
            read = F.interpolate(read, x.shape[2:], mode="bilinear", align_corners=True)
        return read

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        branches, narrow, mask = len(self.directions), self.width, (2 * self.size - 1) ** 2
        own = self.channels * narrow + narrow**2 + narrow * mask + 4 * narrow
        parameters = branches * (own + narrow * self.channels) + 2 * self.channels
        rows, columns = ((side - 1) // self.shrink + 1 for side in (height, width))
        occurring = (2 * min(rows, self.size) - 1) * (2 * min(columns, self.size) - 1)
        positions = rows * columns
        merged = (height * width + positions) * self.channels * narrow
        macs = branches * (positions * narrow * (narrow + occurring + positions) + merged)
        buffers = 8 * (2 * branches * narrow + self.channels) + 8 * (2 * branches + 1)
        return Cost(parameters=parameters, macs=macs, bytes=4 * parameters + buffers)


class Branch(nn.Module):
    """Collect or distribute: reduce the map, predict a mask for every position, move the reduced map by it.

    Args:
        channels: C of the map that it will receive.
        width: Channels of what moves.
        size: Height and width of the largest map whose pairs the mask covers all.
        distribute: Whether a position's mask says where it sends to; else where it takes from.
        weights: "softmax", "mean" or "sum".
        halved: Whether the map is made smaller first.
    """

    def __init__(
        self, channels: int, width: int, size: int, distribute: bool, weights: str, *, halved: bool
    ) -> None:
        super().__init__()
        self.size, self.distribute, self.weights = size, distribute, weights
        self.reduce, self.hidden = _convolve(channels, width), _convolve(width, width)
        self.mask = nn.Parameter(
            torch.empty(width, 2 * size - 1, 2 * size - 1)
        )  # a 1x1 convolution's weights
        nn.init.uniform_(self.mask, -(width**-0.5), width**-0.5)
        self.halved, axes = halved, "b p m" if halved else "b n m"
        limits = {"sums": "m"} if weights == "softmax" else {"low": -torch.inf, "high": torch.inf}
        self.map = MapTap(axes, **limits)

    def forward(self, x: Float[Tensor, "b c h w"], small: tuple[int, int]) -> Float[Tensor, "b r i j"]:
        """Return what every position of the map, resized to ``small``, took."""
        moved = self.reduce(x)
        if self.halved:
            moved = F.interpolate(moved, small, mode="bilinear", align_corners=True)
        hidden = self.hidden(moved)
        with full_precision(x):
            weights = self.map(self._weights(widen(hidden)))  # (B, N, N)
            if self.weights != "softmax":  # weights that are not bounded
                moved = roomy(moved)
            return untoken(weights.to(moved.dtype) @ tokens(moved), like=moved)

    def _weights(self, hidden: Tensor) -> Float[Tensor, "b n m"]:
        """Return for each position (rows) the weight of each that it takes from."""
        height, width = hidden.shape[2:]
        down, along = at_most(height, self.size) - 1, at_most(width, self.size) - 1  # furthest steps
        centre = self.size - 1
        used = self.mask[:, centre - down : centre + down + 1, centre - along : centre + along + 1]
        masks = tokens(hidden) @ widen(used).flatten(1)  # (B, N, steps that occur)
        steps_down, steps_along = _steps(height, hidden), _steps(width, hidden)
        index = (steps_down + down)[:, None, :, None] * (2 * along + 1) + (steps_along + along)[:, None]
        within = (steps_down.abs() <= down)[:, None, :, None] & (steps_along.abs() <= along)[:, None]
        index = torch.where(within, index, 0).flatten(2).flatten(0, 1)  # (N, N): position p, place q
        found = masks.gather(2, index.expand(masks.shape[0], -1, -1))
        found = torch.where(within.flatten(2).flatten(0, 1), found, 0.0)
        found = found.transpose(1, 2) if self.distribute else found
        if self.weights == "softmax":
            return found.softmax(dim=2)
        return found / (height * width) if self.weights == "mean" else found


def _steps(length: int, like: Tensor) -> Tensor:
    """Return (length, length): how far column q is from row p."""
    places = torch.arange(length, device=like.device)
    return places - places[:, None]
