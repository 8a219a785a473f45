"""What image data is, wherever it comes from: named splits of items that can be loaded one by one.

The truth is one class per item (a label), any number of classes per item (labels), or one class per pixel
(masks).

Shapes  an image is uint8 (H, W, 3), RGB, upright; its mask is uint8 (H, W), each pixel a class number or
        ``IGNORE``; a mask of where to look is bool (H, W).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from foveate.data.class_numbers import IGNORE, MOST_CLASSES
from foveate.data.images.levels import Levels
from foveate.data.images.open_image import USUAL, Reading
from foveate.data.large.large_picture import LargePicture
from foveate.data.palette import default_palette
from foveate.errors import DataError

SPLITS = ("train", "val", "test")
Truth = Literal["label", "labels", "mask"]


@dataclass(frozen=True)
class Split:
    """One part of the data.

    Args:
        names: One name per item, unique in the split: a relative path, or a number.
        targets: The class of each item, int64 (N,), in [0, classes); or int64 (N, classes), 1 for each class
            that holds, else 0; all 0 (N,) where masks are the truth.
        load: Item number -> image, uint8 (H, W, 3), full size. Safe to call from several threads.
        groups: What must not be torn apart (a patient, a video), one per item, or None.
        look: Item number -> where the evidence is, bool (H, W), or None if nobody knows.
        files: The file behind each item, or None if there are no files. Decoding may then use them directly.
        many: First item, count -> images of equal size, uint8 (count, H, W, 3): a faster ``load``, or None.
        masks: Item number -> the class of each pixel, uint8 (H, W), as large as the image, ``IGNORE`` where
            nobody says; or None if labels are the truth. Safe to call from several threads; raises
            ``DataError`` where a mask cannot be used.
        mask_files: The file behind each mask, or None if there are no such files.
        how: How the files become eight bits, the same for all files of the data.
        pictures: Item number -> the image as a picture that is read in parts, or None if images are loaded
            whole.
        boxes: Item number -> boxes of what decides its label, int64 (n, 4): top, left, bottom, right in
            pixels, the last two exclusive; or None if nobody knows.

    Raises:
        DataError: names, targets, groups or files differ in number.
    """

    names: tuple[str, ...]
    targets: Int64[np.ndarray, "n ..."]
    load: Callable[[int], UInt8[np.ndarray, "h w 3"]]
    groups: tuple[str, ...] | None = None
    look: Callable[[int], Bool[np.ndarray, "h w"]] | None = None
    files: tuple[Path, ...] | None = None
    many: Callable[[int, int], UInt8[np.ndarray, "count h w 3"]] | None = None
    masks: Callable[[int], UInt8[np.ndarray, "h w"]] | None = None
    mask_files: tuple[Path, ...] | None = None
    how: Reading = USUAL
    pictures: Callable[[int], LargePicture] | None = None
    boxes: Callable[[int], Int64[np.ndarray, "n 4"]] | None = None

    def __post_init__(self) -> None:
        for what in ("targets", "groups", "files", "mask_files"):
            column = getattr(self, what)
            if column is not None and len(column) != len(self.names):
                raise DataError(
                    f"a split of {len(self.names)} names came with {len(column)} {what}. Give one for each."
                )

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class ImageData:
    """Images with their truth, in splits.

    Args:
        name: What to call it in a report.
        classes: Class names; an item's target, or a mask's pixel, is an index into them.
        splits: "train" and "test", and "val" if there is one.
        origin: How to open it again; JSON-able. See ``open.reopen``.
        fingerprint: A hash of the contents: equal data, equal fingerprint.
        palette: A colour for each class, uint8 (K, 3), RGB, if the data comes with them.
        pooled: Where the items of train and test come from, if they have changed places; see
            ``image_folds``.

    Raises:
        DataError: train or test is missing, a target is not a class, only some splits have masks, there are
            more classes than masks can tell apart, or the palette does not fit them.
    """

    name: str
    classes: tuple[str, ...]
    splits: Mapping[str, Split]
    origin: Mapping[str, object]
    fingerprint: str
    palette: UInt8[np.ndarray, "k 3"] | None = None
    pooled: Pooled | None = None

    def __post_init__(self) -> None:
        for needed in ("train", "test"):
            if needed not in self.splits or not len(self.splits[needed]):
                have = ", ".join(f"{name} ({len(split)})" for name, split in self.splits.items()) or "none"
                raise DataError(
                    f"{self.name}: no item in split {needed}; splits: {have}. Give train and test (val is "
                    "optional), or one flat set to be split."
                )
        for name, split in self.splits.items():
            _check_targets(f"{self.name}, split {name}", split, len(self.classes))
        self._check_masks()

    @property
    def truth(self) -> Truth:
        """Say what is true of an item: one class ("label"), several ("labels"), or one per pixel ("mask")."""
        train = self.splits["train"]
        if train.masks is not None:
            return "mask"
        return "label" if train.targets.ndim == 1 else "labels"

    @property
    def large(self) -> bool:
        """Whether images are read in parts, not loaded whole."""
        return self.splits["train"].pictures is not None

    @property
    def items(self) -> dict[str, int]:
        """Return how many images each split has."""
        return {name: len(split) for name, split in self.splits.items()}

    @property
    def task(self) -> str:
        """Return the task that such images are usually for."""
        return {"label": "classification", "labels": "diagnosis", "mask": "segmentation"}[self.truth]

    @property
    def levels(self) -> Levels | None:
        """Return the values that become black and white in deep files; each file's own if None."""
        return self.splits["train"].how.levels

    @property
    def colours(self) -> UInt8[np.ndarray, "k 3"]:
        """Return the colour to draw each class with: the data's own, or well-spread ones."""
        return default_palette(len(self.classes)) if self.palette is None else self.palette

    def _check_masks(self) -> None:
        bare = [name for name, split in self.splits.items() if split.masks is None]
        if bare and len(bare) < len(self.splits):
            raise DataError(
                f"{self.name}: split {bare[0]} has no masks, others have. Give all of them masks."
            )
        if not bare and len(self.classes) > MOST_CLASSES:
            raise DataError(
                f"{self.name}: {len(self.classes)} classes, but a mask tells {MOST_CLASSES} apart ({IGNORE} "
                "is ignored). Merge classes."
            )
        if self.palette is not None and self.palette.shape != (len(self.classes), 3):
            raise DataError(
                f"{self.name}: a palette of shape {self.palette.shape} for {len(self.classes)} classes. "
                "Give one RGB colour a class."
            )

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(split)}" for name, split in self.splits.items())
        kind = {"label": "", "labels": ", several an image", "mask": ", masks"}[self.truth]
        kind += ", read in parts" if self.large else ""
        return f"ImageData({self.name}: {len(self.classes)} classes{kind}; {sizes})"


