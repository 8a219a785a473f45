"""Efficient channel attention: one gate per channel, from the means of its neighbours in channel order.

Formula y = x * sigmoid(conv1d_k(mean(x))), k = max(3, t or t + 1, whichever is odd),
        t = floor((log2 C + 1) / 2)
Paper   Wang, Wu, Zhu, Li, Zuo, Hu. ECA-Net: Efficient Channel Attention for Deep Convolutional Neural
        Networks. CVPR 2020. arXiv:1910.03151, section 3.3 and equation 12.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, C, 1, 1), gates in (0, 1).
Cost    parameters k, MACs k*C, whatever H and W.
Differs no kernel of 1, by which each channel would see itself alone: under 8 channels k is 3, as in timm.
"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.channel_convolution import along_channels
from foveate.mechanisms.kernels.gating import gated
from foveate.mechanisms.kernels.reductions import mean
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.ranks import any_rank
from foveate.options import odd, whole


@mechanisms.register("eca")
@any_rank
class EfficientChannel(Refine):
    """Gate each channel by a short convolution over all channel means.

    Args:
        channels: C of the map that it will receive.
        kernel_size: How many neighbouring channels one gate sees; odd. None for the paper's choice.

    Example:
        >>> import torch
        >>> EfficientChannel(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("channels",), driven_by="input", weighting="soft", sites=("features", "skip", "pool")
    )
    variants = {"kernel_size": 7}

    def __init__(self, channels: int, *, kernel_size: int | None = None) -> None:
        super().__init__()
        self.channels = channels
        self.kernel_size = adapted(channels) if kernel_size is None else odd("kernel_size", kernel_size)
        self.excite = nn.Conv1d(1, 1, self.kernel_size, padding=self.kernel_size // 2, bias=False)
        self.map = MapTap("b c 1 1")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` with every channel multiplied by its gate."""
        self._check(x)
        gates = along_channels(self.excite, mean(x, 2, 3).flatten(1)).sigmoid()
        return gated(x, self.map(gates[:, :, None, None]))

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        k = self.kernel_size
        return Cost(parameters=k, macs=k * self.channels, bytes=4 * k)


def adapted(channels: int) -> int:
    """Return the paper's kernel size: rounded down, then up to odd, as the authors' code does."""
    size = int((math.log2(whole("channels", channels)) + 1) / 2)
    return max(3, size + (size + 1) % 2)
