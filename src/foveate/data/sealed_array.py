"""Arrays on disk that are known to be whole: NumPy's .npy, and behind it the checksum of all its bytes.

A file appears at once and is opened memory-mapped. One that was cut short or changed is not opened.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from foveate.errors import DataError
from foveate.files import replacing

_SEAL = 32  # bytes of the checksum that a file ends in
_PART_BYTES = 2**26  # read at once


def open_sealed(path: Path, shape: tuple[int, ...], kind: Any = np.uint8) -> np.memmap | None:
    """Return a file's array, or None if it is missing, cut short, changed or another one.

    Args:
        path: The file.
        shape: What the array has to have.
        kind: Its type.
    """
    try:
        found = np.lib.format.open_memmap(path, mode="r")
        fits = found.shape == shape and found.dtype == np.dtype(kind)
        return found if fits and _sealed(path) else None
    except (OSError, ValueError, EOFError):  # ValueError: no .npy header, or fewer bytes than it promises
        return None


def write_sealed(
    path: Path, blocks: Iterable[np.ndarray], shape: tuple[int, ...], kind: Any = np.uint8
) -> None:
    """Write an array beside its place, then move it there.

    Args:
        path: The file; its folder is made if need be.
        blocks: The array's rows, several at a time, in order, C-contiguous.
        shape: Of the array.
        kind: Its type.

    Raises:
        DataError: There is no room, or nothing can be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part, part.open("w+b") as file:
            header = {"descr": np.dtype(kind).str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for (
                block
            ) in blocks:  # Plain writes: a full disk is an error, where a memory map kills the process.
                file.write(block.data)
            file.flush()
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").digest()
            file.seek(0, os.SEEK_END)
            file.write(digest)
    except OSError as error:
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        raise DataError(
            f"{path.parent}: cannot keep {size / 2**20:.0f} MiB ({error.strerror}). "
            "Make room, or set FOVEATE_CACHE to a folder that has it."
        ) from None


def not_read_back(path: Path) -> DataError:
    """Return the error for a file that was just written and yet cannot be opened."""
    return DataError(
        f"{path}: was just written and cannot be read back. Is the disk sound? Set FOVEATE_CACHE."
    )


def _sealed(path: Path) -> bool:
    """Return whether a file ends in the checksum of all bytes before it."""
    total, left = hashlib.sha256(), path.stat().st_size - _SEAL
    with path.open("rb") as file:
        while left > 0:
            part = file.read(min(left, _PART_BYTES))
            total.update(part)
            left -= len(part) or left
        return file.read() == total.digest()
