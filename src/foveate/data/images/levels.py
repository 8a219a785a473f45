"""Which values become black and white in pictures of more than eight bits: decided once for a data set.

Whole numbers go from 0 to the largest value of 8, 10, 12, 14 or 16 bits that holds them all, floats from 0 to
1 or 255, or to the greatest that occurs if it is far from that. Where values fall below zero, or all files of
a set use less than a quarter, they go from the least to the greatest that occurs. What is not a number
becomes black.

Shapes  values (H, W) or (H, W, 3), whole numbers or floats.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8, UInt16
from PIL import Image, ImageFile

Levels = tuple[float, float]  # the value that becomes black, the value that becomes white
DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")  # Pillow's modes of more than eight bits
SIXTEEN: Levels = (0.0, 65535.0)
_DEPTHS = (255, 1023, 4095, 16383, 65535)  # the largest value of 8, 10, 12, 14, 16 bits
_TOPS = (1.0, 255.0)  # of floats
_LEAST_SHARE = 0.25  # of the levels that must be in use
_ROWS = 256  # that are scaled at a time
_SWAPPED = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


@dataclass(frozen=True)
class Seen:
    """What values occur in some pictures: the least and greatest finite ones, and whether all are whole."""

    low: float = np.inf
    high: float = -np.inf
    whole: bool = True

    def __or__(self, other: Seen) -> Seen:
        """Return what occurs in either."""
        return Seen(min(self.low, other.low), max(self.high, other.high), self.whole and other.whole)

    @property
    def levels(self) -> Levels:
        """The values that become black and white."""
        if self.low > self.high:  # not one finite value
            return SIXTEEN
        if self.low < 0:
            return self.low, max(self.high, self.low + 1, math.nextafter(self.low, np.inf))
        tops = _DEPTHS if self.whole else _TOPS
        top = float(next((top for top in tops if top >= self.high), self.high))
        if not self.whole and 0 < self.high < _LEAST_SHARE * top:
            top = self.high
        return 0.0, top

    @property
    def common_levels(self) -> Levels:
        """The same for a whole set: the values' own range, if they use less than a quarter of that."""
        low, high = self.levels
        if low == 0 and 0 < self.high - self.low < _LEAST_SHARE * high:
            return self.low, self.high
        return low, high


def levels_of(values: Shaped[np.ndarray, "*shape"]) -> Levels:
    """Return the values that become black and white in one picture."""
    return seen(values).levels


def seen(values: Shaped[np.ndarray, "*shape"]) -> Seen:
    """Return what values occur in a picture."""
    found = Seen(whole=values.dtype.kind != "f")
    for part in _strips(values):
        finite = part[np.isfinite(part)] if part.dtype.kind == "f" else part
        if finite.size:
            found |= Seen(float(finite.min()), float(finite.max()), found.whole)
    return found


def eight_bits(values: Shaped[np.ndarray, "*shape"], levels: Levels) -> UInt8[np.ndarray, "*shape"]:
    """Scale values so that ``levels`` become 0 and 255; what lies beyond is clipped, NaN becomes 0."""
    low, high = levels
    out = np.empty(values.shape, dtype=np.uint8)
    for part, rows in zip(_strips(values), _strips(out), strict=True):
        scaled = (part.astype(np.float64) - low) * (255 / (high - low))
        rows[:] = np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0).round().clip(0, 255)
    return out


def _strips(values: np.ndarray) -> Iterable[np.ndarray]:
    return (values[first : first + _ROWS] for first in range(0, len(values), _ROWS))


def deep_colour(image: Image.Image) -> UInt16[np.ndarray, "h w 3"] | None:
    """Return the values of a colour picture of sixteen bits a channel, not turned; None if it is another.

    Pillow gives the upper eight bits. Read in the other byte order, it gives the lower eight.

    Args:
        image: What was opened, not yet decoded.
    """
    if not is_deep_colour(image) or not isinstance(image, ImageFile.ImageFile) or not image.filename:
        return None
    try:
        with Image.open(image.filename, formats=(str(image.format),)) as other:
            other.tile = [tile._replace(args=_swapped(tile.args)) for tile in other.tile]
            low = np.asarray(other)[..., :3]
    except (ValueError, OSError, Image.DecompressionBombError):
        return None  # Pillow does not know that byte order: the upper bits must do
    return np.asarray(image)[..., :3].astype(np.uint16) << 8 | low


def is_deep_colour(image: Image.Image) -> bool:
    """Return whether an image has sixteen bits a channel; Pillow opens it as eight, but its tiles tell."""
    return image.mode in ("RGB", "RGBA") and any(
        ";16" in str(tile.args) for tile in getattr(image, "tile", ())
    )


def _swapped(args: Any) -> Any:
    """Return a decoder's arguments with the other byte order."""
    if isinstance(args, tuple):
        return (_swapped(args[0]), *args[1:])
    return re.sub(r";16([BLN])", lambda found: f";16{_SWAPPED[found[1]]}", str(args))
