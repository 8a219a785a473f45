"""A megapixel scene that is painted where it is looked at: its size costs nothing.

Shapes  uint8 (h, w, 3), grey; tiles uint8 (t, 28, 28).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from foveate.data.large.large_picture import Box, LargePicture, Pixels, Reduced, factor_for, reduced_strips
from foveate.data.megapixel.megapixel_layout import TILE

_SMALL = 2**24  # pixels that are sooner painted than worked around


class ScenePicture(LargePicture):
    """Tiles on black.

    Args:
        size: Height and width in pixels.
        places: Upper left corners of the tiles (t, 2), inside the picture; later ones lie over earlier ones.
        tiles: Their values; zeros erase what is below.
    """

    def __init__(
        self, size: tuple[int, int], places: Int64[np.ndarray, "t 2"], tiles: UInt8[np.ndarray, "t 28 28"]
    ) -> None:
        self.size, self.places, self.tiles = size, places, tiles

    def read(self, boxes: Sequence[Box]) -> list[Pixels]:
        """Return windows at full resolution."""
        return [np.repeat(self.grey(box)[:, :, None], 3, axis=2) for box in boxes]

    def grey(self, box: Box) -> UInt8[np.ndarray, "h w"]:
        """Return a window, one value a pixel."""
        top, left, height, width = box
        out = np.zeros((height, width), dtype=np.uint8)
        low = self.places - (top, left)
        for number in np.flatnonzero(((low > -TILE) & (low < (height, width))).all(axis=1)).tolist():
            row, column = low[number].tolist()
            rows = slice(max(row, 0), min(row + TILE, height))
            columns = slice(max(column, 0), min(column + TILE, width))
            out[rows, columns] = self.tiles[
                number, rows.start - row : rows.stop - row, columns.start - column : columns.stop - column
            ]
        return out

    def at_least(self, size: tuple[int, int]) -> Reduced:
        """Return the whole picture in at least the detail of ``size``: all is black but for the tiles."""
        (height, width), factor = self.size, factor_for(self.size, size)
        if height * width <= _SMALL:
            small = Image.fromarray(self.grey((0, 0, height, width))).reduce(factor)
            rgb = np.repeat(np.asarray(small)[:, :, None], 3, axis=2)
            return Reduced(rgb, height / factor, width / factor)
        out = np.zeros((-(-height // factor), -(-width // factor), 3), dtype=np.uint8)
        for row, column in self.places.tolist():
            top, left = row // factor, column // factor
            bottom = min(-(-(row + TILE) // factor), len(out))
            right = min(-(-(column + TILE) // factor), out.shape[1])
            inside = (min(bottom * factor, height) - top * factor, min(right * factor, width) - left * factor)
            around = self.read([(top * factor, left * factor, *inside)])
            out[top:bottom, left:right] = reduced_strips(around, inside, factor).pixels
        return Reduced(out, height / factor, width / factor)
