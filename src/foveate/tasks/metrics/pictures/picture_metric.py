"""What a metric of drawn pictures is: it follows from what a net sees in real and drawn pictures.

Shapes  features float64 (N, D) of pictures; a distance or a share over all N, not a mean of one number each.
Rules   every drawn picture answers the condition of one real test picture, so that the records of two models
        are paired item by item. Class and pose accuracy are means over items. All others are statistics of
        the whole set: a study leaves out one of ``groups`` groups of items in turn (pseudo-values); nothing
        said about a single picture would mean anything.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from foveate.errors import ShapeError
from foveate.registry import Registry
from foveate.spelling import build, written
from foveate.tasks.metric import Metric

Features = Float64[np.ndarray, "_ d"]
GROUPS = 20


@dataclass(frozen=True)
class Drawn:
    """What is kept of N test items: of the real picture, and of the one drawn for its condition.

    Args:
        real: Features of the real pictures (N, D).
        drawn: Features of the drawn ones (N, D).
        right: Whether the net sees the class that was asked for in the drawn one (N,); nan without classes.
        right_real: The same of the real one (N,).
        near: Distance of the drawn one to the nearest training picture, in features (N,).
        near_real: The same of the real one (N,).
        apart: How far the pose that the net sees in the drawn one is from what was asked for (N, P).
        apart_real: The same of the real one (N, P).
    """

    real: Features
    drawn: Features
    right: Float64[np.ndarray, " n"]
    right_real: Float64[np.ndarray, " n"]
    near: Float64[np.ndarray, " n"]
    near_real: Float64[np.ndarray, " n"]
    apart: Float64[np.ndarray, "n p"]
    apart_real: Float64[np.ndarray, "n p"]

    def packed(self) -> Float64[np.ndarray, "n r"]:
        """Return all of it as one row an item."""
        single = [self.right, self.right_real, self.near, self.near_real]
        columns = [self.real, self.drawn, *(part[:, None] for part in single), self.apart, self.apart_real]
        return np.concatenate(columns, axis=1)

    @classmethod
    def unpacked(cls, records: Float64[np.ndarray, "n r"], pose: int) -> Drawn:
        """Return what ``packed`` joined.

        Args:
            records: One row an item.
            pose: P, how many numbers a pose has.
        """
        width = (records.shape[1] - 4 - 2 * pose) // 2
        real, drawn, rest = np.split(np.asarray(records), [width, 2 * width], axis=1)
        right, right_real, near, near_real = rest[:, :4].T
        apart, apart_real = rest[:, 4 : 4 + pose], rest[:, 4 + pose :]
        return cls(real, drawn, right, right_real, near, near_real, apart, apart_real)


@dataclass(frozen=True)
class PictureMetric(Metric):
    """A metric of drawn pictures."""

    name: str = field(default="", init=False)
    unit: str = field(default="", init=False)
    scale: float = field(default=1.0, init=False)
    higher_is_better: bool = field(default=False, init=False)
    averages: bool = field(default=False, init=False)
    bounds: tuple[float, float] | None = field(default=None, init=False)
    margin: float = field(default=1.0, init=False)
    groups: int | None = field(default=GROUPS, init=False)

    @abstractmethod
    def value(self, kept: Drawn) -> float:
        """Return the metric over these items; nan if it is undefined."""

    def of_features(self, drawn: Features, real: Features) -> float:
        """Return the metric of drawn and real pictures whose numbers may differ, from their features.

        Raises:
            ShapeError: It does not follow from features alone.
        """
        raise ShapeError(f"score: {self.name} does not follow from features alone, which is what came.")

    def __str__(self) -> str:
        """Return the name in the registry and every option that is not the default."""
        return written(picture_metrics, self)


picture_metrics: Registry[type[PictureMetric]] = Registry("metric of pictures")


def parse_picture_metric(text: str | PictureMetric) -> PictureMetric:
    """Read a metric: ``kid``, ``precision(neighbours=5)``.

    Raises:
        SpecError: The text is not a name with options.
        UnknownNameError: No metric has such a name.
        OptionError: It does not have such an option, or the option cannot have such a value.
    """
    return text if isinstance(text, PictureMetric) else build(picture_metrics, text)


def expect_features(real: Features, drawn: Features, least: int = 2) -> None:
    """Raise unless both are features of one net, of enough pictures.

    Raises:
        ShapeError: They are not.
    """
    fine = real.ndim == drawn.ndim == 2 and real.shape[1] == drawn.shape[1] and real.shape[1] > 0
    if not fine or min(len(real), len(drawn)) < least:
        raise ShapeError(
            f"got features of shape {real.shape} and {drawn.shape}, expected (N, D) and (M, D) of one net, "
            f"of at least {least} pictures each."
        )


def named_after(metric: PictureMetric, net: str) -> PictureMetric:
    """Return the metric with the net in its name, which every figure then shows."""
    found = copy.copy(metric)
    object.__setattr__(found, "name", f"{metric.name} ({net})")
    return found
