"""Hashes of files' bytes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from foveate.data.images.levels import SIXTEEN
from foveate.data.images.open_image import MOST_PIXELS, Reading, check_file, content_hash
from foveate.errors import DataError


def hash_files(files: Sequence[Path], max_pixels: int = MOST_PIXELS) -> list[str]:
    """Return the hash of each file's bytes.

    Args:
        files: The files.
        max_pixels: Pixels of the largest picture: a file that is larger than such can be is not read.

    Raises:
        DataError: a file cannot be opened, is a pipe or a device, or is too large.
    """
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return list(pool.map(partial(_hash_file, max_pixels=max_pixels), files, chunksize=256))


def hash_images(files: Sequence[Path], how: Reading) -> list[str]:
    """Return the hash of each file's bytes, and the levels that they are scaled by if those are not usual.

    Raises:
        DataError: a file cannot be opened, is a pipe or a device, or is too large.
    """
    levels = "" if how.levels == SIXTEEN else f" {how.levels}"
    return [f"{content}{levels}" for content in hash_files(files, how.max_pixels)]


def _hash_file(path: Path, max_pixels: int) -> str:
    try:
        check_file(path, max_pixels)
        with path.open("rb") as file:
            return content_hash(file)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be opened ({error.strerror}). Delete it or grant read permission."
        ) from None
