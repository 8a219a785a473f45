"""Whether places that a model looked at hold what decides the label: digits, or any boxes of data."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

_HALF = 0.5


class Found(NamedTuple):
    """How well windows and boxes meet, both in [0, 1].

    Args:
        looked: Share of the windows that show at least half of some box.
        seen: Share of the boxes of which some window shows at least half.
    """

    looked: float
    seen: float


def found_digits(
    corners: Int64[np.ndarray, "k 2"], size: tuple[int, int], boxes: Int64[np.ndarray, "n 4"]
) -> Found:
    """Return how well windows meet boxes.

    Args:
        corners: Row and column of each window's top left pixel, such as a selection's places.
        size: Height and width of the windows.
        boxes: Top, left, bottom and right, such as ``Split.boxes`` gives; at least one.

    Example:
        >>> where = np.array([[0, 0, 28, 28], [100, 100, 128, 128]])
        >>> found_digits(np.array([[-10, -10], [60, 60], [90, 90], [95, 95]]), (50, 50), where)
        Found(looked=0.75, seen=1.0)
    """
    first = np.maximum(corners[:, None], boxes[None, :, :2])
    last = np.minimum((corners + size)[:, None], boxes[None, :, 2:])
    common = (last - first).clip(0).prod(axis=2)  # (k, n) pixels
    half = common >= _HALF * (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return Found(float(half.any(axis=1).mean()), float(half.any(axis=0).mean()))
