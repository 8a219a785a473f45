"""Halo attention: the positions of a block read at it and a border around it, by content and distance.

Formula y_i = sum_j softmax_j(q_i . k_j / sqrt(d) + q_i . r_u + q_i . s_w) v_j in each head, j in the window
        of the block of i; q, k, v = 1x1 convolutions of x; r_u, s_w = learned vectors for the distance from i
        to j in rows, in columns
Paper   Vaswani, Ramachandran, Srinivas, Parmar, Hechtman, Shlens. Scaling Local Self-Attention for Parameter
        Efficient Visual Backbones. CVPR 2021. arXiv:2103.12731, section 2.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, K, H, W, P), K heads, P = D*D places of the window, row by
        row, D = block + 2*halo; the P weights sum to 1. Formed only while recording.
Cost    with d = C // K, T = ceil(H/block)*ceil(W/block) blocks, S = T*block*block:
        parameters 3*C*C + 2*(2*D-1)*d, + 3*C with bias; MACs 3*H*W*C*C + 2*S*D*C + 2*S*D*D*C.
        Memory grows with N*D.
Differs maps of any size, filled up to whole blocks below and on the right and cut back. As in timm, what lies
        outside the map is read as zeros; masked=True does not read it. The tables have timm's size, of which
        (D - 1) + block rows are read. In the paper it replaces a 3x3 convolution: no residual.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.memory_layout import like_input
from foveate.mechanisms.kernels.pointwise_convolution import project
from foveate.mechanisms.kernels.relative_attention import NEVER, attend_placed, relative
from foveate.mechanisms.kernels.symbolic_sizes import covering_blocks
from foveate.mechanisms.map_tap import MapTap
from foveate.options import heads_of, whole


@mechanisms.register("halo")
class HaloAttention(Refine):
    """Replace each position by what it reads in its block and around it.

    Args:
        channels: C of the map that it will receive.
        heads: Number of heads; must divide ``channels``. None takes the most that do, up to timm's 8.
        block: Height and width, in positions, of the blocks that share a window. Paper: 8.
        halo: Positions by which the window exceeds the block on each side. Paper: 3.
        scale_positions: Whether the energies of distances are divided by sqrt(d) too.
        masked: Whether places outside the map are left out, and not read as zeros.
        bias: Whether queries, keys and values have biases.

    Raises:
        OptionError: ``heads`` does not divide ``channels``, ``block`` is not a positive whole number, or
            ``halo`` is negative.

    Example:
        >>> import torch
        >>> HaloAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions", "heads"),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "bottleneck"),
    )
    variants = {"heads": 2, "block": 4, "halo": 1, "scale_positions": True, "masked": True, "bias": True}

    def __init__(
        self,
        channels: int,
        *,
        heads: int | None = None,
        block: int = 8,
        halo: int = 3,
        scale_positions: bool = False,
        masked: bool = False,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.channels, self.heads = channels, heads_of(channels, heads)
        self.block, self.halo = whole("block", block), whole("halo", halo, least=0)
        self.width, self.window = channels // self.heads, block + 2 * halo
        self.scale_positions, self.masked = scale_positions, masked
        self.project = nn.Conv2d(channels, 3 * channels, kernel_size=1, bias=bias)  # queries, keys, values
        self.rows = nn.Parameter(torch.empty(2 * self.window - 1, self.width))
        self.columns = nn.Parameter(torch.empty(2 * self.window - 1, self.width))
        for table in (self.rows, self.columns):
            nn.init.normal_(table, std=self.width**-0.5)
        self.map = MapTap("b k h w p", sums="p")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return what every position read."""
        self._check(x)
        height, width = x.shape[2:]
        projected = project(self.project, x).unflatten(1, (3, self.heads, -1)).movedim(3, -1)
        query, key, value = projected.unbind(1)  # (B, K, H, W, d) each
        query, key, value = self._blocks(query), self._windows(key), self._windows(value)
        scale = self.width**-0.5
        down, along = self._distances(query * scale if self.scale_positions else query)
        if self.masked:
            down, along = self._inside(down, along, height, width)

        def seen(weights: Tensor) -> Tensor:
            return self._blocks(self.map(self._whole(weights, height, width)))

        context = attend_placed(query, key, value, down, along, self.map, scale=scale, seen=seen)
        return like_input(self._whole(context, height, width).movedim(-1, 2).flatten(1, 2), x)

    def _places(self, height: int, width: int) -> tuple[int, int, int]:
        """Return the number of heads, of rows of blocks and of columns of blocks."""
        return self.heads, covering_blocks(height, self.block), covering_blocks(width, self.block)

    def _blocks(self, x: Float[Tensor, "b k h w d"]) -> Float[Tensor, "b t n d"]:
        """Cut a map into blocks, one for each head: ``t`` counts heads, rows and columns of blocks."""
        side, (height, width) = self.block, x.shape[2:4]
        _, rows, columns = self._places(height, width)
        filled = F.pad(x, (0, 0, 0, columns * side - width, 0, rows * side - height))
        blocks = filled.unflatten(3, (columns, side)).unflatten(2, (rows, side)).transpose(3, 4)
        return blocks.flatten(4, 5).flatten(1, 3)

    def _windows(self, x: Float[Tensor, "b k h w d"]) -> Float[Tensor, "b t m d"]:
        """Cut a map into the windows of its blocks, which overlap."""
        side, border, (height, width) = self.block, self.halo, x.shape[2:4]
        _, rows, columns = self._places(height, width)
        beyond = columns * side - width + border, border, rows * side - height + border
        windows = F.pad(x, (0, 0, border, *beyond))
        for axis, count in ((3, columns), (2, rows)):  # by index: of an unfold the compiler sees no end
            start = torch.arange(count, device=x.device).unsqueeze(1) * side
            place = start + torch.arange(self.window, device=x.device)
            windows = windows.index_select(axis, place.flatten()).unflatten(axis, (count, self.window))
        return windows.transpose(3, 4).flatten(4, 5).flatten(1, 3)

    def _whole(self, blocks: Float[Tensor, "b t n d"], height: int, width: int) -> Float[Tensor, "b k h w d"]:
        """Put blocks together and cut off what was filled up."""
        side, places = self.block, self._places(height, width)
        rows = blocks.unflatten(2, (side, side)).unflatten(1, places).transpose(3, 4)
        return rows.flatten(4, 5).flatten(2, 3)[:, :, :height, :width]

    def _distances(self, query: Float[Tensor, "b t n d"]) -> tuple[Tensor, Tensor]:
        """Return what the row and the column in the window add to the energies."""
        place = torch.arange(self.window, device=query.device)
        index = place - place[: self.block].unsqueeze(1) + self.window - 1  # distance 0 is in the middle
        rows, columns = F.embedding(index, self.rows), F.embedding(index, self.columns)
        return relative(query.unflatten(2, (self.block, self.block)), rows, columns)

    def _inside(self, down: Tensor, along: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Let no energy outside the map count."""
        side, marked, places = self.block, [], self._places(height, width)
        for axis, (energies, length) in enumerate(((down, height), (along, width))):
            start = torch.arange(places[1 + axis], device=down.device) * side - self.halo
            place = start.unsqueeze(1) + torch.arange(self.window, device=down.device)  # (blocks, D)
            outside = (place < 0) | (place >= length)
            outside = outside.unsqueeze(1) if axis == 0 else outside  # the same for all blocks of a row
            apart = energies.unflatten(1, places).masked_fill(outside.unsqueeze(-2), NEVER)
            marked.append(apart.flatten(1, 3))
        return marked[0], marked[1]

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        side, window = self.block, self.window
        filled = -(-height // side) * -(-width // side) * side**2
        parameters = sum(p.numel() for p in self.parameters())
        macs = 3 * height * width * self.channels**2 + 2 * filled * self.channels * (window + window**2)
        return Cost(parameters=parameters, macs=macs, bytes=4 * parameters)
