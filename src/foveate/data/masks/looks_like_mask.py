"""Tell masks from photographs by their pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from foveate.data.images.open_image import opened
from foveate.errors import DataError

_LOOKED_AT = 4  # pairs
_LEVELS, _FLAT = 4, 0.95  # a mask has this share of its pixels in so few of 16 grey levels


def look_like_masks(pairs: list[tuple[Path, Path]]) -> bool:
    """Return whether the second file of each pair has few grey levels, the first many, and the same size."""
    step = max(len(pairs) // _LOOKED_AT, 1)
    looks = [(_look(image), _look(mask)) for image, mask in pairs[::step][:_LOOKED_AT]]
    return all(image and mask and image[0] == mask[0] and mask[1] > _FLAT > image[1] for image, mask in looks)


def _look(path: Path) -> tuple[tuple[int, int], float] | None:
    """Return the size of an image and the share of its pixels in its most frequent grey levels."""
    try:
        with opened(path) as image:
            grey = np.asarray(image.convert("L")) >> 4
    except DataError:
        return None
    counts = np.sort(np.bincount(grey.reshape(-1), minlength=16))[::-1]
    return image.size, float(counts[:_LEVELS].sum() / counts.sum())
