"""Pyramid-pooled attention: the greatest values in a pyramid of regions, and their weighted mean.

Formula z = sum_k a_k r_k, a = softmax_k(e_k), e_k = w . tanh(V (r_k + l_k) + b), r_k = max of x in region k,
        l_k a vector for the region's level; gated=True: w . (tanh(V ...) * sigmoid(U ...)). That is
        a_k = p_n a'_k: p_n = softmax_n(log sum_{k in n} exp(e_k)) over the levels, a'_k = softmax(e_k) over
        the regions of one level
Paper   He, Zhang, Ren, Sun. Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition.
        ECCV 2014. arXiv:1406.4729, section 2, for the regions; Ilse, Tomczak, Welling. Attention-based Deep
        Multiple Instance Learning. ICML 2018. arXiv:1802.04712, section 2.4, for the weights.
Shapes  x (B, C, H, W) -> (B, C); map (B, K), K = sum of levels squared, sums to 1 over the regions: level by
        level as given, row by row; level_map (B, L), sums to 1 over the levels.
Cost    with L levels, D = hidden, g = 1 or, gated, 2: parameters L*C + g*D*(C + 1) + D,
        MACs K*(g*C*D + D + C); without attention no parameters, MACs K*C.
Differs weights regions where the paper concatenates them. Region i of n reaches from floor(i*a/n) to
        ceil((i+1)*a/n), which always makes n; the paper's ceil(a/n) every floor(a/n) does not, but is the
        same for a = 13, the size in the paper. l starts at 0; it tells the regions apart but is not in the
        mean. A factor of a_k that is switched off is what it is for w = 0: p_n = n*n/K, a'_k = 1/(n*n).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.base import Pool, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import widen
from foveate.options import one_of, whole


@mechanisms.register("pyramid_pool")
class PyramidPool(Pool):
    """Pool a map by a weighted mean over regions of several sizes, where a small network weighs them.

    Args:
        channels: C of the map that it will receive.
        levels: For each level the number n of regions along each side: n*n regions. Paper: (1, 2, 3, 6).
        hidden: Width of the small network.
        gated: Whether each of its hidden values is gated by a sigmoid.
        region_attention: Whether the regions of a level are weighed against each other; if not they count
            alike.
        level_attention: Whether the levels are; if not each counts by its number of regions. With neither,
            the result is the plain mean of the regions.
        statistic: Of a region: its "max", as in the paper, or its "mean".

    Raises:
        OptionError: ``levels`` is empty or repeats one, or a number is not positive and whole.

    Example:
        >>> import torch
        >>> PyramidPool(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64])
    """

    facets = Facets(over=("positions", "scales"), driven_by="input", weighting="soft", sites=("pool",))
    variants = {
        "levels": (1, 2, 4),
        "hidden": 8,
        "gated": True,
        "region_attention": False,
        "level_attention": False,
        "statistic": "mean",
    }

    def __init__(
        self,
        channels: int,
        *,
        levels: Sequence[int] = (1, 2, 3, 6),
        hidden: int = 128,
        gated: bool = False,
        region_attention: bool = True,
        level_attention: bool = True,
        statistic: Literal["max", "mean"] = "max",
    ) -> None:
        super().__init__()
        if (
            not isinstance(levels, Sequence)
            or isinstance(levels, str)
            or not 0 < len(set(levels)) == len(levels)
        ):
            raise OptionError(f"levels: got {levels!r}, expected different numbers, such as (1, 2, 3, 6)")
        one_of("statistic", statistic, ("max", "mean"))
        self.channels, self.hidden, self.gated = whole("channels", channels), whole("hidden", hidden), gated
        self.levels = tuple(whole("levels", level) for level in levels)
        self.counts = tuple(level**2 for level in self.levels)
        self.region_attention, self.level_attention = region_attention, level_attention
        self.statistic: Literal["max", "mean"] = statistic
        self.attends = region_attention or level_attention
        if self.attends:
            self.level = nn.Parameter(torch.zeros(len(self.levels), channels))
            self.embed = nn.Linear(channels, hidden)
            self.gate_hidden = nn.Linear(channels, hidden) if gated else None
            self.score = nn.Linear(hidden, 1, bias=False)  # a bias would shift all scores alike
        self.map = MapTap("b m", sums="m")
        self.level_map = MapTap("b s", sums="s")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """Return the weighted mean of the regions of ``x``."""
        return self.read(x)[0]

    def read(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b k"]]:
        """Return the weighted mean, and the weight of each region."""
        self._check(x)
        found = regions(x, self.levels, self.statistic)  # (B, K, C)
        inside, levels = self._weigh(found)
        spread = [
            p.expand(-1, n) for p, n in zip(self.level_map(levels).split(1, dim=1), self.counts, strict=True)
        ]
        weights = self.map(torch.cat(spread, dim=1) * inside)
        return (weights.to(x.dtype).unsqueeze(1) @ found).squeeze(1), weights

    def _weigh(self, found: Float[Tensor, "b k c"]) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b levels"]]:
        """Return the weights of the regions within their level, and those of the levels."""
        like = widen(found[:, :1, 0])
        inside = torch.cat([torch.full_like(like, 1 / n).expand(-1, n) for n in self.counts], dim=1)
        levels = torch.cat([torch.full_like(like, n / sum(self.counts)) for n in self.counts], dim=1)
        if self.attends:
            scores = self._scores(found).split(self.counts, dim=1)
            if self.region_attention:
                inside = torch.cat([score.softmax(dim=1) for score in scores], dim=1)
            if self.level_attention:
                levels = torch.stack([score.logsumexp(dim=1) for score in scores], dim=1).softmax(dim=1)
        return inside, levels

    def _scores(self, found: Float[Tensor, "b k c"]) -> Float[Tensor, "b k"]:
        placed = found + torch.cat([v.expand(n, -1) for v, n in zip(self.level, self.counts, strict=True)])
        hidden = self.embed(placed).tanh()
        if self.gate_hidden is not None:
            hidden = hidden * self.gate_hidden(placed).sigmoid()
        return widen(self.score(hidden)).squeeze(2)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        c, d, layers, count = self.channels, self.hidden, 1 + self.gated, sum(self.counts)
        if not self.attends:
            return Cost(0, macs=count * c, bytes=0)
        parameters = len(self.levels) * c + layers * d * (c + 1) + d
        return Cost(parameters, macs=count * (layers * c * d + d + c), bytes=4 * parameters)


def regions(
    x: Float[Tensor, "b c h w"], levels: Sequence[int], statistic: Literal["max", "mean"] = "max"
) -> Float[Tensor, "b k c"]:
    """Return the greatest value, or mean, of each channel in each region: by level, row by row.

    A region of level n is exactly a block of regions of any multiple of n, so that for the greatest values
    the map itself is read for the finest levels only.

    Example:
        >>> regions(torch.arange(16.0).view(1, 1, 4, 4), (1, 2)).flatten()
        tensor([15.,  5.,  7., 13., 15.])
    """
    if statistic == "mean":
        means = [_means(_means(x, level, 2), level, 3).flatten(2) for level in levels]
        return torch.cat(means, dim=2).transpose(1, 2)
    found: dict[int, Tensor] = {}
    for level in sorted(levels, reverse=True):
        finer = next((n for n in found if n % level == 0), None)
        if finer is None:
            found[level] = _greatest(_greatest(x, level, 2), level, 3)
        else:
            rows = found[finer].unflatten(2, (level, -1)).amax(dim=3)
            found[level] = rows.unflatten(3, (level, -1)).amax(dim=4)
    return torch.cat([found[level].flatten(2) for level in levels], dim=2).transpose(1, 2)


def over_positions(
    weights: Float[Tensor, "b k"], levels: Sequence[int], height: int, width: int
) -> Float[Tensor, "b height width"]:
    """Return the weights of regions as weights of positions: each region's is spread evenly over it.

    Example:
        >>> over_positions(torch.tensor([[0.0, 1.0, 0.0, 0.0, 0.0]]), (1, 2), 2, 4)
        tensor([[[0.5000, 0.5000, 0.0000, 0.0000],
                 [0.0000, 0.0000, 0.0000, 0.0000]]])
    """
    found = weights.new_zeros(weights.shape[0], height, width)
    for level, part in zip(levels, weights.split([level**2 for level in levels], dim=1), strict=True):
        rows, columns = (_shares(length, level).to(weights) for length in (height, width))
        found = found + rows.T @ part.unflatten(1, (level, level)) @ columns
    return found


def _shares(length: int, count: int) -> Float[Tensor, "count length"]:
    """Return for each window the share of each place in its mean."""
    start, end = _windows(length, count, torch.device("cpu"))
    places = torch.arange(length)
    return ((places >= start[:, None]) & (places < end[:, None])).float() / (end - start)[:, None]


def _windows(size: int, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return where each of ``count`` windows begins and ends."""
    window = torch.arange(count, device=device)
    return window * size // count, ((window + 1) * size + count - 1) // count


def _greatest(x: Tensor, count: int, dim: int) -> Tensor:
    """Return the maxima of ``count`` windows along ``dim``; adaptive pooling would fix the size in an export.

    All windows get the length of the longest; a shorter one repeats its last place, which changes no maximum.
    """
    found, _ = _gathered(x, count, dim)
    return found.amax(dim=dim + 1)


def _means(x: Tensor, count: int, dim: int) -> Tensor:
    """Return the means of ``count`` windows along ``dim``; what a shorter one repeats counts 0."""
    found, share = _gathered(x, count, dim)
    return (found * share.to(x.dtype).reshape(*share.shape, *[1] * (x.ndim - dim - 1))).sum(dim=dim + 1)


def _gathered(x: Tensor, count: int, dim: int) -> tuple[Tensor, Float[Tensor, "count long"]]:
    """Return the windows along ``dim``, made equally long, and each place's share in its window's mean."""
    size = x.shape[dim]
    start, end = _windows(size, count, x.device)
    places = start[:, None] + torch.arange(size // count + 2, device=x.device)
    share = (places < end[:, None]).float() / (end - start)[:, None]
    places = torch.minimum(places, end[:, None] - 1)
    return x.index_select(dim, places.flatten()).unflatten(dim, (count, -1)), share
