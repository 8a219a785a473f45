"""What a metric of text is: additive records of answers, and the value of any sum of them.

A metric is prepared once for the references of all items, which gives a counter; the counter leaves one
record for each answer. They add up: the metric over any set of items is ``value_of_total`` of their sum.

Rules   items have one reference or several, in any order; empty texts are allowed, items without a reference
        are not; texts are taken as they are, and nothing but ``tokens=ptb`` changes their case.
Paired  what the references of all items have in common, such as CIDEr's document frequencies, is fixed by
        ``prepare`` and stays the same for every subset and for every model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float64

from foveate.errors import DataError, ShapeError
from foveate.registry import Registry
from foveate.spelling import build, written
from foveate.tasks.metric import Metric

Totals = Float64[np.ndarray, "n r"]
References = tuple[tuple[str, ...], ...]


class TextCounter(ABC):
    """Counts answers against the references that it was prepared for.

    Attributes:
        references: Of each item.
    """

    def __init__(self, references: References) -> None:
        self.references = references

    def records(self, hypotheses: Sequence[str], indices: Sequence[int] | None = None) -> Totals:
        """Return a record of each answer (N, R), float64.

        Args:
            hypotheses: Answers.
            indices: Which item each of them answers; all items in order if None.

        Raises:
            ShapeError: There is not one index for each answer.
            DataError: An answer is not a text, or there is no such item.
        """
        items = range(len(self.references)) if indices is None else indices
        check_texts(hypotheses, "hypotheses")
        if len(items) != len(hypotheses):
            raise ShapeError(
                f"got {len(hypotheses)} hypotheses for {len(items)} items, expected one hypothesis for each."
            )
        for item in items:
            if not 0 <= item < len(self.references):
                raise DataError(
                    f"got the index {item}, expected one from 0 to {len(self.references) - 1}: there are "
                    f"references for {len(self.references)} items."
                )
        found = [self.record(text, int(item)) for text, item in zip(hypotheses, items, strict=True)]
        return np.array(found, dtype=np.float64).reshape(len(found), -1)

    @abstractmethod
    def record(self, hypothesis: str, item: int) -> Sequence[float]:
        """Return the record of one answer, always of the same length."""


@dataclass(frozen=True)
class TextMetric(Metric):
    """A metric of texts against references; printed in points of 100."""

    name: str = field(default="", init=False)
    unit: str = field(default="points", init=False)
    scale: float = field(default=100.0, init=False)
    higher_is_better: bool = field(default=True, init=False)
    averages: bool = field(default=False, init=False)
    bounds: tuple[float, float] | None = field(default=(0.0, 1.0), init=False)
    margin: float = field(default=0.5, init=False)

    @abstractmethod
    def counter(self, references: References) -> TextCounter:
        """Return what counts answers against these references, which were checked."""

    @abstractmethod
    def values(self, totals: Totals) -> Float64[np.ndarray, " n"]:
        """Return the value of each of several sums of records."""

    @property
    @abstractmethod
    def settings(self) -> str:
        """Return how texts are taken apart, as sacreBLEU's signatures say it: ``tok:ptb``."""

    def prepare(self, references: Sequence[Sequence[str] | str]) -> TextCounter:
        """Return a counter for the references of all test items.

        Args:
            references: Of each item one text, or several.

        Raises:
            DataError: There are none, or an item has none, or one is not a text.
        """
        return self.counter(checked_references(references))

    def signature(self, references: Sequence[Sequence[str] | str]) -> str:
        """Return what a report prints beside a value, so that it can be compared with others.

        Example:
            >>> parse_text_metric("bleu_4").signature([["a dog"], ["a cat"]])
            'nrefs:1|tok:ptb'
        """
        numbers = {len(texts) for texts in checked_references(references)}
        return f"nrefs:{numbers.pop() if len(numbers) == 1 else 'var'}|{self.settings}"

    def value_of_total(self, total: Float64[np.ndarray, " r"]) -> float:
        """Return the metric of items whose records sum up to ``total``, as a fraction."""
        return float(self.values(np.asarray(total, dtype=np.float64)[None])[0])

    def value(self, records: Totals) -> float:
        """Return the metric over the items that left these records; nan if there are none."""
        return self.value_of_total(records.sum(axis=0)) if len(records) else float("nan")

    def value_without_each(self, records: Totals) -> Float64[np.ndarray, " n"]:
        """Return the metric over all items but one, for each item in turn; nan for a single item."""
        if len(records) < 2:
            return np.full(len(records), np.nan)
        return self.values(records.sum(axis=0) - records)

    def item_values(self, records: Totals) -> Float64[np.ndarray, " n"]:
        """Return the metric of each item by itself."""
        return self.values(records)

    def __str__(self) -> str:
        """Return the name in the registry and every option that is not the default."""
        return written(text_metrics, self)


