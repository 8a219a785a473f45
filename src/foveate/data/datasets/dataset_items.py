"""Items of a Python dataset: (image, label), (image, labels) or (image, mask), of any kind, as arrays.

An image is a PIL image, an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), or a tensor (C, H, W); uint8, or
float in [0, 1]. A label is a whole number; labels are a vector of 0 and 1, one for each class: an array, a
tensor or a sequence. A mask is a PIL image, an array or a tensor (``tv_tensors.Mask``, say), (H, W) or (1, H,
W), of whole numbers.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32, UInt8
from PIL import Image

from foveate.data.images.decode import upright_rgb
from foveate.errors import DataError

_CHANNELS = (1, 3, 4)
_SHOWN = 60  # letters of a value in an error
_MASK_MODES = ("1", "L", "P", "I", "I;16")
Truth = int | tuple[int, ...] | Int32[np.ndarray, "h w"]


@runtime_checkable
class Dataset(Protocol):
    """What a dataset must have: a length, and items (image, label) or (image, mask)."""

    def __len__(self) -> int: ...

    def __getitem__(self, item: int, /) -> tuple[object, object]: ...


def read_item(where: str, dataset: Dataset, item: int) -> tuple[UInt8[np.ndarray, "h w 3"], Truth]:
    """Return an item's image, and its label, its labels (0 or 1 for each class) or what its mask holds.

    Raises:
        DataError: it is neither (image, label) nor (image, mask), the mask is not as large as the image, or a
            label is a fraction or not a number.
    """
    got = dataset[item]
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise DataError(
            f"{where}: came as {type(got).__name__}, not as (image, label) or (image, mask). Wrap it."
        )
    image, truth = got
    pixels, mask = to_rgb(where, image), _to_mask(where, truth)
    if mask is not None:
        if mask.shape != pixels.shape[:2]:
            raise DataError(
                f"{where}: a mask of {mask.shape[1]}x{mask.shape[0]} pixels came with an image of "
                f"{pixels.shape[1]}x{pixels.shape[0]}. Make them equal."
            )
        return pixels, mask
    return pixels, _to_labels(where, truth)


def to_rgb(where: str, image: object) -> UInt8[np.ndarray, "h w 3"]:
    """Return an image of any accepted kind as uint8 RGB.

    Raises:
        DataError: it is none of them, or its values are out of range.
    """
    if isinstance(image, Image.Image):
        return np.asarray(upright_rgb(image))
    if hasattr(image, "detach"):  # a tensor; torch is not imported to check
        image = _channels_last(image.detach().cpu().numpy())
    if not isinstance(image, np.ndarray):
        raise DataError(
            f"{where}: an image came as {type(image).__name__}. Give a PIL image, an array or a tensor."
        )
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in _CHANNELS:
        raise DataError(
            f"{where}: an image came with shape {image.shape}. Arrays are (H, W, 3), tensors (3, H, W)."
        )
    pixels = _to_bytes(where, image)
    return np.asarray(upright_rgb(Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)))


def _to_labels(where: str, truth: object) -> int | tuple[int, ...]:
    """Return a class number, or 0 or 1 for each class."""
    values = truth.detach().cpu().numpy() if hasattr(truth, "detach") else truth
    if isinstance(values, np.ndarray) and values.size == 1 and values.ndim == 0:
        values = values.item()
    if isinstance(values, (np.ndarray, list, tuple)):
        numbers = [_whole(where, value) for value in values]
        if not numbers or not set(numbers) <= {0, 1}:
            raise DataError(
                f"{where}: labels {_short(truth)}. Several labels are a vector of 0 and 1, one for each "
                "class; one label is a whole number."
            )
        return tuple(numbers)
    return _whole(where, values)


def _whole(where: str, value: object) -> int:
    """Return a whole number; fractions are refused, not rounded."""
    try:
        number = float(value)  # type: ignore[arg-type]
        if isinstance(value, (str, bytes)) or not number.is_integer():
            raise ValueError
        return int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        raise DataError(
            f"{where}: label {_short(value)} is not a class number. Number the classes from 0; fractions "
            "and NaN are not classes."
        ) from None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _channels_last(array: np.ndarray) -> np.ndarray:
    return np.moveaxis(array, 0, -1) if array.ndim == 3 else array


def _to_bytes(where: str, image: np.ndarray) -> UInt8[np.ndarray, "h w c"]:
    if image.dtype == np.uint8:
        return np.ascontiguousarray(image)
    low, high = float(image.min(initial=0)), float(image.max(initial=0))
    if image.dtype.kind == "f" and low >= 0 and high <= 1:
        return np.ascontiguousarray((image * 255).round().astype(np.uint8))
    raise DataError(
        f"{where}: an image of {image.dtype} came with values in [{low:.3g}, {high:.3g}]. Give uint8, or "
        "float in [0, 1]; leave normalising to foveate."
    )


def _to_mask(where: str, truth: object) -> Int32[np.ndarray, "h w"] | None:
    """Return the numbers in a mask of any accepted kind, or None if it is not a mask."""
    if isinstance(truth, Image.Image):
        if truth.mode not in _MASK_MODES:
            raise DataError(f"{where}: a mask of mode {truth.mode}. Give class numbers, grey or paletted.")
        truth = np.asarray(truth)
    elif hasattr(truth, "detach"):
        truth = truth.detach().cpu().numpy()
    if not isinstance(truth, np.ndarray) or truth.ndim < 2:
        return None
    mask = truth[0] if truth.ndim == 3 and len(truth) == 1 else truth
    if mask.ndim != 2:
        raise DataError(f"{where}: a mask came with shape {truth.shape}. Give class numbers (H, W).")
    numbers = mask.astype(np.int32)
    if (numbers != mask).any():
        odd = mask[numbers != mask][0]
        raise DataError(f"{where}: a mask holds fractions such as {odd:.4g}. Give class numbers.")
    return numbers
