"""What a mask file holds, before it is decoded by a code: values, or colours.

A file is a picture (grey, paletted, 16 bits, RGB) or an array (.npy, .npz).

Shapes  values are int32 (H, W); a colour is the number red * 65536 + green * 256 + blue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int32, UInt8
from PIL import Image

from foveate.data.images.open_image import content_hash, file_size, hash_of_opened, opened, upright
from foveate.errors import DataError, first_few

Kind = Literal["index", "binary", "colour", "threshold"]
ARRAYS = (".npy", ".npz")
_CALLED = ("mask", "masks", "label", "labels", "segmentation", "seg")  # arrays among others in one file
_FEW = 2**16
_GREY = {"1": "1-bit", "L": "grey", "P": "paletted", "LA": "grey", "PA": "paletted"}
_DEEP = ("I", "I;16", "I;16B", "I;16L", "F")
_RGB = ("RGB", "RGBA")


def raw_mask(path: Path, kind: Kind) -> Int32[np.ndarray, "h w"]:
    """Return what a mask file holds: values, or colours as red * 65536 + green * 256 + blue.

    Args:
        path: The file.
        kind: What is wanted. One bit is 0 or 1 as an index, else 0 or 255.

    Raises:
        DataError: the file cannot be read, or holds colours where values are wanted.
    """
    if path.suffix.lower() in ARRAYS:
        return _of_array(path, _read_array(path)[0], kind)
    with opened(path) as file:
        image = upright(file)  # as its image is turned
        return _colours(path, image) if kind == "colour" else _values(path, image, kind)


@dataclass(frozen=True)
class MaskFile:
    """What one read of a mask file tells.

    Args:
        digest: The hash of its bytes.
        mode: As Pillow calls it; of an array "1" if it is bool, else "I".
        form: The format, such as "PNG"; "" for an array.
        values: All values that occur, one bit as 0 and 255; None for colours that were not looked at.
        palette: Red, green, blue of index 0, 1, ...; None if it is not paletted.
    """

    digest: str
    mode: str
    form: str
    values: frozenset[int] | None
    palette: tuple[int, ...] | None = None

    @property
    def coloured(self) -> bool:
        """Tell whether it is RGB."""
        return self.mode in _RGB


def read_mask_file(path: Path, *, colours: bool = False) -> MaskFile:
    """Return the hash of a mask file and what it holds, from one read.

    Args:
        path: The file.
        colours: Whether RGB is expected; such a file is then not looked at.

    Raises:
        DataError: the file cannot be read, or holds colours where values are expected.
    """
    if path.suffix.lower() in ARRAYS:
        array, digest = _read_array(path)
        values = values_in(_of_array(path, array, "binary"))
        return MaskFile(digest, "1" if array.dtype == bool else "I", "", values)
    with opened(path) as file:
        digest, mode, form = hash_of_opened(file), file.mode, file.format or ""
        if colours and mode in _RGB:
            return MaskFile(digest, mode, form, None)
        values = values_in(_values(path, upright(file), "binary"))
        palette = file.getpalette("RGB") if mode == "P" else None
    return MaskFile(digest, mode, form, values, None if palette is None else tuple(palette))


def _values(path: Path, image: Image.Image, kind: Kind) -> Int32[np.ndarray, "h w"]:
    pixels, mode = np.asarray(image), image.mode
    if mode == "1" and kind != "index":
        return pixels.astype(np.int32) * 255
    if mode in _GREY:
        return (pixels if pixels.ndim == 2 else pixels[..., 0]).astype(np.int32)
    if mode in _DEEP:
        return _whole(path, pixels)
    if mode in _RGB:
        return _grey_of(path, pixels)
    raise DataError(f"{path}: a mask of mode {mode}. Save it as grey, paletted or RGB.")


def _colours(path: Path, image: Image.Image) -> Int32[np.ndarray, "h w"]:
    if image.mode in _DEEP:
        raise DataError(
            f"{path}: holds {image.mode} values, but a colour table expects colours. Leave the table out."
        )
    return packed(np.asarray(image.convert("RGB")))


def mask_size(path: Path) -> tuple[int, int]:
    """Return height and width of a mask file.

    Raises:
        DataError: the file cannot be read.
    """
    if path.suffix.lower() in ARRAYS:
        height, width = raw_mask(path, "index").shape
        return height, width
    return file_size(path)


def values_in(raw: Int32[np.ndarray, "h w"]) -> frozenset[int]:
    """Return the different values of a mask."""
    if raw.size and raw.min() >= 0 and raw.max() < _FEW:  # counting is much faster than sorting
        return frozenset(np.flatnonzero(np.bincount(raw.reshape(-1))).tolist())
    return frozenset(np.unique(raw).tolist())


def _of_array(path: Path, values: np.ndarray, kind: Kind) -> Int32[np.ndarray, "h w"]:
    if kind == "colour":
        if values.ndim != 3 or values.shape[2] not in (3, 4):
            raise DataError(
                f"{path}: an array of shape {values.shape}, where colours (H, W, 3) are expected."
            )
        return packed(values)
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
        values = values.squeeze(0 if values.shape[0] == 1 else 2)
    if values.ndim != 2:
        raise DataError(
            f"{path}: an array of shape {values.shape}. Save one class number per pixel, as (H, W)."
        )
    whole = _whole(path, values)
    return whole * 255 if values.dtype == bool and kind != "index" else whole


def _read_array(path: Path) -> tuple[np.ndarray, str]:
    """Return the array in a file, of several the one named as a mask; and the hash of the file's bytes.

    Raises:
        DataError: it cannot be read, or nothing tells which array is meant.
    """
    try:
        with path.open("rb") as file:
            digest = content_hash(file)
            file.seek(0)
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return content, digest
            names = [name for name in content.files if len(content.files) == 1 or name in _CALLED]
            if len(names) == 1:
                return content[names[0]], digest
            listed = ", ".join(content.files)
    except Exception as error:  # NumPy raises anything from OSError to BadZipFile for broken files
        raise DataError(
            f"{path}: cannot be read as an array ({type(error).__name__}: {error}). Save it with numpy.save."
        ) from None
    raise DataError(f"{path}: holds the arrays {listed}. Save the mask alone, or name it mask.")


def _whole(path: Path, values: np.ndarray) -> Int32[np.ndarray, "h w"]:
    if values.dtype.kind not in "biuf":
        raise DataError(f"{path}: holds values of type {values.dtype}. Save class numbers.")
    outside = ~((values >= -(2**31)) & (values < 2**31))
    whole = np.where(outside, 0, values).astype(np.int32)
    wrong = outside | (whole != values)
    if wrong.any():
        raise DataError(f"{path}: holds fractions such as {values[wrong][0]:.4g}. Save class numbers.")
    return whole


def packed(pixels: np.ndarray) -> Int32[np.ndarray, "h w"]:
    """Return colours (..., 3) as single numbers."""
    red, green, blue = (pixels[..., channel].astype(np.int32) for channel in range(3))
    return (red << 16) | (green << 8) | blue


def counted(values: Int32[np.ndarray, " n"], coloured: bool) -> str:
    """Return values with their counts, the most frequent first, as text."""
    found, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    shown = [f"{word_for(int(found[n]), coloured)} ({counts[n]} pixels)" for n in order]
    what = "colour" if coloured else "value"
    return f"{what}{'s' * (len(order) > 1)} {first_few(shown)}"


def _grey_of(path: Path, pixels: UInt8[np.ndarray, "h w c"]) -> Int32[np.ndarray, "h w"]:
    """Return the values of a grey mask that was saved as RGB."""
    if (pixels[..., 0] != pixels[..., 1]).any() or (pixels[..., 0] != pixels[..., 2]).any():
        raise DataError(
            f"{path}: holds {counted(packed(pixels).reshape(-1), True)}, and nothing says which class each "
            "is. Write a classes.csv of name,red,green,blue beside the data, or give "
            'colours={"road": (128, 64, 128), ...}.'
        )
    return pixels[..., 0].astype(np.int32)


def first_colours(palette: Sequence[int] | None, count: int) -> UInt8[np.ndarray, "k 3"] | None:
    """Return the first ``count`` colours of a palette, if there are as many and they all differ."""
    if palette is None or len(palette) < 3 * count:
        return None
    colours = np.array(palette[: 3 * count], dtype=np.uint8).reshape(count, 3)
    return colours if len(np.unique(colours, axis=0)) == count else None


def word_for(value: int, coloured: bool) -> str:
    """Return a value, or a colour, as text."""
    return f"({value >> 16}, {value >> 8 & 255}, {value & 255})" if coloured else str(value)
