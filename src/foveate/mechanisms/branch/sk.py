"""Selective kernel: maps of several receptive fields, weighed against each other channel by channel.

Formula s = mean_hw(sum_i U_i); z = relu(BN(W s)); a = softmax_i(A_i z); y = sum_i a_i * U_i
Paper   Li, Wang, Hu, Yang. Selective Kernel Networks. CVPR 2019. arXiv:1903.06586, section 3.1, fuse and
        select.
Shapes  M maps U_i (B, C, H, W) -> (B, C, H, W); map (B, M, C, 1, 1), sums to 1 over the M maps.
Cost    with D = hidden or max(C // 16, 32): parameters C*D + 2*D + D*M*C, MACs C*D + D*M*C, whatever
        H and W; 8*D + 8 bytes of running statistics.
Differs none from the authors' network definition, which has no biases. For two maps the paper remarks
        that one of the A_i is redundant; both are kept, as there.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Fuse, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import mixture
from foveate.mechanisms.kernels.reductions import mean
from foveate.mechanisms.kernels.resizing import fitted
from foveate.mechanisms.map_tap import MapTap
from foveate.options import each_width, one_width, reduced, whole


@mechanisms.register("sk")
class SelectiveKernel(Fuse):
    """Sum maps under weights that each channel gives to each map.

    Args:
        channels: C of the maps, one number; or one for each map, all equal.
        maps: How many maps. Paper: 2.
        hidden: Channels of the squeezed vector; None for the paper's max(C // 16, 32).

    Raises:
        OptionError: The maps differ in channels, or a number is not positive and whole.

    Example:
        >>> import torch
        >>> SelectiveKernel(64)([torch.rand(2, 64, 7, 5), torch.rand(2, 64, 4, 3)]).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("branches", "channels"), driven_by="input", weighting="soft", sites=("features", "skip")
    )
    variants = {"maps": 3, "hidden": 8}

    def __init__(self, channels: int | tuple[int, ...], *, maps: int = 2, hidden: int | None = None) -> None:
        super().__init__()
        self.widths = each_width(channels, maps)
        self.channels = self.out_channels = one_width(self.widths)
        default = reduced(self.channels, 16, least=32)
        self.hidden = default if hidden is None else whole("hidden", hidden)
        self.squeeze = nn.Conv2d(self.channels, self.hidden, kernel_size=1, bias=False)
        self.norm = BatchNorm(self.hidden)
        self.select = nn.Conv2d(self.hidden, maps * self.channels, kernel_size=1, bias=False)
        self.map = MapTap("b s c 1 1", sums="s")

    def forward(self, maps: list[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b o h w"]:
        """Return the weighted sum."""
        self._check_maps(maps)
        branches = fitted(maps)
        means = sum((mean(x, 2, 3) for x in branches[1:]), mean(branches[0], 2, 3))  # the sum is never formed
        logits: Tensor = self.select(self.norm(self.squeeze(means)).relu())
        weights = logits.unflatten(1, (len(branches), self.channels)).softmax(dim=1)
        return mixture(branches, self.map(weights))

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        weights = self.channels * self.hidden * (1 + len(self.widths))
        parameters = weights + 2 * self.hidden
        return Cost(parameters, macs=weights, bytes=4 * parameters + 8 * self.hidden + 8)
