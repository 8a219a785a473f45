"""Axial attention: every position reads along its row, then along its column.

Formula x' = x + W_o [softmax_j(q_j' . k_j / sqrt(d)) v_j for each head, j in the row], with q, k, v = linear
        layers of LN(x + p); y = the same for the columns of x', with weights of its own
Paper   Ho, Kalchbrenner, Weissenborn, Salimans. Axial Attention in Multidimensional Transformers. 2019.
        arXiv:1912.12180, section 3.
Shapes  x (B, C, H, W) -> (B, C, H, W); maps, formed only while recording: rows.map (B, H, K, W, W) and
        columns.map (B, W, K, H, H), K heads: for each position what it reads; these sum to 1.
Cost    parameters 8*C*C, + 8*C with bias, + 4*C with norm; MACs 8*N*C*C + 2*N*C*(H+W), N = H*W.
        Memory grows with N.
Differs a residual for each axis; no feed-forward layers, no masks, no dropout. positions="sine2d" adds fixed
        sines where the paper learns a vector for each row and each column of one size.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.memory_layout import like_input
from foveate.mechanisms.kernels.softmax_attention import attend
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.pairwise.multi_head import sine2d
from foveate.options import heads_of, one_of


@mechanisms.register("axial")
class AxialAttention(Refine):
    """Let each position read along its row and then its column: after both it has heard of all positions.

    Args:
        channels: C of the map that it will receive.
        heads: Number of heads; must divide ``channels``. None takes the most that do, up to 8.
        positions: "sine2d" adds sines of the row and column to what is read; "none" treats a line as a set.
        norm: Whether a layer normalisation comes before each of the two.
        bias: Whether the linear layers have biases.
        residual: Whether what goes in is added to what was read, in each of the two.

    Raises:
        OptionError: ``heads`` does not divide ``channels``, or ``positions`` is unknown.

    Example:
        >>> import torch
        >>> AxialAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions", "heads"),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "bottleneck", "output"),
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
        self.rows = _Lines(channels, self.heads, "b h k p w", norm=norm, bias=bias)
        self.columns = _Lines(channels, self.heads, "b w k p h", norm=norm, bias=bias)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` plus what every position read along its row, then along its column."""
        self._check(x)
        halfway = self._read(self.rows, x, (0, 2, 3, 1), (0, 3, 1, 2))  # to (B, H, W, C) and back
        return self._read(self.columns, halfway, (0, 3, 2, 1), (0, 3, 2, 1))  # to (B, W, H, C) and back

    def _read(self, lines: _Lines, x: Tensor, there: tuple[int, ...], back: tuple[int, ...]) -> Tensor:
        placed = x if self.positions == "none" else x + sine2d(x)
        read = lines(placed.permute(there)).permute(back)
        return x + read.to(x.dtype) if self.residual else like_input(read, x)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        parameters = sum(p.numel() for p in self.parameters())
        macs = height * width * self.channels * (8 * self.channels + 2 * (height + width))
        return Cost(parameters=parameters, macs=macs, bytes=4 * parameters)


class _Lines(nn.Module):
    """Multi-head attention within each of the lines (B, L, N, C)."""

    def __init__(self, channels: int, heads: int, axes: str, *, norm: bool, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels) if norm else nn.Identity()
        self.project = nn.Linear(channels, 3 * channels, bias=bias)  # queries, keys, values
        self.merge = nn.Linear(channels, channels, bias=bias)
        nn.init.xavier_uniform_(self.project.weight)
        for layer in (self.project, self.merge) if bias else ():
            nn.init.zeros_(layer.bias)
        self.map = MapTap(axes, sums=axes[-1])  # p, the place that asks; the last axis is looked at

    def forward(self, lines: Tensor) -> Tensor:
        projected = self.project(self.norm(lines)).unflatten(-1, (3, self.heads, -1))
        query, key, value = projected.permute(3, 0, 1, 4, 2, 5)  # (B, L, K, N, d) each
        scale = query.shape[-1] ** -0.5
        read = attend(query, key, value, self.map, scale=scale)
        return self.merge(read.transpose(2, 3).flatten(3))
