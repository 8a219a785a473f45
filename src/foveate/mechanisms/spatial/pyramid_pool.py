"""Pyramid-pooled attention: the greatest values in a pyramid of regions, and their weighted mean.

Formula z = sum_k a_k r_k, a = softmax_k(w . tanh(V (r_k + l_k) + b)), r_k = max of x in region k, l_k a
        vector for the region's level; gated=True: w . (tanh(V ...) * sigmoid(U ...))
Paper   He, Zhang, Ren, Sun. Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition.
        ECCV 2014. arXiv:1406.4729, section 2, for the regions; Ilse, Tomczak, Welling. Attention-based Deep
        Multiple Instance Learning. ICML 2018. arXiv:1802.04712, section 2.4, for the weights.
Shapes  x (B, C, H, W) -> (B, C); map (B, K), K = sum of levels squared, sums to 1 over the regions: level by
        level as given, row by row.
Cost    with L levels, D = hidden, g = 1 or, gated, 2: parameters L*C + g*D*(C + 1) + D,
        MACs K*(g*C*D + D + C).
Differs weights regions where the paper concatenates them. Region i of n reaches from floor(i*a/n) to
        ceil((i+1)*a/n), which always makes n; the paper's ceil(a/n) every floor(a/n) does not, but is the
        same for a = 13, the size in the paper. l starts at 0; it tells the regions apart but is not in the
        mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.base import Pool, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import widen
from foveate.options import whole


@mechanisms.register("pyramid_pool")
class PyramidPool(Pool):
    """Pool a map by a weighted mean over regions of several sizes, where a small network weighs them.

    Args:
        channels: C of the map that it will receive.
        levels: For each level the number n of regions along each side: n*n regions. Paper: (1, 2, 3, 6).
        hidden: Width of the small network.
        gated: Whether each of its hidden values is gated by a sigmoid.

    Raises:
        OptionError: ``levels`` is empty or repeats one, or a number is not positive and whole.

    Example:
        >>> import torch
        >>> PyramidPool(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64])
    """

    facets = Facets(over=("positions",), driven_by="input", weighting="soft", sites=("pool",))
    variants = {"levels": (1, 2, 4), "hidden": 8, "gated": True}

    def __init__(
        self,
        channels: int,
        *,
        levels: Sequence[int] = (1, 2, 3, 6),
        hidden: int = 128,
        gated: bool = False,
    ) -> None:
        super().__init__()
        if (
            not isinstance(levels, Sequence)
            or isinstance(levels, str)
            or not 0 < len(set(levels)) == len(levels)
        ):
            raise OptionError(f"levels: got {levels!r}, expected different numbers, such as (1, 2, 3, 6)")
        self.channels, self.hidden, self.gated = whole("channels", channels), whole("hidden", hidden), gated
        self.levels = tuple(whole("levels", level) for level in levels)
        self.level = nn.Parameter(torch.zeros(len(self.levels), channels))
        self.embed = nn.Linear(channels, hidden)
        self.gate_hidden = nn.Linear(channels, hidden) if gated else None
        self.score = nn.Linear(hidden, 1, bias=False)  # a bias would shift all scores alike
        self.map = MapTap("b m", sums="m")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """Return the weighted mean of the regions of ``x``."""
        self._check(x)
        found = regions(x, self.levels)  # (B, K, C)
        counts = [level**2 for level in self.levels]
        placed = found + torch.cat([v.expand(n, -1) for v, n in zip(self.level, counts, strict=True)])
        hidden = self.embed(placed).tanh()
        if self.gate_hidden is not None:
            hidden = hidden * self.gate_hidden(placed).sigmoid()
        weights = self.map(widen(self.score(hidden)).squeeze(2).softmax(dim=1))
        return (weights.to(x.dtype).unsqueeze(1) @ found).squeeze(1)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        c, d, layers, count = self.channels, self.hidden, 1 + self.gated, sum(n * n for n in self.levels)
        parameters = len(self.levels) * c + layers * d * (c + 1) + d
        return Cost(parameters, macs=count * (layers * c * d + d + c), bytes=4 * parameters)


def regions(x: Float[Tensor, "b c h w"], levels: Sequence[int]) -> Float[Tensor, "b k c"]:
    """Return the greatest value of each channel in each region, level by level, row by row.

    A region of level n is exactly a block of regions of any multiple of n, so that the map itself is read for
    the finest levels only.

    Example:
        >>> regions(torch.arange(16.0).view(1, 1, 4, 4), (1, 2)).flatten()
        tensor([15.,  5.,  7., 13., 15.])
    """
    found: dict[int, Tensor] = {}
    for level in sorted(levels, reverse=True):
        finer = next((n for n in found if n % level == 0), None)
        if finer is None:
            found[level] = _greatest(_greatest(x, level, 2), level, 3)
        else:
            rows = found[finer].unflatten(2, (level, -1)).amax(dim=3)
            found[level] = rows.unflatten(3, (level, -1)).amax(dim=4)
    return torch.cat([found[level].flatten(2) for level in levels], dim=2).transpose(1, 2)


def _greatest(x: Tensor, count: int, dim: int) -> Tensor:
    """Return the maxima of ``count`` windows along ``dim``; adaptive pooling would fix the size in an export.

    All windows get the length of the longest; a shorter one repeats its last place, which changes no maximum.
    """
    size = x.shape[dim]
    window = torch.arange(count, device=x.device)
    start, end = window * size // count, ((window + 1) * size + count - 1) // count
    places = start[:, None] + torch.arange(size // count + 2, device=x.device)
    places = torch.minimum(places, end[:, None] - 1)
    return x.index_select(dim, places.flatten()).unflatten(dim, (count, -1)).amax(dim=dim + 1)
