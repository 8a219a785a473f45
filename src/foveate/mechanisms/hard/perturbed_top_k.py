"""Differentiable patch selection: the K best patches of a grid, chosen by scores that noise makes smooth.

Formula Y (K, N) marks the K highest of x, in the order of their places; in training E[Y(x + sigma Z)] over
        draws Z ~ N(0, 1), with the Jacobian E[Y(x + sigma Z) Z^T] / sigma; patches_k = sum_n Y_kn patch_n;
        x the scores of the overview, averaged over each patch and brought to [0, 1]
Paper   Cordonnier, Mahendran, Dosovitskiy, Weissenborn, Uszkoreit, Unterthiner. Differentiable Patch
        Selection for Image Recognition. CVPR 2021. arXiv:2104.03059, section 3.
Shapes  pictures (B, C, H, W) -> patches (B, K, C, size, size), places (B, K, 2), weights (B, K), all 1/K;
        map (B, I, J), the softmax of the scores over the grid's I x J patches; K = min(patches, I*J)
Cost    with n = hidden and an overview h x w: parameters 9*n*(C + n + 1) + 2*n + 1, 4 bytes for sigma; MACs
        9*n*(C + n + 1)*h*w, in training also K*I*J*C*size^2: every pixel is read.
Differs the scores come from three convolutions; the paper takes a part of a residual network. The gradient
        is that of the formula: the authors' code keeps its diagonal only, and a public port multiplies by K.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.large_pictures import LargePictures
from foveate.mechanisms.base import Selection, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.hard.top_k import perturbed, rescaled
from foveate.mechanisms.selecting.overview_scores import shares
from foveate.mechanisms.selecting.overview_select import GridSelect
from foveate.mechanisms.selecting.places import grid_places, outside_grid
from foveate.options import between, flag, whole


@mechanisms.register("perturbed_top_k")
class PerturbedTopK(GridSelect):
    """Select the K patches of a grid that score best; noise smooths the choice while training.

    Training reads every patch; inference reads K.

    Args:
        channels: Of the pictures.
        patches: How many are selected. Paper, traffic signs: 5.
        size: Side of a patch in pixels. Paper, traffic signs: 100.
        stride: Pixels from one patch of the grid to the next; None takes ``size``.
        scale: Side of the overview over side of the picture, in (0, 1]. Paper, traffic signs: 1/3.
        hidden: Width of the network that scores the overview.
        sigma: Standard deviation of the noise in training, at least 0. Paper: 0.05, falling to 0. A buffer,
            so that a lowered one is saved: ``module.sigma.fill_(0.01)``.
        draws: Number of draws of the noise. Paper: 500.
        rescale: Whether the scores are brought to [0, 1] before the noise.

    Raises:
        OptionError: A number is out of range.

    Example:
        >>> import torch
        >>> patches, places, weights = PerturbedTopK(3, patches=2, size=20).eval()(torch.rand(2, 3, 90, 60))
        >>> patches.shape, weights.unique()
        (torch.Size([2, 2, 3, 20, 20]), tensor([0.5000]))
    """

    facets = Facets(over=("patches", "positions"), driven_by="input", weighting="hard", sites=("input",))
    variants = {
        "patches": 2,
        "size": 5,
        "stride": 2,
        "scale": 0.4,
        "hidden": 4,
        "sigma": 0.5,
        "draws": 20,
        "rescale": False,
    }

    def __init__(
        self,
        channels: int,
        *,
        patches: int = 10,
        size: int = 50,
        stride: int | None = None,
        scale: float = 0.12,
        hidden: int = 8,
        sigma: float = 0.05,
        draws: int = 500,
        rescale: bool = True,
    ) -> None:
        super().__init__(channels, size=size, stride=stride, scale=scale, hidden=hidden)
        self.patches, self.draws = whole("patches", patches), whole("draws", draws)
        self.rescale = flag("rescale", rescale)
        self.sigma: Tensor
        self.register_buffer("sigma", torch.tensor(between("sigma", sigma, 0)))

    def select(
        self, pictures: LargePictures | Float[Tensor, "b c h w"], encoder: nn.Module | None = None
    ) -> Selection:
        """Return the best patches, row by row; in training their means over the draws.

        The places are those of the scores without noise.
        """
        pictures = self._taken(pictures)
        scores, outside = self.grid_scores(pictures), outside_grid(pictures, self.size, self.stride)
        attention = self.map(shares(scores, outside))
        flat, hidden = scores.flatten(1), None if outside is None else outside.flatten(1)
        number, grid = min(self.patches, flat.shape[1]), self.grid(pictures.canvas)
        best = attention.detach().flatten(1).topk(number, dim=1, sorted=False).indices
        index = best.sort(dim=1).values
        places = self.places(grid_places(index, grid, self.stride))
        square = (self.size, self.size)
        if self.training:
            everything = torch.arange(flat.shape[1], device=flat.device).expand_as(flat)
            every = pictures.windows(grid_places(everything, grid, self.stride), square)
            choice = self._smooth_choice(flat, hidden, number).to(every.dtype)
            patches = (choice @ every.flatten(2)).unflatten(2, every.shape[2:])
        else:
            patches = pictures.windows(places, square)
        weights = self.weights(torch.full_like(flat[:, :1], 1 / number).expand(-1, number))
        return Selection(patches, places, weights, attention)

    def count(self, height: int, width: int) -> int:
        """Return K for pictures of this size."""
        rows, columns = self.grid((height, width))
        return min(self.patches, rows * columns)

    def cost(self, height: int, width: int) -> Cost:
        """Return the cost of scoring the overview of a picture of this size, at inference."""
        return super().cost(height, width) + Cost(parameters=0, macs=0, bytes=4)

    def _smooth_choice(
        self, scores: Float[Tensor, "b n"], hidden: Tensor | None, number: int
    ) -> Float[Tensor, "b k n"]:
        """Return the mean of the indicators over draws of the noise."""
        x, unseen = scores.unsqueeze(1), None if hidden is None else hidden.unsqueeze(1)
        x = rescaled(x, unseen) if self.rescale else x
        if unseen is not None:
            x = x.masked_fill(unseen, torch.finfo(x.dtype).min)
        noise = torch.randn(*x.shape[:2], self.draws, x.shape[2], dtype=x.dtype, device=x.device)
        return perturbed(x, noise, number, self.sigma.to(x.dtype)).squeeze(1)
