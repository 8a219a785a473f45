"""Precision and recall of drawn pictures: how many look real, and how many real ones could have been drawn.

Formula precision: share of the drawn pictures that lie within the ball of at least one real picture, which
        reaches to its k-th nearest real one; recall: the same with the roles exchanged
Paper   Kynkaanniemi, Karras, Laine, Lehtinen, Aila. Improved Precision and Recall Metric for Assessing
        Generative Models. NeurIPS 2019. arXiv:1904.06991. k = 3, Euclidean, the border counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64
from scipy.spatial.distance import cdist

from foveate.options import whole
from foveate.tasks.metrics.pictures.picture_metric import (
    Drawn,
    Features,
    PictureMetric,
    expect_features,
    picture_metrics,
)

_ROWS = 1024  # pictures whose distances to all others are in memory at once


def covered(centres: Features, points: Features, neighbours: int = 3) -> float:
    """Return the share of the points that lie within the ball of a centre.

    Args:
        centres: Their balls reach to the k-th nearest other centre.
        points: What is looked for.
        neighbours: k.

    Raises:
        ShapeError: The features do not belong together, or there are too few.

    Example:
        >>> covered(np.array([[0.0], [1.0], [3.0]]), np.array([[2.0], [9.0]]), neighbours=1)
        0.5
    """
    expect_features(centres, points, least=1)
    expect_features(centres, centres, least=neighbours + 1)
    reach = np.concatenate(
        [np.partition(rows, neighbours, axis=1)[:, neighbours] for rows in _distances(centres, centres)]
    )
    inside = [(rows <= reach).any(axis=1) for rows in _distances(points, centres)]
    return float(np.concatenate(inside).mean())


@picture_metrics.register("precision")
@dataclass(frozen=True)
class Precision(PictureMetric):
    """Share of the drawn pictures that lie among the real ones."""

    neighbours: int = 3
    name: str = field(default="precision", init=False)
    unit: str = field(default="points", init=False)
    scale: float = field(default=100.0, init=False)
    higher_is_better: bool = field(default=True, init=False)
    bounds: tuple[float, float] | None = field(default=(0.0, 1.0), init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("neighbours", self.neighbours)

    def value(self, kept: Drawn) -> float:
        """Return the share over all items."""
        return self.of_features(kept.drawn, kept.real)

    def of_features(self, drawn: Features, real: Features) -> float:
        """Return the share of the drawn ones within the balls of the real ones."""
        return covered(real, drawn, self.neighbours)


@picture_metrics.register("recall")
@dataclass(frozen=True)
class Recall(Precision):
    """Share of the real pictures that lie among the drawn ones."""

    name: str = field(default="recall", init=False)

    def of_features(self, drawn: Features, real: Features) -> float:
        """Return the share of the real ones within the balls of the drawn ones."""
        return covered(drawn, real, self.neighbours)


def _distances(points: Features, centres: Features) -> Iterator[Float64[np.ndarray, "r c"]]:
    for first in range(0, len(points), _ROWS):
        yield cdist(points[first : first + _ROWS], centres)