@dataclass(frozen=True)
class Pooled:
    """Where images come from that have changed places between training and test.

    Args:
        data: The data whose images they are.
        rows: For ``train`` and ``test``, numbers among its training images and then its test images.
    """

    data: ImageData
    rows: Mapping[str, Int64[np.ndarray, " m"]]


def _check_targets(where: str, split: Split, classes: int) -> None:
    if split.targets.ndim == 2:
        _check_truths(where, split, classes)
        return
    wrong = np.flatnonzero((split.targets < 0) | (split.targets >= classes))
    if len(wrong):
        first = int(wrong[0])
        raise DataError(
            f"{where}: label {int(split.targets[first])} of {split.names[first]} is not in 0..{classes - 1} "
            f"({len(wrong)} such). Correct the labels, or state the right number of classes."
        )


def _check_truths(where: str, split: Split, classes: int) -> None:
    """Check targets of several classes an item."""
    if split.targets.shape[1] != classes:
        raise DataError(
            f"{where}: {split.targets.shape[1]} truths an image for {classes} classes. Give one for each "
            "class."
        )
    wrong = np.argwhere(~np.isin(split.targets, (0, 1)))
    if len(wrong):
        item, label = wrong[0].tolist()
        raise DataError(
            f"{where}: the truth of class {label} is {split.targets[item, label]} for {split.names[item]} "
            f"({len(wrong)} such). Give 1 where a class holds, else 0."
        )
