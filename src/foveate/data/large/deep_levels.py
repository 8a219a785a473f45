"""The levels of a data set of large pictures, from a few blocks of some of its deep files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from operator import or_
from pathlib import Path

from foveate.data.images.common_levels import evenly_spread
from foveate.data.images.levels import SIXTEEN, Seen, seen
from foveate.data.images.open_image import Reading
from foveate.data.large.large_picture import LargePicture
from foveate.errors import FoveateError

_LOOKED_AT = 32  # files, evenly spread


Opener = Callable[[Path, Reading], LargePicture]


def common_large_reading(
    files: Sequence[Path], max_pixels: int, opener: Opener
) -> tuple[Reading, tuple[str, ...]]:
    """Return how the files of a data set are read, all alike, and notes on what was decided.

    Args:
        files: All of them.
        max_pixels: Pixels of the largest picture that is decoded whole, where its format wants that.
        opener: Opens a file, as ``open_large`` does.
    """
    how = Reading(SIXTEEN, max_pixels)
    looks = (_look(opener, path, how) for path in evenly_spread(files, _LOOKED_AT))
    found = [look for look in looks if look is not None]
    if not found:
        return how, ()
    low, high = levels = reduce(or_, found).common_levels
    if levels == SIXTEEN:
        return how, ()
    note = f"files of more than 8 bits are scaled alike: {low:g} becomes black and {high:g} white"
    return replace(how, levels=levels), (note,)


def _look(opener: Opener, path: Path, how: Reading) -> Seen | None:
    """Return what values some of a file's blocks hold; None if it has eight bits or cannot be read."""
    try:
        values = opener(path, how).sample()
    except FoveateError:  # a finding of the check
        return None
    return None if values is None or values.itemsize == 1 else seen(values)
