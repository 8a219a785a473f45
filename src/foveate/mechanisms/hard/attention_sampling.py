"""Attention sampling: patches are drawn by an attention over the overview, and stand for all in the mean.

Formula a = softmax(s), s the scores of the overview at ``scale`` (two hidden layers, tanh); i_1 .. i_n drawn
        from a; pool(f) estimates sum_i a_i f_i without bias, and so does its gradient: see
        ``mechanisms/selecting/expectation.py``. At inference the n highest a_i, divided by their sum.
Paper   Katharopoulos, Fleuret. Processing Megapixel Images with Deep Attention-Sampling Models. ICML 2019.
        arXiv:1905.03711, section 3; Gumbel top-k for the draws: Kool et al. ICML 2019. arXiv:1903.06059.
Shapes  pictures (B, C, H, W) -> patches (B, K, C, size, size), places (B, K, 2), weights (B, K);
        map (B, h, w), h = round(scale * H), sums to 1; K = min(patches, h*w)
Cost    with n = hidden: parameters 9*n*(C + n + 1) + 2*n + 1; MACs 9*n*(C + n + 1)*h*w. They grow with the
        overview alone.
Differs the gradient without replacement is unbiased, where the authors' code has a biased one from two
        patches on: gradient="reference". That code draws at inference too: choose="sample".
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from foveate.large_pictures import LargePictures, overview_size
from foveate.mechanisms.base import Selection, mechanisms
from foveate.mechanisms.facets import Facets
from foveate.mechanisms.selecting.expectation import with_replacement, without_replacement
from foveate.mechanisms.selecting.overview_scores import shares
from foveate.mechanisms.selecting.overview_select import OverviewSelect
from foveate.mechanisms.selecting.places import centred_on_cells, outside_cells
from foveate.options import between, flag, one_of, whole


@mechanisms.register("attention_sampling")
class AttentionSampling(OverviewSelect):
    """Draw patches by an attention over the overview, so that their mean estimates that over all places.

    Args:
        channels: Of the pictures.
        patches: How many are drawn from each picture. Paper: 10 of 1500 x 1500 pixels with digits.
        size: Side of a patch in pixels. Paper: 50.
        scale: Side of the overview over side of the picture, in (0, 1]. Paper: 0.12.
        hidden: Width of the network that scores the overview.
        replace: Whether a place can be drawn more than once.
        gradient: Of the attention: "unbiased", or "reference", that of the authors' code. They differ without
            replacement only.
        smoothing: Share of equal attention that is mixed in, in [0, 1), so that no place has none.
        choose: At inference: "top", the places of most attention, or "sample", drawn as in training.

    Raises:
        OptionError: A word is unknown, or a number out of range.

    Example:
        >>> import torch
        >>> module = AttentionSampling(1, patches=4, size=20)
        >>> patches, places, weights = module(torch.rand(2, 1, 300, 200))
        >>> patches.shape, places.shape, module.pool(torch.rand(2, 4, 8), weights).shape
        (torch.Size([2, 4, 1, 20, 20]), torch.Size([2, 4, 2]), torch.Size([2, 8]))
    """

    facets = Facets(over=("patches", "positions"), driven_by="input", weighting="hard", sites=("input",))
    variants = {
        "patches": 2,
        "size": 5,
        "scale": 0.4,
        "hidden": 4,
        "replace": True,
        "gradient": "reference",
        "smoothing": 0.5,
        "choose": "sample",
    }

    def __init__(
        self,
        channels: int,
        *,
        patches: int = 10,
        size: int = 50,
        scale: float = 0.12,
        hidden: int = 8,
        replace: bool = False,
        gradient: Literal["unbiased", "reference"] = "unbiased",
        smoothing: float = 1e-5,
        choose: Literal["top", "sample"] = "top",
    ) -> None:
        super().__init__(channels, size=size, scale=scale, hidden=hidden)
        one_of("gradient", gradient, ("unbiased", "reference"))
        one_of("choose", choose, ("top", "sample"))
        self.patches, self.replace = whole("patches", patches), flag("replace", replace)
        self.gradient, self.choose = gradient, choose
        self.smoothing = between("smoothing", smoothing, 0, 1)

    def select(
        self, pictures: LargePictures | Float[Tensor, "b c h w"], encoder: nn.Module | None = None
    ) -> Selection:
        """Return the patches that were drawn, the first drawn first, or those of most attention."""
        pictures = self._taken(pictures)
        scores = self.scores(pictures.overview(self.scale))
        attention = self.map(shares(scores, outside_cells(pictures, self.scale), self.smoothing))
        flat = attention.flatten(1)
        index = self._chosen(flat.detach())
        places = self.places(centred_on_cells(index, pictures, self.scale, self.size))
        patches = pictures.windows(places, (self.size, self.size))
        return Selection(patches, places, self.weights(flat.gather(1, index)), attention)

    def count(self, height: int, width: int) -> int:
        """Return K for pictures of this size."""
        rows, columns = overview_size((height, width), self.scale)
        return min(self.patches, rows * columns)

    def pool(self, values: Float[Tensor, "b k d"], weights: Float[Tensor, "b k"]) -> Float[Tensor, "b d"]:
        """Return the estimate of the mean over all places, weighed by their attention.

        Args:
            values: Of the patches, in the order drawn.
            weights: Their attention.
        """
        if not self._draws:
            return super().pool(values, weights)
        weights = weights.to(values.dtype)
        if self.replace:
            return with_replacement(values, weights)
        return without_replacement(values, weights, reference=self.gradient == "reference")

    @property
    def _draws(self) -> bool:
        return self.training or self.choose == "sample"

    def _chosen(self, attention: Float[Tensor, "b n"]) -> Int64[Tensor, "b k"]:
        """Return the numbers of the chosen places."""
        number = min(self.patches, attention.shape[1])
        if not self._draws:
            return attention.topk(number, dim=1).indices
        if self.replace:
            return attention.multinomial(number, replacement=True)
        gumbel = -torch.empty_like(attention).exponential_().log()
        return (attention.log() + gumbel).topk(number, dim=1).indices
