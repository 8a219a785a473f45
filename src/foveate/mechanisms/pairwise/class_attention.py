"""Class attention of CaiT as pooling: a learned token reads all positions and itself.

Formula z = W_o [sum_j softmax_j(q_k . (W_k u_j) / sqrt(d)) W_v u_j for each head k] + b_o, j over the
        token and the N positions, u = LN([token; x]), q = W_q u_token
Paper   Touvron, Cord, Sablayrolles, Synnaeve, Jegou. Going Deeper with Image Transformers. ICCV 2021.
        arXiv:2103.17239, section 3.
Shapes  x (B, C, H, W) -> (B, C); map (B, K, 1, 1 + N), K heads, N = H*W, the token first; rows sum to 1.
Cost    parameters 4*C*C + 2*C, + 2*C with bias, + 2*C with norm; MACs 4*C*C + 2*K*C*(N + 1): with one query,
        keys and values are never formed for every position. Memory grows with K*N.
Differs keys have no bias, as the softmax cancels it; the token is not added to what it read, as
        b_o does the same; no layer scale, no feed-forward layer, no dropout.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Pool, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.memory_layout import tokens
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import full_precision, widen
from foveate.mechanisms.ranks import any_rank
from foveate.options import heads_of


@mechanisms.register("class_attention")
@any_rank
class ClassAttention(Pool):
    """Pool a map by what a learned class token reads in it with several heads.

    Args:
        channels: C of the map that it will receive.
        heads: Number of heads; must divide ``channels``. None takes the most that do, up to 8.
        norm: Whether a layer normalisation of token and positions comes first.
        bias: Whether queries and values have biases.

    Raises:
        OptionError: ``heads`` does not divide ``channels``.

    Example:
        >>> import torch
        >>> ClassAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64])
    """

    facets = Facets(over=("positions", "heads"), driven_by="input", weighting="soft", sites=("pool",))
    variants = {"heads": 2, "norm": False, "bias": False}

    def __init__(
        self, channels: int, *, heads: int | None = None, norm: bool = True, bias: bool = True
    ) -> None:
        super().__init__()
        self.channels, self.heads = channels, heads_of(channels, heads)
        self.token = nn.Parameter(torch.empty(1, 1, channels))
        nn.init.trunc_normal_(self.token, std=0.02)
        self.norm = nn.LayerNorm(channels) if norm else nn.Identity()
        self.query = nn.Linear(channels, channels, bias=bias)
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels, bias=bias)
        self.merge = nn.Linear(channels, channels)
        self.map = MapTap("b k 1 m", sums="m")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """Return what the token read."""
        self._check(x)
        memory = self.norm(torch.cat([self.token.expand(x.shape[0], -1, -1).to(x.dtype), tokens(x)], dim=1))
        query = self.query(memory[:, :1]).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, K, 1, d)
        with full_precision(x):
            memory, query = widen(memory), widen(query)
            # One query: q . (W u) = (W^T q) . u, and the mean of W u is W times the mean of u.
            asked = query @ self._by_head(self.key)  # (B, K, 1, C)
            energies = asked.squeeze(2) @ memory.transpose(1, 2) * query.shape[-1] ** -0.5
            weights = self.map(energies.softmax(dim=-1).unsqueeze(2))  # (B, K, 1, 1 + N)
            means = weights.squeeze(2) @ memory  # (B, K, C)
            context = (self._by_head(self.value) @ means.unsqueeze(3)).flatten(1)
            if self.value.bias is not None:
                context = context + self.value.bias
        return self.merge(context.to(self.merge.weight.dtype)).to(x.dtype)

    def _by_head(self, layer: nn.Linear) -> Float[Tensor, "k d c"]:
        return widen(layer.weight).unflatten(0, (self.heads, -1))

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        parameters = sum(p.numel() for p in self.parameters())
        macs = 4 * self.channels**2 + 2 * self.heads * self.channels * (height * width + 1)
        return Cost(parameters=parameters, macs=macs, bytes=4 * parameters)
