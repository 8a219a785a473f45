"""What data for detection is: splits of pictures, with the boxes of each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from foveate.data.base import ImageData
from foveate.data.boxes.boxes import Boxes
from foveate.data.checks.finding import Finding
from foveate.data.folds import Folds, Rows, cut_folds
from foveate.data.image_folds import groups_of, regrouped
from foveate.data.label_sets import strata
from foveate.errors import DataError


@dataclass(frozen=True, eq=False)
class BoxData:
    """Pictures in splits, with the boxes of each.

    Args:
        images: The pictures; their classes are those of the boxes, their targets say nothing.
        boxes: By split, those of each picture.
        categories: The number that the annotations give each class: ids of COCO, which may have gaps.
        findings: What was odd about boxes when they were read.

    Raises:
        DataError: A split has another number of pictures than of boxes, or no training picture has a box to
            learn.
    """

    images: ImageData
    boxes: Mapping[str, tuple[Boxes, ...]]
    categories: tuple[int, ...]
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        for name, count in self.images.items.items():
            if len(self.boxes[name]) != count:
                raise DataError(
                    f"{self.name}, split {name}: boxes of {len(self.boxes[name])} pictures for {count} "
                    "pictures. Give boxes for each, none for a picture without objects."
                )
        if not any((~one.crowd).any() for one in self.boxes["train"]):
            raise DataError(
                f"{self.name}: no training picture has a box, so there is nothing to learn. Give annotations "
                "with boxes."
            )

    @property
    def name(self) -> str:
        """What a report calls it."""
        return self.images.name

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.images.classes

    @property
    def origin(self) -> Mapping[str, object]:
        """How to open it again."""
        return self.images.origin

    @property
    def task(self) -> str:
        """Return the task that such data is for."""
        return "detection"

    @property
    def items(self) -> dict[str, int]:
        """Return how many pictures each split has."""
        return self.images.items

    @cached_property
    def fingerprint(self) -> str:
        """Return a hash of pictures, classes and boxes."""
        total = hashlib.sha256(f"boxes {self.images.fingerprint} {self.categories}".encode())
        for name in sorted(self.boxes):
            total.update(f"\n{name} {' '.join(one.digest for one in self.boxes[name])}".encode())
        return total.hexdigest()

    def folds(self, count: int) -> Folds:
        """Return the data in folds: stratified by the rarest class in a picture, groups kept together.

        Raises:
            DataError: There are fewer pictures or groups than folds.
        """
        pool = (*self.boxes["train"], *self.boxes["test"])
        kinds = strata(present(pool, len(self.classes)))
        return cut_folds(self, count, self._regrouped, strata=kinds, groups=groups_of(self.images))

    def _regrouped(self, rows: Rows) -> BoxData:
        pool = (*self.boxes["train"], *self.boxes["test"])
        moved = {name: tuple(pool[row] for row in some) for name, some in rows.items()}
        return replace(self, images=regrouped(self.images, rows), boxes={**self.boxes, **moved})

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {count:,}" for name, count in self.items.items())
        return f"BoxData({self.name}: {len(self.classes)} classes; {sizes})"


def present(boxes: tuple[Boxes, ...], classes: int) -> np.ndarray:
    """Return 1 where a picture has a box of a class, else 0, int64 (N, K)."""
    found = np.zeros((len(boxes), classes), dtype=np.int64)
    for row, one in zip(found, boxes, strict=True):
        row[one.labels] = 1
    return found
