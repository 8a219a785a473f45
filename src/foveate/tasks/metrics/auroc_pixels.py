"""Area under the ROC curve of the pixels of one object before its background.

Formula the share of pairs of a pixel of the object and one of the background of which the first has the
        greater probability, equal ones counted half; those in the same of ``bins`` equal steps are equal.
Paper   Hanley, McNeil. The Meaning and Use of the Area under a ROC Curve. Radiology 1982.
Differs exact but for pairs within a step: off by half their share of all pairs at most.
Absent  without pixels of the object, or of the background, there is no score.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from foveate.options import whole
from foveate.tasks.metrics.counted_metric import (
    CountedMetric,
    known_pixels,
    metrics,
    probability_of_object,
    ratio,
)


@metrics.register("auroc_pixels")
@dataclass(frozen=True)
class PixelAUROC(CountedMetric):
    """Area under the ROC curve of all pixels together.

    Args:
        bins: Steps of probability that are distinguished.

    Raises:
        OptionError: ``bins`` is not a whole number of at least 2.

    Example:
        >>> metric = PixelAUROC()
        >>> p = torch.tensor([[[[0.1, 0.4, 0.35, 0.8]]]])
        >>> metric.value(metric.count(p, torch.tensor([[[0, 0, 1, 1]]])).sum(0))
        0.75
    """

    name: str = field(default="AUROC of pixels", init=False)
    bins: int = field(default=1000, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("bins", self.bins, 2)

    def count(
        self, outputs: Float[Tensor, "b k *s"], targets: Int64[Tensor, " b *s"]
    ) -> Int64[Tensor, "b 2 bins"]:
        """Return how many pixels of background and object have each step of probability."""
        p, known = probability_of_object(outputs, targets), known_pixels(targets)
        step = (p * self.bins).long().clamp(max=self.bins - 1)
        item = torch.arange(len(p), device=p.device).view(-1, *(1,) * (p.ndim - 1))
        cell = ((item * 2 + targets) * self.bins + step)[known]
        return torch.bincount(cell, minlength=len(p) * 2 * self.bins).view(-1, 2, self.bins)

    def scores(self, counts: Shaped[Tensor, "*n 2 bins"]) -> Float[Tensor, "*n"]:
        """Return the area under the curve."""
        background, found = counts.double().unbind(-2)
        below = background.cumsum(dim=-1) - background / 2
        return ratio((found * below).sum(dim=-1), found.sum(dim=-1) * background.sum(dim=-1))
