"""Probe one large picture: its head, and an overview; nothing is decoded whole."""

from __future__ import annotations

from dataclasses import replace

from foveate.data.base import Split
from foveate.data.checks.probe_files import Probe, probe_pixels
from foveate.data.images.open_image import TooLargeError
from foveate.data.large.small_squares import SmallSquares
from foveate.errors import DataError

SIDE = 224  # pixels of the overview, as reports draw it


def probe_large(split: Split, item: int) -> Probe:
    """Return what a look at a large picture finds. It never raises: faults are in ``problem``."""
    assert split.pictures is not None
    try:
        picture = split.pictures(item)
        found = probe_pixels(SmallSquares(split.pictures, SIDE)[item].transpose(1, 2, 0))
    except DataError as error:
        kind = "truncated" if "truncated" in str(error) else "unreadable"
        return Probe(problem="bomb" if isinstance(error, TooLargeError) else kind, detail=str(error))
    height, width = picture.size
    return replace(found, digest=picture.key or found.digest, size=(width, height))
