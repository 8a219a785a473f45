"""KID: the kernel distance of two sets of pictures in the features of a net.

Formula mean of k(x_i, x_j) over i != j, plus the same of y, minus 2 mean of k(x_i, y_j); k = (x.y/D + 1)^3
Paper   Binkowski, Sutherland, Arbel, Gretton. Demystifying MMD GANs. ICLR 2018. arXiv:1801.01401.
Rules   unbiased, so that it may fall below 0. A study takes all items at once; ``kid`` takes random subsets,
        as usual for many pictures.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from foveate.tasks.metrics.pictures.picture_metric import (
    Drawn,
    Features,
    PictureMetric,
    expect_features,
    picture_metrics,
)


def mmd2(real: Features, drawn: Features) -> float:
    """Return the unbiased squared distance of two sets of equally many features.

    Raises:
        ShapeError: They do not belong together.

    Example:
        >>> points = np.array([[0.0], [1.0], [2.0]])
        >>> mmd2(points, points[::-1]) <= 0
        True
    """
    expect_features(real, drawn)
    if len(real) != len(drawn):
        fewer = min(len(real), len(drawn))
        real, drawn = real[:fewer], drawn[:fewer]
    total = _mean_of_others(_kernel(real, real)) + _mean_of_others(_kernel(drawn, drawn))
    return float(total - 2 * _kernel(real, drawn).mean())


def kid(
    real: Features, drawn: Features, *, subsets: int = 100, size: int = 1000, seed: int = 2020
) -> tuple[float, float]:
    """Return mean and standard deviation of the distance over random subsets.

    Args:
        real: Features of real pictures.
        drawn: Features of drawn ones.
        subsets: How many.
        size: Pictures in each, without replacement; all of them if there are fewer.
        seed: Decides which. Drawn pictures are chosen first, as torch-fidelity has it.

    Raises:
        ShapeError: The features do not belong together.
    """
    expect_features(real, drawn)
    size = min(size, len(real), len(drawn))
    random = np.random.RandomState(seed)
    found = []
    for _ in range(subsets):
        some = drawn[random.choice(len(drawn), size, replace=False)]
        found.append(mmd2(real[random.choice(len(real), size, replace=False)], some))
    return float(np.mean(found)), float(np.std(found))


@picture_metrics.register("kid")
@dataclass(frozen=True)
class KID(PictureMetric):
    """Kernel distance of drawn and real pictures, times 1000; lower is better."""

    name: str = field(default="KID x 1000", init=False)
    scale: float = field(default=1000.0, init=False)

    def value(self, kept: Drawn) -> float:
        """Return the unbiased distance over all items."""
        return self.of_features(kept.drawn, kept.real)

    def of_features(self, drawn: Features, real: Features) -> float:
        """Return the unbiased distance; of the first so many, if there are more of one kind."""
        return mmd2(real, drawn)


def _kernel(x: Features, y: Features) -> Float64[np.ndarray, "n m"]:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _mean_of_others(kernel: Float64[np.ndarray, "n n"]) -> float:
    count = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))
