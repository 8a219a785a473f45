"""METEOR 1.5 for English with exact matches, and with stems; without synonyms and paraphrases.

Formula an alignment (``meteor_alignment``) matches words of an answer and of a reference. Function words
        weigh 1 - d, others d = 0.75; matches of stage k weigh w_k: 1 for equal words, 0.6 for equal stems.
        P = weights of the answer's matched words / of all its words, R likewise of the reference,
        F = 1 / ((1 - a) / P + a / R), a = 0.85; fragmentation f = chunks / matched words, 0 where one chunk
        matches both texts wholly; the score is F (1 - 0.6 f^0.2), 0 where it is undefined.
        Of several references the best counts, of equally good ones the first. Over several items lengths,
        matches and chunks are summed first: the score is not the mean of the items' scores.
Record  words of the answer and of the reference; function words of both; for each stage matched words and
        matched function words of both; chunks.
Paper   Denkowski, Lavie. Meteor Universal: Language Specific Translation Evaluation for Any Target Language.
        WMT 2014; parameters of its version 1.5, English.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float64

from foveate.errors import MissingExtraError
from foveate.tasks.metrics.text.caption_metric import CaptionMetric
from foveate.tasks.metrics.text.meteor_alignment import align
from foveate.tasks.metrics.text.meteor_words import FUNCTION_WORDS, meteor_words
from foveate.tasks.metrics.text.text_metric import References, TextCounter, Totals, text_metrics

ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
WEIGHTS = (1.0, 0.6)
Words = tuple[list[str], list[str]]
"""Words of a text, and their stems; the words again where stems do not count."""


@dataclass(frozen=True)
class Meteor(CaptionMetric):
    """METEOR with some of its stages."""

    stages: ClassVar[int]

    def counter(self, references: References) -> TextCounter:
        """Return what aligns answers with these references."""
        return _Alignments(self, references)

    def read(self, text: str) -> Words:
        """Return the words of a text, and their stems."""
        words = meteor_words(self.words(text))
        return words, [_stem()(word) for word in words] if self.stages > 1 else words

    def values(self, totals: Totals) -> Float64[np.ndarray, " n"]:
        """Return METEOR of each sum of statistics."""
        lengths, functions, chunks = totals[:, 0:2], totals[:, 2:4], totals[:, -1]
        stages = totals[:, 4:-1].reshape(len(totals), self.stages, 2, 2)  # matched or function, answer or not
        weighed = DELTA * (stages[:, :, 0] - stages[:, :, 1]) + (1 - DELTA) * stages[:, :, 1]
        shares = _ratio(
            np.einsum("nks,k->ns", weighed, np.array(WEIGHTS[: self.stages])),
            DELTA * (lengths - functions) + (1 - DELTA) * functions,
        )
        product = shares[:, 0] * shares[:, 1]
        f = _ratio(product, (1 - ALPHA) * shares[:, 1] + ALPHA * shares[:, 0])
        fragmentation = _ratio(chunks, stages[:, :, 0].sum(axis=(1, 2)) / 2)
        return f * (1 - GAMMA * fragmentation**BETA)


class _Alignments(TextCounter):
    def __init__(self, metric: Meteor, references: References) -> None:
        super().__init__(references)
        self.metric = metric
        self.words = [[metric.read(text) for text in own] for own in references]

    def record(self, hypothesis: str, item: int) -> list[float]:
        given = self.metric.read(hypothesis)
        records = np.array([_statistics(given, true, self.metric.stages) for true in self.words[item]])
        return records[int(self.metric.values(records).argmax())].tolist()


@text_metrics.register("meteor_exact")
@dataclass(frozen=True)
class MeteorExact(Meteor):
    """METEOR with equal words alone.

    Example:
        >>> counter = MeteorExact().prepare([["the dog is running on grass", "a dog runs"]])
        >>> round(MeteorExact().value(counter.records(["a dog runs on grass"])), 4)
        0.4774
    """

    name: str = field(default="METEOR (exact)", init=False)
    stages = 1


@text_metrics.register("meteor_stem")
@dataclass(frozen=True)
class MeteorStem(Meteor):
    """METEOR with equal words and equal Porter2 stems; needs the package snowballstemmer.

    Example:
        >>> counter = MeteorStem().prepare([["police killed the gunman"]])
        >>> round(MeteorStem().value(counter.records(["police kill the gunman"])), 4)
        0.88
    """

    name: str = field(default="METEOR (exact and stem)", init=False)
    stages = 2


def _statistics(given: Words, true: Words, stages: int) -> list[float]:
    """Return the record of an answer and one reference."""
    matches, chunks = align(given[0], true[0], (given[1], true[1]) if stages > 1 else None)
    counts = [[0.0] * 4 for _ in range(stages)]
    for place, match in enumerate(matches):
        if match is not None:
            own = counts[match.stage]
            own[0] += 1
            own[1] += 1
            own[2] += given[0][match.word] in FUNCTION_WORDS
            own[3] += true[0][place] in FUNCTION_WORDS
    lengths = [float(len(given[0])), float(len(true[0]))]
    functions = [float(sum(word in FUNCTION_WORDS for word in text[0])) for text in (given, true)]
    matched = sum(own[0] for own in counts)
    whole = chunks == 1 and matched == lengths[0] == lengths[1]
    return [
        *lengths,
        *functions,
        *(count for own in counts for count in own),
        0.0 if whole else float(chunks),
    ]


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return ``part / whole``, and 0 where ``whole`` is 0."""
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=whole > 0)


@cache
def _stem() -> Callable[[str], str]:
    try:
        import snowballstemmer
    except ImportError:
        raise MissingExtraError("snowballstemmer", "text", "The metric meteor_stem") from None
    stemmer: Any = snowballstemmer.stemmer("english")
    return cache(stemmer.stemWord)
