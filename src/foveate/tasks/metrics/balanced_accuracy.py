"""Balanced accuracy: the mean over classes of the share of their items that is correct.

Formula mean_k right_k / true_k. Also called mean recall; it does not reward always predicting the
        most frequent class.
Paper   Brodersen et al. The Balanced Accuracy and Its Posterior Distribution. ICPR 2010.
Absent  a class without items is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from foveate.tasks.metrics.class_counts import ClassCounts, Scores, share
from foveate.tasks.metrics.label_metric import label_metrics


@label_metrics.register("balanced_accuracy")
@dataclass(frozen=True)
class BalancedAccuracy(ClassCounts):
    """Mean recall of the classes.

    Example:
        >>> import numpy as np
        >>> BalancedAccuracy().value(np.array([[0.0, 0], [0, 0], [0, 0], [0, 1]]), classes=2)
        0.5
    """

    name: str = field(default="balanced accuracy", init=False)

    def class_scores(self, right: Scores, given: Scores, true: Scores) -> Scores:
        """Return each class's recall."""
        return share(right, true)
