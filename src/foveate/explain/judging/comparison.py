"""Whether a map beats a baseline: paired over pictures, corrected for all comparisons, in words.

Paper   Holm. Scandinavian Journal of Statistics 1979: comparisons are taken from the clearest to the least
        clear, each at the level that the number of those left asks for, until one does not hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64

from foveate.explain.judging.intervals import resample
from foveate.explain.judging.metric import Better
from foveate.explain.judging.paired_rate import exact_paired

Answer = Literal["yes", "no", "not decided"]


@dataclass(frozen=True)
class Pair:
    """What is compared.

    Args:
        metric: By which scores.
        map: The map that is to be better.
        than: What it is compared with.
        words: What that is called in a sentence.
        first: Scores of the map (B,), NaN where there are none.
        second: Scores of the other.
        better: Which scores are better.
        groups: The class of each picture, for the bootstrap.
        hits: Whether a picture is a hit or a miss.
    """

    metric: str
    map: str
    than: str
    words: str
    first: Float64[np.ndarray, " b"]
    second: Float64[np.ndarray, " b"]
    better: Better
    groups: Int64[np.ndarray, " b"] | None = None
    hits: bool = False


@dataclass(frozen=True)
class Comparison:
    """Whether a map is better than something else.

    Args:
        metric: By which scores.
        map: The map.
        than: What it is compared with.
        words: What that is called in a sentence.
        mean: By how much it is better on average; negative if it is worse.
        low: Lower end of the interval.
        high: Upper end.
        level: Confidence of this interval alone; with those of all comparisons it keeps 0.95 in all.
        pictures: On how many pictures both have a score.
        exact: Whether the interval is the exact one for hits and misses, or that of the bootstrap.
    """

    metric: str
    map: str
    than: str
    words: str
    mean: float
    low: float
    high: float
    level: float
    pictures: int
    exact: bool

    @property
    def answer(self) -> Answer:
        """Whether the map is better; "no" if it is shown to be worse."""
        return "yes" if self.low > 0 else "no" if self.high < 0 else "not decided"

    def __str__(self) -> str:
        """Return the sentence."""
        if self.pictures < 2:
            pictures = "1 picture" if self.pictures == 1 else f"{self.pictures} pictures"
            return f"better than {self.words}: not decided, with {pictures}"
        if self.answer == "not decided":
            return f"better than {self.words}: not decided, {_signed(self.low)} to {_signed(self.high)}"
        low, high = (self.low, self.high) if self.answer == "yes" else (-self.high, -self.low)
        verb = "yes, by" if self.answer == "yes" else "no, worse by"
        return f"better than {self.words}: {verb} {_number(low)} to {_number(high)}"


def compare(pairs: Sequence[Pair], *, level: float = 0.95, seed: int = 0) -> list[Comparison]:
    """Return all comparisons of a family, in their order, corrected for their number.

    Args:
        pairs: Of one metric.
        level: Confidence that all intervals hold, in (0, 1).
        seed: Decides what the bootstrap draws.
    """
    drawn = [_Gain(pair, seed) for pair in pairs]
    clearest = sorted(range(len(pairs)), key=lambda i: -drawn[i].clarity)
    levels, left, holding = [0.0] * len(pairs), len(pairs), True
    for i in clearest:
        levels[i] = 1 - (1 - level) / left
        low, high = drawn[i].interval(levels[i])
        holding = holding and (low > 0 or high < 0)
        left -= holding
    return [gain.compared(own) for gain, own in zip(drawn, levels, strict=True)]


class _Gain:
    """By how much the first is better on each picture on which both have a score."""

    def __init__(self, pair: Pair, seed: int) -> None:
        self.pair = pair
        both = np.isfinite(pair.first) & np.isfinite(pair.second)
        sign = -1.0 if pair.better == "lower" else 1.0
        self.first, self.second = pair.first[both] * sign, pair.second[both] * sign
        self.count, self.difference = int(both.sum()), self.first - self.second
        # 0 and 1 alone: an average of several draws is no longer a hit or a miss
        self.exact = pair.hits and all(np.isin(np.abs(x), (0, 1)).all() for x in (self.first, self.second))
        groups = None if pair.groups is None else pair.groups[both]
        self.drawn = None if self.exact else resample(self.difference, groups, seed=seed)
        self.known: dict[float, tuple[float, float]] = {}

    @property
    def clarity(self) -> float:
        """The mean difference over its standard error."""
        if self.count < 2:
            return 0.0
        error = float(self.difference.std(ddof=1)) / self.count**0.5
        mean = abs(float(self.difference.mean()))
        return mean / error if error > 0 else (np.inf if mean > 0 else 0.0)

    def interval(self, level: float) -> tuple[float, float]:
        """Return the ends of the interval of the mean difference."""
        if level not in self.known:
            if self.drawn is not None:
                self.known[level] = self.drawn.interval(level)
            else:
                wins, losses = int((self.difference > 0).sum()), int((self.difference < 0).sum())
                self.known[level] = exact_paired(wins, losses, self.count, level)
        return self.known[level]

    def compared(self, level: float) -> Comparison:
        """Return the comparison at the level that it was given."""
        low, high = self.interval(level)
        mean = float(self.difference.mean()) if self.count else float("nan")
        p = self.pair
        return Comparison(p.metric, p.map, p.than, p.words, mean, low, high, level, self.count, self.exact)


def _number(value: float) -> str:
    """Return a number with two digits after the point, more where that says too little."""
    return f"{value:.2f}" if abs(value) >= 0.095 or value == 0 else f"{value:.2g}"


def _signed(value: float) -> str:
    return _number(value).replace("-", "−")
