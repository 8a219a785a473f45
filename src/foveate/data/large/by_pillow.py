"""A picture in a format that can only be decoded whole: JPEG and whatever else Pillow reads.

An overview of a JPEG is decoded at an eighth, a quarter or half of its size; its windows, and all of the
other formats, take the whole picture for a moment: about 4 bytes a pixel, once for all windows of a batch. So
pictures of more than ``max_pixels`` pixels are refused; pyvips or a tiled TIFF is the way out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from foveate.data.images.decode import open_upright
from foveate.data.images.open_image import (
    TURNS,
    Reading,
    TooLargeError,
    lies,
    opened,
    orientation,
    upright_size,
)
from foveate.data.large.large_picture import STRIP, Box, LargePicture, Pixels, Reduced

_SMALLEST = 8  # a JPEG can be decoded at an eighth of its size
_SPARE = 2  # and is at no less than this many times the size wanted


class ByPillow(LargePicture):
    """A picture that is decoded whole.

    Args:
        path: The file.
        how: Its levels, and the pixels of the largest picture that is decoded.

    Raises:
        DataError: It cannot be read.
        TooLargeError: It is larger, and not a JPEG that can be decoded at a smaller size.
    """

    at_random = False

    def __init__(self, path: Path, how: Reading) -> None:
        self.path, self.how = path, how
        with opened(path, _SMALLEST**2 * how.max_pixels) as image:
            self.size, self.turn = upright_size(image), orientation(image)
            # A progressive JPEG is held whole by the decoder, at whatever size it comes out.
            self.drafts = image.format == "JPEG" and "progressive" not in image.info
        if not self.drafts:
            with opened(path, how.max_pixels):
                pass

    @property
    def is_held_whole(self) -> bool:
        """Whether windows can be read: the picture is no larger than what may be decoded."""
        return self.size[0] * self.size[1] <= self.how.max_pixels

    def read(self, boxes: Sequence[Box]) -> list[Pixels]:
        """Return windows at full resolution, from the picture decoded for the purpose."""
        whole = open_upright(self.path, self.how)
        return [_cut(whole, *box) for box in boxes]

    def strips(self) -> Iterator[Pixels]:
        """Yield all rows."""
        whole = open_upright(self.path, self.how)
        step = max(1, STRIP // whole.width)
        for top in range(0, whole.height, step):
            yield _cut(whole, top, 0, min(step, whole.height - top), whole.width)

    def at_least(self, size: tuple[int, int]) -> Reduced:
        """Return the whole picture in at least the detail of ``size``."""
        if not self.drafts:
            return super().at_least(size)
        with opened(self.path, _SMALLEST**2 * self.how.max_pixels) as image:
            stored = image.size
            wanted = [_SPARE * side for side in (size if lies(image) else size[::-1])]
            image.draft(None, (wanted[0], wanted[1]))
            if image.width * image.height > self.how.max_pixels:
                raise TooLargeError(
                    f"{self.path}: an overview of {size[1]}x{size[0]} pixels takes decoding "
                    f"{image.width}x{image.height} pixels, more than {self.how.max_pixels:,}. Choose a "
                    "smaller scale, or convert it to a tiled TIFF."
                )
            factor = stored[0] / image.width
            factor = min((1, 2, 4, 8), key=lambda known: abs(known - factor))
            small = image.convert("RGB")
        width, height = stored[0] / factor, stored[1] / factor
        if self.turn not in TURNS:
            return Reduced(np.asarray(small), height, width)
        # The last row may hold less than a row, and would come first.
        sides = round(width), round(height)
        whole = small.resize(sides, Image.Resampling.BILINEAR, box=(0, 0, width, height))
        pixels = np.asarray(whole.transpose(TURNS[self.turn]))
        return Reduced(pixels, *pixels.shape[:2])


def _cut(image: Image.Image, top: int, left: int, height: int, width: int) -> Pixels:
    return np.asarray(image.crop((left, top, left + width, top + height)))
