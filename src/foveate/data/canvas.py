"""Images and masks on one canvas: scaled to fit inside, centred, the rest padded; nothing is cut away.

An image is resampled bicubically and padded with its own mean colour, so that no edge appears where none is.
A mask takes the nearest pixel, which keeps thin structures at their share of the area where a majority would
wipe them out, and is padded with ``IGNORE``.

Shapes  a canvas is (height, width) in pixels; images uint8 (H, W, 3), masks uint8 (H, W).
"""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from foveate.data.base import ImageData, Split
from foveate.data.class_numbers import IGNORE
from foveate.data.images.open_image import file_size
from foveate.errors import OptionError

Canvas = tuple[int, int]
_LOOKED_AT = 64  # images without files whose size is asked: each has to be loaded for it


class Place(NamedTuple):
    """Where an image lies on a canvas, in pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns, to index the last two axes of a map with."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def choose_canvas(data: ImageData, size: int | Canvas) -> Canvas:
    """Return the canvas of data with masks.

    Args:
        data: Its training images decide the aspect.
        size: Height and width; or the short side alone, in pixels: then the aspect is that of the most
            frequent size among the training images, or the median aspect if no size occurs twice.

    Raises:
        OptionError: ``size`` is not positive.
        DataError: an image cannot be read.
    """
    if not isinstance(size, int):
        height, width = size
        _check_side(height, size)
        _check_side(width, size)
        return height, width
    _check_side(size, size)
    aspect = _usual_aspect(data.splits["train"])  # width over height
    return (size, round(size * aspect)) if aspect >= 1 else (round(size / aspect), size)


def image_size(split: Split, item: int) -> tuple[int, int]:
    """Return height and width of an item's image, upright; a file is not decoded for it.

    Raises:
        DataError: the image cannot be read.
    """
    if split.files is not None:
        return file_size(split.files[item], split.how)
    height, width = split.load(item).shape[:2]
    return height, width


def placed(height: int, width: int, canvas: Canvas) -> Place:
    """Return where an image of this size lies on the canvas: as large as fits, in the middle."""
    scale = min(canvas[0] / height, canvas[1] / width)
    inside_height = min(max(round(height * scale), 1), canvas[0])
    inside_width = min(max(round(width * scale), 1), canvas[1])
    top, left = (canvas[0] - inside_height) // 2, (canvas[1] - inside_width) // 2
    return Place(top, left, inside_height, inside_width)


def fit_image(image: Image.Image | UInt8[np.ndarray, "h w 3"], canvas: Canvas) -> UInt8[np.ndarray, "H W 3"]:
    """Return the image on the canvas, padded with its mean colour."""
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    place = placed(picture.height, picture.width, canvas)
    if picture.size != (place.width, place.height):
        size = (place.width, place.height)
        picture = picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    pixels = np.asarray(picture)
    if pixels.shape[:2] == canvas:
        return pixels
    out = np.empty((*canvas, 3), dtype=np.uint8)
    out[:] = pixels.mean(axis=(0, 1)).round().astype(np.uint8)
    out[place.box] = pixels
    return out


def fit_mask(mask: UInt8[np.ndarray, "h w"], canvas: Canvas) -> UInt8[np.ndarray, "H W"]:
    """Return the mask on the canvas, padded with ``IGNORE``."""
    height, width = mask.shape
    place = placed(height, width, canvas)
    if mask.shape != (place.height, place.width):
        small = Image.fromarray(mask).resize((place.width, place.height), Image.Resampling.NEAREST)
        mask = np.asarray(small)
    if mask.shape == canvas:
        return mask
    out = np.full(canvas, IGNORE, dtype=np.uint8)
    out[place.box] = mask
    return out


def _usual_aspect(train: Split) -> float:
    if train.files is not None:
        items = range(len(train))
    elif train.many is not None:  # of equal size, by its contract
        items = range(1)
    else:
        items = range(0, len(train), -(-len(train) // _LOOKED_AT))
    sizes = Counter(image_size(train, item) for item in items)
    (height, width), often = sizes.most_common(1)[0]
    if often == 1:
        return median(width / height for height, width in sizes)
    return width / height


def _check_side(side: object, size: object) -> None:
    if isinstance(side, bool) or not isinstance(side, int) or side < 1:
        raise OptionError(
            f"canvas: got size={size}, expected pixels: size=180 for the short side, or (180, 240)."
        )
