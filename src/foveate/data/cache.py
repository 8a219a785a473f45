"""Decode once: every image of a split, uint8, in one memory-mapped file; and every mask in another.

A file holds one split at one size as NumPy's .npy, images (N, H, W, 3) or masks (N, H, W) on disk, and behind
it the checksum of both: a damaged file is built again. It is named by a hash of what it holds.

Images with labels are cut square; images with masks are fitted onto one canvas, see ``canvas``.

Shapes  ``CachedSplit.images`` uint8 (N, 3, H, W), a view of the file with the channels last in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from foveate.data.base import ImageData, Split
from foveate.data.cache_content import fitted, fitted_masks, squares
from foveate.data.cache_folder import cache_folder
from foveate.data.cached_split import CachedSplit
from foveate.data.canvas import Canvas, choose_canvas
from foveate.data.sealed_array import not_read_back, open_sealed, write_sealed
from foveate.errors import OptionError

VERSION = 2  # raise it whenever a decoded pixel could change
_CHUNK = 512  # images decoded between two writes, if they are small
_CHUNK_BYTES = 2**26  # and this much at most

Rows = Callable[[range], UInt8[np.ndarray, "n ..."]]  # item numbers -> what the file holds of them


def cache(data: ImageData, *, size: int | Canvas, folder: Path | None = None) -> dict[str, CachedSplit]:
    """Return every split of ``data``, decoded now if it was not before.

    Args:
        data: What to decode.
        size: In pixels. With labels the side of a square: an image's short side is brought to it and the
            middle cut out. With masks the canvas (H, W) that images are fitted onto whole, or its short side
            alone: then the training images decide the aspect, see ``choose_canvas``.
        folder: Where the files are; $FOVEATE_CACHE or ~/.cache/foveate if None.

    Raises:
        DataError: an image or mask cannot be read or they differ in size (it is named), or the cache cannot
            be written.
        OptionError: ``size`` is not positive, or not square for data with labels.
    """
    folder = cache_folder() if folder is None else Path(folder)
    canvas = choose_canvas(data, size) if data.truth == "mask" else _checked_square(size)
    if data.pooled is not None:  # nothing is decoded again because it has changed places
        stored = cache(data.pooled.data, size=canvas, folder=folder)
        train, test = stored["train"], stored["test"]
        return stored | {
            name: CachedSplit.picked(train, test, rows, data.splits[name].names)
            for name, rows in data.pooled.rows.items()
        }
    return {name: _cached(data, name, split, canvas, folder) for name, split in data.splits.items()}


def cache_file(data: ImageData, split: str, size: int | Canvas, folder: Path) -> Path:
    """Return the file that holds a split's images at a size, whether it exists or not.

    Args:
        data: What is cached.
        split: Its name.
        size: The side of a square with labels, the canvas with masks.
        folder: Where the files are.
    """
    return _file(data, split, str(size) if isinstance(size, int) else "x".join(map(str, size)), folder)


def mask_file(data: ImageData, split: str, canvas: Canvas, folder: Path) -> Path:
    """Return the file that holds a split's masks on a canvas, whether it exists or not."""
    return _file(data, split, "x".join(map(str, canvas)) + " masks", folder)


def _file(data: ImageData, split: str, what: str, folder: Path) -> Path:
    key = hashlib.sha256(f"{VERSION} {data.fingerprint} {split} {what}".encode()).hexdigest()
    return folder / f"{key[:32]}.npy"


def _checked_square(size: int | Canvas) -> Canvas:
    height, width = (size, size) if isinstance(size, int) else size
    if height != width or height < 1:
        raise OptionError(
            f"cache: got size={size}, expected the side of a square in pixels, such as size=224."
        )
    return height, width


def _cached(data: ImageData, name: str, split: Split, canvas: Canvas, folder: Path) -> CachedSplit:
    masked = split.masks is not None
    path = cache_file(data, name, canvas if masked else canvas[0], folder)
    rows = partial(fitted if masked else squares, split, canvas)
    images = _kept(path, (len(split), *canvas, 3), rows).transpose(0, 3, 1, 2)
    masks = None
    if masked:
        masks = _kept(
            mask_file(data, name, canvas, folder),
            (len(split), *canvas),
            partial(fitted_masks, split, canvas, len(data.classes)),
        )
    return CachedSplit(images=images, targets=split.targets, names=split.names, masks=masks)


def _kept(path: Path, shape: tuple[int, ...], rows: Rows) -> np.memmap:
    """Return what the file holds, built now if it was not before."""
    found = open_sealed(path, shape)
    if found is None:
        step = max(1, min(_CHUNK, _CHUNK_BYTES // int(np.prod(shape[1:]))))
        firsts = range(0, shape[0], step)
        write_sealed(path, (rows(range(first, min(first + step, shape[0]))) for first in firsts), shape)
        found = open_sealed(path, shape)
    if found is None:
        raise not_read_back(path)
    return found
