"""Multi-head self-attention over the positions of a map.

Formula y = x + W_o [softmax(q_k . k_k / sqrt(d)) v_k for each head k], q, k, v = linear layers of LN(x + p)
Paper   Vaswani et al. Attention Is All You Need. NeurIPS 2017. arXiv:1706.03762, section 3.2.2.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, K, N, N), K heads, N = H*W, rows sum to 1,
        formed only while recording.
Cost    parameters 4*C*C, + 4*C with bias, + 2*C with norm; MACs 4*N*C*C + 2*N*N*C. Memory grows with N.
Differs normalises before, not after, as later transformers do; positions="sine2d" gives half the channels to
        rows and half to columns; no dropout.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.memory_layout import tokens, untoken
from foveate.mechanisms.kernels.softmax_attention import attend
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.ranks import any_rank
from foveate.options import heads_of, one_of


@mechanisms.register("multi_head")
@any_rank
class MultiHeadAttention(Refine):
    """Let each position read at all positions with several heads of their own.

    Args:
        channels: C of the map that it will receive.
        heads: Number of heads; must divide ``channels``. None takes the most that do, up to the paper's 8.
        positions: "sine2d" adds sines of the row and column to what is read; "none" treats the map as a set.
        norm: Whether a layer normalisation comes first.
        bias: Whether the linear layers have biases.
        residual: Whether ``x`` is added to what was read.

    Raises:
        OptionError: ``heads`` does not divide ``channels``, or ``positions`` is unknown.

    Example:
        >>> import torch
        >>> MultiHeadAttention(64, heads=4)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions", "heads"),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "bottleneck"),
    )
    variants = {"heads": 2, "positions": "sine2d", "norm": False, "bias": False, "residual": False}

    def __init__(
        self,
        channels: int,
        *,
        heads: int | None = None,
        positions: str = "none",
        norm: bool = True,
        bias: bool = True,
        residual: bool = True,
    ) -> None:
        super().__init__()
        one_of("positions", positions, ("none", "sine2d"))
        self.channels, self.heads = channels, heads_of(channels, heads)
        self.positions, self.residual = positions, residual
        if positions == "sine2d":  # which says where in two dimensions a position is
            self.dims = (2,)
        self.norm = nn.LayerNorm(channels) if norm else nn.Identity()
        self.project = nn.Linear(channels, 3 * channels, bias=bias)  # queries, keys, values
        self.merge = nn.Linear(channels, channels, bias=bias)
        nn.init.xavier_uniform_(self.project.weight)
        for layer in (self.project, self.merge) if bias else ():
            nn.init.zeros_(layer.bias)
        self.map = MapTap("b k n m", sums="m")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` plus what every position read."""
        self._check(x)
        placed = x if self.positions == "none" else x + sine2d(x)
        projected = self.project(self.norm(tokens(placed)))
        query, key, value = projected.unflatten(-1, (3, self.heads, -1)).permute(
            2, 0, 3, 1, 4
        )  # (B, K, N, d) each
        context = attend(query, key, value, self.map, scale=query.shape[-1] ** -0.5)
        read = untoken(self.merge(context.transpose(1, 2).flatten(2)), like=x).to(x.dtype)
        return x + read if self.residual else read

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        positions, weights = height * width, 4 * self.channels**2
        parameters = sum(p.numel() for p in self.parameters())
        macs = positions * weights + 2 * positions**2 * self.channels
        return Cost(parameters=parameters, macs=macs, bytes=4 * parameters)


def sine2d(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "1 c h w"]:
    """Return sines and cosines of the row (first half of the channels) and of the column (second half)."""
    _, channels, height, width = x.shape
    rows = _sines(height, channels // 2, x)[:, :, None].expand(-1, -1, width)
    columns = _sines(width, channels - channels // 2, x)[:, None, :].expand(-1, height, -1)
    return torch.cat([rows, columns])[None].to(x.dtype)


def _sines(length: int, width: int, like: Tensor) -> Tensor:
    """Return (width, length): Vaswani's section 3.5, sine at even and cosine at odd channels."""
    kind = torch.float64 if like.dtype == torch.float64 else torch.float32
    channel = torch.arange(width, device=like.device)
    rate = 10_000.0 ** (-2 * (channel // 2).to(kind) / max(1, width))
    angle = rate[:, None] * torch.arange(length, device=like.device, dtype=kind)
    return torch.where((channel % 2 == 0)[:, None], angle.sin(), angle.cos())
