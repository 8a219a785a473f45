"""Selective kernel convolution: 3x3 convolutions of growing dilation; each channel chooses among them.

Formula U_i = relu(BN(conv3x3 of dilation i (x))) for i = 1..M, in groups; y = sum_i a_i * U_i with the
        weights of `sk`
Paper   Li, Wang, Hu, Yang. Selective Kernel Networks. CVPR 2019. arXiv:1903.06586, section 3.1.
Shapes  x (B, C, H, W) -> (B, C, H, W); map convolution.select.map (B, M, C, 1, 1), sums to 1 over the M
        branches.
Cost    with G = gcd(groups, C) and the parameters and MACs of `sk` (P, Q): parameters
        P + M*(9*C*C/G + 2*C), MACs Q + M*9*C*C/G*H*W; M*(8*C + 8) more bytes of running statistics.
Differs none, where groups divides C; elsewhere the largest number of groups that divides both.
"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.branch.sk import SelectiveKernel
from foveate.mechanisms.facets import Cost, Facets
from foveate.options import whole


class SelectiveKernelConv(nn.Module):
    """The convolution as networks use it, with a stride and another number of channels on either side.

    Args:
        channels: Channels that come in.
        out_channels: Channels that go out.
        stride: Of every branch, in positions.
        dilation: Branch i has i times this dilation; more than 1 in a backbone that keeps its resolution.
        groups: Groups of every branch, or the largest part of these that divides both numbers of channels.
        branches: How many branches.
        hidden: Channels of the squeezed vector; None for the paper's max(out_channels // 16, 32).
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 32,
        branches: int = 2,
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        groups = math.gcd(whole("groups", groups), whole("channels", channels), out_channels)
        self.branches = nn.ModuleList(
            branch(channels, out_channels, stride, dilation * i, groups)
            for i in range(1, whole("branches", branches) + 1)
        )
        self.select = SelectiveKernel(out_channels, maps=branches, hidden=hidden)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o _ _"]:
        """Return the branches' weighted sum."""
        chosen: Tensor = self.select([each(x) for each in self.branches])
        return chosen


def branch(channels: int, out_channels: int, stride: int, dilation: int, groups: int) -> nn.Sequential:
    """Return one branch: a grouped 3x3 convolution, normalised and rectified."""
    convolution = nn.Conv2d(
        channels,
        out_channels,
        kernel_size=3,
        stride=stride,
        padding=dilation,
        dilation=dilation,
        groups=groups,
        bias=False,
    )
    return nn.Sequential(convolution, BatchNorm(out_channels), nn.ReLU())


@mechanisms.register("sk_conv")
class SelectiveKernelConvolution(Refine):
    """Convolve with several dilations and let each channel choose among the results.

    Args:
        channels: C of the map that it will receive.
        branches: How many dilations: 1, 2, and so on. Paper: 2.
        groups: Groups of every branch, or the largest part of these that divides C. Paper: 32.
        hidden: Channels of the squeezed vector; None for the paper's max(C // 16, 32).

    Example:
        >>> import torch
        >>> SelectiveKernelConvolution(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(over=("branches", "channels"), driven_by="input", weighting="soft", sites=("features",))
    variants = {"branches": 3, "groups": 4, "hidden": 8}

    def __init__(
        self, channels: int, *, branches: int = 2, groups: int = 32, hidden: int | None = None
    ) -> None:
        super().__init__()
        self.channels = channels
        self.convolution = SelectiveKernelConv(
            channels, channels, groups=groups, branches=branches, hidden=hidden
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return what the channels chose."""
        self._check(x)
        chosen: Tensor = self.convolution(x)
        return chosen

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        layers: list[nn.Conv2d] = [each[0] for each in self.convolution.branches]  # type: ignore[index]
        weights, norms = sum(layer.weight.numel() for layer in layers), len(layers) * self.channels
        parameters = weights + 2 * norms
        held = 4 * parameters + 8 * norms + 8 * len(layers)
        own = Cost(parameters, macs=weights * height * width, bytes=held)
        return own + self.convolution.select.cost(height, width)
