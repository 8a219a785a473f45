"""Feature fusion of BiSeNet: maps side by side, mixed, and then gated channel by channel.

Formula u = relu(BN(W [U_1; ...; U_M])); a = sigmoid(W2 relu(W1 mean_hw(u))); y = u + u * a
Paper   Yu, Wang, Peng, Gao, Yu, Sang. BiSeNet: Bilateral Segmentation Network for Real-time Semantic
        Segmentation. ECCV 2018. arXiv:1808.00897, section 3.2.
Shapes  M maps (B, C_i, H, W) -> (B, O, H, W); map (B, O, 1, 1), gates in (0, 1).
Cost    with F = sum_i C_i, O = out_channels or F, R = max(1, O // reduction): parameters F*O + 2*O + 2*O*R,
        MACs F*O*H*W + 2*O*R; 8*O + 8 bytes of running statistics.
Differs none from the authors' code, which does not narrow the hidden layer and has no biases.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Fuse, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import gated
from foveate.mechanisms.kernels.reductions import mean
from foveate.mechanisms.kernels.resizing import fitted
from foveate.mechanisms.map_tap import MapTap
from foveate.options import each_width, reduced, whole


@mechanisms.register("feature_fusion")
class FeatureFusion(Fuse):
    """Mix maps into one and add to each channel what its gate lets through.

    Args:
        channels: C of the maps, one number for all or one for each.
        maps: How many maps. Paper: 2, the spatial path first.
        out_channels: Channels of the result; None for the sum over all maps, as in the paper.
        reduction: How many times narrower the gate's hidden layer is. Authors' code: 1.

    Example:
        >>> import torch
        >>> FeatureFusion((32, 64))([torch.rand(2, 32, 7, 5), torch.rand(2, 64, 4, 3)]).shape
        torch.Size([2, 96, 7, 5])
    """

    facets = Facets(over=("channels",), driven_by="input", weighting="soft", sites=("skip", "output"))
    variants = {"maps": 3, "out_channels": 24, "reduction": 4}

    def __init__(
        self,
        channels: int | tuple[int, ...],
        *,
        maps: int = 2,
        out_channels: int | None = None,
        reduction: int = 1,
    ) -> None:
        super().__init__()
        self.widths = each_width(channels, maps)
        self.channels = self.widths[0]
        self.out_channels = sum(self.widths) if out_channels is None else whole("out_channels", out_channels)
        self.hidden = reduced(self.out_channels, reduction)
        self.mix = nn.Conv2d(sum(self.widths), self.out_channels, kernel_size=1, bias=False)
        self.norm = BatchNorm(self.out_channels)
        self.squeeze = nn.Conv2d(self.out_channels, self.hidden, kernel_size=1, bias=False)
        self.excite = nn.Conv2d(self.hidden, self.out_channels, kernel_size=1, bias=False)
        self.map = MapTap("b c 1 1")

    def forward(self, maps: list[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b o h w"]:
        """Return the gated mixture."""
        self._check_maps(maps)
        mixed: Tensor = self.norm(self.mix(torch.cat(fitted(maps), dim=1))).relu()
        gates: Tensor = self.map(self.excite(self.squeeze(mean(mixed, 2, 3)).relu()).sigmoid())
        return mixed + gated(mixed, gates)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        mix, gate = sum(self.widths) * self.out_channels, 2 * self.out_channels * self.hidden
        parameters = mix + gate + 2 * self.out_channels
        held = 4 * parameters + 8 * self.out_channels + 8
        return Cost(parameters, macs=mix * height * width + gate, bytes=held)
