"""Global second-order pooling: one gate per channel, from how all channels vary together over the map.

Formula z = relu(BN(W1 x + b1)) with c channels, S = (z - mean z)(z - mean z)^T / (H*W);
        y = x * sigmoid(W3 rows(BN(S)) + b3), rows: 4 learnt sums of each row of S
Paper   Gao, Xie, Wang, Li. Global Second-order Pooling Convolutional Networks. CVPR 2019. arXiv:1811.12006,
        section 3.2.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, C, 1, 1), gates in (0, 1).
Cost    with c = min(width, C): parameters 5*C*c + C + 4*c*c + 9*c,
        MACs (C*c + c*c)*H*W + 4*c*c + 4*C*c; 16*c + 16 bytes of running statistics.
Differs nothing from the authors' code, except that c is never over C; this is the channel branch, which the
        paper prefers to the one over positions, whose layers are tied to a size.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import BatchNorm, Cost, Facets, MapTap, mechanisms
from foveate.mechanisms.gated import gated
from foveate.mechanisms.interfaces import Refine
from foveate.mechanisms.precision import full_precision, precise, widen
from foveate.mechanisms.ranks import any_rank
from foveate.options import whole

SUMS = 4  # that are learnt of each row of the covariance matrix


@mechanisms.register("gsop")
@any_rank
class GlobalSecondOrderPooling(Refine):
    """Gate each channel by a function of the covariances of a few channels made from all.

    Args:
        channels: C of the map that it will receive.
        width: Channels whose covariances are taken, though never more than C. Paper: 128.

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
    variants = {"width": 8}

    def __init__(self, channels: int, *, width: int = 128) -> None:
        super().__init__()
        self.channels = whole("channels", channels)
        self.width = narrow = min(whole("width", width), channels)
        self.squeeze = nn.Conv2d(channels, narrow, kernel_size=1)
        self.norm = BatchNorm(narrow)
        self.row_norm = BatchNorm(narrow)
        self.row_sums = nn.Conv2d(narrow, SUMS * narrow, kernel_size=(narrow, 1), groups=narrow)
        self.excite = nn.Conv2d(SUMS * narrow, channels, kernel_size=1)
        self.map = MapTap("b c 1 1")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` with every channel multiplied by its gate."""
        self._check(x)
        narrow = self.norm(self.squeeze(x)).relu()
        with full_precision(x):  # covariances are of second order: the square of what half precision holds
            rows = self.row_norm(covariance(narrow).unsqueeze(3))
            gates = self.map(precise(self.excite, precise(self.row_sums, rows)).sigmoid())
        return gated(x, gates.to(x.dtype))

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
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
