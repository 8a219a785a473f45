"""What data for generation is: splits of pictures, with class, pose and caption of each, if any."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float64

from foveate.data.base import ImageData
from foveate.data.folds import Folds, Rows, cut_folds
from foveate.data.image_folds import groups_of, regrouped
from foveate.data.label_sets import strata
from foveate.errors import DataError

Poses = Float64[np.ndarray, "n p"]


@dataclass(frozen=True)
class PoseColumn:
    """One of the numbers that say how what is in a picture lies.

    Args:
        name: As its column is called.
        angle: Whether it is an angle in degrees, so that 360 is 0 again.
        low: The least value in training.
        high: The greatest value in training.
    """

    name: str
    angle: bool
    low: float
    high: float

    @property
    def width(self) -> int:
        """Numbers that a model gets: sine and cosine of an angle, or one number."""
        return 2 if self.angle else 1

    def encoded(self, values: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, "n w"]:
        """Return values as a model gets them: sine and cosine, or scaled from -1 at low to 1 at high."""
        if self.angle:
            radians = np.deg2rad(values)
            return np.stack([np.sin(radians), np.cos(radians)], axis=1)
        return (2 * (values - self.low) / (self.high - self.low) - 1)[:, None]

    def decoded(self, numbers: Float64[np.ndarray, "n w"]) -> Float64[np.ndarray, " n"]:
        """Return the values that numbers of a model stand for."""
        if self.angle:
            return np.rad2deg(np.arctan2(numbers[:, 0], numbers[:, 1]))
        return (numbers[:, 0] + 1) / 2 * (self.high - self.low) + self.low

    def apart(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return how far values lie apart, in their own unit; angles by the shorter way."""
        difference = np.abs(one - other)
        return np.minimum(difference % 360, -difference % 360) if self.angle else difference


@dataclass(frozen=True, eq=False)
class PosedImages:
    """Pictures in splits, with the pose of each.

    Args:
        images: The pictures; their targets are classes, all 0 if there are none.
        classes: Names of the classes; empty if pictures have none, or all the same.
        columns: What a pose consists of; empty if pictures have none.
        poses: By split, one row a picture (N, P), in the columns' own units.
        origin: How to open it again, JSON-able.
        captions: By split, one text a picture; empty if pictures have none.

    Raises:
        DataError: Pictures have masks or several labels.
    """

    images: ImageData
    classes: tuple[str, ...]
    columns: tuple[PoseColumn, ...]
    poses: Mapping[str, Poses]
    origin: Mapping[str, object]
    captions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.images.truth != "label":
            have = {"mask": "masks", "labels": "several labels a picture"}[self.images.truth]
            raise DataError(
                f"{self.name} has {have}, but generation needs pictures alone, or with one class each. Give "
                f"a folder of class folders or of pictures, or write --task {self.images.task}."
            )

    @property
    def name(self) -> str:
        """What a report calls it."""
        return self.images.name

    @property
    def task(self) -> str:
        """Return the task that was asked for when it was opened."""
        return "generation"

    @property
    def items(self) -> dict[str, int]:
        """Return how many pictures each split has."""
        return self.images.items

    @cached_property
    def fingerprint(self) -> str:
        """Return a hash of pictures, classes and poses."""
        total = hashlib.sha256(f"posed {self.images.fingerprint} {self.columns}".encode())
        for name in sorted(self.poses):
            total.update(name.encode() + np.ascontiguousarray(self.poses[name]).tobytes())
        for name in sorted(self.captions):
            total.update("\n".join((name, *self.captions[name])).encode())
        return total.hexdigest()

    def folds(self, count: int) -> Folds:
        """Return the data in folds: stratified by class, groups kept together.

        Raises:
            DataError: There are fewer pictures or groups than folds.
        """
        targets = np.concatenate([self.images.splits[name].targets for name in ("train", "test")])
        return cut_folds(self, count, self._regrouped, strata=strata(targets), groups=groups_of(self.images))

    def _regrouped(self, rows: Rows) -> PosedImages:
        pool = np.concatenate([self.poses["train"], self.poses["test"]])
        moved = {name: pool[some] for name, some in rows.items()}
        found = replace(self, images=regrouped(self.images, rows), poses={**self.poses, **moved})
        if not self.captions:
            return found
        texts = np.array([*self.captions["train"], *self.captions["test"]], dtype=object)
        spoken = {name: tuple(texts[some].tolist()) for name, some in rows.items()}
        return replace(found, captions={**self.captions, **spoken})

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {count:,}" for name, count in self.items.items())
        pose = f"; pose {', '.join(column.name for column in self.columns)}" if self.columns else ""
        captions = "; captions" if self.captions else ""
        return f"PosedImages({self.name}: {len(self.classes)} classes{pose}{captions}; {sizes})"
