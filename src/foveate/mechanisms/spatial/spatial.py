"""Spatial attention: one gate per position, from the greatest and the mean channel at the positions around.

Formula y = x * sigmoid(BN(conv_k([max_c x; mean_c x])))
Paper   Woo, Park, Lee, Kweon. CBAM: Convolutional Block Attention Module. ECCV 2018. arXiv:1807.06521,
        section 3, "Spatial attention module".
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, 1, H, W), gates in (0, 1).
Cost    parameters 2*k*k + 2, MACs 2*k*k*H*W, whatever C; 20 bytes of running statistics (norm=True).
        Of signals k for k*k and L for H*W, of volumes k*k*k and D*H*W.
Differs none from the authors' code, whose normalisation and its start at 0 (so all gates start at 0.5) the
        paper does not mention; norm=False is equation 3 as printed, with a bias.
"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.few_plane_convolution import convolve
from foveate.mechanisms.kernels.gating import gated
from foveate.mechanisms.kernels.reductions import maximum_and_mean
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.ranks import RANKS, Dimensions, convolution, of_rank
from foveate.options import odd


@mechanisms.register("spatial")
class SpatialAttention(Refine):
    """Gate each position by a convolution over the strongest and the mean channel.

    Args:
        channels: C of the map that it will receive; the layers do not depend on it.
        kernel_size: Width and height of the convolution, in positions; odd. Paper: 7.
        norm: Whether the logits are batch-normalised, from a scale of 0. Authors: yes.
        dimensions: 1 for signals (B, C, L), 2 for maps (B, C, H, W), 3 for volumes (B, C, D, H, W).

    Example:
        >>> import torch
        >>> SpatialAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions",), driven_by="input", weighting="soft", sites=("features", "skip", "pool")
    )
    variants = {"kernel_size": 3, "norm": False, "dimensions": 3}
    dims = RANKS

    def __init__(
        self, channels: int, *, kernel_size: int = 7, norm: bool = True, dimensions: Dimensions = 2
    ) -> None:
        super().__init__()
        self.channels, self.kernel_size = channels, odd("kernel_size", kernel_size)
        self.dimensions, layer = dimensions, convolution(dimensions)
        self.conv = layer(2, 1, kernel_size, padding=kernel_size // 2, bias=not norm)
        self.norm = BatchNorm(1, momentum=0.01) if norm else nn.Identity()
        if isinstance(self.norm, BatchNorm):
            nn.init.zeros_(self.norm.weight)
        self.map = MapTap(of_rank("b 1 h w", dimensions))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """Return ``x`` with every position multiplied by its gate."""
        self._check(x)
        return gated(*self.weigh(x))

    def weigh(
        self, x: Float[Tensor, "b c *space"], scale: Float[Tensor, "b c *ones"] | None = None
    ) -> tuple[Tensor, Float[Tensor, "b 1 *space"]]:
        """Return ``x`` to continue with and the gates for ``x`` or ``x * scale``, which is not formed."""
        x, planes = maximum_and_mean(x, scale)
        gates: Tensor = self.map(self.norm(convolve(self.conv, planes)).sigmoid())
        return x, gates

    def cost(self, *size: int) -> Cost:
        """Return the closed form of the header."""
        weights, normed = 2 * self.kernel_size**self.dimensions, isinstance(self.norm, BatchNorm)
        parameters = weights + (2 if normed else 1)
        return Cost(parameters, macs=weights * math.prod(size), bytes=4 * parameters + 16 * normed)
