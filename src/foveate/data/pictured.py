"""What data shares that is about pictures and not labels: its pictures, each once, and their contents."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from foveate.data.base import ImageData, Pooled, Split
from foveate.data.images.decode import read
from foveate.data.images.hash_files import hash_images
from foveate.data.images.open_image import Reading
from foveate.errors import DataError


class PicturedSplit(Protocol):
    """One part of such data."""

    @property
    def pictures(self) -> Split:
        """The pictures; their targets are all 0."""
        ...

    def __len__(self) -> int: ...


class Pictured:
    """Data in splits whose items are captions of pictures, or questions about them.

    Class attributes:
        item: What an item is called in messages.
    """

    item: ClassVar[str]
    name: str
    splits: Mapping[str, PicturedSplit]
    origin: Mapping[str, object]
    contents: str
    pooled: Pooled | None

    def __post_init__(self) -> None:
        for needed in ("train", "test"):
            if not len(self.splits.get(needed, ())):
                have = ", ".join(f"{name} ({len(split)})" for name, split in self.splits.items()) or "none"
                raise DataError(
                    f"{self.name}: no {self.item} in split {needed}; splits: {have}. Give train and test "
                    "(val is optional), or one set to be split."
                )

    @property
    def items(self) -> dict[str, int]:
        """Return how many items each split has."""
        return {name: len(split) for name, split in self.splits.items()}

    @property
    def pictures(self) -> ImageData:
        """Return the pictures alone, as the cache and the checks of images take them."""
        splits = {name: split.pictures for name, split in self.splits.items()}
        return ImageData(self.name, ("picture",), splits, self.origin, self.contents, pooled=self.pooled)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(split):,}" for name, split in self.splits.items())
        return f"{type(self).__name__}({self.name}: {sizes})"


def unlabelled(files: Sequence[Path], names: Sequence[str], how: Reading) -> Split:
    """Return files of pictures as a split, with 0 for every target."""
    files = tuple(files)
    return Split(
        names=tuple(names),
        targets=np.zeros(len(files), dtype=np.int64),
        load=lambda item: read(files[item], how),
        files=files,
        how=how,
    )


def contents_of(splits: Mapping[str, PicturedSplit], how: Reading) -> str:
    """Return a hash of all pictures and their names, by split."""
    total = hashlib.sha256(b"pictures")
    for name in sorted(splits):
        pictures = splits[name].pictures
        total.update(f"\n{name} {len(pictures)}".encode())
        for picture, content in zip(pictures.names, hash_images(pictures.files or (), how), strict=True):
            total.update(f"\n{picture}\0{content}".encode())
    return total.hexdigest()
