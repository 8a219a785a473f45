"""Accuracy: the share of the items whose most probable class is the true one.

Record  1 where it is, else 0; of equally probable classes the first one counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from jaxtyping import Float64, Int64
from torch import Tensor

from foveate.tasks.metrics.label_metric import LabelMetric, label_metrics


@label_metrics.register("accuracy")
@dataclass(frozen=True)
class Accuracy(LabelMetric):
    """Share of the items that are classified correctly.

    Example:
        >>> import torch
        >>> log_p = torch.tensor([[0.7, 0.3], [0.6, 0.4]]).double().log()
        >>> Accuracy().record(log_p, torch.tensor([0, 1])).tolist()
        [1.0, 0.0]
    """

    name: str = field(default="accuracy", init=False)
    needs_probabilities = False

    def record(self, log_p: Float64[Tensor, "b k"], targets: Int64[Tensor, " b"]) -> Float64[Tensor, " b"]:
        """Return 1 where the most probable class is the true one, else 0."""
        return (log_p.argmax(dim=1) == targets).double()
