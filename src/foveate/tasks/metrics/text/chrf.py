"""chrF: an F-score of runs of letters, which gives credit for the right stem with the wrong ending.

Formula over n = 1 ... 6 letters in a row, spaces left out, with P and R the means of the orders' precisions
        and recalls: (1 + b^2) P R / (b^2 P + R), b = 2. Of several references the one with the best score
        counts, of equally good ones the first; an order that answers or references lack is left out.
Record  for each order the runs of the answer, of the reference, and those in both.
Paper   Popovic. chrF: Character n-gram F-score for Automatic MT Evaluation. WMT 2015; computed by sacreBLEU.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from foveate.options import whole
from foveate.tasks.metrics.text.sacre_metric import SacreMetric, from_sacrebleu
from foveate.tasks.metrics.text.text_metric import text_metrics


@text_metrics.register("chrf")
@dataclass(frozen=True)
class Chrf(SacreMetric):
    """chrF2, from 0 to 1; printed in points of 100. ``chrf(words=2)`` is chrF2++.

    Args:
        words: Up to how many words in a row count too.
        cased: Whether the case of letters counts.

    Example:
        >>> counter = Chrf().prepare([["Ein Hund läuft über das Gras."]])
        >>> round(Chrf().value(counter.records(["Ein Hund lief über das Gras."])), 4)
        0.7028
    """

    name: str = field(default="", init=False)
    words: int = field(default=0, kw_only=True)
    cased: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        whole("words", self.words, least=0)
        object.__setattr__(self, "name", "chrF2" + "+" * min(2, self.words))
        super().__post_init__()

    def original(self) -> Any:
        """Return sacreBLEU's chrF."""
        options = {"word_order": self.words, "lowercase": not self.cased}
        return from_sacrebleu("chrf", lambda metrics: metrics.CHRF(**options))
