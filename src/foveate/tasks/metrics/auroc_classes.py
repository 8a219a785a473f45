"""Area under the ROC curve of classes: each against the rest, then the mean.

Formula for each class, over all pairs of an item of it and one of another class, the share in which the
        first is given the greater probability of the class, ties counted half; the mean over the classes.
Record  the probabilities of the classes, of the second one alone if there are two, then the true class.
Paper   Hanley, McNeil. The Meaning and Use of the Area under a ROC Curve. Radiology 1982; one against the
        rest as in scikit-learn's ``multi_class="ovr"``.
Absent  a class of no item, or of all, is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float64, Int64, Shaped
from torch import Tensor

from foveate.tasks.metrics.auroc import auroc, auroc_without_each, mean_present
from foveate.tasks.metrics.label_metric import LabelMetric, Records, label_metrics


@label_metrics.register("auroc")
@dataclass(frozen=True)
class ClassAUROC(LabelMetric):
    """Mean area under the ROC curves of the classes, each against the rest.

    Example:
        >>> ClassAUROC().value(np.array([[0.1, 0], [0.4, 0], [0.35, 1], [0.8, 1]]), classes=2)
        0.75
    """

    name: str = field(default="AUROC", init=False)
    averages: bool = field(default=False, init=False)

    def record(self, log_p: Float64[Tensor, "b k"], targets: Int64[Tensor, " b"]) -> Float64[Tensor, "b n"]:
        """Return the probabilities, then the true class."""
        p = log_p.exp()
        return torch.cat([p[:, 1:] if p.shape[1] == 2 else p, targets.unsqueeze(1).to(p)], dim=1)

    def value(self, records: Records, classes: int) -> float:
        """Return the mean over the classes."""
        return mean_present(self.by_class(records, classes))

    def by_class(self, records: Records, classes: int) -> Float64[np.ndarray, " k"]:
        """Return each class's area; both are the same if there are two."""
        found = auroc(*_by_class(records))
        return np.repeat(found, 2) if len(found) == 1 else found

    def value_without_each(self, records: Records, classes: int) -> Float64[np.ndarray, " n"]:
        """Return the mean without each item in turn, in O(N log N)."""
        each = auroc_without_each(*_by_class(records))
        known = ~np.isnan(each)
        count = known.sum(axis=1)
        return np.where(count > 0, np.nansum(each, axis=1) / np.maximum(count, 1), np.nan)

    def by_class_without_each(self, records: Records, classes: int) -> Float64[np.ndarray, "n k"]:
        """Return each class's area without each item."""
        each = auroc_without_each(*_by_class(records))
        return np.repeat(each, 2, axis=1) if each.shape[1] == 1 else each


def _by_class(records: Records) -> tuple[Float64[np.ndarray, "n k"], Shaped[np.ndarray, "n k"]]:
    """Return the probabilities (N, K), and 1 in the column of the true class."""
    p, true = records[:, :-1], records[:, -1:]
    first = 1 if p.shape[1] == 1 else 0
    return p, (true == np.arange(first, first + p.shape[1])).astype(np.float64)
