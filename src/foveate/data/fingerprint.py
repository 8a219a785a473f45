"""Hashes of contents, so that equal data is known again wherever it lies."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from foveate.data.base import Split
from foveate.data.images.decode import MOST_PIXELS, Reading, check_file
from foveate.data.images.levels import SIXTEEN
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


def hash_splits(
    classes: Sequence[str], splits: Mapping[str, Split], contents: Mapping[str, Sequence[str]]
) -> str:
    """Return one fingerprint of names, labels and contents of all splits.

    Args:
        classes: Class names.
        splits: The splits.
        contents: For each split, a hash of each item.
    """
    total = hashlib.sha256("\0".join(classes).encode())
    for name in sorted(splits):
        split = splits[name]
        total.update(f"\n{name} {len(split)}".encode())
        for item, target, content in zip(split.names, split.targets.tolist(), contents[name], strict=True):
            total.update(f"\n{item}\0{target}\0{content}".encode(errors="surrogateescape"))
    return total.hexdigest()


def _hash_file(path: Path, max_pixels: int) -> str:
    try:
        check_file(path, max_pixels)
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()[:32]
    except OSError as error:
        raise DataError(
            f"{path}: cannot be opened ({error.strerror}). Delete it or grant read permission."
        ) from None
