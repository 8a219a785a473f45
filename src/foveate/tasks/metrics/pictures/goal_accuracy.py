"""Whether a drawn picture is what was asked for, as a net sees it that has never met the generator.

Rules   a class is right if the net finds it most probable; a pose if every number of it is within
        ``within`` of what was asked for: degrees of an angle, else hundredths of the range in training. Means
        over items: each picture has a score of its own, and studies pair them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from foveate.options import positive
from foveate.tasks.metrics.pictures.picture_metric import Drawn, PictureMetric, picture_metrics


@dataclass(frozen=True)
class _Share(PictureMetric):
    unit: str = field(default="points", init=False)
    scale: float = field(default=100.0, init=False)
    higher_is_better: bool = field(default=True, init=False)
    averages: bool = field(default=True, init=False)
    bounds: tuple[float, float] | None = field(default=(0.0, 1.0), init=False)
    margin: float = field(default=0.5, init=False)
    groups: int | None = field(default=None, init=False)


@picture_metrics.register("class_accuracy")
@dataclass(frozen=True)
class ClassAccuracy(_Share):
    """Share of the drawn pictures in which the net sees the class that was asked for."""

    name: str = field(default="class accuracy", init=False)

    def value(self, kept: Drawn) -> float:
        """Return the share."""
        return float(kept.right.mean())

    def of_real(self, kept: Drawn) -> float:
        """Return the share of the real pictures in which the net sees their class: the most there can be."""
        return float(kept.right_real.mean())


@picture_metrics.register("pose_accuracy")
@dataclass(frozen=True)
class PoseAccuracy(_Share):
    """Share of the drawn pictures whose pose is near what was asked for.

    Args:
        within: Degrees of an angle; of other numbers this many hundredths of their range.
    """

    within: float = 15.0
    name: str = field(default="pose accuracy", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("within", self.within)

    def value(self, kept: Drawn) -> float:
        """Return the share; nan without a pose."""
        return self._share(kept.apart)

    def of_real(self, kept: Drawn) -> float:
        """Return the share of the real pictures whose pose the net sees: the most there can be."""
        return self._share(kept.apart_real)

    def _share(self, apart: Float64[np.ndarray, "n p"]) -> float:
        return float((apart <= self.within).all(axis=1).mean()) if apart.shape[1] else float("nan")
