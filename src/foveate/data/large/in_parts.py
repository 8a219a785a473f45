"""Data of files whose images are read in parts, not decoded whole."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from foveate.data.base import ImageData, Split
from foveate.data.images.open_image import Reading
from foveate.data.large.deep_levels import common_large_reading
from foveate.data.large.large_picture import LargePicture, Size
from foveate.data.large.open_large import open_large


def can_be_read_in_parts(data: ImageData) -> bool:
    """Return whether all images are files and have labels, so that they can be read in parts."""
    return data.truth != "mask" and all(split.files is not None for split in data.splits.values())


def read_in_parts(data: ImageData) -> ImageData:
    """Return data of files with images that are read in parts.

    Args:
        data: As it was opened, its files not looked into; what their values mean is found here.
    """
    train = data.splits["train"]
    files = [file for split in data.splits.values() for file in split.files or ()]
    how, notes = common_large_reading(files, train.how.max_pixels, open_large)
    origin = {**data.origin, "notes": [*data.origin.get("notes", ()), *notes]}  # type: ignore[misc]
    return replace(
        data,
        splits={name: replace(in_parts(split, how), how=how) for name, split in data.splits.items()},
        origin=origin,
        fingerprint=hashlib.sha256(f"in parts {data.fingerprint} {how.levels}".encode()).hexdigest(),
    )


def splits_in_parts(data: ImageData) -> Mapping[str, Split]:
    """Return the splits with images that are read in parts, by the levels that the data has."""
    return {name: in_parts(split, split.how) for name, split in data.splits.items()}


def in_parts(split: Split, how: Reading) -> Split:
    """Return a split of files with images that are read in parts; one that has them as it is."""
    return split if split.pictures is not None else replace(split, pictures=_pictures(split, how))


def whole_size(data: ImageData) -> Size:
    """Return height and width of the first training image.

    Raises:
        DataError: It cannot be read.
    """
    train = data.splits["train"]
    if train.pictures is not None:
        return train.pictures(0).size
    if can_be_read_in_parts(data):
        return _pictures(train, train.how)(0).size
    height, width = train.load(0).shape[:2]
    return height, width


def _pictures(split: Split, how: Reading) -> Callable[[int], LargePicture]:
    files: tuple[Path, ...] = split.files or ()
    return lambda item: open_large(files[item], how)
