"""A sentence that a model might have meant, with its score."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Hypothesis:
    """Words found by search.

    Args:
        words: Numbers of the words, without the one that ends the sentence.
        log_probability: Of these words, natural logarithm, the ending included; at most 0.
        score: What hypotheses are ranked by: ``log_probability`` over the length penalty, plus the coverage
            penalty.
        weights: What was read for each word and for the ending, (T, N), if the search was asked to keep it.
        finished: Whether the model ended the sentence; False if it was cut at the greatest length.
    """

    words: tuple[int, ...]
    log_probability: float
    score: float
    weights: Float[Tensor, "t n"] | None = None
    finished: bool = True
