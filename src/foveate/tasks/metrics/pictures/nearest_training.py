"""Whether a generator repeats its training pictures: how near they are to what it draws.

Formula median distance of a drawn picture to the nearest training picture over that of a new real picture
Rules   in the features of the net, Euclidean. A generator that copies has 0; one whose pictures are as far
        from the training set as new real ones are has 1. Well below 1 is a reason to look at the pairs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from jaxtyping import Float64
from scipy.spatial import cKDTree

from foveate.tasks.metrics.pictures.picture_metric import Drawn, Features, PictureMetric, picture_metrics


def nearest(points: Features, others: Features) -> Float64[np.ndarray, " n"]:
    """Return the distance of each point to the nearest of the others.

    Example:
        >>> nearest(np.array([[0.0], [5.0]]), np.array([[1.0], [7.0]])).tolist()
        [1.0, 2.0]
    """
    found: Float64[np.ndarray, " n"] = cKDTree(others).query(points)[0]
    return found


@picture_metrics.register("nearest_training")
@dataclass(frozen=True)
class NearestTraining(PictureMetric):
    """Distance to the training pictures as a share of that of new real pictures; 0 is a copy."""

    name: str = field(default="distance to training pictures, of new ones'", init=False)
    higher_is_better: bool = field(default=True, init=False)
    margin: float = field(default=0.05, init=False)

    judges: ClassVar[bool] = False
    """More is not better: noise is far from every picture."""

    def value(self, kept: Drawn) -> float:
        """Return the share of the medians; nan if new pictures are copies themselves."""
        usual = float(np.median(kept.near_real))
        return float(np.median(kept.near)) / usual if usual else float("nan")
