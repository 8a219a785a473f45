"""Scores of one object and its background, from probabilities: absolute error, and F at thresholds.

Formula for known pixels, p the probability of the object, y 1 on it and 0 elsewhere:
        MAE = mean |p - y|; at a threshold t, P(t) = |{p >= t, y = 1}| / |{p >= t}|,
        R(t) = |{p >= t, y = 1}| / |{y = 1}|, F(t) = (1 + b2) P R / (b2 P + R), b2 = 0.3. Max F = max_t F(t)
        over t = 0, 1, …, 255 with 255 p, rounded down, for p; adaptive F is F at twice the image's mean of p,
        at most 1.
Paper   Achanta, Hemami, Estrada, Süsstrunk. Frequency-tuned Salient Region Detection. CVPR 2009: F, b2, the
        adaptive threshold. Perazzi, Krähenbühl, Pritch, Hornung. Saliency Filters. CVPR 2012: MAE.
Absent  P is 0 where nothing is predicted, R in an image without an object, F where P and R are.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Float64, Int64, Shaped
from torch import Tensor

from foveate.options import between, flag, one_of
from foveate.tasks.metrics.counted_metric import (
    CountedMetric,
    known_pixels,
    metrics,
    probability_of_object,
    ratio,
)

LEVELS = 256  # of thresholds, as saliency maps are stored in 256 grey values


@dataclass(frozen=True)
class ObjectMetric(CountedMetric):
    """A score of the probabilities of one object.

    Args:
        over: "image": the mean over images, as is customary; "data": pixels are summed over all images.
        stretched: Whether each image's probabilities are first stretched to go from 0 to 1, as common
            evaluation code does. A constant map is left unchanged.

    Raises:
        OptionError: An option has an impossible value.
    """

    over: str = field(default="image", kw_only=True)
    stretched: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("over", self.over, ("image", "data"))
        flag("stretched", self.stretched)

    def count(
        self, outputs: Float[Tensor, "b k *s"], targets: Int64[Tensor, " b *s"]
    ) -> Shaped[Tensor, "b a _"]:
        """Return the counts of each item; see ``counted``."""
        p, known = probability_of_object(outputs, targets).flatten(1), known_pixels(targets).flatten(1)
        if self.stretched:
            p = _stretched(p, known)
        return self.counted(p.double(), (targets == 1).flatten(1), known)

    def beside(self) -> tuple[CountedMetric, ...]:
        """Return the two scores that are usually reported together, without this one."""
        over, stretched = self.over, self.stretched
        both = MaxF(over=over, stretched=stretched), MeanAbsoluteError(over=over, stretched=stretched)
        return tuple(metric for metric in both if metric.name != self.name)

    @abstractmethod
    def counted(
        self, p: Float64[Tensor, "b n"], y: Bool[Tensor, "b n"], known: Bool[Tensor, "b n"]
    ) -> Shaped[Tensor, "b a _"]:
        """Return the counts of each item from probabilities, and masks of the object and of known pixels."""


@metrics.register("mae")
@dataclass(frozen=True)
class MeanAbsoluteError(ObjectMetric):
    """Mean absolute difference of probability and truth; for the options see ``ObjectMetric``.

    Example:
        >>> metric = MeanAbsoluteError()
        >>> metric.value(metric.count(torch.full((1, 1, 1, 2), 0.25), torch.tensor([[[0, 1]]])).sum(0))
        0.5
    """

    name: str = field(default="MAE", init=False)
    higher_is_better: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "averages", self.over == "image")

    def counted(
        self, p: Float64[Tensor, "b n"], y: Bool[Tensor, "b n"], known: Bool[Tensor, "b n"]
    ) -> Float64[Tensor, "b 2 1"]:
        """Return the summed error and the pixels; with over="image" the mean error and 1."""
        total, pixels = ((p - y.double()).abs() * known).sum(dim=1), known.sum(dim=1).double()
        return _entry(total, pixels, self.over).unsqueeze(-1)

    def scores(self, counts: Shaped[Tensor, "*n 2 1"]) -> Float[Tensor, "*n"]:
        """Return the mean error."""
        return ratio(counts[..., 0, 0], counts[..., 1, 0])


@dataclass(frozen=True)
class FMeasure(ObjectMetric):
    """F of precision and recall.

    Args:
        beta2: b2, the weight of recall relative to precision, at least 0. Paper: 0.3.
    """

    beta2: float = field(default=0.3, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        between("beta2", self.beta2, 0)

    def f(self, precision: Float64[Tensor, "*n"], recall: Float64[Tensor, "*n"]) -> Float64[Tensor, "*n"]:
        """Return F, 0 where precision and recall are."""
        part = ratio((1 + self.beta2) * precision * recall, self.beta2 * precision + recall)
        return part.nan_to_num()


@metrics.register("max_f")
@dataclass(frozen=True)
class MaxF(FMeasure):
    """The best F over 256 thresholds that are the same for all images.

    With over="image" precision and recall at each threshold are the mean over images of each image's own, as
    the field reports them; with over="data" those of all pixels together. For the options see ``FMeasure``.
    """

    name: str = field(default="max F", init=False)

    def counted(
        self, p: Float64[Tensor, "b n"], y: Bool[Tensor, "b n"], known: Bool[Tensor, "b n"]
    ) -> Float64[Tensor, "b 3 256"]:
        """Return the correct, predicted and true pixels at each threshold; with over="image" P, R and 1."""
        level = (p * (LEVELS - 1)).long()
        item = torch.arange(len(p), device=p.device).unsqueeze(1)
        cell = ((item * 2 + y) * LEVELS + level)[known]
        found = torch.bincount(cell, minlength=len(p) * 2 * LEVELS).view(-1, 2, LEVELS)
        at_least = found.flip(-1).cumsum(-1).flip(-1)  # b 2 256
        right, given = at_least[:, 1], at_least.sum(dim=1)
        true = right[:, :1].expand_as(right)
        if self.over == "data":
            return torch.stack([right, given, true], dim=1).double()
        there = known.any(dim=1, keepdim=True).expand_as(right).double()
        return torch.stack([ratio(right, given).nan_to_num(), ratio(right, true).nan_to_num(), there], dim=1)

    def scores(self, counts: Shaped[Tensor, "*n 3 256"]) -> Float[Tensor, "*n"]:
        """Return the best F."""
        a, b, c = counts.unbind(-2)
        if self.over == "image":
            return torch.where(c[..., 0] > 0, self.f(ratio(a, c), ratio(b, c)).amax(dim=-1), torch.nan)
        best = self.f(ratio(a, b).nan_to_num(), ratio(a, c).nan_to_num()).amax(dim=-1)
        return torch.where(b[..., 0] > 0, best, torch.nan)


@metrics.register("adaptive_f")
@dataclass(frozen=True)
class AdaptiveF(FMeasure):
    """F at twice the image's mean probability; for the options see ``FMeasure``."""

    name: str = field(default="adaptive F", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "averages", self.over == "image")

    def counted(
        self, p: Float64[Tensor, "b n"], y: Bool[Tensor, "b n"], known: Bool[Tensor, "b n"]
    ) -> Float64[Tensor, "b 3 1"]:
        """Return the correct, predicted and true pixels; with over="image" F, 1 and 1."""
        mean = (p * known).sum(dim=1, keepdim=True) / known.sum(dim=1, keepdim=True).clamp(min=1)
        given = (p >= (2 * mean).clamp(max=1)) & known
        right, every, true = (given & y).sum(dim=1), given.sum(dim=1), (y & known).sum(dim=1)
        counts = torch.stack([right, every, true], dim=1).double().unsqueeze(-1)
        if self.over == "data":
            return counts
        there = known.any(dim=1).double()
        return torch.stack([self._of(counts), there, there], dim=1).unsqueeze(-1)

    def scores(self, counts: Shaped[Tensor, "*n 3 1"]) -> Float[Tensor, "*n"]:
        """Return F."""
        if self.over == "image":
            return ratio(counts[..., 0, 0], counts[..., 1, 0])
        return torch.where(counts[..., 1:, 0].sum(dim=-1) > 0, self._of(counts), torch.nan)

    def _of(self, counts: Float64[Tensor, "*n 3 1"]) -> Float64[Tensor, "*n"]:
        right, given, true = counts[..., 0].unbind(-1)
        return self.f(ratio(right, given).nan_to_num(), ratio(right, true).nan_to_num())


def _stretched(p: Float[Tensor, "b n"], known: Bool[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    low = p.where(known, 1.0).amin(dim=1, keepdim=True)
    high = p.where(known, 0.0).amax(dim=1, keepdim=True)
    return torch.where(high > low, (p - low) / (high - low).where(high > low, 1.0), p).clamp(0, 1)


def _entry(total: Tensor, pixels: Tensor, over: str) -> Tensor:
    if over == "data":
        return torch.stack([total, pixels], dim=1)
    return torch.stack([ratio(total, pixels).nan_to_num(), (pixels > 0).double()], dim=1)
