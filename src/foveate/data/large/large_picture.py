"""One picture that is read in parts: what every format offers, and how an overview is made of strips.

Limits  of one reading, whatever the picture's size: ``MOST_OVERVIEW`` pixels of an overview, ``MOST_BLOCK``
        pixels that a file can only give together (a tile, a strip, a row).

Shapes  uint8 (h, w, 3), RGB. A box is (top, left, height, width) in pixels, inside the picture.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from foveate.errors import DataError

MOST_PIXELS = 2**40  # of a whole picture: a million pixels a side
MOST_OVERVIEW = 2**26  # of an overview: 192 MiB
MOST_BLOCK = 2**26  # that have to be decoded together
STRIP = 2**23  # that are read at a time where there is a choice
_SPARE = 2  # an overview is first reduced to this many times its sides, by whole factors

Size = tuple[int, int]
Box = tuple[int, int, int, int]
Pixels = UInt8[np.ndarray, "h w 3"]


class Reduced(NamedTuple):
    """A whole picture in less detail.

    Args:
        pixels: uint8 (h, w, 3).
        height: What the whole picture's height is here; a fraction if the last row holds less than a row.
        width: Likewise.
    """

    pixels: Pixels
    height: float
    width: float


class LargePicture(ABC):
    """A picture that is read in parts; safe to use from several threads.

    Attributes:
        size: Height and width in pixels, upright.
        at_random: Whether a window costs what lies around it; else all rows above it are decoded too.
        key: A hash of its contents, by which its overviews are kept on disk; None if they are not.
    """

    size: Size
    at_random: bool = True
    key: str | None = None

    @abstractmethod
    def read(self, boxes: Sequence[Box]) -> list[Pixels]:
        """Return windows at full resolution.

        Raises:
            DataError: The file cannot be read.
        """

    def sample(self) -> np.ndarray | None:
        """Return values as they are stored (n, ...), of some places; None where they have eight bits."""
        return None

    def strips(self) -> Iterator[Pixels]:
        """Yield all rows, some at a time; most often ``STRIP`` pixels."""
        height, width = self.size
        step = max(1, STRIP // width)
        for top in range(0, height, step):
            yield self.read([(top, 0, min(step, height - top), width)])[0]

    def at_least(self, size: Size) -> Reduced:
        """Return the whole picture in at least the detail of ``size``, and not much more."""
        return reduced_strips(self.strips(), self.size, factor_for(self.size, size))

    def overview(self, size: Size) -> Pixels:
        """Return the whole picture at a smaller size, anti-aliased.

        Args:
            size: Height and width in pixels.

        Raises:
            DataError: The file cannot be read, or ``size`` has more than ``MOST_OVERVIEW`` pixels.
        """
        if size[0] * size[1] > MOST_OVERVIEW:
            raise DataError(
                f"an overview of {size[0]}x{size[1]} pixels of a picture of {self.size[0]}x{self.size[1]} is "
                f"more than {MOST_OVERVIEW:,} pixels, which are held in memory. Choose a smaller scale."
            )
        found = self.at_least(size)
        if found.pixels.shape[:2] == size:
            return found.pixels
        part = (0.0, 0.0, found.width, found.height)
        small = Image.fromarray(found.pixels).resize(size[::-1], Image.Resampling.BILINEAR, box=part)
        return np.asarray(small)


def factor_for(size: Size, wanted: Size) -> int:
    """Return by which whole number a picture can be reduced so that ``wanted`` can still be made of it."""
    return max(1, min(have // (_SPARE * want) for have, want in zip(size, wanted, strict=True)))


def reduced_strips(strips: Iterable[Pixels], size: Size, factor: int) -> Reduced:
    """Return a picture whose rows come in strips, averaged over squares of ``factor`` pixels a side."""
    height, width = size
    out = np.empty((-(-height // factor), -(-width // factor), 3), dtype=np.uint8)
    rest, row = np.empty((0, width, 3), dtype=np.uint8), 0
    for strip in strips:
        rows = np.concatenate([rest, strip]) if len(rest) else strip
        whole = len(rows) - len(rows) % factor
        row = _put(out, row, rows[:whole], factor)
        rest = rows[whole:]
    _put(out, row, rest, factor)
    return Reduced(out, height / factor, width / factor)


def _put(out: Pixels, row: int, rows: np.ndarray, factor: int) -> int:
    if not len(rows):
        return row
    small = rows if factor == 1 else np.asarray(Image.fromarray(rows).reduce(factor))
    out[row : row + len(small)] = small
    return row + len(small)


class Turned(LargePicture):
    """A picture that its EXIF orientation says to turn.

    Args:
        picture: As it is stored.
        orientation: 2 to 8, see EXIF.
    """

    def __init__(self, picture: LargePicture, orientation: int) -> None:
        self.picture, self.at_random = picture, picture.at_random
        self.swaps = orientation >= 5  # mirrored along a diagonal
        # What is done to the stored picture, first: transposed or not; then mirrored up-down, left-right.
        self.flips = {
            2: (False, True),
            3: (True, True),
            4: (True, False),
            5: (False, False),
            6: (False, True),
            7: (True, True),
            8: (True, False),
        }[orientation]
        height, width = picture.size
        self.size = (width, height) if self.swaps else (height, width)

    def sample(self) -> np.ndarray | None:
        """Return values as they are stored, of some places."""
        return self.picture.sample()

    def read(self, boxes: Sequence[Box]) -> list[Pixels]:
        """Return windows of the upright picture."""
        return [self._turn(part) for part in self.picture.read([self._stored(box) for box in boxes])]

    def at_least(self, size: Size) -> Reduced:
        """Return the whole upright picture in at least the detail of ``size``."""
        found = self.picture.at_least(size[::-1] if self.swaps else size)
        whole = (round(found.height), round(found.width))
        pixels = self._turn(found.pixels)
        if whole == found.pixels.shape[:2]:
            height, width = pixels.shape[:2]
            return Reduced(pixels, height, width)
        # A last row that holds less would come first: nothing is left of it if whole rows are averaged again.
        part = (0.0, 0.0, found.width, found.height)
        exact = Image.fromarray(found.pixels).resize(whole[::-1], Image.Resampling.BILINEAR, box=part)
        pixels = self._turn(np.asarray(exact))
        return Reduced(pixels, *pixels.shape[:2])

    def _turn(self, pixels: np.ndarray) -> Pixels:
        pixels = pixels.transpose(1, 0, 2) if self.swaps else pixels
        down, across = (slice(None, None, -1) if flip else slice(None) for flip in self.flips)
        return np.ascontiguousarray(pixels[down, across])

    def _stored(self, box: Box) -> Box:
        top, left, height, width = box
        top = self.size[0] - top - height if self.flips[0] else top
        left = self.size[1] - left - width if self.flips[1] else left
        return (left, top, width, height) if self.swaps else (top, left, height, width)
