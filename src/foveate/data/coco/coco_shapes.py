"""COCO's outlines and run lengths, drawn into masks, without pycocotools.

A pixel belongs to a polygon if its centre lies inside, by the even-odd rule. pycocotools traces the outline
on a grid five times finer and rounds it, so that the two differ by a pixel here and there along slanted
edges; run lengths agree to the pixel.

Shapes  a region is bool (H, W).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64

from foveate.errors import DataError

_FIRST = 48  # the character for 0 in COCO's compressed run lengths
_LOW, _MORE, _SIGN = 0x1F, 0x20, 0x10  # five bits of a number; whether more follow; the sign
_MOST_BITS = 40  # of a number: eight letters, more than any image's pixels need


def polygon_region(polygon: Float64[np.ndarray, "p 2"], height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Return the pixels inside an outline of at least three points x, y."""
    toggles = np.zeros((height, width + 1), dtype=np.int32)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        (low_x, low_y), (high_x, high_y) = sorted(((x0, y0), (x1, y1)), key=lambda point: point[1])
        # A row is crossed if low_y <= its centre < high_y: each corner then counts for one edge only.
        first, last = (int(np.clip(np.ceil(y - 0.5), 0, height)) for y in (low_y, high_y))
        rows = np.arange(first, last)
        crossing = low_x + (rows + 0.5 - low_y) * (high_x - low_x) / (high_y - low_y)
        np.add.at(toggles, (rows, np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.int64)), 1)
    return toggles[:, :width].cumsum(axis=1) % 2 == 1


def run_length_region(counts: Sequence[int], height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Return the pixels of COCO's run lengths: column by column, zeros and ones in turn, zeros first.

    Args:
        counts: The lengths, which add up to the pixels.
        height: Of the image.
        width: Likewise.
    """
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(width, height).T


def uncompressed(text: str) -> list[int]:
    """Return the lengths: five bits a character; from the fourth on, differences to the last but one.

    Raises:
        DataError: it is not COCO's compressed run lengths.
    """
    lengths: list[int] = []
    number, shift = 0, 0
    for letter in text:
        group = ord(letter) - _FIRST
        if not 0 <= group < 2 * _MORE or shift >= _MOST_BITS:
            raise DataError("run lengths with invalid characters")
        number |= (group & _LOW) << shift
        shift += 5
        if not group & _MORE:
            number -= (1 << shift) if group & _SIGN else 0
            lengths.append(number + lengths[-2] if len(lengths) > 2 else number)
            number, shift = 0, 0
    if shift:
        raise DataError("run lengths that end within a number")
    return lengths
