"""What image data is, wherever it comes from: named splits of items that can be loaded one by one.

Shapes  an image is uint8 (H, W, 3), RGB, upright; a mask of where to look is bool (H, W).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from foveate.errors import DataError

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """One part of the data.

    Args:
        names: One name per item, unique in the split: a relative path, or a number.
        targets: The class of each item, int64 (N,), in [0, classes).
        load: Item number -> image, uint8 (H, W, 3), full size. Safe to call from several threads.
        groups: What must not be torn apart (a patient, a video), one per item, or None.
        look: Item number -> where the evidence is, bool (H, W), or None if nobody knows.
        files: The file behind each item, or None if there are no files. Decoding may then use them directly.
        many: First item, count -> images of equal size, uint8 (count, H, W, 3): a faster ``load``, or None.

    Raises:
        DataError: names, targets, groups or files differ in number.
    """

    names: tuple[str, ...]
    targets: Int64[np.ndarray, " n"]
    load: Callable[[int], UInt8[np.ndarray, "h w 3"]]
    groups: tuple[str, ...] | None = None
    look: Callable[[int], Bool[np.ndarray, "h w"]] | None = None
    files: tuple[Path, ...] | None = None
    many: Callable[[int, int], UInt8[np.ndarray, "count h w 3"]] | None = None

    def __post_init__(self) -> None:
        for what, column in (("targets", self.targets), ("groups", self.groups), ("files", self.files)):
            if column is not None and len(column) != len(self.names):
                raise DataError(
                    f"a split of {len(self.names)} names came with {len(column)} {what}. Give one for each."
                )

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class ImageData:
    """Labelled images, in splits.

    Args:
        name: What to call it in a report.
        classes: Class names; an item's target is an index into them.
        splits: "train" and "test", and "val" if there is one.
        origin: How to open it again; JSON-able. See ``open.reopen``.
        fingerprint: A hash of the contents: equal data, equal fingerprint.

    Raises:
        DataError: train or test is missing, or a target is no class.
    """

    name: str
    classes: tuple[str, ...]
    splits: Mapping[str, Split]
    origin: Mapping[str, object]
    fingerprint: str

    def __post_init__(self) -> None:
        for needed in ("train", "test"):
            if needed not in self.splits or not len(self.splits[needed]):
                have = ", ".join(f"{name} ({len(split)})" for name, split in self.splits.items()) or "none"
                raise DataError(
                    f"{self.name}: no item in split {needed}; splits: {have}. "
                    "Give train and test (val is optional), or one flat set to be split."
                )
        for name, split in self.splits.items():
            _check_targets(f"{self.name}, split {name}", split, len(self.classes))

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(split)}" for name, split in self.splits.items())
        return f"ImageData({self.name}: {len(self.classes)} classes; {sizes})"


def _check_targets(where: str, split: Split, classes: int) -> None:
    wrong = np.flatnonzero((split.targets < 0) | (split.targets >= classes))
    if len(wrong):
        first = int(wrong[0])
        raise DataError(
            f"{where}: label {int(split.targets[first])} of {split.names[first]} is not in 0..{classes - 1} "
            f"({len(wrong)} such). Correct the labels, or state the right number of classes."
        )
