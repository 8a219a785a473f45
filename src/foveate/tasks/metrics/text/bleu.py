"""BLEU as coco-caption computes it, with up to four words in a row.

Formula with c_n the n-grams of the answers that a reference has too, each at most as often as in the
        reference that has most of it, and g_n all n-grams of the answers, both summed over the items:
        p_n = (c_n + 1e-15) / (g_n + 1e-9), BLEU-k = (p_1 ... p_k)^(1/k) min(1, exp(1 - 1/r)),
        r = (l + 1e-15) / (m + 1e-9), l the words of the answers, m those of the references: of each item the
        reference that is nearest in length, of two equally near ones the shorter.
Record  c_1 ... c_k, g_1 ... g_k, l, m.
Paper   Papineni, Roukos, Ward, Zhu. BLEU: a Method for Automatic Evaluation of Machine Translation. ACL 2002;
        the two small constants are those of coco-caption (Chen et al. 2015, arXiv:1504.00325).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

from foveate.tasks.metrics.text.caption_metric import CaptionMetric, ngrams
from foveate.tasks.metrics.text.text_metric import References, TextCounter, Totals, text_metrics

Counts = Counter[tuple[str, ...]]
_TINY, _SMALL = 1e-15, 1e-9


@dataclass(frozen=True)
class Bleu(CaptionMetric):
    """BLEU of a corpus; see the module's docstring."""

    order: ClassVar[int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"BLEU-{self.order}")
        super().__post_init__()

    def counter(self, references: References) -> TextCounter:
        """Return what counts n-grams against these references."""
        return _Matches(self, references)

    def values(self, totals: Totals) -> Float64[np.ndarray, " n"]:
        """Return BLEU of each sum of counts."""
        k = self.order
        precisions = (totals[:, :k] + _TINY) / (totals[:, k : 2 * k] + _SMALL)
        ratio = (totals[:, -2] + _TINY) / (totals[:, -1] + _SMALL)
        with np.errstate(under="ignore"):
            return precisions.prod(axis=1) ** (1 / k) * np.exp(np.minimum(0.0, 1 - 1 / ratio))


class _Matches(TextCounter):
    def __init__(self, metric: Bleu, references: References) -> None:
        super().__init__(references)
        self.metric = metric
        words = [[metric.split(text) for text in texts] for texts in references]
        self.lengths = [[len(each) for each in own] for own in words]
        self.most = [_most([_counts(each, metric.order) for each in own]) for own in words]

    def record(self, hypothesis: str, item: int) -> list[float]:
        words, order = self.metric.split(hypothesis), self.metric.order
        matches, most = [0.0] * order, self.most[item]
        for ngram, count in _counts(words, order).items():
            matches[len(ngram) - 1] += min(count, most.get(ngram, 0))
        guesses = [float(max(0, len(words) - n)) for n in range(order)]
        nearest = min(self.lengths[item], key=lambda length: (abs(length - len(words)), length))
        return [*matches, *guesses, float(len(words)), float(nearest)]


def _counts(words: list[str], order: int) -> Counts:
    return Counter(ngram for n in range(1, order + 1) for ngram in ngrams(words, n))


def _most(counts: list[Counts]) -> Counts:
    """Return how often each n-gram is in the reference that has most of it."""
    found: Counts = Counter()
    for each in counts:
        found |= each
    return found


@text_metrics.register("bleu_1")
@dataclass(frozen=True)
class Bleu1(Bleu):
    """BLEU of single words, as coco-caption computes it."""

    order = 1


@text_metrics.register("bleu_2")
@dataclass(frozen=True)
class Bleu2(Bleu):
    """BLEU of one and two words in a row, as coco-caption computes it."""

    order = 2


@text_metrics.register("bleu_3")
@dataclass(frozen=True)
class Bleu3(Bleu):
    """BLEU of up to three words in a row, as coco-caption computes it."""

    order = 3


@text_metrics.register("bleu_4")
@dataclass(frozen=True)
class Bleu4(Bleu):
    """BLEU of up to four words in a row, as coco-caption computes it; the usual one.

    Example:
        >>> metric = Bleu4()
        >>> counter = metric.prepare([["a black dog runs on grass", "a dog runs"], ["two men sit"]])
        >>> records = counter.records(["a dog runs on grass", "two men sit"])
        >>> records[0]
        array([5., 4., 3., 1., 5., 4., 3., 2., 5., 6.])
        >>> round(metric.value(records), 4)
        0.7421
    """

    order = 4
