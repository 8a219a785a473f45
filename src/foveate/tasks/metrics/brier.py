"""Brier score: the mean squared distance of the probabilities from the truth.

Formula sum_k (p_k - y_k)^2, y_k 1 for the true class and 0 elsewhere; half of it for two classes, which is
        the squared error of one class's probability, as is customary.
Record  that of one item.
Paper   Brier. Verification of Forecasts Expressed in Terms of Probability. Monthly Weather Review 1950.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from typing import Self

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from foveate.tasks.metrics.label_metric import LabelMetric, label_metrics


@label_metrics.register("brier")
@dataclass(frozen=True)
class Brier(LabelMetric):
    """Mean squared error of the probabilities, from 0 to 1 for two classes, else to 2; less is better.

    Example:
        >>> p = torch.tensor([[0.75, 0.25], [0.75, 0.25]], dtype=torch.float64)
        >>> Brier().record(p.log(), torch.tensor([0, 1])).tolist()
        [0.0625, 0.5625]
    """

    name: str = field(default="Brier score", init=False)
    scale: float = field(default=1.0, init=False)
    unit: str = field(default="", init=False)
    higher_is_better: bool = field(default=False, init=False)
    bounds: tuple[float, float] | None = field(default=(0.0, 2.0), init=False)
    margin: float = field(default=0.005, init=False)

    judges = False

    def of(self, classes: int) -> Self:
        """Return the metric with the bounds that it has for this number of classes."""
        found = copy(super().of(classes))
        object.__setattr__(found, "bounds", (0.0, 1.0 if classes == 2 else 2.0))
        return found

    def record(self, log_p: Float64[Tensor, "b k"], targets: Int64[Tensor, " b"]) -> Float64[Tensor, " b"]:
        """Return the squared error of each item, summed over the classes."""
        p = log_p.exp()
        error = p - torch.zeros_like(p).scatter_(1, targets.unsqueeze(1), 1.0)
        return error.square().sum(dim=1) / (2 if p.shape[1] == 2 else 1)
