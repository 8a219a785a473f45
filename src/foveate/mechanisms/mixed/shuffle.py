"""Shuffle attention: in each group half the channels are gated whole, half by position; then a shuffle.

Formula y = shuffle([a * sigmoid(u mean(a) + v); b * sigmoid(w GN(b) + s)]) with [a; b] the halves of a group,
        u, v, w, s one number for each channel of a half, the same in all groups; GN normalises each channel
        over its positions; shuffle interleaves the two halves of all channels
Paper   Zhang, Yang. SA-Net: Shuffle Attention for Deep Convolutional Neural Networks. ICASSP 2021.
        arXiv:2102.00240, section 3.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, C, H, W), gates in (0, 1) in the order of the input's
        channels, for half of them the same at all positions.
Cost    with G = groups: parameters 3*C/G, MACs 0: all is elementwise.
Differs none from the authors' code. u and w start at 0, v and s at 1: all gates start at 0.73, and the
        channels are shuffled from the start. One position normalises to 0, where PyTorch's layer may raise.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import gated
from foveate.mechanisms.kernels.memory_layout import like_input
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import widen
from foveate.mechanisms.ranks import any_rank
from foveate.options import whole


@mechanisms.register("shuffle")
@any_rank
class ShuffleAttention(Refine):
    """Gate, in each group, half the channels as a whole and half by position; interleave the halves.

    Args:
        channels: C of the map that it will receive; even.
        groups: Number of groups; twice that number must divide ``channels``. None takes the most that do, up
            to the paper's 64.

    Raises:
        OptionError: ``channels`` is odd, or ``2 * groups`` does not divide it.

    Example:
        >>> import torch
        >>> ShuffleAttention(64, groups=8)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("channels", "positions"),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "pool"),
    )
    variants = {"groups": 2}

    def __init__(self, channels: int, *, groups: int | None = None) -> None:
        super().__init__()
        self.channels, self.groups = whole("channels", channels), _groups(channels, groups)
        self.width = channels // (2 * self.groups)  # of half a group
        self.channel_weight, self.position_weight = (nn.Parameter(torch.zeros(self.width)) for _ in range(2))
        self.channel_bias, self.position_bias = (nn.Parameter(torch.ones(self.width)) for _ in range(2))
        self.scale, self.shift = nn.Parameter(torch.ones(self.width)), nn.Parameter(torch.zeros(self.width))
        self.map = MapTap("b c h w")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` gated, its channels shuffled."""
        self._check(x)
        halves = widen(x).unflatten(1, (self.groups, 2, self.width))  # (B, G, 2, d, H, W)
        channel = self._line(
            self.channel_weight, halves[:, :, 0].mean(dim=(3, 4), keepdim=True), self.channel_bias
        )
        normed = self._line(self.scale, _normalised(halves[:, :, 1]), self.shift)
        position = self._line(self.position_weight, normed, self.position_bias)
        logits = torch.stack([channel.expand_as(position), position], dim=2).flatten(1, 3)
        y = gated(x, self.map(logits.sigmoid()).to(x.dtype))
        return like_input(y.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2), x)

    def _line(self, weight: Tensor, values: Float[Tensor, "b g d h w"], bias: Tensor) -> Tensor:
        """Return ``weight * values + bias``, one of each for a channel of half a group."""
        weight, bias = (widen(t).view(self.width, 1, 1) for t in (weight, bias))
        return weight * values + bias

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        return Cost(6 * self.width, macs=0, bytes=24 * self.width)


def _normalised(values: Float[Tensor, "b g d h w"]) -> Float[Tensor, "b g d h w"]:
    """Return each channel with mean 0 and variance 1 over its positions."""
    away = values - values.mean(dim=(3, 4), keepdim=True)
    return away * (away.square().mean(dim=(3, 4), keepdim=True) + 1e-5).rsqrt()


def _groups(channels: int, groups: int | None) -> int:
    """Return ``groups`` if twice that number divides ``channels``; for None the most that does, up to 64."""
    if groups is None and channels % 2 == 0:
        return max(d for d in range(1, 65) if channels % (2 * d) == 0)
    if groups is None or channels % (2 * whole("groups", groups)):
        raise OptionError(
            f"groups: got {groups}, but {channels} channels do not split into that many groups of two halves"
        )
    return groups
