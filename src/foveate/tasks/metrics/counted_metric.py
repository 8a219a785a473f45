"""The interface of a metric of dense labels: additive counts of each item, and the score of their sum.

Shapes  outputs (B, K, *S): probabilities (logits will do where only their order matters), one channel for the
        probability of the second of two classes; targets (B, *S) int64 in [0, K), or 255 for ignored pixels.
Rules   counts (B, ...) add up over items and batches; ignored pixels are in none of them; an undefined score
        is nan.
Why not torchmetrics: a study pairs items and leaves each out in turn, which takes counts of every item that
        add up; torchmetrics keeps one running state. It is the oracle in the tests.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from foveate.data.class_numbers import IGNORE
from foveate.errors import ShapeError
from foveate.registry import Registry
from foveate.spelling import build, written
from foveate.tasks.losses.loss import check_classes, check_shapes
from foveate.tasks.metric import Metric


@dataclass(frozen=True)
class CountedMetric(Metric):
    """A metric that is a function of the summed counts of the items; printed in points of 100."""

    name: str = field(default="", init=False)
    unit: str = field(default="points", init=False)
    scale: float = field(default=100.0, init=False)
    higher_is_better: bool = field(default=True, init=False)
    averages: bool = field(default=False, init=False)
    bounds: tuple[float, float] | None = field(default=(0.0, 1.0), init=False)
    margin: float = field(default=0.5, init=False)

    @abstractmethod
    def count(
        self, outputs: Float[Tensor, "b k *s"], targets: Int64[Tensor, " b *s"]
    ) -> Shaped[Tensor, " b *counts"]:
        """Return the counts of each item, int64 or float64."""

    @abstractmethod
    def scores(self, counts: Shaped[Tensor, "*n a b"]) -> Float[Tensor, "*n"]:
        """Return the score of each set of counts, float64; nan where it is undefined."""

    def value(self, counts: Shaped[Tensor, "a b"]) -> float:
        """Return the score of counts summed over all items."""
        return float(self.scores(counts))

    def item_scores(self, counts: Shaped[Tensor, "n a b"]) -> Float[Tensor, " n"]:
        """Return the score of each item by itself; nan where it is undefined."""
        return self.scores(counts)

    def per_class(self, counts: Shaped[Tensor, "a b"]) -> Float[Tensor, " k"] | None:
        """Return the score of each class of summed counts, nan for absent ones; None if they have none."""
        return None

    def beside(self) -> tuple[CountedMetric, ...]:
        """Return the metrics that are usually reported together with this one."""
        return ()

    def __str__(self) -> str:
        """Return the name in the registry and every option that is not the default."""
        return written(metrics, self)


metrics: Registry[type[CountedMetric]] = Registry("metric of masks")


def parse_metric(text: str | CountedMetric) -> CountedMetric:
    """Read a metric; ``parse_metric(str(metric)) == metric`` for every metric.

    Raises:
        SpecError: The text is not a name with options.
        UnknownNameError: No metric has such a name.
        OptionError: It does not have such an option, or the option cannot have such a value.

    Example:
        >>> str(parse_metric("miou( background = False )"))
        'miou(background=False)'
    """
    return text if isinstance(text, CountedMetric) else build(metrics, text)


def labels_of(
    outputs: Float[Tensor, "b k *s"], targets: Int64[Tensor, " b *s"]
) -> tuple[Int64[Tensor, " b *s"], int]:
    """Return the most probable class of each pixel, and how many classes there are.

    Raises:
        ShapeError: The shapes do not match, or the one channel for two classes is not probabilities.
        DataError: A target is neither one of the classes nor 255.
    """
    check_shapes(outputs, targets)
    classes = max(2, outputs.shape[1])
    check_classes(targets, classes)
    if outputs.shape[1] == 1:
        return (probability_of_object(outputs, targets) > 0.5).long(), classes
    return outputs.max(dim=1).indices, classes  # argmax takes several times as long


def probability_of_object(
    outputs: Float[Tensor, "b k *s"], targets: Int64[Tensor, " b *s"]
) -> Float[Tensor, " b *s"]:
    """Return the probability of the second of two classes, at least float32.

    Raises:
        ShapeError: The shapes do not match, there are more than two classes, or values outside [0, 1].
        DataError: A target is neither 0, 1 nor 255.
    """
    check_shapes(outputs, targets)
    if outputs.shape[1] > 2:
        raise ShapeError(
            f"got {outputs.shape[1]} classes, expected one channel or two: this metric is for one object "
            "and its background. For several classes use miou or dice."
        )
    check_classes(targets, 2)
    p = outputs[:, -1]
    p = p if p.dtype == torch.float64 else p.float()
    if p.numel() and not (p.amin() >= 0 and p.amax() <= 1):
        raise ShapeError(
            f"got values from {p.amin():g} to {p.amax():g}, expected probabilities in [0, 1]. Apply the "
            "sigmoid to one channel of logits, the softmax to two."
        )
    return p


def ratio(part: Tensor, whole: Tensor) -> Float[Tensor, "*n"]:
    """Return ``part / whole`` in float64, and nan where ``whole`` is 0."""
    return (part.double() / whole.double().where(whole != 0, 1.0)).where(whole != 0, torch.nan)


def known_pixels(targets: Int64[Tensor, " b *s"]) -> Tensor:
    """Return where the class is known."""
    return targets != IGNORE
