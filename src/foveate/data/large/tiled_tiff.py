"""A TIFF picture, of which only the tiles or strips are read that a window touches, and its pyramid if any.

Read are plain, tiled and pyramidal TIFF, BigTIFF, OME-TIFF and slides of the same make (.svs, .ndpi, .scn),
grey or RGB, of the first page, or three pages that are the colours. An overview is made of the smallest level
of the pyramid that has enough detail; without one, of all rows, some at a time. A tile that is not stored is
black, as the format says.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from foveate.data.images.levels import SIXTEEN, Levels
from foveate.data.large.as_rgb import as_rgb
from foveate.data.large.large_picture import (
    MOST_BLOCK,
    STRIP,
    Box,
    LargePicture,
    Pixels,
    Reduced,
    factor_for,
    reduced_strips,
)
from foveate.errors import DataError, MissingExtraError, in_one_line

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_COLOURS = 3
_ORIENTATION = 274  # the tag
_WHITE_IS_ZERO, _PALETTE, _READ_AS = 0, 3, (0, 1, 2, 3, 6)  # photometric interpretations
_DEFLATE = (8, 32946)
_SAMPLED = 9  # blocks
_BOMB = 2**28  # bytes that the tile of a harmless file does not unpack to
_MOST_RATIO = 1032  # of deflate


@dataclass(frozen=True)
class _Level:
    """The picture at one size.

    Args:
        pages: The one with its pixels; or three, one a colour.
        height: In pixels.
        width: In pixels.
        tile: Height and width of a tile, or of a strip.
    """

    pages: tuple[Any, ...]
    height: int
    width: int
    tile: tuple[int, int]


class TiledTiff(LargePicture):
    """A TIFF file.

    Args:
        path: The file.
        levels: The values that become black and white where it has more than eight bits.

    Raises:
        DataError: It is damaged, of colours that are not known, or stored in blocks that are too large.
        MissingExtraError: tifffile is not installed.
    """

    def __init__(self, path: Path, levels: Levels | None = None) -> None:
        try:
            from tifffile import TiffFile
        except ImportError:
            raise MissingExtraError("tifffile", "large", "reading a TIFF in parts") from None
        self.path, self.levels = path, SIXTEEN if levels is None else levels
        try:
            with TiffFile(path) as file:
                found = [_level(path, level) for level in file.series[0].levels]
        except DataError:
            raise
        except Exception as error:  # tifffile raises anything for a broken file
            raise DataError(f"{path}: cannot be read as a TIFF ({in_one_line(error)}). Replace it.") from None
        self.pyramid = sorted(found, key=lambda level: -level.height * level.width)
        self.size = (self.pyramid[0].height, self.pyramid[0].width)
        head = self.pyramid[0].pages[0]
        turn = head.tags.get(_ORIENTATION)
        self.orientation = 1 if turn is None else int(turn.value)
        self.alpha = bool(set(head.extrasamples[:1]) & {1, 2})
        self.inverted, self.palette = head.photometric == _WHITE_IS_ZERO, None
        if head.photometric == _PALETTE:
            self.palette = (np.asarray(head.colormap).T >> 8).astype(np.uint8)

    def sample(self) -> np.ndarray:
        """Return the values of some blocks, evenly spread."""
        level = self.pyramid[-1]
        total = -(-level.height // level.tile[0]) * -(-level.width // level.tile[1])
        with _opened(self.path) as file:
            return np.concatenate(
                [self._values(file, level, number) for number in range(0, total, -(-total // _SAMPLED))]
            )

    def read(self, boxes: Sequence[Box]) -> list[Pixels]:
        """Return windows at full resolution; a tile that several of them touch is read once."""
        return self._read(self.pyramid[0], boxes)

    def strips(self) -> Iterator[Pixels]:
        """Yield all rows, in strips of whole tiles."""
        return self._strips(self.pyramid[0])

    def at_least(self, size: tuple[int, int]) -> Reduced:
        """Return the whole picture in at least the detail of ``size``, from the pyramid if there is one."""
        fits = [level for level in self.pyramid if level.height >= size[0] and level.width >= size[1]]
        level = fits[-1] if fits else self.pyramid[0]
        have = (level.height, level.width)
        return reduced_strips(self._strips(level), have, factor_for(have, size))

    def _strips(self, level: _Level) -> Iterator[Pixels]:
        rows = max(1, STRIP // level.width)
        step = max(level.tile[0], rows - rows % level.tile[0])
        for top in range(0, level.height, step):
            yield self._read(level, [(top, 0, min(step, level.height - top), level.width)])[0]

    def _read(self, level: _Level, boxes: Sequence[Box]) -> list[Pixels]:
        down, across = level.tile
        grid = -(-level.width // across)
        found = [np.empty((height, width, 3), dtype=np.uint8) for _, _, height, width in boxes]
        touched: dict[tuple[int, int], list[int]] = {}
        for number, (top, left, height, width) in enumerate(boxes):
            rows = range(top // down, -(-(top + height) // down))
            columns = range(left // across, -(-(left + width) // across))
            for place in product(rows, columns):
                touched.setdefault(place, []).append(number)
        with _opened(self.path) as file:
            for (row, column), numbers in touched.items():
                tile = self._tile(file, level, row * grid + column)
                for number in numbers:
                    _paste(found[number], boxes[number], tile, row * down, column * across)
        return found

    def _tile(self, file: int, level: _Level, number: int) -> Pixels:
        """Return a tile in RGB, at its full size even where it leaves the picture."""
        values = self._values(file, level, number)
        if self.palette is not None:
            return self.palette[values[:, :, 0]]
        found = as_rgb(values, self.levels, alpha=self.alpha)
        return 255 - found if self.inverted else found

    def _values(self, file: int, level: _Level, number: int) -> np.ndarray:
        """Return what a tile or strip holds (h, w, channels), whether these lie together or apart."""
        parts = []
        for page in level.pages:
            planes = page.keyframe.samplesperpixel if page.keyframe.planarconfig == 2 else 1  # planes apart
            per = -(-level.height // level.tile[0]) * -(-level.width // level.tile[1])
            parts += [self._segment(file, page, number + plane * per) for plane in range(planes)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)

    def _segment(self, file: int, page: Any, number: int) -> np.ndarray:
        """Return what one tile or strip of a page holds (h, w, samples)."""
        start, count = page.dataoffsets[number], page.databytecounts[number]
        head, tables = page.keyframe, getattr(page, "jpegtables", None)
        data = os.pread(file, count, start) if count else None
        if data is not None and len(data) < count:
            raise DataError(f"{self.path}: truncated: block {number} is cut short. Copy it again.")
        if data is not None and head.compression in _DEFLATE and _MOST_RATIO * count > _BOMB:
            _expect_harmless(self.path, data, number)
        try:
            values, _, shape = head.decode(data, number, jpegtables=tables, _fullsize=True)
        except Exception as error:  # tifffile and its codecs raise anything for a damaged block
            raise DataError(
                f"{self.path}: block {number} is damaged ({in_one_line(error)}). Copy it again."
            ) from None
        return np.zeros(shape[1:], head.dtype) if values is None else values[0]


def _level(path: Path, series: Any) -> _Level:
    """Return one size of the picture, if it is one that is read."""
    page = series.keyframe
    pages: tuple[Any, ...] = (page,)
    colours = dict(zip(series.axes, series.shape, strict=True)).get("C", 1)
    if page.samplesperpixel == 1 and colours == _COLOURS and len(series.pages) >= _COLOURS:
        pages = tuple(series.pages[number] for number in range(_COLOURS))
    elif page.samplesperpixel == 1 and colours > 1:
        raise DataError(
            f"{path}: {colours} channels, expected one or three. Export the ones to look at as RGB."
        )
    if page.photometric not in _READ_AS or page.dtype is None or page.dtype.kind not in "buf":
        raise DataError(
            f"{path}: a TIFF of {page.photometric.name} and {page.dtype}, expected grey or RGB of unsigned "
            "numbers or floats. Convert it to RGB."
        )
    try:
        page.decode  # noqa: B018  # raises where there is no codec, before a block is read
        page.decode(None, 0)
    except Exception as error:
        raise DataError(
            f"{path}: its blocks are compressed as {page.compression.name}, which takes more than tifffile "
            f"({in_one_line(error)}). Run: pip install imagecodecs, or pip install 'pyvips[binary]'."
        ) from None
    tile = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    tile = (min(tile[0], page.imagelength) if not page.is_tiled else tile[0], tile[1])
    if tile[0] * tile[1] > MOST_BLOCK:
        raise DataError(
            f"{path}: is stored in blocks of {tile[1]}x{tile[0]} pixels, more than {MOST_BLOCK:,}, which "
            "have to be decoded whole. Write it in tiles."
        )
    return _Level(pages, page.imagelength, page.imagewidth, tile)


class _opened:  # noqa: N801  # used like a function
    """A file descriptor, which several threads can read from at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> int:
        self.file = os.open(self.path, os.O_RDONLY)
        return self.file

    def __exit__(self, *_: object) -> None:
        os.close(self.file)


def _paste(out: Pixels, box: Box, tile: np.ndarray, top: int, left: int) -> None:
    """Copy into a window what a tile whose corner is at (top, left) has of it."""
    first, start = max(box[0], top), max(box[1], left)
    last, stop = min(box[0] + box[2], top + tile.shape[0]), min(box[1] + box[3], left + tile.shape[1])
    out[first - box[0] : last - box[0], start - box[1] : stop - box[1]] = tile[
        first - top : last - top, start - left : stop - left
    ]


def _expect_harmless(path: Path, data: bytes, number: int) -> None:
    """Raise if a block unpacks to more than any tile holds."""
    unpack, size = zlib.decompressobj(), 0
    while data and not unpack.eof:
        try:
            size += len(unpack.decompress(data, 2**22))
        except zlib.error:
            return  # damaged: decoding it says so
        data = unpack.unconsumed_tail
        if size > _BOMB:
            raise DataError(f"{path}: block {number} unpacks to more than {_BOMB:,} bytes. Remove the file.")
