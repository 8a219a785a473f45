"""Diagnosis: which of several findings are in an image, each judged by itself.

Batch    images (B, 3, H, W); targets (B,) whole numbers in [0, K), one finding an image; or (B, K), 1 for
         every finding that is there, else 0.
Outputs  logits (B, K), each to be read through a sigmoid; one column will do for the second of two classes.
Loss     binary cross-entropy, averaged over findings and images.
Record   the probabilities of the K findings, then their truths; the metric is the area under the ROC curve,
         averaged over the findings that some items have and some have not.
Paper    the loss: Guan et al. Diagnose like a Radiologist. 2018. arXiv:1801.09927, section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float64, Shaped
from torch import Tensor
from torch.nn import functional as F

from foveate.calls import parse_call
from foveate.data.base import Truth
from foveate.errors import DataError, OptionError, ShapeError
from foveate.models.outputs import main_output
from foveate.tasks.base import tasks
from foveate.tasks.image_task import Labelled
from foveate.tasks.labelled_images import LabelledImages
from foveate.tasks.metric import Metric
from foveate.tasks.metrics.auroc import (
    auroc,
    auroc_without_each,
    mean_present,
    sensitivity,
    sensitivity_at,
    specificity,
)


@tasks.register("diagnosis")
class Diagnosis(LabelledImages):
    """Several findings per image; see the module's docstring.

    Args:
        classes: The names of the findings.
        loss: ``bce``, the only one.
        metric: ``auroc``, the only one; ``auroc(specificity=0.95)`` says at which specificity the sensitivity
            is reported, 0.9 otherwise.
        class_weights: How much each finding counts in the loss; alike if None.

    Raises:
        OptionError: There is no such loss, metric or option.
        SpecError: ``metric`` cannot be read.
    """

    name = "diagnosis"
    truths: ClassVar[tuple[Truth, ...]] = ("labels", "label")
    metric = Metric("AUROC", unit="points", scale=100.0, averages=False)

    def __init__(
        self,
        classes: Sequence[str] = (),
        *,
        loss: str | None = None,
        metric: str | None = None,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        if loss not in (None, "bce"):
            raise OptionError(f'diagnosis: got loss="{loss}", expected "bce", the only one.')
        super().__init__(classes, class_weights=class_weights)
        self.specificity = _specificity(metric)

    @classmethod
    def metric_names(cls) -> tuple[str, ...]:
        """Return the names of the metrics."""
        return ("auroc",)

    @classmethod
    def loss_names(cls) -> tuple[str, ...]:
        """Return the names of the losses."""
        return ("bce",)

    def check_outputs(self, outputs: object, targets: Shaped[np.ndarray, " n *k"]) -> None:
        """Raise unless there is a logit for every finding.

        Raises:
            ShapeError: The outputs are not (B, K), or the targets are of another number of findings.
            DataError: A target is not a finding, or neither 0 nor 1.
        """
        logits = main_output(outputs)
        if logits.ndim != 2:
            raise ShapeError(
                f"the model returned logits of shape {tuple(logits.shape)}, expected (B, findings). "
                "For diagnosis it has to end in pooling and a linear layer."
            )
        least, most = targets.min(), targets.max()
        if targets.ndim == 2:
            if targets.shape[1] != logits.shape[1]:
                raise ShapeError(
                    f"the model has {logits.shape[1]} outputs for {targets.shape[1]} findings. Create it "
                    f"with classes={targets.shape[1]}."
                )
            if not np.isin(targets, (0, 1)).all():
                raise DataError(f"targets go from {least} to {most}, expected 1 for a finding, else 0")
        elif least < 0 or most >= max(2, logits.shape[1]):
            raise DataError(
                f"targets go from {least} to {most}, but the model has {logits.shape[1]} outputs. Create the "
                f"model with classes={most + 1}, or fix the labels."
            )

    def check_metric(self, truths: Shaped[np.ndarray, "n ..."]) -> None:
        """Raise unless some finding is in some of the items and absent from others.

        Raises:
            DataError: There is none.
        """
        if np.ndim(truths) == 1:
            truths = np.eye(max(2, int(np.max(truths)) + 1))[truths]
        if not ((truths == 1).any(axis=0) & (truths != 1).any(axis=0)).any():
            raise DataError(
                f"auroc says nothing about these {len(truths)} test images: each finding is in all of them "
                "or in none. Add test images with and without the findings."
            )

    def loss_of(self, outputs: object, batch: Labelled, *, label_smoothing: float = 0.0) -> Float[Tensor, ""]:
        """Return the mean binary cross-entropy, in nats; smoothing draws every truth towards a half."""
        logits = main_output(outputs).float()
        truths = _truths(batch, logits.shape[1]).to(logits) * (1 - label_smoothing) + label_smoothing / 2
        weight = None
        if self.class_weights is not None:
            weight = self.class_weights.to(logits)[-logits.shape[1] :]
        return F.binary_cross_entropy_with_logits(logits, truths, weight=weight)

    def record(self, outputs: object, batch: Labelled) -> Float64[Tensor, "b n"]:
        """Return the probabilities of all findings, then their truths."""
        probabilities = self.probabilities(outputs)
        truths = _truths(batch, probabilities.shape[1])
        return torch.cat([probabilities.double(), truths.to(probabilities).double()], dim=1)

    def value(self, records: Float64[np.ndarray, "n m"]) -> float:
        """Return the mean area under the ROC curve, in [0, 1]; NaN if no finding is there and absent."""
        return mean_present(self.by_class(records))

    def by_class(self, records: Float64[np.ndarray, "n m"]) -> Float64[np.ndarray, " k"]:
        """Return the area under the ROC curve of each finding; NaN if no item or every item has it."""
        return auroc(*_halves(records))

    def value_without_each(self, records: Float64[np.ndarray, "n m"]) -> Float64[np.ndarray, " n"]:
        """Return the mean area without each item in turn."""
        return np.array([mean_present(each) for each in self.by_class_without_each(records)])

    def by_class_without_each(self, records: Float64[np.ndarray, "n m"]) -> Float64[np.ndarray, "n k"]:
        """Return each finding's area without each item in turn."""
        return auroc_without_each(*_halves(records))

    def figures(self, records: Float64[np.ndarray, "n m"]) -> dict[str, float]:
        """Return in points the area of each finding, and mean sensitivity and specificity."""
        told = _halves(records)
        each = self.by_class(records) if 1 < len(self.classes) == len(told[0][0]) else ()
        return {
            f"AUROC of {name}": 100 * float(area) for name, area in zip(self.classes, each, strict=False)
        } | {
            f"sensitivity at {100 * self.specificity:g} % specificity": 100
            * mean_present(sensitivity_at(*told, self.specificity)),
            "sensitivity": 100 * mean_present(sensitivity(*told)),
            "specificity": 100 * mean_present(specificity(*told)),
        }

    def probabilities(self, outputs: object) -> Float[Tensor, "b k"]:
        """Return the probability of each finding; of both classes if one output stands for two."""
        found = main_output(outputs).float().sigmoid()
        if found.shape[1] == 1 and len(self.classes) == 2:
            return torch.cat([1 - found, found], dim=1)
        return found


def _specificity(metric: str | None) -> float:
    """Return the specificity that a metric's text states."""
    name, options = parse_call(metric or "auroc")
    stated = options.pop("specificity", 0.9)
    if name != "auroc" or options:
        raise OptionError(f'diagnosis: got metric="{metric}", expected "auroc" or "auroc(specificity=0.9)".')
    if isinstance(stated, bool) or not isinstance(stated, (int, float)) or not 0 <= stated <= 1:
        raise OptionError(f"specificity: got {stated!r}, expected a share in [0, 1]")
    return float(stated)


def _truths(batch: Labelled, columns: int) -> Shaped[Tensor, "b k"]:
    """Return 1 where a finding is there, else 0; one column for two classes stands for the second."""
    targets = batch.targets
    return F.one_hot(targets, max(2, columns))[:, -columns:] if targets.ndim == 1 else targets


def _halves(records: Float64[np.ndarray, "n m"]) -> tuple[np.ndarray, np.ndarray]:
    half = records.shape[1] // 2
    return records[:, :half], records[:, half:]
