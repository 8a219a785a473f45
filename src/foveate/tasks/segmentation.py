"""Segmentation: one class per pixel.

Batch    images (B, 3, H, W), targets (B, H, W) whole numbers in [0, classes), 255 where unknown.
Outputs  logits (B, classes, H, W); or one channel, of the second of two classes; or, while training, a
         mapping of such by name: "out" counts, the others are auxiliary. Smaller ones are resized.
Loss     cross-entropy, or any sum that ``foveate.tasks.losses`` reads; of every auxiliary output too, weighed
         as the model's ``aux_weights`` say.
Record   the counts of the metric, of those that go beside it, and of the classes' overlaps, of one image: all
         add up over images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float, Float64, Integer, UInt8
from torch import Tensor, nn

from foveate.data.base import Truth
from foveate.errors import OptionError, ShapeError
from foveate.models.outputs import main_output, probabilities
from foveate.models.segmentation.segmenter import resized
from foveate.recipe import TrainConfig
from foveate.tasks.base import Inputs, tasks
from foveate.tasks.image_task import Labelled
from foveate.tasks.losses import losses, parse_loss, presence
from foveate.tasks.metrics import CountedMetric, MeanDice, MeanIoU, metrics, parse_metric
from foveate.tasks.segmented_images import SegmentedImages

USUAL_AUX_WEIGHT = 0.5  # torchvision's, of auxiliary outputs of models that do not say


@dataclass(frozen=True)
class Segmented:
    """What a model predicted for a batch.

    Args:
        logits: (B, K, H, W), of the images' size.
        aux: Auxiliary outputs, maps of logits or one logit a class, with their weights.
    """

    logits: Float[Tensor, "b k h w"]
    aux: tuple[tuple[Tensor, float], ...] = ()


@tasks.register("segmentation")
class Segmentation(SegmentedImages):
    """One class per pixel; see the module's docstring.

    Args:
        classes: Their names.
        loss: Such as ``ce+0.5*dice``; cross-entropy if None.
        metric: Such as ``dice`` or ``miou(background=False)``; mean IoU over all classes if None.
        class_weights: How much each class counts in the loss; alike if None.

    Raises:
        UnknownNameError: There is no such loss or metric.
        OptionError: It does not have such an option.
    """

    name = "segmentation"
    metric: CountedMetric
    truths: ClassVar[tuple[Truth, ...]] = ("mask",)

    def __init__(
        self,
        classes: Sequence[str] = (),
        *,
        loss: str | None = None,
        metric: str | None = None,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(classes, class_weights=class_weights)
        self.criterion, self.metric = parse_loss(loss or "ce"), parse_metric(metric or "miou")
        self._counting = self.metric, *self.metric.beside(), _IOU

    @classmethod
    def of(cls, inputs: Inputs, *, recipe: TrainConfig = TrainConfig(), metric: str | None = None) -> Self:  # noqa: B008
        """Return the task for such inputs, with the loss that the recipe names.

        Raises:
            OptionError: The recipe has ``label_smoothing``, which is an option of cross-entropy here.
        """
        if recipe.label_smoothing:
            raise OptionError(
                f"label_smoothing: got {recipe.label_smoothing} for segmentation, where it is an option of "
                f'the loss. Write loss="ce(label_smoothing={recipe.label_smoothing})".'
            )
        return super().of(inputs, recipe=recipe, metric=metric)

    @classmethod
    def metric_names(cls) -> tuple[str, ...]:
        """Return the names of the metrics."""
        return tuple(dict.fromkeys(("miou", *metrics)))

    @classmethod
    def loss_names(cls) -> tuple[str, ...]:
        """Return the names of the losses."""
        return tuple(dict.fromkeys(("ce", *losses)))

    def forward(self, model: nn.Module, batch: Labelled) -> Segmented:
        """Run the model on the images.

        Raises:
            ShapeError: It returned no maps of logits.
        """
        found = model(batch.images)
        logits = main_output(found)
        if logits.ndim != 4:
            raise ShapeError(
                f"the model returned logits of shape {tuple(logits.shape)}, expected (B, classes, H, W). "
                "Segmentation takes a segmentation network: see `foveate list models`."
            )
        stated = getattr(model, "aux_weights", None)
        weights, usual = ({}, USUAL_AUX_WEIGHT) if stated is None else (stated, 1.0)
        others = found.items() if isinstance(found, Mapping) else ()
        aux = [
            (self._fitted(output, batch), float(weights.get(name, usual)))
            for name, output in others
            if isinstance(output, Tensor) and output is not logits
        ]
        return Segmented(self._fitted(logits, batch), tuple(aux))

    def check_outputs(self, outputs: object, targets: Integer[np.ndarray, "n ..."]) -> None:
        """Raise unless there are logits for every class.

        Raises:
            ShapeError: There is another number of channels.
        """
        channels, classes = _segmented(outputs).logits.shape[1], max(2, len(self.classes))
        if self.classes and channels != classes and not (channels == 1 and classes == 2):
            raise ShapeError(
                f"the model returned {channels} channels of logits for {classes} classes. Create it with "
                f"classes={classes}."
            )

    def check_metric(self, truths: UInt8[np.ndarray, "n h w"]) -> None:
        """Raise unless the metric exists for this number of classes.

        Raises:
            ShapeError: It is of one object before its background, and there are more classes.
        """
        _ = self._shapes

    def loss_of(self, outputs: object, batch: Labelled, *, label_smoothing: float = 0.0) -> Float[Tensor, ""]:
        """Return the loss of the logits and, weighed, of the auxiliary outputs."""
        found = _segmented(outputs)
        total = self._loss(found.logits, batch)
        for output, weight in found.aux:
            total = total + weight * self._loss(output, batch)
        return total

    def record(self, outputs: object, batch: Labelled) -> Float64[Tensor, "b n"]:
        """Return what the metrics and the classes' overlaps counted in each image."""
        probabilities = self.probabilities(outputs)
        counts = [metric.count(probabilities, batch.targets) for metric in self._counting]
        return torch.cat([each.flatten(1).double() for each in counts], dim=1)

    def value(self, records: Float64[np.ndarray, "n m"]) -> float:
        """Return the metric over the images that left these records."""
        return self.metric.value(self._summed(records)[0])

    def value_without_each(self, records: Float64[np.ndarray, "n m"]) -> Float64[np.ndarray, " n"]:
        """Return the metric without each image in turn: its counts are taken off the sum."""
        return self.metric.scores(self._counts(records.sum(axis=0) - records)[0]).numpy()

    def by_class(self, records: Float64[np.ndarray, "n m"]) -> Float64[np.ndarray, " k"]:
        """Return the intersection over union of each class; NaN for one that is nowhere."""
        return _IOU.per_class(self._summed(records)[-1]).numpy()

    def by_class_without_each(self, records: Float64[np.ndarray, "n m"]) -> Float64[np.ndarray, "n k"]:
        """Return the same without each image in turn."""
        return _IOU.class_scores(self._counts(records.sum(axis=0) - records)[-1]).numpy()

    def figures(self, records: Float64[np.ndarray, "n m"]) -> dict[str, float]:
        """Return what goes beside the metric, mean IoU, Dice and pixel accuracy, without the metric."""
        *counts, overlaps = self._summed(records)
        right, _, true = overlaps
        pairs = zip(self._counting[1:-1], counts[1:], strict=True)
        found = {metric.name: metric.scale * metric.value(each) for metric, each in pairs} | {
            "mIoU": 100 * _IOU.value(overlaps),
            "Dice": 100 * MeanDice().value(overlaps),
            "pixel accuracy": 100 * float(right.sum() / true.sum()),
        }
        return {name: value for name, value in found.items() if name != self.metric.name}

    def answer(self, outputs: object) -> UInt8[Tensor, "b h w"]:
        """Return the most probable class of each pixel."""
        return (
            self.probabilities(outputs).max(dim=1).indices.to(torch.uint8)
        )  # argmax takes several times as long

    def probabilities(self, outputs: object) -> Float[Tensor, "b k h w"]:
        """Return probabilities that sum to 1 over the classes, of which there are at least two."""
        logits = outputs.logits if isinstance(outputs, Segmented) else main_output(outputs)
        return probabilities(logits.float())

    def _loss(self, output: Tensor, batch: Labelled) -> Tensor:
        """Return the loss of maps of logits, or of one logit a class: whether it is in the image."""
        if output.ndim == 2:
            return presence(output, batch.targets)
        return self.criterion(output, batch.targets, self.class_weights)

    def _fitted(self, output: Tensor, batch: Labelled) -> Tensor:
        return resized(output, batch.images) if output.ndim == 4 else output

    def _summed(self, records: Float64[np.ndarray, "n m"]) -> list[Float64[Tensor, "a b"]]:
        """Return the counts of every metric, summed over the images."""
        return [counts[0] for counts in self._counts(records.sum(axis=0, keepdims=True))]

    def _counts(self, records: Float64[np.ndarray, "n m"]) -> list[Float64[Tensor, "n a b"]]:
        """Return the counts of every metric, of each record by itself."""
        sizes = [int(np.prod(shape)) for shape in self._shapes]
        parts = torch.from_numpy(records).split(sizes, dim=1)
        return [part.reshape(-1, *shape) for part, shape in zip(parts, self._shapes, strict=True)]

    @cached_property
    def _shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the metrics' counts of one image."""
        nothing = torch.zeros(1, max(2, len(self.classes)), 4, 4)
        targets = torch.zeros(1, 4, 4, dtype=torch.int64)
        return [tuple(metric.count(nothing, targets).shape[1:]) for metric in self._counting]


_IOU = MeanIoU()


def _segmented(outputs: object) -> Segmented:
    return outputs if isinstance(outputs, Segmented) else Segmented(main_output(outputs))
