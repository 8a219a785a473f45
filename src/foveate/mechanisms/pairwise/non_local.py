"""Non-local block: every position adds what it reads at all positions, in a narrower space.

Formula y = x + BN(W_z sum_j f_ij g_j), with theta, phi, g = 1x1 convolutions of x, phi and g max-pooled
        2x2, and f by ``pairwise``: embedded softmax_j(theta_i . phi_j), gaussian softmax_j(x_i . x_j),
        dot theta_i . phi_j / M, concat relu(w_f . [theta_i; phi_j]) / M; no 1/sqrt(d)
Paper   Wang, Girshick, Gupta, He. Non-local Neural Networks. CVPR 2018. arXiv:1711.07971, section 3.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, N, M), formed only while recording, rows sum to 1 in the two
        softmax forms; N = H*W, M = ceil(H/2)*ceil(W/2) with subsample, else N;
        a volume's are those of all its slices.
Cost    with R = max(1, C // reduction): parameters 4*C*R + 3*R + 3*C, MACs 4*N*C*R + 2*N*M*R; gaussian: 2*C*R
        + 2*R fewer parameters, MACs 2*N*C*R + N*M*(C + R); dot: MACs 4*N*C*R + (N + M)*R*R; concat: 2*R more
        parameters, MACs 4*N*C*R + (N + M)*R. Buffers of the normalisation 2*C numbers and a counter of
        8 bytes. Memory grows with N.
Differs subsampling keeps the last row and column of an odd map, so that a 1x1 map works. scale=True divides
        by sqrt(C), C the width of x, as timm does.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import max_pool3d

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.linear_attention import read_by_product, read_by_sum
from foveate.mechanisms.kernels.memory_layout import tokens, untoken
from foveate.mechanisms.kernels.pointwise_convolution import pointwise
from foveate.mechanisms.kernels.softmax_attention import attend
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.ranks import RANKS, flat, unflat
from foveate.options import one_of, reduced

FORMS = ("embedded", "gaussian", "dot", "concat")


@mechanisms.register("non_local")
class NonLocal(Refine):
    """Add to each position what it reads at all positions.

    Args:
        channels: C of the map that it will receive.
        reduction: How many times narrower queries, keys and values are. Paper: 2.
        subsample: Whether keys and values are max-pooled 2x2, for a quarter of the products; in a volume
            rows and columns alone, as in the paper, in a signal pairs. Paper: yes.
        pairwise: How two positions are compared: "embedded" (the paper's usual), "gaussian", "dot", "concat".
        scale: Whether what they compare to is divided by sqrt(C).

    Raises:
        OptionError: ``pairwise`` is unknown, or ``reduction`` is not a positive whole number.

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
    variants = {"reduction": 4, "subsample": False, "pairwise": "gaussian", "scale": True}
    dims = RANKS
    gate = "norm.weight"

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 2,
        subsample: bool = True,
        pairwise: str = "embedded",
        scale: bool = False,
    ) -> None:
        super().__init__()
        one_of("pairwise", pairwise, FORMS)
        self.channels, self.width, self.subsample = channels, reduced(channels, reduction), subsample
        self.pairwise, self.scale = pairwise, channels**-0.5 if scale else 1.0
        embedded = pairwise != "gaussian"
        self.query = nn.Conv2d(channels, self.width, kernel_size=1) if embedded else nn.Identity()
        self.key = nn.Conv2d(channels, self.width, kernel_size=1) if embedded else nn.Identity()
        self.value = nn.Conv2d(channels, self.width, kernel_size=1)
        if pairwise == "concat":
            self.compare = nn.Parameter(torch.randn(2, self.width) * self.width**-0.5)  # w_f
        self.pool = nn.MaxPool2d(2, ceil_mode=True) if subsample else nn.Identity()
        self.merge = nn.Conv2d(self.width, channels, kernel_size=1)
        self.norm = BatchNorm(channels)
        nn.init.zeros_(self.norm.weight)  # section 4.1: the block starts as the identity
        softmax = pairwise in ("embedded", "gaussian")
        self.map = MapTap("b n m", sums="m") if softmax else MapTap("b n m", low=-torch.inf, high=torch.inf)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """Return ``x`` plus what every position read."""
        self._check(x)
        return unflat(self._added(flat(x), x.shape[2:-2]), like=x)

    def _added(self, x: Float[Tensor, "b c h w"], slices: torch.Size) -> Float[Tensor, "b c h w"]:
        key, value = (self._pooled(pointwise(layer, x), slices) for layer in (self.key, self.value))
        read = {"dot": self._by_product, "concat": self._by_sum}.get(self.pairwise, self._by_softmax)
        context = read(tokens(pointwise(self.query, x)), tokens(key), tokens(value))
        return x + self.norm(pointwise(self.merge, untoken(context, like=x))).to(x.dtype)

    def _pooled(self, x: Float[Tensor, "b r h w"], slices: torch.Size) -> Float[Tensor, "b r *small"]:
        """Return the maxima of 2 x 2 positions; those of a volume lie in one slice."""
        if slices and self.subsample:
            return max_pool3d(x.unflatten(2, (*slices, -1)), (1, 2, 2), ceil_mode=True)
        pooled: Tensor = self.pool(x)
        return pooled

    def _by_softmax(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return attend(query, key, value, self.map, scale=self.scale)

    def _by_product(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return read_by_product(query, key, value, self.map, scale=self.scale)

    def _by_sum(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return read_by_sum(query, key, value, self.compare, self.map, scale=self.scale)

    def cost(self, *size: int) -> Cost:
        """Return the closed form of the header."""
        n = m = math.prod(size)
        if self.subsample:
            m = math.prod(size[:-2]) * math.prod((side + 1) // 2 for side in size[-2:])
        r, c = self.width, self.channels
        parameters = sum(p.numel() for p in self.parameters())
        macs = {
            "embedded": 4 * n * c * r + 2 * n * m * r,
            "gaussian": 2 * n * c * r + n * m * (c + r),
            "dot": 4 * n * c * r + (n + m) * r * r,
            "concat": 4 * n * c * r + (n + m) * r,
        }
        return Cost(parameters=parameters, macs=macs[self.pairwise], bytes=4 * (parameters + 2 * c) + 8)
