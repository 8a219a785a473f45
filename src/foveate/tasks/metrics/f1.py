"""Macro F1: the mean over classes of the harmonic mean of precision and recall.

Formula mean_k 2 right_k / (given_k + true_k).
Paper   van Rijsbergen. Information Retrieval. 1979; the mean over classes as in scikit-learn's
        ``average="macro"``.
Absent  a class that is neither predicted nor true is left out; one that is predicted or true but never
        correct scores 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from foveate.tasks.metrics.class_counts import ClassCounts, Scores, share
from foveate.tasks.metrics.label_metric import label_metrics


@label_metrics.register("f1")
@dataclass(frozen=True)
class MacroF1(ClassCounts):
    """Mean F1 of the classes.

    Example:
        >>> import numpy as np
        >>> round(MacroF1().value(np.array([[0.0, 0], [0, 1], [1, 1]]), classes=2), 4)
        0.6667
    """

    name: str = field(default="macro F1", init=False)

    def class_scores(self, right: Scores, given: Scores, true: Scores) -> Scores:
        """Return each class's F1."""
        return share(2 * right, given + true)
