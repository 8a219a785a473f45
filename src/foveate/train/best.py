"""The weights of the epoch that did best on the validation images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor


class Best:
    """Keeps a copy of the weights whenever the validation score is better than all before.

    Args:
        higher_is_better: Whether more is better.

    Attributes:
        score: The best score so far; None before the first that is a number.
        weights: The weights that had it; empty before that.
    """

    def __init__(self, higher_is_better: bool = True) -> None:
        self.higher_is_better = higher_is_better
        self.score: float | None = None
        self.weights: dict[str, Tensor] = {}

    def offer(self, score: float, weights: Mapping[str, Tensor]) -> None:
        """Take a copy of the weights if their score is the best; the first of equal ones stays.

        Args:
            score: On the validation images; one that is not a number is never the best.
            weights: A model's state.
        """
        if math.isnan(score):
            return
        if self.score is None or (score > self.score if self.higher_is_better else score < self.score):
            self.score = score
            self.weights = {name: value.detach().clone() for name, value in weights.items()}

    def capture(self) -> dict[str, object]:
        """Return what a checkpoint has to hold."""
        return {"score": self.score, "weights": self.weights}

    def restore(self, stored: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.score, self.weights = stored["score"], stored["weights"]
