"""CLIP's attention pooling: the mean of all positions asks, with several heads, and reads all and itself.

Formula z = W_o [sum_i softmax_i(q_k . k_i / sqrt(d)) v_i for each head k] + b_o, q from the mean token,
        keys and values from the mean token and all positions, each token with a learned position added
Paper   Radford et al. Learning Transferable Visual Models From Natural Language Supervision. ICML 2021.
        arXiv:2103.00020, section 2.4.
Shapes  x (B, C, H, W) -> (B, C); map (B, K, 1, N + 1), K heads, N = H*W, the mean token first, sums to 1.
Cost    parameters 4*C*C + 3*C + C*(size*size + 1), MACs 4*C*C + 2*K*C*(N + 1).
Differs no bias on the keys: it shifts all scores of a head alike. Keys and values are projected after they
        are read, the same numbers for C/K times fewer MACs. The result has C channels, where CLIP may have
        others. Positions are stretched (bicubic) to maps of other sizes; the authors take one size only.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.base import Pool, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.memory_layout import tokens
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import full_precision, widen
from foveate.options import whole


@mechanisms.register("clip_pool")
class ClipPool(Pool):
    """Pool a map by what its mean asks of its positions, with several heads.

    Args:
        channels: C of the map that it will receive.
        heads: Number of heads; must divide ``channels``. None takes the most that leave each 64 channels or
            more, as CLIP does, but at least one.
        size: Height and width of the table of positions. CLIP: 7, for images of 224 pixels.

    Raises:
        OptionError: ``heads`` does not divide ``channels``, or ``size`` is not a positive whole number.

    Example:
        >>> import torch
        >>> ClipPool(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64])
    """

    facets = Facets(over=("positions", "heads"), driven_by="input", weighting="soft", sites=("pool",))
    variants = {"heads": 4, "size": 3}

    def __init__(self, channels: int, *, heads: int | None = None, size: int = 7) -> None:
        super().__init__()
        self.channels, self.size = whole("channels", channels), whole("size", size)
        self.heads = _heads(channels, heads)
        self.query, self.value, self.merge = (nn.Linear(channels, channels) for _ in range(3))
        self.key = nn.Linear(channels, channels, bias=False)
        self.of_mean = nn.Parameter(torch.randn(channels) / channels**0.5)
        self.positions = nn.Parameter(torch.randn(channels, size, size) / channels**0.5)
        self.map = MapTap("b k 1 m", sums="m")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """Return what the mean of ``x`` reads."""
        self._check(x)
        with full_precision(x):
            read = self._placed(widen(x))  # (B, N + 1, C), the mean first
            query = F.linear(read[:, 0], widen(self.query.weight), widen(self.query.bias))
            query = query.unflatten(1, (self.heads, -1)) * (self.channels // self.heads) ** -0.5
            # q . (W x) = (W^T q) . x, and the mean of W x is W times the mean of x
            query = torch.einsum("bkd,kdc->bkc", query, self._by_head(self.key.weight))
            weights = (query @ read.transpose(1, 2)).softmax(dim=-1)  # (B, K, N + 1)
            context = self.map(weights.unsqueeze(2)).squeeze(2) @ read
            values = torch.einsum("bkc,kdc->bkd", context, self._by_head(self.value.weight)).flatten(1)
        return self.merge((values + widen(self.value.bias)).to(x.dtype)).to(x.dtype)

    def _placed(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n c"]:
        """Return the mean and the positions as tokens, with where each is added."""
        table = widen(self.positions)[None]
        where = F.interpolate(table, size=x.shape[2:], mode="bicubic", align_corners=False)
        mean = x.mean(dim=(2, 3)) + widen(self.of_mean)
        return torch.cat([mean.unsqueeze(1), tokens(x + where)], dim=1)

    def _by_head(self, weight: Tensor) -> Float[Tensor, "k d c"]:
        return widen(weight).unflatten(0, (self.heads, -1))

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        weights = 4 * self.channels**2
        parameters = weights + 3 * self.channels + self.channels * (self.size**2 + 1)
        macs = weights + 2 * self.heads * self.channels * (height * width + 1)
        return Cost(parameters, macs=macs, bytes=4 * parameters)


def _heads(channels: int, heads: int | None) -> int:
    """Return ``heads`` if it divides ``channels``; for None the most that leave 64 channels each, or one."""
    if heads is None:
        return max(d for d in range(1, max(1, channels // 64) + 1) if channels % d == 0)
    if channels % whole("heads", heads):
        raise OptionError(f"heads: got {heads}, which does not divide {channels} channels")
    return heads
