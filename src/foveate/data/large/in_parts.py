"""Data whose images are read in parts although it was opened to have them decoded whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from foveate.data.base import ImageData, Split
from foveate.data.images.open_image import Reading
from foveate.data.large.large_picture import LargePicture, Size
from foveate.data.large.open_large import open_large


def in_parts(data: ImageData) -> bool:
    """Return whether all images are files, so that they can be read in parts."""
    return data.truth != "mask" and all(split.files is not None for split in data.splits.values())


def read_in_parts(data: ImageData) -> Mapping[str, Split]:
    """Return the splits with pictures that are read in parts."""
    return {name: replace(split, pictures=_pictures(split)) for name, split in data.splits.items()}


def whole_size(data: ImageData) -> Size:
    """Return height and width of the first training image.

    Raises:
        DataError: It cannot be read.
    """
    train = data.splits["train"]
    if train.pictures is not None:
        return train.pictures(0).size
    if in_parts(data):
        return _pictures(train)(0).size
    height, width = train.load(0).shape[:2]
    return height, width


def _pictures(split: Split) -> Callable[[int], LargePicture]:
    files: tuple[Path, ...] = split.files or ()
    how: Reading = split.how
    return lambda item: open_large(files[item], how)
