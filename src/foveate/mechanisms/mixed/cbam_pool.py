"""CBAM pooling: the mean over the positions of a map whose channels and positions were gated.

Formula y = mean_hw(CBAM(x))
Paper   Woo, Park, Lee, Kweon. CBAM: Convolutional Block Attention Module. ECCV 2018. arXiv:1807.06521,
        section 3, here in front of the global pooling.
Shapes  x (B, C, H, W) -> (B, C); maps attend.channel.map (B, C, 1, 1) and attend.spatial.map (B, 1, H, W),
        gates in (0, 1).
Cost    as cbam: with R = max(1, C // reduction), parameters 2*C*R + C + R + 2*k*k + 2,
        MACs 4*C*R + 2*k*k*H*W; 20 bytes of running statistics. Of signals k for k*k and L for H*W,
        of volumes k*k*k and D*H*W.
Differs the paper gates inside the blocks and pools by the mean; this gates the last map once, before the
        pooling.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from foveate.mechanisms.base import Pool, build, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.ranks import RANKS, Dimensions, places


@mechanisms.register("cbam_pool")
class CBAMPool(Pool):
    """Average the positions after CBAM has weighed them.

    Args:
        channels: C of the map that it will receive.
        reduction: How many times narrower the hidden layer of the channel gate is. Paper: 16.
        kernel_size: Width and height of the position gate's convolution, in positions; odd. Paper: 7.
        dimensions: 1 for signals (B, C, L), 2 for maps (B, C, H, W), 3 for volumes (B, C, D, H, W).

    Example:
        >>> import torch
        >>> CBAMPool(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64])
    """

    facets = Facets(over=("channels", "positions"), driven_by="input", weighting="soft", sites=("pool",))
    variants = {"reduction": 4, "kernel_size": 3, "dimensions": 3}
    dims = RANKS

    def __init__(
        self, channels: int, *, reduction: int = 16, kernel_size: int = 7, dimensions: Dimensions = 2
    ) -> None:
        super().__init__()
        self.channels, self.dimensions = channels, dimensions
        self.attend = build(
            "cbam", channels, reduction=reduction, kernel_size=kernel_size, dimensions=dimensions
        )

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c"]:
        """Return the mean over the positions of the gated map."""
        self._check(x)
        return self.attend(x).mean(dim=places(x))

    def cost(self, *size: int) -> Cost:
        """Return the closed form of the header."""
        return self.attend.cost(*size)
