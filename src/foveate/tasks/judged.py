"""What a task says about a model's answers: records to score, answers to look at, predictions to print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

Answers = Sequence[Any] | np.ndarray
"""One answer per item: an array (N, ...), or a list of arrays, texts or plain data."""


@dataclass(frozen=True)
class Judged:
    """What is kept of a batch on which a model was judged.

    Args:
        records: (B, ...), from which the metric of any set of items follows.
        answers: One per item, to look at.
        loss: Mean loss of the batch, a scalar, if the task has one for judging.
    """

    records: Tensor
    answers: Tensor | Sequence[Any]
    loss: Tensor | None = None


@dataclass(frozen=True, eq=False)
class WordReading:
    """The words of an answer, and what was read for each.

    Args:
        name: Of the input.
        words: Of the answer, with its end.
        weights: (words, entries) what each word read, 0 to 1; empty if the model does not say.
        image: The picture that was read, uint8 (H, W, 3); None for a sentence.
        places: Rows and columns of the picture that the first entries are; one more is a sentinel's.
        read: The words that the entries are, of a sentence.
        hard: Whether each word was read from one place.
    """

    name: str
    words: Sequence[str]
    weights: np.ndarray
    image: np.ndarray | None = None
    places: tuple[int, int] | None = None
    read: Sequence[str] = ()
    hard: bool = False


@dataclass(frozen=True)
class Told:
    """A prediction as a command prints it.

    Args:
        name: Of the input; empty if only the lines are printed.
        lines: What is printed under it.
        plain: The same as JSON holds it.
        failed: Whether the input could not be used; ``lines`` then give the reason.
    """

    name: str
    lines: tuple[str, ...] = ()
    plain: Mapping[str, Any] = field(default_factory=dict)
    failed: bool = False
