"""Classification: one class an image.

Batch    images (B, 3, H, W), targets (B,) whole numbers in [0, classes).
Outputs  logits (B, classes).
Loss     cross-entropy, with label smoothing and class weights.
Record   1 for an image whose most probable class is the true one, else 0; the mean is the accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.data.base import Truth
from foveate.errors import DataError, OptionError, ShapeError
from foveate.tasks.base import Labelled, Metric, main_output, tasks


@tasks.register("classification")
class Classification:
    """One class an image; see the module's docstring."""

    name = "classification"
    truth: Truth = "label"
    metric = Metric("accuracy", unit="points", scale=100.0)

    def __init__(
        self,
        classes: Sequence[str] = (),
        *,
        loss: str | None = None,
        metric: str | None = None,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        for what, value, only in (("loss", loss, "ce"), ("metric", metric, "accuracy")):
            if value not in (None, only):
                raise OptionError(f'classification: got {what}="{value}", expected "{only}", the only one.')
        self.class_weights = None if class_weights is None else torch.tensor(class_weights)

    def forward(self, model: nn.Module, batch: Labelled) -> object:
        """Run the model on the images."""
        return model(batch.images)

    def check(self, outputs: object, targets: np.ndarray) -> None:
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
                f"{logits.shape[1] - 1}. Create the model with classes={most + 1}, or mend the labels."
            )

    def loss(self, outputs: object, batch: Labelled, *, label_smoothing: float = 0.0) -> Float[Tensor, ""]:
        """Return the mean cross-entropy, in nats."""
        logits = main_output(outputs).float()
        weight = None if self.class_weights is None else self.class_weights.to(logits)
        return F.cross_entropy(logits, batch.targets, weight=weight, label_smoothing=label_smoothing)

    def record(self, outputs: object, batch: Labelled) -> Float[Tensor, " b"]:
        """Return 1 where the most probable class is the true one, else 0."""
        return (main_output(outputs).argmax(dim=1) == batch.targets).float()

    def value(self, records: Float[np.ndarray, " n"]) -> float:
        """Return the share of items that are right."""
        return float(records.mean())

    def by_class(self, records: Float[np.ndarray, " n"]) -> None:
        """Return None: the accuracy of a class is that of its own items."""

    def figures(self, records: Float[np.ndarray, " n"]) -> dict[str, float]:
        """Return no further figure."""
        return {}

    def answer(self, outputs: object) -> Float[Tensor, "b q"]:
        """Return the probabilities."""
        return self.predict(outputs)

    def predict(self, outputs: object) -> Float[Tensor, "b q"]:
        """Return probabilities that sum to 1 over the classes."""
        return main_output(outputs).float().softmax(dim=1)
