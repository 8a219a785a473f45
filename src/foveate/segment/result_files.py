"""Files that are written band by band, and that appear under their names only when they are complete."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from jaxtyping import Float, UInt8

from foveate.errors import OptionError, ShapeError
from foveate.files import replacing

_PNG = b"\x89PNG\r\n\x1a\n"
_CLASSES = 256  # that one byte can name


def write_mask(path: Path, labels: UInt8[np.ndarray, "h w"], palette: UInt8[np.ndarray, "k 3"]) -> None:
    """Write a mask as a paletted PNG: a pixel's value is its class, and viewers show the class's colour.

    Args:
        path: The file; one that is there is replaced.
        labels: Class numbers, each below the number of colours.
        palette: A colour for each class, RGB, at most 256.

    Raises:
        ShapeError: The labels are not uint8 (H, W), or one has no colour.
        OptionError: There are more than 256 colours, or none.
    """
    if labels.ndim != 2 or labels.dtype != np.uint8 or not labels.size:
        raise ShapeError(f"got labels {labels.shape} of {labels.dtype}, expected class numbers uint8 (H, W)")
    if labels.max() >= len(palette):
        raise ShapeError(f"got class {labels.max()} and {len(palette)} colours. Give one for each class.")
    height, width = labels.shape
    with mask_file(path, height, width, palette) as write:
        write(labels)


@contextmanager
def mask_file(
    path: Path, height: int, width: int, palette: UInt8[np.ndarray, "k 3"]
) -> Iterator[Callable[[UInt8[np.ndarray, "_ w"]], None]]:
    """Give a function that appends rows of labels to a paletted PNG; see ``write_mask``.

    Raises:
        OptionError: There are more than 256 colours, or none.
    """
    if not 1 <= len(palette) <= _CLASSES:
        raise OptionError(f"a mask has 1 to 256 colours, got {len(palette)}. Write probabilities instead.")
    with completed(path) as file:
        pack = zlib.compressobj()

        def write(labels: UInt8[np.ndarray, "_ w"]) -> None:
            lines = np.zeros((len(labels), width + 1), np.uint8)  # each begins with its filter: 0, none
            lines[:, 1:] = labels
            if data := pack.compress(lines.data):
                _chunk(file, b"IDAT", data)

        file.write(_PNG)
        _chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))  # 8 bits, paletted
        _chunk(file, b"PLTE", np.asarray(palette, np.uint8).tobytes())
        yield write
        _chunk(file, b"IDAT", pack.flush())
        _chunk(file, b"IEND", b"")


def write_probabilities(
    path: Path, probabilities: Float[np.ndarray, "k h w"], dtype: Literal["float16", "float32"] = "float16"
) -> None:
    """Write probabilities (K, H, W) as NumPy's .npy, which ``np.load(path, mmap_mode="r")`` opens at once.

    Args:
        path: The file; one that is there is replaced.
        probabilities: What ``segment`` returns.
        dtype: float16 is exact to 0.0005.

    Raises:
        ShapeError: They are not (K, H, W).
    """
    if probabilities.ndim != 3:
        raise ShapeError(f"got probabilities {probabilities.shape}, expected (K, H, W)")
    height, width = probabilities.shape[1:]
    with probability_file(path, height, width, dtype) as write:
        write(probabilities)


@contextmanager
def probability_file(
    path: Path, height: int, width: int, dtype: Literal["float16", "float32"] = "float16"
) -> Iterator[Callable[[Float[np.ndarray, "k _ w"]], None]]:
    """Give a function that appends a band of rows to an .npy of (K, height, width); see above."""
    with completed(path) as file:
        done, start = 0, 0

        def write(band: Float[np.ndarray, "k _ w"]) -> None:
            nonlocal done, start
            if done == 0:
                header = {"descr": f"<f{np.dtype(dtype).itemsize}", "fortran_order": False}
                np.lib.format.write_array_header_1_0(file, header | {"shape": (len(band), height, width)})
                start = file.tell()
            for number, rows in enumerate(band):
                file.seek(start + np.dtype(dtype).itemsize * width * (number * height + done))
                file.write(np.ascontiguousarray(rows, np.dtype(dtype).newbyteorder("<")).data)
            done += band.shape[1]

        yield write


@contextmanager
def completed(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name when the context ends well, and else is not there."""
    with replacing(path) as part, part.open("wb") as file:
        yield file


def _chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
