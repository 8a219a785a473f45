"""Scores of the overlap of each class's predicted and true pixels.

Formula with t_c the pixels of class c that are predicted as c, p_c all predicted as c, n_c all of class c:
        IoU_c = t_c / (p_c + n_c - t_c), Dice_c = 2 t_c / (p_c + n_c), recall_c = t_c / n_c,
        pixel accuracy = sum_c t_c / sum_c n_c, frequency-weighted IoU = sum_c n_c IoU_c / sum_c n_c.
Paper   Long, Shelhamer, Darrell. Fully Convolutional Networks. CVPR 2015, section 5, for all but Dice.
Absent  IoU, Dice: a class that is neither predicted nor true anywhere is left out of the mean; one that is
        predicted but never true scores 0. Recall: a class that is never true is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from foveate.tasks.metrics.by_class import ClassMetric
from foveate.tasks.metrics.confusion import confusion, overlap
from foveate.tasks.metrics.counted_metric import CountedMetric, labels_of, metrics, ratio


@dataclass(frozen=True)
class Overlap(ClassMetric):
    """A score of classes from their (3, K) counts: correct, predicted, true."""

    def pixels(
        self, outputs: Float[Tensor, "b q *s"], targets: Int64[Tensor, " b *s"]
    ) -> Int64[Tensor, "b 3 k"]:
        """Return each class's pixels: correct ones, predicted ones, true ones."""
        labels, classes = labels_of(outputs, targets)
        return overlap(confusion(labels, targets, classes))


@metrics.register("miou")
@dataclass(frozen=True)
class MeanIoU(Overlap):
    """Mean intersection over union of the classes; for the options see ``ClassMetric``.

    Example:
        >>> import torch
        >>> truth = torch.tensor([[[0, 1], [1, 1]]])
        >>> given = torch.nn.functional.one_hot(truth.clamp(max=0), 2).permute(0, 3, 1, 2).float()
        >>> metric = MeanIoU()
        >>> metric.value(metric.count(given, truth).sum(0))
        0.125
    """

    name: str = field(default="mIoU", init=False)

    def class_scores(self, pixels: Shaped[Tensor, "*n 3 k"]) -> Float[Tensor, "*n k"]:
        """Return each class's intersection over union."""
        right, given, true = pixels.unbind(-2)
        return ratio(right, given + true - right)


@metrics.register("dice")
@dataclass(frozen=True)
class MeanDice(Overlap):
    """Mean Dice coefficient of the classes, F1 of their pixels; for the options see ``ClassMetric``."""

    name: str = field(default="Dice", init=False)

    def class_scores(self, pixels: Shaped[Tensor, "*n 3 k"]) -> Float[Tensor, "*n k"]:
        """Return each class's Dice coefficient."""
        right, given, true = pixels.unbind(-2)
        return ratio(2 * right, given + true)


@metrics.register("mean_accuracy")
@dataclass(frozen=True)
class MeanAccuracy(Overlap):
    """Mean over classes of the share of their pixels that is correct; for options see ``ClassMetric``."""

    name: str = field(default="mean accuracy", init=False)

    def class_scores(self, pixels: Shaped[Tensor, "*n 3 k"]) -> Float[Tensor, "*n k"]:
        """Return each class's recall."""
        right, _, true = pixels.unbind(-2)
        return ratio(right, true)


@dataclass(frozen=True)
class Share(CountedMetric):
    """One score of all pixels, from the (3, K) counts of the classes: correct, predicted, true."""

    def count(
        self, outputs: Float[Tensor, "b q *s"], targets: Int64[Tensor, " b *s"]
    ) -> Int64[Tensor, "b 3 k"]:
        """Return each class's pixels: correct ones, predicted ones, true ones."""
        labels, classes = labels_of(outputs, targets)
        return overlap(confusion(labels, targets, classes))


@metrics.register("accuracy")
@dataclass(frozen=True)
class PixelAccuracy(Share):
    """Share of the pixels that are classified correctly."""

    name: str = field(default="pixel accuracy", init=False)

    def scores(self, counts: Shaped[Tensor, "*n 3 k"]) -> Float[Tensor, "*n"]:
        """Return the share of the known pixels that is correct."""
        right, _, true = counts.sum(dim=-1).unbind(-1)
        return ratio(right, true)

    def per_class(self, counts: Shaped[Tensor, "3 k"]) -> Float[Tensor, " k"]:
        """Return the share of each class's pixels that is correct."""
        return MeanAccuracy().per_class(counts)


@metrics.register("fw_iou")
@dataclass(frozen=True)
class FrequencyWeightedIoU(Share):
    """Intersection over union of the classes, each weighed by how many pixels are of it."""

    name: str = field(default="frequency-weighted IoU", init=False)

    def scores(self, counts: Shaped[Tensor, "*n 3 k"]) -> Float[Tensor, "*n"]:
        """Return the weighted mean over the classes that are true somewhere."""
        true = counts[..., 2, :]
        return ratio((true * MeanIoU().class_scores(counts).nan_to_num()).sum(dim=-1), true.sum(dim=-1))

    def per_class(self, counts: Shaped[Tensor, "3 k"]) -> Float[Tensor, " k"]:
        """Return each class's intersection over union."""
        return MeanIoU().per_class(counts)
