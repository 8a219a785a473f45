"""The mean of class scores: over the classes that are present, in all data or image by image."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from foveate.options import flag, one_of
from foveate.tasks.metrics.counted_metric import CountedMetric


@dataclass(frozen=True)
class ClassMetric(CountedMetric):
    """A score of each class, from counts of its pixels.

    Args:
        background: Whether the mean includes class 0.
        over: "data": counts are summed over all images, then the classes' scores are averaged. "image": each
            image has its own mean over the classes that have a score in it, and these are averaged over the
            images that have one.

    Raises:
        OptionError: An option has an impossible value.
    """

    background: bool = field(default=True, kw_only=True)
    over: str = field(default="data", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        flag("background", self.background)
        one_of("over", self.over, ("data", "image"))
        object.__setattr__(self, "averages", self.over == "image")

    @abstractmethod
    def pixels(
        self, outputs: Float[Tensor, "b q *s"], targets: Int64[Tensor, " b *s"]
    ) -> Int64[Tensor, "b a k"]:
        """Return the counted pixels of each item and class."""

    @abstractmethod
    def class_scores(self, pixels: Shaped[Tensor, "*n a k"]) -> Float[Tensor, "*n k"]:
        """Return the score of each class, float64; nan where it is undefined."""

    def count(
        self, outputs: Float[Tensor, "b k *s"], targets: Int64[Tensor, " b *s"]
    ) -> Shaped[Tensor, "b a _"]:
        """Return counts of pixels (B, a, K); with over="image" scores and whether they exist (B, 2, 1+K)."""
        pixels = self.pixels(outputs, targets)
        if self.over == "data":
            return pixels
        each = self.class_scores(pixels)
        scores = torch.cat([self._mean(each).unsqueeze(-1), each], dim=-1)  # b 1+k
        return torch.stack([scores.nan_to_num(), (~scores.isnan()).double()], dim=1)

    def scores(self, counts: Shaped[Tensor, "*n a b"]) -> Float[Tensor, "*n"]:
        """Return the mean over the classes, or over the images' means."""
        if self.over == "image":
            return counts[..., 0, 0] / counts[..., 1, 0]
        return self._mean(self.class_scores(counts))

    def per_class(self, counts: Shaped[Tensor, "a b"]) -> Float[Tensor, " k"]:
        """Return the score of each class, nan where it is undefined; class 0 is always included."""
        if self.over == "image":
            return counts[0, 1:] / counts[1, 1:]
        return self.class_scores(counts)

    def _mean(self, each: Float[Tensor, "*n k"]) -> Float[Tensor, "*n"]:
        return each[..., 0 if self.background else 1 :].nanmean(dim=-1)
