"""Log loss: the mean of -log of the probability of the true class, in nats.

Record  -log p of the item's class. Also called cross-entropy or negative log-likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from jaxtyping import Float64, Int64
from torch import Tensor

from foveate.tasks.metrics.label_metric import LabelMetric, label_metrics


@label_metrics.register("log_loss")
@dataclass(frozen=True)
class LogLoss(LabelMetric):
    """Mean negative logarithm of the true class's probability; less is better.

    Example:
        >>> import torch
        >>> p = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
        >>> LogLoss().record(p.log(), torch.tensor([1]))
        tensor([0.6931], dtype=torch.float64)
    """

    name: str = field(default="log loss", init=False)
    unit: str = field(default="nats", init=False)
    scale: float = field(default=1.0, init=False)
    higher_is_better: bool = field(default=False, init=False)
    bounds: tuple[float, float] | None = field(default=(0.0, float("inf")), init=False)
    margin: float = field(default=0.01, init=False)

    judges = False

    def record(self, log_p: Float64[Tensor, "b k"], targets: Int64[Tensor, " b"]) -> Float64[Tensor, " b"]:
        """Return -log of the probability of each item's class."""
        return -log_p.gather(1, targets.unsqueeze(1)).squeeze(1)
