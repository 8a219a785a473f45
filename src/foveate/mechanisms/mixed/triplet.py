"""Triplet attention: three planes of the map, each pooled over its third axis, each with a gate of its own.

Formula g_d = sigmoid(BN_d(conv_d([max_d x; mean_d x]))) for d = h, w, c: conv_h convolves over channels and
        columns, conv_w over rows and channels, conv_c over rows and columns, k x k each;
        y = x * (g_h + g_w + g_c) / 3
Paper   Misra, Nalamada, Arasanipalai, Hou. Rotate to Attend: Convolutional Triplet Attention Module.
        WACV 2021. arXiv:2010.03045, section 3.
Shapes  x (B, C, H, W) -> (B, C, H, W); maps rows (B, C, H, 1), columns (B, C, 1, W) and positions
        (B, 1, H, W), gates in (0, 1).
Cost    parameters 6*k*k + 6, whatever C; MACs 2*k*k*(C*H + C*W + H*W); 48 bytes of running statistics.
Differs none in the numbers; each axis is pooled in place, and no rotated copy of the map is made.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.few_plane_convolution import convolve
from foveate.mechanisms.kernels.gating import gated_by_sum
from foveate.mechanisms.kernels.reductions import maximum, mean
from foveate.mechanisms.map_tap import MapTap
from foveate.options import odd


class PlaneGate(nn.Module):
    """Gate the positions of a plane by the greatest and the mean value along the axis that is pooled away.

    Args:
        kernel_size: Width and height of the convolution over the plane; odd.
    """

    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = BatchNorm(1, momentum=0.01)

    def forward(
        self, maxima: Float[Tensor, "b 1 m n"], means: Float[Tensor, "b 1 m n"]
    ) -> Float[Tensor, "b 1 m n"]:
        """Return gates in (0, 1) for the plane of the last two axes, whatever these are."""
        gates: Tensor = self.norm(convolve(self.conv, torch.cat([maxima, means], dim=1))).sigmoid()
        return gates


@mechanisms.register("triplet")
class TripletAttention(Refine):
    """Gate each value by the mean of three gates: channel and row, channel and column, row and column.

    Args:
        channels: C of the map that it will receive; the layers do not depend on it.
        kernel_size: Width and height of the three convolutions; odd. Paper: 7.

    Raises:
        OptionError: ``kernel_size`` is not an odd whole number.

    Example:
        >>> import torch
        >>> TripletAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("channels", "positions"),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "pool"),
    )
    variants = {"kernel_size": 3}

    def __init__(self, channels: int, *, kernel_size: int = 7) -> None:
        super().__init__()
        self.channels, self.kernel_size = channels, odd("kernel_size", kernel_size)
        self.over_columns = PlaneGate(kernel_size)
        self.over_rows = PlaneGate(kernel_size)
        self.over_channels = PlaneGate(kernel_size)
        self.rows, self.columns, self.positions = MapTap("b c h 1"), MapTap("b c 1 w"), MapTap("b 1 h w")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` multiplied by the mean of its three gates."""
        self._check(x)
        # Only what is left of the pooled axis is turned, so no map is moved.
        means = [mean(x, axis) for axis in (1, 2, 3)]
        summaries = []
        for axis, over in enumerate(("channels", "rows", "columns"), start=1):
            x, maxima = maximum(x, over)
            summaries.append((maxima.transpose(1, axis), means[axis - 1].transpose(1, axis)))
        positions = self.positions(self.over_channels(*summaries[0]))
        columns = self.columns(self.over_rows(*summaries[1]).transpose(1, 2))
        rows = self.rows(self.over_columns(*summaries[2]).transpose(1, 3))
        return gated_by_sum(x, rows / 3, columns / 3, positions / 3)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        plane = 2 * self.kernel_size**2
        places = self.channels * (height + width) + height * width
        return Cost(3 * plane + 6, macs=plane * places, bytes=4 * (3 * plane + 6) + 48)
