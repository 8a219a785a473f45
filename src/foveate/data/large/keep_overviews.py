"""Overviews of large pictures, kept on disk: what takes reading a whole picture is done once.

A file holds one overview, uint8 (h, w, 3), and is named by a hash of the picture's contents and the size. So
pictures are shared between data sets, and a run that was stopped loses one at most. An overview that is not
much smaller than its picture, or of a picture that is not a file, is not kept.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from foveate.data.cache_folder import cache_folder
from foveate.data.large.large_picture import LargePicture
from foveate.data.sealed_array import open_sealed, write_sealed

VERSION = 1  # raise it whenever a pixel of an overview could change
_WORTH = 16  # times as many pixels as its overview a picture has to have


def overview_of(
    picture: LargePicture, size: tuple[int, int], folder: Path | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a picture's overview, made now if it was not before.

    Args:
        picture: The picture.
        size: Height and width in pixels.
        folder: Where overviews are kept; the folder ``overviews`` in $FOVEATE_CACHE or ~/.cache/foveate if
            None.

    Raises:
        DataError: The picture cannot be read, or there is no room.
    """
    height, width = size
    if picture.key is None or picture.size[0] * picture.size[1] < _WORTH * height * width:
        return picture.overview(size)
    path = overview_file(picture.key, size, cache_folder() / "overviews" if folder is None else folder)
    found = open_sealed(path, (height, width, 3))
    if found is not None:
        return np.asarray(found)
    made = np.ascontiguousarray(picture.overview(size))
    write_sealed(path, [made], made.shape)
    return made


def overview_file(key: str, size: tuple[int, int], folder: Path) -> Path:
    """Return the file that holds an overview, whether it exists or not."""
    return folder / f"{hashlib.sha256(f'{VERSION} {key} {size}'.encode()).hexdigest()[:32]}.npy"
