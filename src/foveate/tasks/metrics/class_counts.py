"""Metrics that average over classes a function of three counts: correct, predicted, true.

Record  the predicted class of an item, and its true one.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from foveate.tasks.metrics.label_metric import LabelMetric

Scores = Float64[np.ndarray, " k"]
Pairs = Float64[np.ndarray, "n 2"]
Labels = Int64[np.ndarray, " n"]


@dataclass(frozen=True)
class ClassCounts(LabelMetric):
    """A mean over classes of a score of each; leaving out an item changes two classes at most."""

    averages: bool = field(default=False, init=False)
    needs_probabilities = False

    @abstractmethod
    def class_scores(self, right: Scores, given: Scores, true: Scores) -> Scores:
        """Return the score of each class, nan where it is undefined.

        Args:
            right: Items of each class that are predicted as it.
            given: Items that are predicted as it.
            true: Items of it.
        """

    def record(self, log_p: Float64[Tensor, "b k"], targets: Int64[Tensor, " b"]) -> Float64[Tensor, "b 2"]:
        """Return the most probable class of each item, and its true one."""
        return torch.stack([log_p.argmax(dim=1), targets], dim=1).double()

    def value(self, records: Pairs, classes: int) -> float:
        """Return the mean over the classes that have a score."""
        return float(share(*_summed(self.by_class(records, classes)[None]))[0])

    def by_class(self, records: Pairs, classes: int) -> Scores:
        """Return the score of each class."""
        given, true = _labels(records)
        return self.class_scores(*_counts(given, true, classes))

    def value_without_each(self, records: Pairs, classes: int) -> Float64[np.ndarray, " n"]:
        """Return the mean without each item in turn: only its true and its predicted class change."""
        given, true = _labels(records)
        scores, of_given, of_true = self._without(given, true, classes)
        same = given == true  # then there is one class to change, not two
        total, known = _summed(scores[None])
        for old, new in (
            (scores[given], of_given),
            (np.where(same, np.nan, scores[true]), np.where(same, np.nan, of_true)),
        ):
            before, after = _summed(old[:, None]), _summed(new[:, None])
            total, known = total - before[0] + after[0], known - before[1] + after[1]
        return share(total, known)

    def by_class_without_each(self, records: Pairs, classes: int) -> Float64[np.ndarray, "n k"]:
        """Return the score of each class without each item."""
        given, true = _labels(records)
        scores, of_given, of_true = self._without(given, true, classes)
        found, items = np.tile(scores, (len(records), 1)), np.arange(len(records))
        found[items, true] = of_true
        found[items, given] = of_given
        return found

    def _without(self, given: Labels, true: Labels, classes: int) -> tuple[Scores, np.ndarray, np.ndarray]:
        """Return all classes' scores; and, without each item, those of its predicted and its true class."""
        right, every_given, every_true = _counts(given, true, classes)
        less_right = self.class_scores(right - 1, every_given - 1, every_true - 1)
        less_given = self.class_scores(right, every_given - 1, every_true)
        less_true = self.class_scores(right, every_given, every_true - 1)
        hit = given == true
        of_given = np.where(hit, less_right[given], less_given[given])
        of_true = np.where(hit, less_right[true], less_true[true])
        return self.class_scores(right, every_given, every_true), of_given, of_true


def share(part: Scores, whole: Scores) -> Scores:
    """Return ``part / whole``, and nan where ``whole`` is not above 0."""
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def _labels(records: Pairs) -> tuple[Labels, Labels]:
    given, true = records.astype(np.int64).T
    return given, true


def _counts(given: Labels, true: Labels, classes: int) -> tuple[Scores, Scores, Scores]:
    classes = max(classes, int(given.max(initial=-1)) + 1, int(true.max(initial=-1)) + 1)
    right, every_given, every_true = (
        np.bincount(labels, minlength=classes).astype(np.float64)
        for labels in (true[given == true], given, true)
    )
    return right, every_given, every_true


def _summed(scores: Float64[np.ndarray, "n k"]) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of each row's scores that are not nan, and how many there are."""
    return np.nansum(scores, axis=1), (~np.isnan(scores)).sum(axis=1).astype(np.float64)
