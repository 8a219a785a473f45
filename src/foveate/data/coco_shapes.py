"""COCO's outlines and run lengths, drawn into masks, without pycocotools.

A pixel belongs to a polygon if its centre lies inside, by the even-odd rule. pycocotools traces the outline
on a grid five times finer and rounds it, so that the two differ by a pixel here and there along slanted
edges; run lengths agree to the pixel.

Shapes  a region is bool (H, W).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from foveate.errors import DataError

_FIRST = 48  # the character that means 0 in COCO's compressed run lengths
_LOW, _MORE, _SIGN = 0x1F, 0x20, 0x10  # five bits of a number; whether more follow; the sign


def polygon_region(polygon: Sequence[float], height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Return the pixels inside x, y, x, y, ...

    Raises:
        DataError: it is no list of at least three points.
    """
    points = np.asarray(polygon, dtype=np.float64)
    if points.ndim != 1 or len(points) < 6 or len(points) % 2:
        raise DataError(f"a polygon of {len(polygon)} numbers; at least three points x, y are needed.")
    starts = points.reshape(-1, 2)
    toggles = np.zeros((height, width + 1), dtype=np.int32)
    for (x0, y0), (x1, y1) in zip(starts, np.roll(starts, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        (low_x, low_y), (high_x, high_y) = sorted(((x0, y0), (x1, y1)), key=lambda point: point[1])
        # A row is crossed if low_y <= its centre < high_y: each corner then counts for one edge only.
        first, last = (int(np.clip(np.ceil(y - 0.5), 0, height)) for y in (low_y, high_y))
        rows = np.arange(first, last)
        crossing = low_x + (rows + 0.5 - low_y) * (high_x - low_x) / (high_y - low_y)
        np.add.at(toggles, (rows, np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.int64)), 1)
    return toggles[:, :width].cumsum(axis=1) % 2 == 1


def run_length_region(
    counts: Sequence[int] | str, size: Sequence[int], height: int, width: int
) -> Bool[np.ndarray, "h w"]:
    """Return the pixels of COCO's run lengths: column by column, zeros and ones in turn, zeros first.

    Args:
        counts: The lengths, or their compressed form.
        size: Height and width that they are for.
        height: Of the image.
        width: Likewise.

    Raises:
        DataError: they are for another size.
    """
    lengths = _uncompressed(counts) if isinstance(counts, str) else list(counts)
    if list(size) != [height, width] or sum(lengths) != height * width:
        raise DataError(
            f"run lengths of {sum(lengths)} pixels for {list(size)}, in an image of height and width "
            f"{[height, width]}."
        )
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(width, height).T


def _uncompressed(text: str) -> list[int]:
    """Return the lengths: five bits a character; from the fourth on, differences to the last but one."""
    lengths: list[int] = []
    place = 0
    while place < len(text):
        number, shift, more = 0, 0, True
        while more:
            group = ord(text[place]) - _FIRST
            number |= (group & _LOW) << shift
            more = bool(group & _MORE)
            place, shift = place + 1, shift + 5
            if not more and group & _SIGN:
                number -= 1 << shift
        lengths.append(number + lengths[-2] if len(lengths) > 2 else number)
    return lengths
