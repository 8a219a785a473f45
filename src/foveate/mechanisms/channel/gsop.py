"""Global second-order pooling: one gate per channel, from how all channels vary together over the map.

Formula z = relu(BN(W1 x + b1)) with c channels, S = (z - mean z)(z - mean z)^T / (H*W);
        y = x * sigmoid(W3 rows(BN(S)) + b3), rows: 4 learnt sums of each row of S
Paper   Gao, Xie, Wang, Li. Global Second-order Pooling Convolutional Networks. CVPR 2019. arXiv:1811.12006,
        section 3.2.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, C, 1, 1), gates in (0, 1).
Cost    with c = min(width, C): parameters 5*C*c + C + 4*c*c + 9*c,
        MACs (C*c + c*c)*H*W + 4*c*c + 4*C*c, with stride s ceil(H/s)*ceil(W/s) for H*W; 16*c + 16 bytes of
        running statistics.
Differs the authors' code rectifies x before W1, which the paper does not say, and in the first stage reads
        every second row and column to save work (rectify=True, stride=2). By default what is below 0 counts
        too, as a branch before its sum has as much of it as above. c is never over C. This is the channel
        branch, which the paper prefers to the one over positions, whose layers are tied to a size.
"""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import gated
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import full_precision, precise, widen
from foveate.mechanisms.ranks import any_rank
from foveate.options import flag, whole

SUMS = 4  # that are learnt of each row of the covariance matrix
_AUTHORS = {
    "conv_for_DR": "squeeze",
    "bn_for_DR": "norm",
    "row_bn": "row_norm",
    "row_conv_group": "row_sums",
    "fc_adapt_channels": "excite",
}


@mechanisms.register("gsop")
@any_rank
class GlobalSecondOrderPooling(Refine):
    """Gate each channel by a function of the covariances of a few channels made from all.

    Args:
        channels: C of the map that it will receive.
        width: Channels whose covariances are taken, though never more than C. Paper: 128.
        rectify: Whether negative numbers of ``x`` count as 0 in the covariances. Authors: True.
        stride: Every how many rows and columns are read. Authors: 2 in the first stage, else 1.

    Raises:
        OptionError: An option is out of range.

    Example:
        >>> import torch
        >>> GlobalSecondOrderPooling(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("channels",), driven_by="input", weighting="soft", sites=("features", "skip", "pool")
    )
    variants = {"width": 8, "rectify": True, "stride": 2}

    def __init__(self, channels: int, *, width: int = 128, rectify: bool = False, stride: int = 1) -> None:
        super().__init__()
        self.rectify, self.stride = flag("rectify", rectify), whole("stride", stride)
        self.channels = whole("channels", channels)
        self.width = narrow = min(whole("width", width), channels)
        self.squeeze = nn.Conv2d(channels, narrow, kernel_size=1, stride=stride)
        self.norm = BatchNorm(narrow)
        self.row_norm = BatchNorm(narrow)
        self.row_sums = nn.Conv2d(narrow, SUMS * narrow, kernel_size=(narrow, 1), groups=narrow)
        self.excite = nn.Conv2d(SUMS * narrow, channels, kernel_size=1)
        self.map = MapTap("b c 1 1")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` with every channel multiplied by its gate."""
        self._check(x)
        narrow = self.norm(self.squeeze(x.relu() if self.rectify else x)).relu()
        with full_precision(x):  # covariances are of second order: the square of what half precision holds
            rows = self.row_norm(covariance(narrow).unsqueeze(3))
            gates = self.map(precise(self.excite, precise(self.row_sums, rows)).sigmoid())
        return gated(x, gates.to(x.dtype))

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights in the authors' names (of a block of GSoP-Net) under our own."""
        parts = (name.partition(".") for name in state)
        names = [f"{_AUTHORS.get(layer, layer)}.{rest}" for layer, _, rest in parts]
        return dict(zip(names, state.values(), strict=True))

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        height, width = -(-height // self.stride), -(-width // self.stride)
        channels, narrow = self.channels, self.width
        parameters = 5 * channels * narrow + channels + 4 * narrow**2 + 9 * narrow
        macs = narrow * ((channels + narrow) * height * width + 4 * narrow + 4 * channels)
        return Cost(parameters, macs, bytes=4 * parameters + 16 * narrow + 16)


def covariance(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c c"]:
    """Return the covariances of the channels over the positions, divided by H*W, in float32 at least."""
    with full_precision(x):
        positions = widen(x).flatten(2)
        centred = positions - positions.mean(dim=2, keepdim=True)
        return centred @ centred.transpose(1, 2) / positions.shape[2]
