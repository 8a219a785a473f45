"""Iterative patch selection: the M best of all patches, found a few at a time, so that memory stays bounded.

Formula keep M patches; embed I new ones without gradient, score the M + I by cross-attention (mean over heads
        and queries), keep the M best; ceil((N - M) / I) times. Then embed the M again, with gradient;
        pool = the cross-attention over them: see ``mechanisms/selecting/patch_transformer.py``
Paper   Bergner, Lippert, Mahendran. Iterative Patch Selection for High-Resolution Image Recognition. ICLR
        2023. arXiv:2210.13007, section 3.
Shapes  pictures (B, C, H, W) -> patches (B, K, C, size, size), places (B, K, 2), weights (B, K), the scores,
        which sum to 1; map (B, I, J) over the grid, 0 where nothing was kept; K = min(patches, N), N = I*J
Cost    with D = width, E = inner, T = queries, N patches and K that are kept: parameters T*D + 4*D^2 + 4*D +
        2*D*E + E + D, and D*(C*size^2 + 1) of the embedding if no encoder is given; MACs
        (N + K)*D*C*size^2 and, each time that n are scored, D*n*(D + T). Memory is saved, not computation:
        every patch is embedded once.
Differs with more than one head or query the result depends on ``step``, as in the authors' code: a mean of
        softmaxes need not rise with each logit. Without an encoder, patches are embedded by one
        linear layer.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from foveate.large_pictures import LargePictures
from foveate.mechanisms.base import Select, Selection, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.selecting.overview_select import add_taps, stride_of
from foveate.mechanisms.selecting.patch_transformer import PatchTransformer, sinusoids
from foveate.mechanisms.selecting.places import grid_of, grid_places, outside_grid
from foveate.options import between, flag, whole
from foveate.running import eval_mode


@mechanisms.register("iterative_patch_selection")
class IterativePatchSelection(Select):
    """Select the patches of a grid that cross-attention scores best, a few at a time.

    Args:
        channels: Of the pictures.
        patches: M, how many are kept. Paper, large digits: 100 of 900.
        step: I, how many new ones are embedded at a time. Paper: 100. More is faster and needs more memory.
        size: Side of a patch in pixels.
        stride: Pixels from one patch of the grid to the next; None takes ``size``.
        width: D of the features.
        heads: Of the cross-attention; None takes the most that divide ``width``, up to 8.
        queries: T, how many vectors ``pool`` reads; they are joined to one.
        inner: Width of the layer behind the attention; None takes four times ``width``.
        dropout: Of the cross-attention, in [0, 1]. Paper: 0.1.
        positions: Whether sinusoids of the place of a patch among all are added to its features.
        shuffle: Whether training takes the patches in random order, which breaks ties.

    Raises:
        OptionError: A number is out of range.

    Example:
        >>> import torch
        >>> module = IterativePatchSelection(3, patches=2, step=4, size=20).eval()
        >>> patches, places, weights = module(torch.rand(2, 3, 90, 60))
        >>> patches.shape, weights.shape
        (torch.Size([2, 2, 3, 20, 20]), torch.Size([2, 2]))
    """

    facets = Facets(over=("patches", "positions"), driven_by="query", weighting="hard", sites=("input",))
    variants = {
        "patches": 2,
        "step": 1,
        "size": 5,
        "stride": 2,
        "width": 24,
        "heads": 2,
        "queries": 3,
        "inner": 12,
        "dropout": 0.5,
        "positions": False,
        "shuffle": False,
    }

    def __init__(
        self,
        channels: int,
        *,
        patches: int = 100,
        step: int = 100,
        size: int = 50,
        stride: int | None = None,
        width: int = 128,
        heads: int | None = None,
        queries: int = 1,
        inner: int | None = None,
        dropout: float = 0.1,
        positions: bool = True,
        shuffle: bool = True,
    ) -> None:
        super().__init__()
        self.channels, self.size = whole("channels", channels), whole("size", size)
        self.patches, self.step = whole("patches", patches), whole("step", step)
        self.stride, self.width = stride_of(stride, size), whole("width", width)
        self.positions, self.shuffle = flag("positions", positions), flag("shuffle", shuffle)
        self.embedding: nn.Module | None = nn.Sequential(
            nn.Flatten(), nn.Linear(channels * size * size, width)
        )
        self.transformer = PatchTransformer(
            width,
            queries=queries,
            heads=heads,
            inner=4 * width if inner is None else whole("inner", inner),
            dropout=between("dropout", dropout, 0, 1),
        )
        self.map = MapTap("b h w", sums="h w")
        add_taps(self)

    def select(
        self, pictures: LargePictures | Float[Tensor, "b c h w"], encoder: nn.Module | None = None
    ) -> Selection:
        """Return the best patches, best first, with their features.

        Args:
            pictures: Or a tensor.
            encoder: (N, C, size, size) -> (N, width); the mechanism's own layer if None.
        """
        pictures = self._taken(pictures)
        encode = encoder or self.embedding
        assert encode is not None
        grid = grid_of(pictures.canvas, self.size, self.stride)
        outside = outside_grid(pictures, self.size, self.stride)
        with torch.no_grad(), eval_mode(encode):
            index = self._best(pictures, encode, grid, outside)
        places = self.places(grid_places(index, grid, self.stride))
        patches = pictures.windows(places, (self.size, self.size))
        features = self._embedded(encode, patches, index, grid)
        scores = self._scores(features, index, outside)
        flat = scores.new_zeros(scores.shape[0], grid[0] * grid[1]).scatter(1, index, scores)
        attention = self.map(flat.unflatten(1, grid))
        weights = self.weights(attention.flatten(1).gather(1, index))
        return Selection(patches, places, weights, attention, features)

    def count(self, height: int, width: int) -> int:
        """Return K for pictures of this size."""
        rows, columns = grid_of((height, width), self.size, self.stride)
        return min(self.patches, rows * columns)

    def pool(self, values: Float[Tensor, "b k d"], weights: Float[Tensor, "b k"]) -> Float[Tensor, "b td"]:
        """Return what the queries read of the features, joined; the cross-attention weighs them itself."""
        read: Tensor = self.transformer(values).flatten(1)
        return read

    def cost(self, height: int, width: int) -> Cost:
        """Return the cost of embedding, scoring and keeping patches of a picture of this size."""
        reader = self.transformer
        pixels, d, t = self.channels * self.size**2, self.width, reader.queries.shape[0]
        number = sum(p.numel() for p in self.parameters())
        rows, columns = grid_of((height, width), self.size, self.stride)
        kept, total = self.count(height, width), rows * columns
        scored = [min(kept + self.step, kept + total - first) for first in range(kept, total, self.step)]
        macs = (total + kept) * d * pixels * (self.embedding is not None)
        for one in [*scored, kept]:
            macs += d * (one * d + t * one)
        return Cost(number, macs, 4 * number)

    def _best(
        self,
        pictures: LargePictures,
        encode: nn.Module,
        grid: tuple[int, int],
        outside: Tensor | None,
    ) -> Int64[Tensor, "b k"]:
        """Return the numbers of the patches that are kept in the end, best first."""
        order = torch.arange(grid[0] * grid[1], device=pictures.device).expand(pictures.number, -1)
        if self.training and self.shuffle:
            order = torch.rand(order.shape, device=order.device).argsort(dim=1)
        number = min(self.patches, order.shape[1])
        index, features = order[:, :number], self._read(pictures, encode, order[:, :number], grid)
        for first in range(number, order.shape[1], self.step):
            new = order[:, first : first + self.step]
            index = torch.cat([index, new], dim=1)
            features = torch.cat([features, self._read(pictures, encode, new, grid)], dim=1)
            kept = self._scores(features, index, outside).topk(number, dim=1).indices
            index = index.gather(1, kept)
            features = features.gather(1, kept.unsqueeze(2).expand(-1, -1, features.shape[2]))
        return index

    def _read(
        self, pictures: LargePictures, encode: nn.Module, index: Int64[Tensor, "b k"], grid: tuple[int, int]
    ) -> Float[Tensor, "b k d"]:
        """Return the features of patches by their numbers."""
        places = grid_places(index, grid, self.stride)
        return self._embedded(encode, pictures.windows(places, (self.size, self.size)), index, grid)

    def _embedded(
        self, encode: nn.Module, patches: Tensor, index: Tensor, grid: tuple[int, int]
    ) -> Float[Tensor, "b k d"]:
        """Return the features of patches, with the sinusoids of their places added if ``positions``."""
        features: Tensor = encode(patches.flatten(0, 1)).unflatten(0, patches.shape[:2])
        if not self.positions:
            return features
        return features + sinusoids(grid[0] * grid[1], features.shape[2], features)[index]

    def _scores(
        self, features: Float[Tensor, "b k d"], index: Int64[Tensor, "b k"], outside: Tensor | None
    ) -> Float[Tensor, "b k"]:
        """Return what patches are worth; those outside of a smaller picture nothing."""
        scores = self.transformer.scores(features)
        if outside is None:
            return scores
        inside = scores.masked_fill(outside.flatten(1).gather(1, index), 0.0)
        return inside / inside.sum(dim=1, keepdim=True).clamp_min(1e-12)
