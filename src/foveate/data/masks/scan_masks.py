"""Mask files, each read once: hashed, and looked at where its values are needed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from foveate.data.images.common_levels import evenly_spread
from foveate.data.images.hash_files import hash_files
from foveate.data.images.open_image import check_file
from foveate.data.masks.raw import MaskFile, read_mask_file

LOOKED_AT = 64  # masks that are looked at where the classes are known; all of them else


@dataclass(frozen=True)
class Seen:
    """The values of some masks.

    Args:
        values: All that occur.
        soft: A JPEG among the files, which cannot hold class numbers, or None.
    """

    values: frozenset[int]
    soft: Path | None


class MaskScan:
    """The mask files of a data set, with what was read of them so far.

    Args:
        files: All of them.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = tuple(files)
        self._read: dict[Path, MaskFile] = {}

    @property
    def sample(self) -> Sequence[Path]:
        """Some of the files, or all, evenly spread."""
        return evenly_spread(self.files, LOOKED_AT)

    def look(self, files: Sequence[Path]) -> list[MaskFile]:
        """Return what each file holds.

        Raises:
            DataError: a file cannot be read, or holds colours.
        """
        return self._looks(files, colours=False)

    def seen(self, files: Sequence[Path]) -> Seen:
        """Return all values that occur; one bit counts as 0 and 255.

        Raises:
            DataError: a file cannot be read, or holds colours.
        """
        looks = self.look(files)
        soft = next((path for path, one in zip(files, looks, strict=True) if one.form == "JPEG"), None)
        return Seen(frozenset().union(*(one.values or () for one in looks)), soft)

    def are_coloured(self) -> bool:
        """Tell whether a mask of the sample is RGB.

        Raises:
            DataError: a file cannot be read.
        """
        return any(one.coloured for one in self._looks(self.sample, colours=True))

    def digests(self, files: Sequence[Path], max_pixels: int) -> list[str]:
        """Return the hash of each file's bytes; only files that were not looked at are read.

        Raises:
            DataError: a file cannot be opened, or is too large.
        """
        for path in files:
            if path in self._read:
                check_file(path, max_pixels)
        rest = [path for path in dict.fromkeys(files) if path not in self._read]
        known = dict(zip(rest, hash_files(rest, max_pixels), strict=True))
        return [self._read[path].digest if path in self._read else known[path] for path in files]

    def _looks(self, files: Sequence[Path], *, colours: bool) -> list[MaskFile]:
        new = [
            path for path in dict.fromkeys(files) if path not in self._read or self._read[path].values is None
        ]
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            self._read |= zip(new, pool.map(partial(read_mask_file, colours=colours), new), strict=True)
        return [self._read[path] for path in files]
