"""The levels of a data set, from the values in its files of more than eight bits a channel."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial, reduce
from operator import or_
from pathlib import Path

import numpy as np

from foveate.data.images.levels import DEEP, SIXTEEN, Seen, deep_colour, is_deep_colour, seen
from foveate.data.images.open_image import Reading, check_file, opened
from foveate.errors import DataError

_LOOKED_AT = 256  # files whose values are looked at, evenly spread
_HEAD = 32  # bytes
_PNG, _PNG_DEPTH = b"\x89PNG\r\n\x1a\n", 24  # the offset of its bit depth
_MAY_BE_DEEP = (
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"P5",
    b"P6",
    b"Pf",
    b"PF",
    b"\0\0\0\x0cjP",
    b"\xffO\xffQ",
)


def common_reading(files: Sequence[Path], max_pixels: int) -> tuple[Reading, tuple[str, ...]]:
    """Return how the files of a data set are read, all alike, and notes on what was decided.

    Args:
        files: All of them.
        max_pixels: Pixels of the largest picture that is decoded.
    """
    how = Reading(SIXTEEN, max_pixels)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        marked = pool.map(_may_be_deep, files, chunksize=256)
        some = [file for file, is_so in zip(files, marked, strict=True) if is_so]
        looks = pool.map(partial(_look, max_pixels), evenly_spread(some, _LOOKED_AT))
        found = [look for look in looks if look is not None]
    if not found:
        return how, ()
    if len({look.whole for look in found}) > 1:
        note = "some files hold whole numbers, others fractions: each is scaled by its own range"
        return replace(how, levels=None), (note,)
    together = reduce(or_, found)
    low, high = levels = together.common_levels
    if levels == SIXTEEN:
        return how, ()
    note = (
        f"files of more than 8 bits are scaled alike: {low:g} becomes black and {high:g} white (their values "
        f"go from {together.low:g} to {together.high:g})"
    )
    return replace(how, levels=levels), (note,)


def evenly_spread(files: Sequence[Path], count: int) -> list[Path]:
    """Return ``count`` of the files, or all if there are no more, evenly spread."""
    step = max(len(files) / count, 1.0)
    return [files[int(number * step)] for number in range(min(count, len(files)))]


def _may_be_deep(path: Path) -> bool:
    """Return whether a file may hold more than eight bits a channel, by its first bytes."""
    try:
        check_file(path)
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except (OSError, DataError):  # a finding of the check
        return False
    if head.startswith(_PNG):
        return head[_PNG_DEPTH : _PNG_DEPTH + 1] == b"\x10"
    return head.startswith(_MAY_BE_DEEP)


def _look(max_pixels: int, path: Path) -> Seen | None:
    """Return what values a file holds; None if it has eight bits or cannot be read."""
    try:
        with opened(path, max_pixels) as image:
            if is_deep_colour(image):
                values = deep_colour(image)
            elif image.mode in DEEP:
                values = np.asarray(image)
            else:
                return None
            return None if values is None else seen(values)
    except DataError:
        return None
