"""Strip pooling: one gate per value, from the means of its whole row and its whole column.

Formula y = x * sigmoid(W relu(BN(conv_3x1(mean_w x)) + BN(conv_1x3(mean_h x))) + b); norm=False without BN
        and relu
Paper   Hou, Zhang, Cheng, Feng. Strip Pooling: Rethinking Spatial Pooling for Scene Parsing. CVPR 2020.
        arXiv:2003.13328, section 3.1.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, C, H, W), gates in (0, 1).
Cost    with R = max(1, C // reduction): parameters 7*C*R + C + 4*R, MACs 3*C*R*(H + W) + C*R*H*W;
        16*R + 16 bytes of running statistics; norm=False: parameters 7*C*R + C + 2*R, no statistics.
Differs none from the authors' code; the paper prints neither normalisation nor relu (norm=False).
        This is the gate alone, not the mixed pooling module that section 3.3 builds around it.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import gated
from foveate.mechanisms.map_tap import MapTap
from foveate.options import reduced


@mechanisms.register("strip_pooling")
class StripPooling(Refine):
    """Gate each value by the contents of its row and its column, edge to edge.

    Args:
        channels: C of the map that it will receive.
        reduction: How many times narrower the strips are. Paper: 1.
        norm: Whether the strips are batch-normalised, and their sum rectified. Authors: yes.

    Raises:
        OptionError: ``reduction`` is not a positive whole number.

    Example:
        >>> import torch
        >>> StripPooling(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions", "channels"),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "bottleneck", "pool"),
    )
    variants = {"reduction": 4, "norm": False}

    def __init__(self, channels: int, *, reduction: int = 1, norm: bool = True) -> None:
        super().__init__()
        self.channels, self.hidden, self.norm = channels, reduced(channels, reduction), norm
        self.rows = _strip(channels, self.hidden, (3, 1), norm=norm)
        self.columns = _strip(channels, self.hidden, (1, 3), norm=norm)
        self.relu = nn.ReLU() if norm else nn.Identity()
        self.excite = nn.Conv2d(self.hidden, channels, kernel_size=1)
        self.map = MapTap("b c h w")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` with every value multiplied by its gate."""
        self._check(x)
        rows = self.rows(x.mean(dim=3, keepdim=True))  # (B, R, H, 1)
        columns = self.columns(x.mean(dim=2, keepdim=True))  # (B, R, 1, W)
        return gated(x, self.map(self.excite(self.relu(rows + columns)).sigmoid()))

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        weights = self.channels * self.hidden
        parameters = 7 * weights + self.channels + self.hidden * (4 if self.norm else 2)
        macs = weights * (3 * (height + width) + height * width)
        return Cost(parameters, macs=macs, bytes=4 * parameters + 16 * (self.hidden + 1) * self.norm)


def _strip(channels: int, hidden: int, kernel: tuple[int, int], *, norm: bool) -> nn.Sequential:
    """Return the convolution along one strip, of the strip's own height and width."""
    padding = (kernel[0] // 2, kernel[1] // 2)
    conv = nn.Conv2d(channels, hidden, kernel, padding=padding, bias=not norm)
    return nn.Sequential(conv, BatchNorm(hidden)) if norm else nn.Sequential(conv)
