"""Windows of a picture whose rows can only be read from the top."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from foveate.data.large.large_picture import Box, Pixels


def lowest_row(boxes: Sequence[Box]) -> int:
    """Return how many rows have to be read for these windows."""
    return max((top + height for top, _, height, _ in boxes), default=0)


def cut_from_strips(strips: Iterable[Pixels], boxes: Sequence[Box]) -> list[Pixels]:
    """Return windows from one pass over the rows.

    Args:
        strips: The rows from the top, down to the lowest window's last.
        boxes: Inside the picture.
    """
    found, first = [np.empty((height, width, 3), dtype=np.uint8) for _, _, height, width in boxes], 0
    for strip in strips:
        after = first + len(strip)
        for out, (top, left, height, width) in zip(found, boxes, strict=True):
            low, high = max(top, first), min(top + height, after)
            if low < high:
                out[low - top : high - top] = strip[low - first : high - first, left : left + width]
        first = after
    return found
