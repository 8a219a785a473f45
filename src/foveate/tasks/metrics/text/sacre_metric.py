"""What the metrics that sacreBLEU computes share: its statistics of each text are the records.

Package sacrebleu 2.4 or later (the extra ``text``), imported when the first references are prepared. Its
        numbers are in per cent; here they are fractions, printed in points.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from foveate.errors import MissingExtraError
from foveate.tasks.metrics.text.text_metric import References, TextCounter, TextMetric, Totals


@dataclass(frozen=True)
class SacreMetric(TextMetric):
    """A metric of sacreBLEU; texts are detokenised, and cased."""

    @abstractmethod
    def original(self) -> Any:
        """Return sacreBLEU's metric with these options."""

    def counter(self, references: References) -> TextCounter:
        """Return what leaves sacreBLEU's statistics of answers to these references."""
        return _Statistics(self.original(), references)

    def values(self, totals: Totals) -> Float64[np.ndarray, " n"]:
        """Return the score of each sum of statistics, as a fraction."""
        of = self.original()._compute_score_from_stats
        whole = np.rint(totals).astype(np.int64).tolist()
        return np.array([min(1.0, of(total).score / 100) for total in whole], dtype=np.float64)

    @property
    def settings(self) -> str:
        """Return sacreBLEU's signature without the number of references."""
        metric = self.original()
        metric.num_refs = 1
        return metric.get_signature().format().partition("|")[2]


class _Statistics(TextCounter):
    def __init__(self, metric: Any, references: References) -> None:
        super().__init__(references)
        self.metric = metric
        read = metric._preprocess_segment
        self.known = [metric._extract_reference_info([read(text) for text in own]) for own in references]

    def record(self, hypothesis: str, item: int) -> list[float]:
        read = self.metric._preprocess_segment(hypothesis)
        return [float(count) for count in self.metric._compute_segment_statistics(read, self.known[item])]


def from_sacrebleu(name: str, make: Callable[[Any], Any]) -> Any:
    """Return what ``make`` takes from sacreBLEU's metrics.

    Raises:
        MissingExtraError: The package is not installed.
    """
    try:
        from sacrebleu import metrics
    except ImportError:
        raise MissingExtraError("sacrebleu", "text", f"The metric {name}") from None
    return make(metrics)
