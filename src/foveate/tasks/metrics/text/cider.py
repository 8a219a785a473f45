"""CIDEr and CIDEr-D: n-grams weighed by how few of the images they describe.

Formula for n = 1 ... 4, of N images of which df(g) have n-gram g in any of their references, it weighs
        w(g) = count(g) (log N - log max(1, df(g))), natural logarithms. |.| is the norm of all weights:
        CIDEr:   s_n = sum_g w_h(g) w_r(g) / (|h|_n |r|_n)
        CIDEr-D: s_n = sum_g min(w_h(g), w_r(g)) w_r(g) / (|h|_n |r|_n) exp(-(l_h - l_r)^2 / 72),
        l the number of bigrams; 0 where a norm is 0. An image's score is 10 times the mean of s_n over n and
        its references; that of a corpus is the mean over its images.
Record  (score, 1). The document frequencies are those of all references that ``prepare`` was given: a part of
        the test images is scored with the frequencies of all of them.
Paper   Vedantam, Zitnick, Parikh. CIDEr: Consensus-based Image Description Evaluation. CVPR 2015. What
        coco-caption prints as CIDEr is CIDEr-D, with l as above; neither stems words here, as in the authors'
        code.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

from foveate.tasks.metrics.text.caption_metric import CaptionMetric, ngrams
from foveate.tasks.metrics.text.text_metric import References, TextCounter, Totals, text_metrics

ORDERS = range(1, 5)
SIGMA = 6.0
Weights = dict[tuple[str, ...], float]


@dataclass(frozen=True)
class _Text:
    """The weights of a text's n-grams, for each n, their norms, and how many bigrams it has."""

    weights: list[Weights]
    norms: list[float]
    bigrams: int


@dataclass(frozen=True)
class Consensus(CaptionMetric):
    """The mean over images of the agreement with their references; printed in points of 0.01."""

    averages: bool = field(default=True, init=False)
    bounds: tuple[float, float] | None = field(default=(0.0, 10.0), init=False)
    margin: float = field(default=2.0, init=False)

    reaches_bounds: ClassVar[bool] = False  # 10 takes the very words of all references

    @abstractmethod
    def agreement(self, hypothesis: _Text, reference: _Text, n: int) -> float:
        """Return the agreement of n-grams, from 0 to 1; both texts have some that count."""

    def counter(self, references: References) -> TextCounter:
        """Return what compares answers with these references, and has their document frequencies."""
        return _Comparison(self, references)

    def values(self, totals: Totals) -> Float64[np.ndarray, " n"]:
        """Return the mean score of each sum of records."""
        return mean_of(totals)


@text_metrics.register("cider")
@dataclass(frozen=True)
class Cider(Consensus):
    """CIDEr: the cosine of the n-grams' weights, from 0 to 10. A text may repeat itself or be too long."""

    name: str = field(default="CIDEr", init=False)

    def agreement(self, hypothesis: _Text, reference: _Text, n: int) -> float:
        """Return the cosine."""
        given, true = hypothesis.weights[n], reference.weights[n]
        return _over_norms(sum(w * true[g] for g, w in given.items() if g in true), hypothesis, reference, n)


@text_metrics.register("cider_d")
@dataclass(frozen=True)
class CiderD(Consensus):
    """CIDEr-D, from 0 to 10: CIDEr, but repeated words do not count and the length does.

    Example:
        >>> metric = CiderD()
        >>> references = [["a dog runs fast", "the dog is running"], ["two men sit"], ["a red ball"]]
        >>> counter = metric.prepare(references)
        >>> counter.records(["a dog runs fast", "two women sit"], [0, 1]).round(4)
        array([[5.3529, 1.    ],
               [1.6667, 1.    ]])
    """

    name: str = field(default="CIDEr-D", init=False)

    def agreement(self, hypothesis: _Text, reference: _Text, n: int) -> float:
        """Return the clipped cosine, less for a different length."""
        given, true = hypothesis.weights[n], reference.weights[n]
        clipped = sum(min(w, true[g]) * true[g] for g, w in given.items() if g in true)
        apart = hypothesis.bigrams - reference.bigrams
        return _over_norms(clipped, hypothesis, reference, n) * math.exp(-(apart**2) / (2 * SIGMA**2))


class _Comparison(TextCounter):
    def __init__(self, metric: Consensus, references: References) -> None:
        super().__init__(references)
        self.metric = metric
        counts = [[_counts(metric.split(text)) for text in texts] for texts in references]
        present = Counter(g for own in counts for g in set().union(*(each for text in own for each in text)))
        self.rarity = {g: math.log(len(references)) - math.log(df) for g, df in present.items()}
        self.unseen = math.log(len(references))
        self.texts = [[self.weighed(text) for text in own] for own in counts]

    def record(self, hypothesis: str, item: int) -> tuple[float, float]:
        given = self.weighed(_counts(self.metric.split(hypothesis)))
        true = self.texts[item]
        total = sum(self.metric.agreement(given, each, n) for each in true for n in range(len(ORDERS)))
        return 10 * total / len(true) / len(ORDERS), 1.0

    def weighed(self, counts: list[Counter[tuple[str, ...]]]) -> _Text:
        weights = [{g: c * self.rarity.get(g, self.unseen) for g, c in each.items()} for each in counts]
        norms = [math.sqrt(sum(w * w for w in each.values())) for each in weights]
        return _Text(weights, norms, counts[1].total())


def mean_of(totals: Totals) -> Float64[np.ndarray, " n"]:
    """Return the mean score of each sum of records (score, 1); nan of none."""
    return np.divide(totals[:, 0], totals[:, 1], out=np.full(len(totals), np.nan), where=totals[:, 1] > 0)


def _counts(words: list[str]) -> list[Counter[tuple[str, ...]]]:
    return [Counter(ngrams(words, n)) for n in ORDERS]


def _over_norms(product: float, hypothesis: _Text, reference: _Text, n: int) -> float:
    norms = hypothesis.norms[n] * reference.norms[n]
    return product / norms if norms else 0.0
