"""Bottleneck attention module: gates for channels and gates for positions, joined before one sigmoid.

Formula c = W2 relu(BN(W1 mean_hw x)), s = conv1(f3(f2(f1 x))), f1 = relu(BN(conv1x1)), f2 and f3 =
        relu(BN(conv3x3, dilated)); m = sigmoid(c + s) (combine="add"), m = sigmoid(c * s)
        (combine="multiply"); y = x * (1 + m); all layers with biases
Paper   Park, Woo, Lee, Kweon. BAM: Bottleneck Attention Module. BMVC 2018. arXiv:1807.06514, section 3.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, C, H, W), m in (0, 1).
Cost    with R = max(1, C // reduction): parameters 3*C*R + C + 18*R*R + 13*R + 1,
        MACs 2*C*R + (C*R + 18*R*R + R)*H*W; 32*R + 32 bytes of running statistics. Of signals
        6 for 18 and L for H*W, of volumes 54 and D*H*W.
Differs the two are added, as the paper prints; the authors' code multiplies them (combine="multiply"). All
        shapes are those of their code, in which no normalisation follows the last layer of either branch,
        as equations 3 and 4 of the paper have it.
"""

from __future__ import annotations

import functools
import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.ranks import RANKS, Dimensions, convolution, of_rank, places
from foveate.options import one_of, reduced, whole


@mechanisms.register("bam")
class BottleneckAttentionModule(Refine):
    """Raise each value by up to twice, by its channel and its position together.

    Args:
        channels: C of the map that it will receive.
        reduction: How many times narrower the hidden layers of both branches are. Paper: 16.
        dilation: Distance between the taps of the 3x3 convolutions, in positions. Paper: 4.
        combine: How the branches meet: ``"add"``, as in the paper, or ``"multiply"``, as in the code.
        dimensions: 1 for signals (B, C, L), 2 for maps (B, C, H, W), 3 for volumes (B, C, D, H, W).

    Raises:
        OptionError: An option is out of range.

    Example:
        >>> import torch
        >>> BottleneckAttentionModule(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("channels", "positions"),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "bottleneck"),
    )
    variants = {"reduction": 4, "dilation": 2, "combine": "multiply", "dimensions": 3}
    dims = RANKS

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        dilation: int = 4,
        combine: Literal["add", "multiply"] = "add",
        dimensions: Dimensions = 2,
    ) -> None:
        super().__init__()
        one_of("combine", combine, ("add", "multiply"))
        whole("dilation", dilation)
        self.channels, self.combine, self.dimensions = channels, combine, dimensions
        self.hidden = hidden = reduced(channels, reduction)
        layer = convolution(dimensions)
        unit = functools.partial(_unit, layer)
        self.channel = nn.Sequential(*unit(channels, hidden), layer(hidden, channels, kernel_size=1))
        self.spatial = nn.Sequential(
            *unit(channels, hidden),
            *unit(hidden, hidden, dilation),
            *unit(hidden, hidden, dilation),
            layer(hidden, 1, kernel_size=1),
        )
        self.map = MapTap(of_rank("b c h w", dimensions))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """Return ``x`` times one plus the gate of each value."""
        self._check(x)
        channel, spatial = self.channel(x.mean(dim=places(x), keepdim=True)), self.spatial(x)
        logits = channel + spatial if self.combine == "add" else channel * spatial
        return torch.addcmul(x, x, self.map(logits.sigmoid()).to(x.dtype))

    def cost(self, *size: int) -> Cost:
        """Return the closed form of the header."""
        channels, hidden, taps = self.channels, self.hidden, 2 * 3**self.dimensions
        parameters = 3 * channels * hidden + channels + taps * hidden**2 + 13 * hidden + 1
        macs = 2 * channels * hidden + (channels + taps * hidden + 1) * hidden * math.prod(size)
        return Cost(parameters, macs, bytes=4 * parameters + 32 * hidden + 32)


def _unit(
    layer: type[nn.Conv2d], channels: int, out: int, dilation: int | None = None
) -> tuple[nn.Module, ...]:
    """Return a convolution, 3x3 and dilated if a ``dilation`` is given, its normalisation and a ReLU."""
    conv = (
        layer(channels, out, kernel_size=1)
        if dilation is None
        else layer(channels, out, kernel_size=3, padding=dilation, dilation=dilation)
    )
    return conv, BatchNorm(out), nn.ReLU()
