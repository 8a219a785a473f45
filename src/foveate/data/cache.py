"""Decode once: every image of a split, square and uint8, in one memory-mapped file.

A file holds one split at one size as NumPy's .npy, (N, S, S, 3) on disk, and is named by a hash of the
data's fingerprint, the split, the size and the version of the preprocessing. It appears under its name only
when complete: it is written beside it first and then moved, so that builders that run at once do no harm
and a kill leaves nothing that could be mistaken for a cache.

Shapes  ``CachedSplit.images`` uint8 (N, 3, S, S), a view of the file with the channels last in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
from jaxtyping import Int64, UInt8

from foveate.data.base import ImageData, Split
from foveate.data.decode import read_square, square
from foveate.errors import DataError, OptionError

VERSION = 1  # raise it whenever a decoded pixel could change
_CHUNK = 512  # images decoded between two writes
_STALE = 3600.0  # seconds without a write after which a temporary file's builder is taken for dead


@dataclass(frozen=True)
class CachedSplit:
    """A split ready for training.

    Args:
        images: uint8 (N, 3, S, S); usually memory-mapped and read-only.
        targets: int64 (N,), the classes.
        names: One per item.
    """

    images: UInt8[np.ndarray, "n 3 s s"]
    targets: Int64[np.ndarray, " n"]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


def cache(data: ImageData, *, size: int, folder: Path | None = None) -> dict[str, CachedSplit]:
    """Return every split of ``data``, decoded now if it was not before.

    Args:
        data: What to decode.
        size: Height and width in pixels; an image's short side is brought to it and the middle cut out.
        folder: Where the files are; $FOVEATE_CACHE or ~/.cache/foveate if None.

    Raises:
        DataError: an image cannot be read (it is named), or the cache cannot be written.
        OptionError: ``size`` is not positive.
    """
    if size < 1:
        raise OptionError(f"cache: size={size} is no image size in pixels. Write size=224, for example.")
    folder = cache_folder() if folder is None else Path(folder)
    return {name: _cached(data, name, split, size, folder) for name, split in data.splits.items()}


def cache_folder() -> Path:
    """Return where caches are kept: $FOVEATE_CACHE, or ~/.cache/foveate."""
    return Path(os.environ.get("FOVEATE_CACHE") or Path("~/.cache/foveate").expanduser())


def cache_file(data: ImageData, split: str, size: int, folder: Path) -> Path:
    """Return the file that holds a split at a size, whether it exists or not."""
    key = hashlib.sha256(f"{VERSION} {data.fingerprint} {split} {size}".encode()).hexdigest()
    return folder / f"{key[:32]}.npy"


def _cached(data: ImageData, name: str, split: Split, size: int, folder: Path) -> CachedSplit:
    path, shape = cache_file(data, name, size, folder), (len(split), size, size, 3)
    images = _open(path, shape)
    if images is None:
        _build(path, split, shape)
        images = _open(path, shape)
    if images is None:
        raise DataError(
            f"{path}: was just written and cannot be read back. Is the disk sound? Set FOVEATE_CACHE."
        )
    return CachedSplit(images=images.transpose(0, 3, 1, 2), targets=split.targets, names=split.names)


def _open(path: Path, shape: tuple[int, ...]) -> np.memmap | None:
    """Return the file's images, or None if it is missing, cut short or something else."""
    try:
        images = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, EOFError):  # ValueError: no .npy header, or fewer bytes than it promises
        return None
    return images if images.shape == shape and images.dtype == np.uint8 else None


def _build(path: Path, split: Split, shape: tuple[int, ...]) -> None:
    """Write the file beside its place, then move it there."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        with NamedTemporaryFile(
            dir=path.parent, prefix=f"{path.stem}.", suffix=".part", delete=False
        ) as file:
            temporary = Path(file.name)
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            # Plain writes: a full disk is an error here, where a memory map would kill the process.
            for images in _decoded(split, shape[1]):
                file.write(images.data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise DataError(
            f"{path.parent}: cannot keep {np.prod(shape) / 2**20:.0f} MiB ({error.strerror}). "
            "Make room, or set FOVEATE_CACHE to a folder that has it."
        ) from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)  # after the move there is nothing left to remove


def _decoded(split: Split, size: int) -> Iterator[UInt8[np.ndarray, "n s s 3"]]:
    def one(item: int) -> UInt8[np.ndarray, "s s 3"]:
        if split.files is not None:
            return read_square(split.files[item], size)
        return square(split.load(item), size)

    with ThreadPoolExecutor(
        max_workers=os.cpu_count()
    ) as pool:  # Pillow decodes without holding the interpreter
        for first in range(0, len(split), _CHUNK):
            items = range(first, min(first + _CHUNK, len(split)))
            if split.many is not None:
                yield np.stack([square(image, size) for image in split.many(first, len(items))])
            else:
                yield np.stack(list(pool.map(one, items)))


def _sweep(folder: Path) -> None:
    """Remove what killed builders left behind."""
    for left in folder.glob("*.part"):
        with contextlib.suppress(OSError):  # another builder swept it, or it is not ours
            if time.time() - left.stat().st_mtime > _STALE:
                left.unlink()
