"""ROUGE-L: the longest common subsequence of words, as coco-caption computes it.

Formula P = max over references of LCS / words of the answer, R = max over references of LCS / words of the
        reference, each maximum by itself; the score is (1 + b^2) P R / (R + b^2 P) with b = 1.2, 0 if P or R
        is 0; that of a corpus is the mean over its items.
Words   split at single spaces, so that an empty text has one word, the empty one.
Record  (score, 1).
Paper   Lin. ROUGE: a Package for Automatic Evaluation of Summaries. ACL workshop 2004.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from foveate.tasks.metrics.text.caption_metric import CaptionMetric
from foveate.tasks.metrics.text.cider import mean_of
from foveate.tasks.metrics.text.text_metric import References, TextCounter, Totals, text_metrics

BETA = 1.2


@text_metrics.register("rouge_l")
@dataclass(frozen=True)
class RougeL(CaptionMetric):
    """Mean over the items of an F-score of the longest common subsequence of words.

    Example:
        >>> counter = RougeL().prepare([["police killed the gunman", "the gunman was shot by police"]])
        >>> counter.records(["police kill the gunman"])
        array([[0.75, 1.  ]])
    """

    name: str = field(default="ROUGE-L", init=False)
    averages: bool = field(default=True, init=False)

    def counter(self, references: References) -> TextCounter:
        """Return what compares answers with these references."""
        return _Subsequences(self, references)

    def values(self, totals: Totals) -> Float64[np.ndarray, " n"]:
        """Return the mean score of each sum of records."""
        return mean_of(totals)


class _Subsequences(TextCounter):
    def __init__(self, metric: RougeL, references: References) -> None:
        super().__init__(references)
        self.metric = metric
        self.words = [[metric.words(text).split(" ") for text in texts] for texts in references]

    def record(self, hypothesis: str, item: int) -> tuple[float, float]:
        given, true = self.metric.words(hypothesis).split(" "), self.words[item]
        common = [longest_common(given, each) for each in true]
        precision = max(common) / len(given)
        recall = max(c / len(each) for c, each in zip(common, true, strict=True))
        if not precision or not recall:
            return 0.0, 1.0
        return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision), 1.0


def longest_common(a: list[str], b: list[str]) -> int:
    """Return the length of the longest common subsequence.

    Example:
        >>> longest_common("a h c i e j g".split(), "a b c d e f g".split())
        4
    """
    before = [0] * (len(b) + 1)
    for word in a:
        row = [0]
        for place, other in enumerate(b):
            row.append(before[place] + 1 if word == other else max(before[place + 1], row[-1]))
        before = row
    return before[-1]
