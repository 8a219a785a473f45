"""Efficient multi-head self-attention of ResT: keys and values of a smaller map, heads mixed.

Formula y = x + W_o [IN_k(softmax_j(sum_l T_kl q_l,i . k_l,j / sqrt(d))) v_k,j for each head k], q of n =
        LN(x), k and v of LN(depthwise convolution of n, stride r); IN takes mean and variance of a head's
        matrix
Paper   Zhang, Yang. ResT: An Efficient Transformer for Visual Recognition. NeurIPS 2021. arXiv:2105.13677,
        section 3.2.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, K, N, M), K heads, N = H*W, M = ceil(H/r)*ceil(W/r):
        normalised to mean 0 and variance 1 for each head, so unbounded; without mix rows sum to 1.
Cost    parameters 4*C*C, + 4*C with bias, + 2*C with norm, + C*((r + 1)^2 + 3) with r > 1, + K*K with mix
        and K > 1; MACs 2*N*C*C + 2*M*C*C + 2*N*M*C, + M*C*(r + 1)^2, + N*M*K*K. Memory grows with N: the
        weights come in blocks of rows, again in the backward pass. Compiled, all N*M are kept.
        Of signals r + 1 for (r + 1)^2, of volumes (r + 1)^3.
Differs T has no bias, as the softmax cancels it. The padding makes ceil(H/r) of H for odd r too. No
        dropout; the authors' scale, sqrt(d), is that of one head though K are summed.
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
from foveate.mechanisms.kernels.mixed_head_attention import attend_mixed
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import full_precision, widen
from foveate.mechanisms.ranks import RANKS, Dimensions, convolution
from foveate.options import heads_of, whole


@mechanisms.register("emsa")
class EfficientSelfAttention(Refine):
    """Let each position read in a smaller copy of the map, with heads that are mixed.

    Args:
        channels: C of the map that it will receive.
        heads: Number of heads; must divide ``channels``. None takes the most that do, up to 8.
        reduction: How many times lower and narrower the map of keys and values is. Paper: 8, 4, 2, 1.
        mix: Whether heads are mixed before the softmax and normalised after it. With one head they are not.
        norm: Whether a layer normalisation comes first.
        bias: Whether the linear layers have biases.
        residual: Whether ``x`` is added to what was read.
        dimensions: 1 for signals (B, C, L), 2 for maps (B, C, H, W), 3 for volumes (B, C, D, H, W).

    Raises:
        OptionError: ``heads`` does not divide ``channels``, or ``reduction`` is not a positive whole number.

    Example:
        >>> import torch
        >>> EfficientSelfAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions", "heads"),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "bottleneck"),
    )
    variants = {
        "heads": 2,
        "reduction": 3,
        "mix": False,
        "norm": False,
        "bias": False,
        "residual": False,
        "dimensions": 3,
    }
    dims = RANKS

    def __init__(
        self,
        channels: int,
        *,
        heads: int | None = None,
        reduction: int = 2,
        mix: bool = True,
        norm: bool = True,
        bias: bool = True,
        residual: bool = True,
        dimensions: Dimensions = 2,
    ) -> None:
        super().__init__()
        self.channels, self.heads, self.residual = channels, heads_of(channels, heads), residual
        self.reduction, self.mixes = whole("reduction", reduction), mix and self.heads > 1
        self.dimensions, layer = dimensions, convolution(dimensions)
        self.norm = nn.LayerNorm(channels) if norm else nn.Identity()
        self.query = nn.Linear(channels, channels, bias=bias)
        self.shrink = nn.Identity() if reduction == 1 else Shrink(channels, reduction, layer, dimensions)
        self.memory = nn.Linear(channels, 2 * channels, bias=bias)  # keys, values
        if self.mixes:
            self.mix = nn.Conv2d(self.heads, self.heads, kernel_size=1, bias=False)
        self.merge = nn.Linear(channels, channels, bias=bias)
        limits = {"low": -torch.inf, "high": torch.inf} if self.mixes else {}
        self.map = MapTap("b k n m", sums="" if self.mixes else "m", **limits)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """Return ``x`` plus what every position read."""
        self._check(x)
        normed = self.norm(tokens(x))
        query = self.query(normed).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, K, N, d)
        small = normed if self.reduction == 1 else tokens(self.shrink(untoken(normed, like=x)))
        key, value = self.memory(small).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mix = self.mix.weight if self.mixes else None
        with full_precision(x):
            query = widen(query) * query.shape[-1] ** -0.5
            context = attend_mixed(query, widen(key), widen(value), mix, self.map)
        context = context.to(value.dtype).transpose(1, 2).flatten(2)
        read = untoken(self.merge(context), like=x).to(x.dtype)
        return x + read if self.residual else like_input(read, x)

    def cost(self, *size: int) -> Cost:
        """Return the closed form of the header."""
        parameters = sum(p.numel() for p in self.parameters())
        positions = math.prod(size)
        read = math.prod(-(-side // self.reduction) for side in size)
        macs = 2 * (positions + read) * self.channels**2 + 2 * positions * read * self.channels
        macs += read * self.channels * (self.reduction + 1) ** self.dimensions * (self.reduction > 1)
        macs += positions * read * self.heads**2 * self.mixes
        return Cost(parameters=parameters, macs=macs, bytes=4 * parameters)


class Shrink(nn.Module):
    """Make a map lower and narrower by a depthwise convolution, then normalise every position.

    Args:
        channels: C of the map that it will receive.
        reduction: The stride; the kernel is one larger.
        layer: The class of its convolution.
        dimensions: How many axes of positions the map has.
    """

    def __init__(self, channels: int, reduction: int, layer: type[nn.Conv2d], dimensions: int) -> None:
        super().__init__()
        self.pad = (reduction // 2, reduction - reduction // 2) * dimensions
        self.conv = layer(channels, channels, reduction + 1, stride=reduction, groups=channels)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *small"]:
        """Return the smaller map."""
        small = self.conv(F.pad(x, self.pad))
        return untoken(self.norm(tokens(small)), like=small)
