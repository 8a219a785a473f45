"""What a mask file holds, before anybody says what it means: values, or colours.

A file is a picture (grey, paletted, 16 bits, RGB) or an array (.npy, .npz).

Shapes  values are int32 (H, W); a colour is the number red * 65536 + green * 256 + blue.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int32, UInt8

from foveate.data.images.decode import file_size, opened, upright
from foveate.errors import DataError

Kind = Literal["index", "binary", "colour", "threshold"]
ARRAYS = (".npy", ".npz")
_CALLED = ("mask", "masks", "label", "labels", "segmentation", "seg")  # arrays among others in one file
_FEW = 2**16
_SHOWN = 6  # values or colours named in an error
_GREY = {"1": "1-bit", "L": "grey", "P": "paletted", "LA": "grey", "PA": "paletted"}
_DEEP = ("I", "I;16", "I;16B", "I;16L", "F")


def raw_mask(path: Path, kind: Kind) -> Int32[np.ndarray, "h w"]:
    """Return what a mask file holds: values, or colours as red * 65536 + green * 256 + blue.

    Args:
        path: The file.
        kind: What is wanted. One bit is 0 or 1 as an index, else 0 or 255.

    Raises:
        DataError: the file cannot be read, or holds colours where values are wanted.
    """
    if path.suffix.lower() in ARRAYS:
        return _of_array(path, kind)
    with opened(path) as file:
        image = upright(file)  # as its image is turned
        mode = image.mode
        if kind == "colour":
            wide = mode in _DEEP
            pixels = np.zeros(()) if wide else np.asarray(image.convert("RGB")).astype(np.int32)
        else:
            pixels = np.asarray(image)
    if kind == "colour":
        if wide:
            raise DataError(
                f"{path}: holds {mode} values, where the colour table wants colours. Leave the table out."
            )
        return packed(pixels)
    if mode == "1" and kind != "index":
        return pixels.astype(np.int32) * 255
    if mode in _GREY:
        return (pixels if pixels.ndim == 2 else pixels[..., 0]).astype(np.int32)
    if mode in _DEEP:
        return _whole(path, pixels)
    if mode in ("RGB", "RGBA"):
        return _grey_of(path, pixels)
    raise DataError(f"{path}: a mask of mode {mode}. Save it as grey, paletted or RGB.")


def form_of(path: Path) -> tuple[str, str]:
    """Return the mode of a mask file as Pillow calls it, "1" for a bool array; and its format, or "".

    Raises:
        DataError: the file cannot be read.
    """
    if path.suffix.lower() in ARRAYS:
        return ("1" if _array(path).dtype == bool else "I"), ""
    with opened(path) as image:
        return image.mode, image.format or ""


def mask_size(path: Path) -> tuple[int, int]:
    """Return height and width of a mask file.

    Raises:
        DataError: the file cannot be read.
    """
    if path.suffix.lower() in ARRAYS:
        height, width = raw_mask(path, "index").shape
        return height, width
    return file_size(path)


def values_in(raw: Int32[np.ndarray, "h w"]) -> set[int]:
    """Return the different values of a mask."""
    if raw.size and raw.min() >= 0 and raw.max() < _FEW:  # counting is much faster than sorting
        return set(np.flatnonzero(np.bincount(raw.reshape(-1))).tolist())
    return set(np.unique(raw).tolist())


def _of_array(path: Path, kind: Kind) -> Int32[np.ndarray, "h w"]:
    values = _array(path)
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
            f"{path}: an array of shape {values.shape}. Save one class number a pixel, as (H, W)."
        )
    whole = _whole(path, values)
    return whole * 255 if values.dtype == bool and kind != "index" else whole


def _array(path: Path) -> np.ndarray:
    """Return the array in a file; of several the one that is called as masks are.

    Raises:
        DataError: it cannot be read, or nothing tells which array is meant.
    """
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        with content:
            names = [name for name in content.files if len(content.files) == 1 or name in _CALLED]
            if len(names) == 1:
                found: np.ndarray = content[names[0]]
                return found
            listed = ", ".join(content.files)
    except Exception as error:  # NumPy raises anything from OSError to BadZipFile for broken files
        raise DataError(
            f"{path}: cannot be read as an array ({type(error).__name__}: {error}). Save it with numpy.save."
        ) from None
    raise DataError(f"{path}: holds the arrays {listed}. Save the mask alone, or call it mask.")


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
    """Return values with how often they occur, the most frequent first, in words."""
    found, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    shown = [f"{word_for(int(found[n]), coloured)} ({counts[n]} pixels)" for n in order[:_SHOWN]]
    more = f" and {len(order) - _SHOWN} more" if len(order) > _SHOWN else ""
    what = "colour" if coloured else "value"
    return f"{what}{'s' * (len(order) > 1)} {', '.join(shown)}{more}"


def _grey_of(path: Path, pixels: UInt8[np.ndarray, "h w c"]) -> Int32[np.ndarray, "h w"]:
    """Return the values of a grey mask that was saved as RGB."""
    if (pixels[..., 0] != pixels[..., 1]).any() or (pixels[..., 0] != pixels[..., 2]).any():
        raise DataError(
            f"{path}: holds {counted(packed(pixels).reshape(-1), True)}, and nothing says which class each "
            "is. Write a classes.csv of name,red,green,blue beside the data, or give "
            'colours={"road": (128, 64, 128), ...}.'
        )
    return pixels[..., 0].astype(np.int32)


def palette_of(path: Path, count: int) -> UInt8[np.ndarray, "k 3"] | None:
    """Return the first ``count`` colours of a paletted mask, if it is one and they all differ."""
    if path.suffix.lower() in ARRAYS:
        return None
    with opened(path) as image:
        found = image.getpalette("RGB") if image.mode == "P" else None
    if found is None or len(found) < 3 * count:
        return None
    colours = np.array(found[: 3 * count], dtype=np.uint8).reshape(count, 3)
    return colours if len(np.unique(colours, axis=0)) == count else None


def word_for(value: int, coloured: bool) -> str:
    """Return a value, or a colour, in words."""
    return f"({value >> 16}, {value >> 8 & 255}, {value & 255})" if coloured else str(value)
