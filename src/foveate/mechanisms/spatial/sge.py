"""Spatial group-wise enhance: in each group of channels a gate per position, by likeness to the group's mean.

Formula y_i = x_i * sigmoid(w t_i + b), t_i = (s_i - mean(s)) / (std(s) + 1e-5), s_i = mean(x) . x_i,
        each group of C/G channels alone, with a w and a b of its own
Paper   Li, Hu, Yang. Spatial Group-wise Enhance: Improving Semantic Feature Learning in Convolutional
        Networks. 2019. arXiv:1905.09646, section 3.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, G, H, W), G = groups, gates in (0, 1).
Cost    parameters 2*G, MACs C*H*W.
Differs std divides by H*W - 1 (at least 1), as the authors' code; the paper's equation divides by H*W
        (unbiased=False). w starts at 0 and b at 1, as both say, so that all gates start at 0.73.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import gated
from foveate.mechanisms.kernels.symbolic_sizes import at_least_one
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import full_precision, widen
from foveate.mechanisms.ranks import any_rank
from foveate.options import whole


@mechanisms.register("sge")
@any_rank
class SpatialGroupEnhance(Refine):
    """Gate each position, in each group of channels, by how much it resembles the group's mean.

    Args:
        channels: C of the map that it will receive.
        groups: Number of groups; must divide ``channels``. None takes the most that do, up to the paper's 64.
        unbiased: Whether the variance over N positions divides by N - 1, as the authors' code, and not by N.

    Raises:
        OptionError: ``groups`` does not divide ``channels``.

    Example:
        >>> import torch
        >>> SpatialGroupEnhance(64, groups=8)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions",), driven_by="input", weighting="soft", sites=("features", "skip", "pool")
    )
    variants = {"groups": 4, "unbiased": False}

    def __init__(self, channels: int, *, groups: int | None = None, unbiased: bool = True) -> None:
        super().__init__()
        self.channels, self.unbiased = whole("channels", channels), unbiased
        self.groups = _groups(channels, groups)
        self.weight = nn.Parameter(torch.zeros(self.groups, 1, 1))
        self.bias = nn.Parameter(torch.ones(self.groups, 1, 1))
        self.map = MapTap("b k h w")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` with every position of every group multiplied by its gate."""
        self._check(x)
        with full_precision(x):
            logits = self._standardised(widen(x)) * widen(self.weight) + widen(self.bias)  # (B, G, H, W)
        gates = self.map(logits.sigmoid()).to(x.dtype)
        if self.groups == self.channels:
            return gated(x, gates)
        return gated(x.unflatten(1, (self.groups, -1)), gates.unsqueeze(2)).flatten(1, 2)

    def _standardised(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b g h w"]:
        """Return how much each position resembles the mean of its group, with mean 0 and deviation 1."""
        values = x.unflatten(1, (self.groups, -1)).flatten(3)  # (B, G, C/G, N)
        likeness = values.mean(dim=3).unsqueeze(2) @ values  # (B, G, 1, N)
        likeness = likeness - likeness.mean(dim=3, keepdim=True)
        degrees = at_least_one(x.shape[2] * x.shape[3] - int(self.unbiased))
        # The norm has a gradient (0) where all positions are alike; the root of a variance has none.
        norm = torch.linalg.vector_norm(likeness, dim=3, keepdim=True)
        return (likeness / (norm / degrees**0.5 + 1e-5)).squeeze(2).unflatten(2, x.shape[2:])

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        return Cost(2 * self.groups, macs=self.channels * height * width, bytes=8 * self.groups)


def _groups(channels: int, groups: int | None) -> int:
    """Return ``groups`` if it divides ``channels``; for None the largest divisor of ``channels`` up to 64."""
    if groups is None:
        return max(d for d in range(1, 65) if channels % d == 0)
    if channels % whole("groups", groups):
        raise OptionError(f"groups: got {groups}, which does not divide {channels} channels")
    return groups
