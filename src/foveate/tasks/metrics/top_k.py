"""Top-k accuracy: the share of the items whose true class is among the k most probable ones.

Record  1 where it is, else 0; of equally probable classes the first ones count, so top-1 equals accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from foveate.errors import OptionError
from foveate.options import whole
from foveate.tasks.metrics.label_metric import LabelMetric, label_metrics


@label_metrics.register("top_k")
@dataclass(frozen=True)
class TopK(LabelMetric):
    """Share of the items whose class is among the ``k`` most probable ones; ``top_5`` for short.

    Args:
        k: How many classes count.

    Raises:
        OptionError: ``k`` is not a whole number of at least 1.

    Example:
        >>> p = torch.tensor([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], dtype=torch.float64)
        >>> TopK(k=2).record(p.log(), torch.tensor([1, 2])).tolist()
        [1.0, 0.0]
    """

    name: str = field(default="", init=False)
    k: int = field(default=5, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"top-{whole('k', self.k)} accuracy")

    def of(self, classes: int) -> Self:
        """Return the metric if there are more than ``k`` classes: otherwise every answer is correct."""
        if classes and self.k >= classes:
            raise OptionError(
                f"top_{self.k}: got {classes} classes, expected more than {self.k}: every answer would be "
                "correct. Choose a smaller k, or accuracy."
            )
        return self

    def record(self, log_p: Float64[Tensor, "b k"], targets: Int64[Tensor, " b"]) -> Float64[Tensor, " b"]:
        """Return 1 where fewer than ``k`` classes come before the true one, else 0."""
        own = log_p.gather(1, targets.unsqueeze(1))
        earlier = torch.arange(log_p.shape[1], device=log_p.device) < targets.unsqueeze(1)
        before = (log_p > own) | ((log_p == own) & earlier)
        return (before.sum(dim=1) < self.k).double()