text_metrics: Registry[type[TextMetric]] = Registry("metric of text")


def parse_text_metric(text: str | TextMetric) -> TextMetric:
    """Read a metric; ``parse_text_metric(str(metric)) == metric`` for every metric.

    Raises:
        SpecError: The text is not a name with options.
        UnknownNameError: No metric has such a name.
        OptionError: It does not have such an option, or the option cannot have such a value.

    Example:
        >>> str(parse_text_metric("cider_d( tokens = whitespace )"))
        'cider_d(tokens=whitespace)'
    """
    return text if isinstance(text, TextMetric) else build(text_metrics, text)


def score_texts(name: str, hypotheses: Any, references: Any) -> float:
    """Return a metric of texts, as ``fv.score`` does.

    Args:
        name: A metric of text, with its options.
        hypotheses: One text for each item.
        references: Of each item one text, or several.

    Raises:
        ShapeError: There is not one entry of references for each hypothesis.
        DataError: There are no texts, an entry is not a text, or an item has no reference.
    """
    metric = parse_text_metric(name)
    check_texts(hypotheses, "hypotheses")
    counter = metric.prepare(references)
    if len(hypotheses) != len(counter.references):
        raise ShapeError(
            f"score: got {len(hypotheses)} hypotheses and references for {len(counter.references)} items, "
            "expected one hypothesis for each item. Several references of an item are a list of their own."
        )
    return metric.value(counter.records(hypotheses))


def checked_references(references: Sequence[Sequence[str] | str]) -> References:
    """Return the references of each item, as tuples.

    Raises:
        DataError: There are none, or an item has none, or one is not a text.
    """
    if isinstance(references, str) or not isinstance(references, Sequence | np.ndarray):
        kind = "a single text" if isinstance(references, str) else type(references).__name__
        raise DataError(f"references: got {kind}, expected a list with one entry for each item.")
    found = []
    for number, texts in enumerate(references):
        own = (texts,) if isinstance(texts, str) else texts
        if not isinstance(own, Sequence | np.ndarray) or not len(own):
            what = "nothing" if isinstance(own, Sequence | np.ndarray) else f"{type(own).__name__} {own!r}"
            raise DataError(f"references of item {number}: got {what}, expected a text, or a list of texts.")
        check_texts(own, f"references of item {number}")
        found.append(tuple(map(str, own)))
    if not found:
        raise DataError("references: got none, expected those of at least one item.")
    return tuple(found)


def check_texts(texts: Sequence[str], what: str) -> None:
    """Raise unless these are texts.

    Raises:
        DataError: One is not; the message names it.
    """
    if isinstance(texts, str) or not isinstance(texts, Sequence | np.ndarray):
        kind = "a single text" if isinstance(texts, str) else type(texts).__name__
        raise DataError(f"{what}: got {kind}, expected a list of texts, one for each item.")
    if not len(texts):
        raise DataError(f"{what}: got an empty list, expected at least one text.")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(
                f"{what}: entry {number} is {text!r} ({type(text).__name__}), expected a text. Join words "
                "with spaces, and write an empty answer as ''."
            )
