"""Non-local block: every position adds what it reads at all positions, in a narrower space.

Formula y = x + BN(W_z softmax_j(theta_i . phi_j) g_j), with theta, phi, g = 1x1 convolutions of x, phi and g
        max-pooled 2x2, no 1/sqrt(d)
Paper   Wang, Girshick, Gupta, He. Non-local Neural Networks. CVPR 2018. arXiv:1711.07971, section 3.3.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, N, M), rows sum to 1, formed only while recording;
        N = H*W, M = ceil(H/2)*ceil(W/2) with subsample, else N.
Cost    with R = max(1, C // reduction): parameters 4*C*R + 3*R + 3*C, MACs 4*N*C*R + 2*N*M*R; buffers of the
        normalisation 2*C numbers and a counter of 8 bytes. Memory grows with N.
Differs subsampling keeps the last row and column of an odd map, so that a 1x1 map works.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.attend import attend, tokens, untoken
from foveate.mechanisms.base import BatchNorm, Cost, Facets, MapTap, mechanisms
from foveate.mechanisms.interfaces import Refine
from foveate.mechanisms.options import reduced


@mechanisms.register("non_local")
class NonLocal(Refine):
    """Add to each position what it reads at all positions (the embedded Gaussian form).

    Args:
        channels: C of the map that it will receive.
        reduction: How many times narrower queries, keys and values are. Paper: 2.
        subsample: Whether keys and values are max-pooled 2x2, for a quarter of the products. Paper: yes.

    Example:
        >>> import torch
        >>> NonLocal(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions",),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "bottleneck", "output"),
    )
    variants = {"reduction": 4, "subsample": False}
    gate = "norm.weight"

    def __init__(self, channels: int, *, reduction: int = 2, subsample: bool = True) -> None:
        super().__init__()
        self.channels, self.width, self.subsample = channels, reduced(channels, reduction), subsample
        self.query = nn.Conv2d(channels, self.width, kernel_size=1)
        self.key = nn.Conv2d(channels, self.width, kernel_size=1)
        self.value = nn.Conv2d(channels, self.width, kernel_size=1)
        self.pool = nn.MaxPool2d(2, ceil_mode=True) if subsample else nn.Identity()
        self.merge = nn.Conv2d(self.width, channels, kernel_size=1)
        self.norm = BatchNorm(channels)
        nn.init.zeros_(self.norm.weight)  # section 4.1: the block starts as the identity
        self.map = MapTap("b n m", sums="m")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` plus what every position read."""
        self._check(x)
        key, value = self.pool(self.key(x)), self.pool(self.value(x))
        context = attend(tokens(self.query(x)), tokens(key), tokens(value), self.map)
        return x + self.norm(self.merge(untoken(context, like=x))).to(x.dtype)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        positions, read = height * width, height * width
        if self.subsample:
            read = ((height + 1) // 2) * ((width + 1) // 2)
        weights = 4 * self.channels * self.width
        parameters = weights + 3 * self.width + 3 * self.channels
        macs = positions * weights + 2 * positions * read * self.width
        return Cost(parameters=parameters, macs=macs, bytes=4 * (parameters + 2 * self.channels) + 8)
