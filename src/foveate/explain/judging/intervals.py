"""Intervals over pictures: of a mean and of a mean difference, by the bootstrap.

Paper   Hesterberg. What Teachers Should Know About the Bootstrap. The American Statistician 2015, sec. 4.3
        and 5: percentile intervals at a level that is widened for small samples, so that their ends match
        Student's t where values are normal.
Differs from the paper: pictures are drawn within their class, where classes are known and have two pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float64, Int64
from scipy.stats import norm, t

DRAWS = 10_000
_KEPT = 2**23  # numbers that are kept between comparisons
_AT_ONCE = 2**20  # and that are made at once


@dataclass(frozen=True)
class Resampled:
    """The means of many bootstrap samples.

    Args:
        mean: Of the sample itself.
        means: Of the bootstrap samples, sorted.
        count: Pictures.
    """

    mean: float
    means: Float64[np.ndarray, " draws"]
    count: int

    def interval(self, level: float) -> tuple[float, float]:
        """Return the ends of the interval at this level, in (0, 1); NaN with fewer than two pictures."""
        if self.count < 2:
            return float("nan"), float("nan")
        n = self.count
        wide = np.sqrt(n / (n - 1)) * t.ppf((1 + level) / 2, n - 1)
        low, high = np.quantile(self.means, [norm.cdf(-wide), norm.cdf(wide)])
        return float(low), float(high)


def resample(
    values: Float64[np.ndarray, " b"], groups: Int64[np.ndarray, " b"] | None = None, *, seed: int = 0
) -> Resampled:
    """Return the bootstrap of a mean over pictures.

    Args:
        values: One number a picture, without NaN.
        groups: The class of each picture; None for one class.
        seed: Decides what is drawn.
    """
    count = len(values)
    if not count:
        return Resampled(float("nan"), np.full(1, np.nan), 0)
    labels = None if groups is None else tuple(groups.tolist())
    if count * DRAWS <= _KEPT:
        means = _often(count, labels, seed) @ values
    else:
        means = np.concatenate([part @ values for part in _samples(count, labels, seed)])
    return Resampled(float(values.mean()), np.sort(means / count), count)


@lru_cache(maxsize=1)
def _often(count: int, groups: tuple[int, ...] | None, seed: int) -> Float64[np.ndarray, "draws b"]:
    """Return how often each picture is in each bootstrap sample: the same for all that is compared."""
    return np.concatenate([*_samples(count, groups, seed)])


def _samples(
    count: int, groups: tuple[int, ...] | None, seed: int
) -> Iterator[Float64[np.ndarray, "some b"]]:
    """Yield how often each picture is in bootstrap samples, some samples at a time."""
    generator = np.random.default_rng(seed)
    strata, step = _strata(None if groups is None else np.array(groups), count), max(1, _AT_ONCE // count)
    for first in range(0, DRAWS, step):
        some = min(step, DRAWS - first)
        often = np.zeros((some, count))
        for stratum in strata:
            drawn = stratum[generator.integers(0, len(stratum), size=(some, len(stratum)))]
            cells = np.arange(some)[:, None] * count + drawn
            often += np.bincount(cells.ravel(), minlength=often.size).reshape(often.shape)
        yield often


def _strata(groups: Int64[np.ndarray, " b"] | None, count: int) -> Sequence[np.ndarray]:
    """Return the pictures of each class; those of classes with one picture are one stratum."""
    if groups is None:
        return [np.arange(count)]
    _, own, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    alone = sizes[own] < 2
    strata = [np.flatnonzero(own == one) for one in np.flatnonzero(sizes >= 2)]
    return [*strata, np.flatnonzero(alone)] if alone.any() else strata
