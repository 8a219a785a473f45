"""Classification: one class per image.

Batch    images (B, 3, H, W), targets (B,) whole numbers in [0, classes).
Outputs  logits (B, classes).
Loss     cross-entropy, with label smoothing and class weights.
Record   what the metric keeps of an image; of accuracy, the usual one, 1 if it is right and 0 if not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.data.base import Truth
from foveate.data.picture_form import PictureForm
from foveate.data.prepare_pictures import mask_of
from foveate.errors import DataError, OptionError, ShapeError
from foveate.models.outputs import main_output
from foveate.tasks.base import tasks
from foveate.tasks.confusion_matrix import confusion_matrix
from foveate.tasks.image_task import Labelled
from foveate.tasks.judged_maps import MapPictures, chosen, judged_maps
from foveate.tasks.labelled_images import LabelledImages
from foveate.tasks.metrics.label_metric import LabelMetric, Records, label_metrics, parse_label_metric


@tasks.register("classification")
class Classification(LabelledImages):
    """One class per image; see the module's docstring.

    Args:
        classes: Their names.
        loss: ``ce``, the only one.
        metric: Such as ``balanced_accuracy``, ``f1``, ``auroc``, ``log_loss``, ``brier`` or ``top_5``;
            accuracy if None.
        class_weights: How much each class counts in the loss; alike if None.

    Raises:
        UnknownNameError: There is no such metric.
        OptionError: There is no such loss, or the metric does not exist for this number of classes.
    """

    name = "classification"
    metric: LabelMetric
    truths: ClassVar[tuple[Truth, ...]] = ("label",)

    def __init__(
        self,
        classes: Sequence[str] = (),
        *,
        loss: str | None = None,
        metric: str | None = None,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        if loss not in (None, "ce"):
            raise OptionError(f'classification: got loss="{loss}", expected "ce", the only one.')
        super().__init__(classes, class_weights=class_weights)
        self.metric = parse_label_metric(metric or "accuracy").of(len(self.classes))

    @classmethod
    def metric_names(cls) -> tuple[str, ...]:
        """Return the names of the metrics."""
        return tuple(dict.fromkeys(("accuracy", *label_metrics)))

    @classmethod
    def loss_names(cls) -> tuple[str, ...]:
        """Return the names of the losses."""
        return ("ce",)

    def check_outputs(self, outputs: object, targets: np.ndarray) -> None:
        """Raise unless there are logits for every class that the targets name.

        Raises:
            ShapeError: The outputs are not (B, classes).
            DataError: A target lies outside [0, classes).
        """
        logits = main_output(outputs)
        if logits.ndim != 2:
            raise ShapeError(
                f"the model returned logits of shape {tuple(logits.shape)}, expected (B, classes). "
                "For classification it has to end in pooling and a linear layer."
            )
        least, most = int(targets.min()), int(targets.max())
        if least < 0 or most >= logits.shape[1]:
            raise DataError(
                f"targets go from {least} to {most}, but the model has {logits.shape[1]} outputs, for "
                "targets 0 to "
                f"{logits.shape[1] - 1}. Create the model with classes={most + 1}, or fix the labels."
            )

    def check_metric(self, truths: Int64[np.ndarray, " n"]) -> None:
        """Raise unless the metric says something about items of these classes.

        Raises:
            DataError: It does not, such as AUROC where all items are of one class.
        """
        targets = torch.from_numpy(np.asarray(truths))
        fake = torch.zeros(len(targets), self._classes(targets)).double().log_softmax(dim=1)
        if np.isnan(self.metric.value(self.metric.record(fake, targets).numpy(), fake.shape[1])):
            raise DataError(
                f"{self.metric} says nothing about these test images: all {len(targets)} are of one class. "
                "Add test images of other classes, or choose another metric, such as accuracy."
            )

    def loss_of(self, outputs: object, batch: Labelled, *, label_smoothing: float = 0.0) -> Float[Tensor, ""]:
        """Return the mean cross-entropy, in nats; 0 if all classes in the batch have weight 0."""
        logits = main_output(outputs).float()
        weight = None if self.class_weights is None else self.class_weights.to(logits)
        if weight is not None and not weight[batch.targets].any():
            return (logits * 0.0).sum()
        return F.cross_entropy(logits, batch.targets, weight=weight, label_smoothing=label_smoothing)

    def record(self, outputs: object, batch: Labelled) -> Float64[Tensor, "b ..."]:
        """Return what the metric keeps of each image."""
        return self.metric.record(main_output(outputs).double().log_softmax(dim=1), batch.targets)

    def value(self, records: Records) -> float:
        """Return the metric over the images that left these records."""
        return self.metric.value(records, len(self.classes))

    def value_without_each(self, records: Records) -> Float64[np.ndarray, " n"]:
        """Return the metric without each image in turn."""
        return self.metric.value_without_each(records, len(self.classes))

    def by_class(self, records: Records) -> Float64[np.ndarray, " k"] | None:
        """Return the metric of each class; None where it is that of a class's own images, as accuracy is."""
        return self.metric.by_class(records, len(self.classes))

    def by_class_without_each(self, records: Records) -> Float64[np.ndarray, "n k"] | None:
        """Return the same without each image in turn."""
        return self.metric.by_class_without_each(records, len(self.classes))

    def class_of_items(self, feed: Any) -> Int64[np.ndarray, " n"]:
        """Return the true classes."""
        return feed.split.targets

    def confusion(self, answers: Any, feed: Any) -> Int64[np.ndarray, "k k"]:
        """Count which class was taken for which."""
        return confusion_matrix(answers, feed.split.targets, len(self.classes))

    def judged_maps(
        self, models: Mapping[str, nn.Module], feed: Any, answers: Mapping[str, Any], passes: int
    ) -> dict[str, Any] | None:
        """Judge the evidence for the true class, on pictures that every model classifies rightly."""
        split, look, targets = feed.split, feed.look, np.asarray(feed.split.targets)
        items = chosen([np.asarray(answers[name]).argmax(axis=1) == targets for name in models], passes)
        if not len(items):
            return None
        images = np.stack([np.ascontiguousarray(split.images[i]) for i in items])
        mean, std = self.normalisation
        form = PictureForm((images.shape[2], images.shape[3]), mean, std)
        masks = None if look is None else np.stack([mask_of(look(int(i)).astype(bool), form) for i in items])
        return judged_maps(models, MapPictures(images, targets[items], masks), mean=mean, std=std)

    def probabilities(self, outputs: object) -> Float[Tensor, "b q"]:
        """Return probabilities that sum to 1 over the classes."""
        return main_output(outputs).float().softmax(dim=1)

    def _classes(self, targets: Int64[Tensor, " n"]) -> int:
        return max(len(self.classes), int(targets.max()) + 1)
