"""What a task says, so that the training loop and the statistics need not know its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor, nn

from foveate.errors import ShapeError
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
    """

    name: str
    unit: str
    scale: float
    higher_is_better: bool = True


class Task(Protocol):
    """Everything that the loop asks of a task; ``outputs`` is whatever the model returned."""

    @property
    def name(self) -> str:
        """The name in the registry."""
        ...

    @property
    def metric(self) -> Metric:
        """What ``score`` measures."""
        ...

    def forward(self, model: nn.Module, batch: Labelled) -> object:
        """Run the model on a batch: most take the images alone, a captioner takes the words too."""
        ...

    def check(self, outputs: object, targets: np.ndarray) -> None:
        """Raise unless outputs of this shape can be trained on all of these targets; called once a run."""
        ...

    def loss(self, outputs: object, batch: Labelled, *, label_smoothing: float = 0.0) -> Tensor:
        """Return the mean loss of the batch, a scalar."""
        ...

    def score(self, outputs: object, batch: Labelled) -> Tensor:
        """Return one score an item (B,), float: what the statistics compare. Its mean is the metric."""
        ...

    def predict(self, outputs: object) -> Tensor:
        """Return probabilities (B, K, ...), float32."""
        ...


tasks: Registry[Task] = Registry("task")


def main_output(outputs: object) -> Tensor:
    """Return the tensor of logits among what a model returned.

    Understood are a tensor, a mapping with ``out`` (torchvision's segmenters) or ``logits``, and an object
    with ``logits`` (transformers, torchvision's GoogLeNet and Inception in training).

    Raises:
        ShapeError: There is no such tensor.
    """
    if isinstance(outputs, Tensor):
        return outputs
    for name in ("out", "logits"):
        found = outputs.get(name) if isinstance(outputs, Mapping) else getattr(outputs, name, None)
        if isinstance(found, Tensor):
            return found
    raise ShapeError(
        f"the model returned a {type(outputs).__name__}, expected a tensor of logits, or a mapping or object "
        'with "out" or "logits". Wrap the model so that it returns its logits.'
    )
