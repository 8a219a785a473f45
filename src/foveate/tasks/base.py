"""What a task says, so that the training loop and the statistics need not know its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor, nn

from foveate.data.base import Truth
from foveate.options import check_fields
from foveate.registry import Registry


class Labelled(Protocol):
    """A batch, as far as a task looks at it: images (B, 3, H, W) and what is true of them (B, ...)."""

    @property
    def images(self) -> Tensor:
        """Normalised pictures."""
        ...

    @property
    def targets(self) -> Tensor:
        """What is true of them."""
        ...


@dataclass(frozen=True)
class Metric:
    """How well a model does, in the words and the unit that a report prints.

    Args:
        name: The field's name for it.
        unit: What one printed unit is called.
        scale: Printed value of a score of 1: 100 for a share that is printed in points.
        higher_is_better: Whether more is better.
        averages: Whether it is the mean of one score an item. If not (mean IoU, AUROC), a study works with
            pseudo-values.
        bounds: The least and the greatest score there can be, or None.
        margin: The least difference worth having where the user states none, in the unit.
    """

    name: str
    unit: str
    scale: float
    higher_is_better: bool = True
    averages: bool = True
    bounds: tuple[float, float] | None = (0.0, 1.0)
    margin: float = 0.5

    def __post_init__(self) -> None:
        check_fields(self)


class Task(Protocol):
    """Everything that the loop and the statistics ask of a task; ``outputs`` is what ``forward`` returned.

    What a task keeps of a test item is its *record*: whatever the metric of any set of items follows from.
    """

    @property
    def name(self) -> str:
        """The name in the registry."""
        ...

    @property
    def truth(self) -> Truth:
        """What it learns from: one label an image, or a mask."""
        ...

    @property
    def metric(self) -> Metric:
        """What ``value`` measures."""
        ...

    def forward(self, model: nn.Module, batch: Labelled) -> object:
        """Run the model on a batch: most take the images alone, a captioner takes the words too."""
        ...

    def check(self, outputs: object, targets: np.ndarray) -> None:
        """Raise unless outputs of this shape can be trained on all of these targets; called once a run."""
        ...

    def check_metric(self, truths: np.ndarray) -> None:
        """Raise unless the metric says something about test items of which this is true (N, ...).

        Called before training, so that no finished study has to be told.
        """
        ...

    def loss(self, outputs: object, batch: Labelled, *, label_smoothing: float = 0.0) -> Tensor:
        """Return the mean loss of the batch, a scalar."""
        ...

    def record(self, outputs: object, batch: Labelled) -> Tensor:
        """Return what is kept of each item (B, ...)."""
        ...

    def value(self, records: np.ndarray) -> float:
        """Return the metric over the items that left these records (N, ...); NaN if they do not tell."""
        ...

    def value_without_each(self, records: np.ndarray) -> np.ndarray:
        """Return the metric over all items but one, for each item in turn (N,)."""
        ...

    def by_class(self, records: np.ndarray) -> np.ndarray | None:
        """Return the metric of each class (K,) over these items, or None: then a class has its own items."""
        ...

    def by_class_without_each(self, records: np.ndarray) -> np.ndarray | None:
        """Return the metric of each class over all items but one, for each item in turn (N, K); or None."""
        ...

    def figures(self, records: np.ndarray) -> dict[str, float]:
        """Return further figures over these items, by the names that a report prints, as it prints them."""
        ...

    def answer(self, outputs: object) -> Tensor:
        """Return what is kept of the outputs to look at: probabilities (B, K), or labels (B, H, W) uint8."""
        ...

    def predict(self, outputs: object) -> Tensor:
        """Return probabilities (B, K, ...), float32."""
        ...


class Builder(Protocol):
    """Makes a task for certain data and a certain way of training."""

    def __call__(
        self,
        classes: Sequence[str] = ...,
        *,
        loss: str | None = ...,
        metric: str | None = ...,
        class_weights: Sequence[float] | None = ...,
    ) -> Task:
        """Return the task.

        Args:
            classes: The names of the classes.
            loss: What is minimised; the task's usual loss if None.
            metric: What is judged by; the task's usual metric if None.
            class_weights: How much each class counts in the loss; alike if None.

        Raises:
            UnknownNameError: There is no such loss or metric.
            OptionError: The task does not have that choice.
        """
        ...


tasks: Registry[Builder] = Registry("task")
