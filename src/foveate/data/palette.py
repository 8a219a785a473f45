"""Colours for drawing the classes of masks: any number up to 255, well apart, always the same."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

import numpy as np
from jaxtyping import UInt8
from PIL import Image

_GROUND = (64, 64, 64)  # of the first class, mostly the background
_LEVELS = (0, 85, 120, 155, 190, 220, 255)  # of each channel; 343 colours to choose from
_COLOURS = 255
_WEIGHTS = (2, 4, 3)  # of red, green and blue: roughly how far apart the eye sees them


def default_palette(count: int) -> UInt8[np.ndarray, "k 3"]:
    """Return a colour for each of ``count`` classes (at most 255), RGB; the first is dark grey.

    Each next colour is the one farthest from all before it, so the colours of a class do not depend on how
    many classes follow.

    Example:
        >>> default_palette(3).tolist()
        [[64, 64, 64], [255, 0, 255], [220, 255, 0]]
    """
    return _spread()[:count].copy()


@cache
def voc_palette() -> UInt8[np.ndarray, "256 3"]:
    """Return the palette of PASCAL VOC's masks, which many tools use.

    Bits 0, 3, 6 of a number go to red, 1, 4, 7 to green, 2, 5 to blue, the lowest ones to the highest bits.
    """
    numbers = np.arange(256)
    out = np.zeros((256, 3), dtype=np.uint8)
    for channel in range(3):
        for step in range(3):
            out[:, channel] |= ((numbers >> (3 * step + channel) & 1) << (7 - step)).astype(np.uint8)
    return out


def is_voc_brightness(values: Collection[int]) -> bool:
    """Return whether values are the grey levels of VOC's first 21 colours and its border."""
    colours = np.concatenate([voc_palette()[:21], voc_palette()[255:]])
    grey = set(np.asarray(Image.fromarray(colours[None]).convert("L")).reshape(-1).tolist())
    return len(values) > 1 and set(values) <= grey


@cache
def _spread() -> UInt8[np.ndarray, "255 3"]:
    grid = np.stack(np.meshgrid(_LEVELS, _LEVELS, _LEVELS, indexing="ij"), axis=-1).reshape(-1, 3)
    chosen = [np.array(_GROUND)]
    nearest = np.minimum((grid**2) @ _WEIGHTS, (grid - 255) ** 2 @ _WEIGHTS)  # far from black and white too
    while len(chosen) < _COLOURS:
        nearest = np.minimum(nearest, (grid - chosen[-1]) ** 2 @ _WEIGHTS)
        chosen.append(grid[int(nearest.argmax())])
    return np.array(chosen, dtype=np.uint8)
