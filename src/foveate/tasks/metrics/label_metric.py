"""What a metric of one class per item is: one record per item, and the value of any set of records.

Shapes  log_p float64 (B, K), logarithms of the probabilities of the classes; targets int64 (B,) in [0, K).
Rules   a class that the items say nothing about is left out of a mean over classes; a score that nothing says
        anything about is not a number (nan).
"""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from jaxtyping import Float64, Int64
from torch import Tensor

from foveate.registry import Registry
from foveate.spelling import build, written
from foveate.tasks.metric import Metric

Records = Float64[np.ndarray, "n ..."]


@dataclass(frozen=True)
class LabelMetric(Metric):
    """A metric of items that have one class each; printed in points of 100 unless it says otherwise.

    By default it is the mean of the records (N,), one score per item.
    """

    name: str = field(default="", init=False)
    unit: str = field(default="points", init=False)
    scale: float = field(default=100.0, init=False)
    higher_is_better: bool = field(default=True, init=False)
    averages: bool = field(default=True, init=False)
    bounds: tuple[float, float] | None = field(default=(0.0, 1.0), init=False)
    margin: float = field(default=0.5, init=False)

    needs_probabilities = True
    """Whether the most probable class of each item is not enough."""

    @abstractmethod
    def record(self, log_p: Float64[Tensor, "b k"], targets: Int64[Tensor, " b"]) -> Float64[Tensor, "b ..."]:
        """Return what is kept of each item."""

    def value(self, records: Records, classes: int) -> float:
        """Return the metric over these items, of this many classes; nan if it is undefined."""
        return float(records.mean())

    def value_without_each(self, records: Records, classes: int) -> Float64[np.ndarray, " n"]:
        """Return the metric over all items but one, for each item in turn."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return (records.sum() - records) / (len(records) - 1)

    def by_class(self, records: Records, classes: int) -> Float64[np.ndarray, " k"] | None:
        """Return the metric of each class, nan where undefined; None if it is of the class's own items."""
        return None

    def by_class_without_each(self, records: Records, classes: int) -> Float64[np.ndarray, "n k"] | None:
        """Return the same over all items but one, for each item in turn."""
        return None

    def of(self, classes: int) -> Self:
        """Return the metric for this many classes; 0 if their number is unknown.

        Raises:
            OptionError: It is not defined for that many.
        """
        return self

    def __str__(self) -> str:
        """Return the name in the registry and every option that is not the default."""
        return written(label_metrics, self)


label_metrics: Registry[type[LabelMetric]] = Registry("metric of labels")


def parse_label_metric(text: str | LabelMetric) -> LabelMetric:
    """Read a metric; ``top_5`` is ``top_k(k=5)``.

    Raises:
        SpecError: The text is not a name with options.
        UnknownNameError: No metric has such a name.
        OptionError: It does not have such an option, or the option cannot have such a value.

    Example:
        >>> parse_label_metric("top_5").name
        'top-5 accuracy'
    """
    if isinstance(text, LabelMetric):
        return text
    return build(label_metrics, re.sub(r"\s*top_(\d+)\s*", r"top_k(k=\1)", text))
