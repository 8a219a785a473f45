"""A picture of any size as rows that are read when they are needed.

A file is decoded once, whole, as its format demands (4 bytes a pixel while that lasts), and laid down in a
temporary file of plain rows (3 bytes a pixel, in the folder that TMPDIR names). Rows are read from there, not
mapped, so that what was read does not count as memory in use.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt8

from foveate.data.images.decode import open_upright
from foveate.data.images.open_image import Reading
from foveate.errors import ShapeError

_AT_ONCE = 256  # rows that are copied at a time
ANY_SIZE = 2**62  # pixels: whoever names a picture to segment trusts it
LIMITLESS = Reading(max_pixels=ANY_SIZE)


@dataclass(frozen=True)
class Rows:
    """A picture that is read by rows.

    Args:
        height: In pixels.
        width: In pixels.
        read: First row and the row after the last -> uint8 (rows, width, 3), RGB.
    """

    height: int
    width: int
    read: Callable[[int, int], UInt8[np.ndarray, "rows w 3"]]


def rows_of(image: UInt8[np.ndarray, "h w 3"]) -> Rows:
    """Return the rows of an array; a memory map will do.

    Raises:
        ShapeError: It is not uint8 (H, W, 3), or has no pixels.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ShapeError(f"got an array {image.shape} of {image.dtype}, expected an image uint8 (H, W, 3)")
    return Rows(image.shape[0], image.shape[1], lambda first, last: image[first:last])


@contextmanager
def open_rows(path: Path, how: Reading = LIMITLESS) -> Iterator[Rows]:
    """Decode a picture, of any size unless ``how`` limits it, and give its rows while the context lasts.

    Args:
        path: The file.
        how: How it becomes eight bits.

    Raises:
        DataError: The file cannot be read as an image.
    """
    with tempfile.TemporaryFile() as file:
        image = open_upright(path, how)
        width, height = image.size
        for first in range(0, height, _AT_ONCE):
            strip = image.crop((0, first, width, min(first + _AT_ONCE, height)))
            file.write(np.asarray(strip).data)
        del image, strip
        file.flush()
        yield Rows(height, width, _reader(file, width))


def _reader(file: BinaryIO, width: int) -> Callable[[int, int], UInt8[np.ndarray, "rows w 3"]]:
    def read(first: int, last: int) -> UInt8[np.ndarray, "rows w 3"]:
        file.seek(3 * width * first)
        return np.fromfile(file, np.uint8, 3 * width * (last - first)).reshape(-1, width, 3)

    return read
