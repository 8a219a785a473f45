"""What a cache file holds of some items: their images at one size, or their masks."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import UInt8

from foveate.data.base import Split
from foveate.data.canvas import Canvas, fit_image, fit_mask, image_size
from foveate.data.class_numbers import IGNORE
from foveate.data.images.decode import read_at_least, read_square, square
from foveate.errors import DataError


def squares(split: Split, canvas: Canvas, items: range) -> UInt8[np.ndarray, "n s s 3"]:
    """Return images with their short side brought to the canvas's and the middle cut out.

    Raises:
        DataError: an image cannot be read.
    """
    size = canvas[0]

    def one(item: int) -> UInt8[np.ndarray, "s s 3"]:
        if split.files is not None:
            return read_square(split.files[item], size, split.how)
        return square(split.load(item), size)

    if split.many is not None:
        return np.stack([square(image, size) for image in split.many(items[0], len(items))])
    return _in_threads(one, items)


def fitted(split: Split, canvas: Canvas, items: range) -> UInt8[np.ndarray, "n h w 3"]:
    """Return whole images on the canvas.

    Raises:
        DataError: an image cannot be read.
    """

    def one(item: int) -> UInt8[np.ndarray, "h w 3"]:
        if split.files is not None:
            return fit_image(read_at_least(split.files[item], max(canvas), split.how), canvas)
        return fit_image(split.load(item), canvas)

    if split.many is not None:
        return np.stack([fit_image(image, canvas) for image in split.many(items[0], len(items))])
    return _in_threads(one, items)


def fitted_masks(split: Split, canvas: Canvas, classes: int, items: range) -> UInt8[np.ndarray, "n h w"]:
    """Return whole masks on the canvas.

    Raises:
        DataError: a mask cannot be read, is not as large as its image, or holds a value that is not a class.
    """
    assert split.masks is not None
    masks = split.masks

    def one(item: int) -> UInt8[np.ndarray, "h w"]:
        mask, size = masks(item), image_size(split, item)
        where = str(split.mask_files[item]) if split.mask_files else f"the mask of {split.names[item]}"
        if mask.shape != size:
            raise DataError(
                f"{where}: {mask.shape[1]}x{mask.shape[0]} pixels, but its image has {size[1]}x{size[0]}. "
                "Make them equal; `foveate check` lists every such pair."
            )
        wrong = np.setdiff1d(mask, [*range(classes), IGNORE])
        if len(wrong):
            raise DataError(
                f"{where}: holds class {wrong[0]}, but there are {classes} classes, 0 to {classes - 1} (and "
                f"{IGNORE}, ignored). Correct the mask, or state all classes."
            )
        return fit_mask(mask, canvas)

    return _in_threads(one, items)


def _in_threads(one: Callable[[int], np.ndarray], items: range) -> UInt8[np.ndarray, "n ..."]:
    """Return all items in a row; Pillow decodes without holding the interpreter."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return np.stack(list(pool.map(one, items)))
