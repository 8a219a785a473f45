"""Coordinate attention: one gate per channel and row times one gate per channel and column.

Formula f = hardswish(BN(W1 [mean_w x; mean_h x] + b1)), cut again into f_h and f_w;
        y = x * sigmoid(W2 f_h + b2) * sigmoid(W3 f_w + b3)
Paper   Hou, Zhou, Feng. Coordinate Attention for Efficient Mobile Network Design. CVPR 2021.
        arXiv:2103.02907, section 3.2, equations 4 to 8.
Shapes  x (B, C, H, W) -> (B, C, H, W); maps rows (B, C, H, 1) and columns (B, C, 1, W), gates in (0, 1).
Cost    with R = max(8, C // reduction): parameters 3*C*R + 2*C + 3*R, MACs 2*C*R*(H + W);
        8*R + 8 bytes of running statistics.
Differs none from the authors' code.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import hardswish

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import gated
from foveate.mechanisms.kernels.pointwise_convolution import pointwise
from foveate.mechanisms.kernels.reductions import row_and_column_means
from foveate.mechanisms.map_tap import MapTap
from foveate.options import reduced


@mechanisms.register("coordinate")
class CoordinateAttention(Refine):
    """Gate each row and each column of each channel by the means along them.

    Args:
        channels: C of the map that it will receive.
        reduction: How many times narrower the hidden layer is, though never under 8 channels. Paper: 32.

    Example:
        >>> import torch
        >>> CoordinateAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("channels", "positions"),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "pool"),
    )
    variants = {"reduction": 1}

    def __init__(self, channels: int, *, reduction: int = 32) -> None:
        super().__init__()
        self.channels, self.hidden = channels, reduced(channels, reduction, least=8)
        self.squeeze = nn.Conv2d(channels, self.hidden, kernel_size=1)
        self.norm = BatchNorm(self.hidden)
        self.excite_rows = nn.Conv2d(self.hidden, channels, kernel_size=1)
        self.excite_columns = nn.Conv2d(self.hidden, channels, kernel_size=1)
        self.rows, self.columns = MapTap("b c h 1"), MapTap("b c 1 w")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` multiplied by the gate of its row and the gate of its column."""
        self._check(x)
        # Rows and columns share the statistics of the normalisation.
        shared = hardswish(self.norm(pointwise(self.squeeze, row_and_column_means(x))))  # (B, R, H + W, 1)
        rows, columns = shared.split([x.shape[2], x.shape[3]], dim=2)
        rows = self.rows(pointwise(self.excite_rows, rows).sigmoid())
        columns = self.columns(pointwise(self.excite_columns, columns.transpose(2, 3)).sigmoid())
        return gated(x, rows, columns)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        channels, hidden = self.channels, self.hidden
        parameters = 3 * channels * hidden + 2 * channels + 3 * hidden
        macs = 2 * channels * hidden * (height + width)
        return Cost(parameters, macs, bytes=4 * parameters + 8 * hidden + 8)
