"""Soft attention over all patches: every patch of a grid is processed, each counted by its attention.

Formula pool(f) = sum_i a_i f_i over all patches i, a = softmax of the scores of the overview, averaged over
        each patch. What attention sampling estimates from a few, and the control that saves nothing.
Paper   Katharopoulos, Fleuret. Processing Megapixel Images with Deep Attention-Sampling Models. ICML 2019.
        arXiv:1905.03711, section 3.1.
Shapes  pictures (B, C, H, W) -> patches (B, K, C, size, size), places (B, K, 2), weights (B, K), which sum to
        1; map (B, I, J), the same as a grid, K = I*J
Cost    with n = hidden and an overview h x w: parameters 9*n*(C + n + 1) + 2*n + 1; MACs
        9*n*(C + n + 1)*h*w. The network that takes the patches sees every pixel.
Differs the patches are those of a grid; the paper's expectation is over all places of the overview.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.large_pictures import LargePictures
from foveate.mechanisms.base import Selection, mechanisms
from foveate.mechanisms.facets import Facets
from foveate.mechanisms.selecting.overview_scores import shares
from foveate.mechanisms.selecting.overview_select import GridSelect
from foveate.mechanisms.selecting.places import grid_places, outside_grid


@mechanisms.register("all_patches")
class AllPatches(GridSelect):
    """Take all patches of a grid that covers the picture, and weigh them by soft attention.

    Args:
        channels: Of the pictures.
        size: Side of a patch in pixels.
        stride: Pixels from one patch of the grid to the next; None takes ``size``.
        scale: Side of the overview over side of the picture, in (0, 1].
        hidden: Width of the network that scores the overview.

    Raises:
        OptionError: A number is out of range.

    Example:
        >>> import torch
        >>> patches, places, weights = AllPatches(3, size=20)(torch.rand(2, 3, 90, 60))
        >>> patches.shape, weights.sum(dim=1).round(decimals=4)
        (torch.Size([2, 15, 3, 20, 20]), tensor([1., 1.], grad_fn=<RoundBackward1>))
    """

    facets = Facets(over=("patches", "positions"), driven_by="input", weighting="soft", sites=("input",))
    variants = {"size": 5, "stride": 2, "scale": 0.4, "hidden": 4}

    def __init__(
        self,
        channels: int,
        *,
        size: int = 50,
        stride: int | None = None,
        scale: float = 0.12,
        hidden: int = 8,
    ) -> None:
        super().__init__(channels, size=size, stride=stride, scale=scale, hidden=hidden)

    def select(
        self, pictures: LargePictures | Float[Tensor, "b c h w"], encoder: nn.Module | None = None
    ) -> Selection:
        """Return all patches, row by row."""
        pictures = self._taken(pictures)
        scores = self.grid_scores(pictures)
        attention = self.map(shares(scores, outside_grid(pictures, self.size, self.stride)))
        weights = self.weights(attention.flatten(1))
        everything = torch.arange(weights.shape[1], device=weights.device).expand_as(weights)
        places = self.places(grid_places(everything, self.grid(pictures.canvas), self.stride))
        patches = pictures.windows(places, (self.size, self.size))
        return Selection(patches, places, weights, attention)

    def count(self, height: int, width: int) -> int:
        """Return K for pictures of this size."""
        rows, columns = self.grid((height, width))
        return rows * columns
