"""A PNG picture, decoded in strips: it cannot be read at random, but need not be held whole either.

A PNG is one stream of rows, each filtered by the one above. Some rows are unpacked at a time and given to
Pillow as a small PNG of their own, whose first row is the last one of the strip before. A window costs the
decoding of all rows above it, in the memory of a strip.

Not so read: interlaced files, which hold the picture seven times over, and colour of sixteen bits a channel.

Format  PNG (Third Edition), W3C, sections 5, 9 and 11.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from foveate.data.images.levels import SIXTEEN, Levels
from foveate.data.large.as_rgb import as_rgb
from foveate.data.large.large_picture import MOST_BLOCK, STRIP, Box, LargePicture, Pixels
from foveate.data.large.strip_windows import cut_from_strips, lowest_row
from foveate.errors import DataError

MAGIC = b"\x89PNG\r\n\x1a\n"
_PALETTE, _ALPHA = 3, (4, 6)  # colour types
_CHANNELS = {0: 1, 2: 3, _PALETTE: 1, 4: 2, 6: 4}  # of each colour type
_PLAIN = {1: 0, 2: 4, 3: 2, 4: 6}  # bytes a pixel -> the colour type of eight bits that has as many
_BYTE, _SIXTEEN = 8, 16  # bits
_HEAD = 13  # bytes
_CHUNK = 2**31 - 1  # bytes, the format's own limit
_READ = 2**16
_ORIENTATION = 274  # the tag of EXIF


class PngStrips(LargePicture):
    """A PNG file.

    Args:
        path: The file.
        levels: The values that become black and white where it has sixteen bits.

    Raises:
        DataError: It is damaged, of a kind that is not read in strips, or its rows are too long.
    """

    at_random = False

    def __init__(self, path: Path, levels: Levels | None = None) -> None:
        self.path, self.levels = path, SIXTEEN if levels is None else levels
        with path.open("rb") as file:
            file.seek(len(MAGIC))
            chunks = _chunks(path, file)
            kind, head = next(chunks, (b"", b""))
            self.orientation = _orientation(chunks)
        if kind != b"IHDR" or len(head) != _HEAD:
            raise DataError(f"{path}: a PNG without its header. Replace it.")
        width, height, self.depth, self.colour, _, _, interlaced = struct.unpack(">IIBBBBB", head)
        if self.colour not in _CHANNELS or not width or not height or not self.depth:
            raise DataError(f"{path}: a PNG of {width}x{height} pixels, type {self.colour}. Replace it.")
        bits = self.depth * _CHANNELS[self.colour]
        self.step = max(1, bits // _BYTE)  # bytes from a value to that of the pixel before
        if interlaced or self.step not in _PLAIN:
            what = "an interlaced PNG" if interlaced else "a PNG of sixteen bits a colour"
            raise DataError(f"{path}: {what} cannot be read in strips. Write it as a tiled TIFF.")
        if width > MOST_BLOCK:
            raise DataError(
                f"{path}: rows of {width:,} pixels, more than {MOST_BLOCK:,}. Write it as a tiled TIFF."
            )
        self.size = (height, width)
        self.row = -(-width * bits // _BYTE)  # bytes, without the number of its filter

    def read(self, boxes: Sequence[Box]) -> list[Pixels]:
        """Return windows at full resolution, from one pass over the rows down to the lowest of them."""
        return cut_from_strips(self.strips(lowest_row(boxes)), boxes)

    def strips(self, rows: int | None = None) -> Iterator[Pixels]:
        """Yield the rows, from the top, some at a time.

        Args:
            rows: How many are needed; all if None.
        """
        left, above = self.size[0] if rows is None else rows, b""
        step = max(1, STRIP // self.size[1])
        with self.path.open("rb") as file:
            palette, data = self._start(file)
            while left > 0:
                wanted = min(step, left)
                values = self._unfiltered(above + data.read(wanted * (self.row + 1)), wanted + bool(above))
                above, left = b"\0" + values[-1].tobytes(), left - wanted
                yield self._rgb(values[len(values) - wanted :], palette)

    def _start(self, file: BinaryIO) -> tuple[np.ndarray, _Unpacked]:
        """Return the palette, if any, and what unpacks the rows."""
        file.seek(len(MAGIC))
        palette, chunks = np.zeros((256, 3), dtype=np.uint8), _chunks(self.path, file)
        for kind, body in chunks:
            if kind == b"PLTE":
                colours = np.frombuffer(body[: len(body) // 3 * 3], dtype=np.uint8).reshape(-1, 3)[:256]
                palette[: len(colours)] = colours
            if kind == b"IDAT":
                return palette, _Unpacked(self.path, body, chunks)
        raise DataError(f"{self.path}: a PNG without pixels. Replace it.")

    def _unfiltered(self, rows: bytes, count: int) -> np.ndarray:
        """Return the values of filtered rows, uint8 (count, bytes a row): as of eight bits a channel."""
        head = struct.pack(">IIBBBBB", self.row // self.step, count, _BYTE, _PLAIN[self.step], 0, 0, 0)
        parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b""))
        small = MAGIC + b"".join(_packed(kind, body) for kind, body in parts)
        try:
            with Image.open(BytesIO(small), formats=("PNG",)) as image:
                return np.asarray(image).reshape(count, self.row)
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(f"{self.path}: damaged rows ({error}). Replace it.") from None

    def _rgb(self, values: np.ndarray, palette: np.ndarray) -> Pixels:
        height, width = len(values), self.size[1]
        if self.depth < _BYTE:
            bits = np.unpackbits(values, axis=1)[:, : width * self.depth].reshape(height, width, self.depth)
            found = (bits << np.arange(self.depth - 1, -1, -1, dtype=np.uint8)).sum(axis=2, dtype=np.uint8)
            if self.colour != _PALETTE:
                found = found * np.uint8(255 // (2**self.depth - 1))
        elif self.depth == _SIXTEEN:
            found = values.reshape(height, width, -1).view(">u2").astype(np.uint16)
        else:
            found = values.reshape(height, width, -1)
        if self.colour == _PALETTE:
            return palette[found.reshape(height, width)]
        return as_rgb(found, self.levels, alpha=self.colour in _ALPHA)


class _Unpacked:
    """The bytes of all IDAT chunks, unpacked as they are asked for."""

    def __init__(self, path: Path, first: bytes, chunks: Iterator[tuple[bytes, bytes]]) -> None:
        self.path, self.chunks, self.packed, self.kept = path, chunks, first, b""
        self.unpack = zlib.decompressobj()

    def read(self, count: int) -> bytes:
        parts, have = [], 0
        while have < count:
            if not self.packed:
                kind, self.packed = next(self.chunks, (b"IEND", b""))
                if kind != b"IDAT":
                    raise DataError(f"{self.path}: truncated: the last rows are missing. Copy it again.")
                continue
            try:
                part = self.unpack.decompress(self.packed, count - have)
            except zlib.error as error:
                raise DataError(f"{self.path}: damaged ({error}). Copy it again.") from None
            self.packed = self.unpack.unconsumed_tail
            if not part and self.unpack.eof:
                raise DataError(f"{self.path}: truncated: the last rows are missing. Copy it again.")
            parts.append(part)
            have += len(part)
        return b"".join(parts)


def _chunks(path: Path, file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and body of the chunks that follow, IDAT in parts of ``_READ`` bytes."""
    while len(head := file.read(8)) == 8:  # length and kind
        length, kind = struct.unpack(">I4s", head)
        if length > _CHUNK:
            raise DataError(f"{path}: damaged: a part of {length:,} bytes. Copy it again.")
        if kind == b"IDAT":
            while length:
                body = file.read(min(length, _READ))
                if not body:
                    return
                length -= len(body)
                yield kind, body
        elif length <= _READ:
            yield kind, file.read(length)
        else:  # colour profiles, texts
            file.seek(length, 1)
        file.seek(4, 1)  # its checksum


def _orientation(chunks: Iterator[tuple[bytes, bytes]]) -> int:
    """Return the EXIF orientation that is stated before the pixels; 1 if there is none."""
    for kind, body in chunks:
        if kind == b"IDAT":
            break
        if kind == b"eXIf":
            exif = Image.Exif()
            exif.load(b"Exif\0\0" + body)
            found = exif.get(_ORIENTATION, 1)
            return found if isinstance(found, int) else 1
    return 1


def _packed(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
