"""The pictures that a user gives a trained model: paths, PIL images or arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from foveate.data.folders.picture_lists import pictures_of
from foveate.data.images.decode import read, read_square, square, upright_rgb
from foveate.data.images.levels import SIXTEEN
from foveate.data.images.open_image import MOST_PIXELS, Reading
from foveate.errors import DataError, ShapeError
from foveate.models.normalisation import Triple

Pixels = UInt8[np.ndarray, "h w 3"]


def reading_of(inputs: Mapping[str, Any], max_pixels: int = MOST_PIXELS) -> Reading:
    """Return how pictures are read for a model: like those that it was trained on.

    Args:
        inputs: Of its task; those of older models do not have levels.
        max_pixels: Pixels of the largest file that is decoded.
    """
    levels = inputs.get("levels", SIXTEEN)
    return Reading(None if levels is None else (levels[0], levels[1]), max_pixels)


def listed(inputs: object) -> list[object]:
    """Return one entry per picture: folders, lists and patterns are expanded to their files.

    Args:
        inputs: Files, folders, lists (.txt, .csv), patterns, PIL pictures, arrays (H, W, 3) or (N, H, W, 3)
            uint8, or a sequence of such.
    """
    if isinstance(inputs, np.ndarray):
        return list(inputs) if inputs.ndim == 4 else [inputs]
    found: list[object] = []
    for one in inputs if isinstance(inputs, list | tuple) else [inputs]:
        is_name = isinstance(one, str | Path)
        found += [picture.path for picture in pictures_of([cast(str, one)])] if is_name else [one]
    return found


def opened(pictures: Iterable[object], side: int | None, how: Reading) -> Iterator[Pixels | DataError]:
    """Yield each picture's pixels, or what is wrong with its file.

    Args:
        pictures: Paths, PIL pictures or arrays.
        side: Cut square to this side, like the training images; whole if None.
        how: How files are read.

    Raises:
        ShapeError: Something else came.
    """
    for picture in pictures:
        try:
            yield _pixels(picture, side, how)
        except DataError as error:
            yield error


def batches(found: Iterator[Pixels | DataError], count: int) -> Iterator[Sequence[Pixels | DataError]]:
    """Yield the pictures in groups."""
    while some := list(islice(found, count)):
        yield some


def normalised(
    images: np.ndarray, mean: Triple, std: Triple, device: torch.device | str
) -> Float[Tensor, "b 3 h w"]:
    """Return images uint8 (B, 3, H, W) as a model takes them."""
    middle, width = (torch.tensor(values).view(1, 3, 1, 1) for values in (mean, std))
    return ((torch.from_numpy(images).float() / 255 - middle) / width).to(device)


def share(value: float, name: str) -> str:
    """Return a share in [0, 1] and its name as a line: ``  97.1 %  cat``."""
    return f"  {100 * value:4.1f} %  {name}"


def _pixels(image: object, side: int | None, how: Reading) -> Pixels:
    if isinstance(image, str | Path):
        return read(Path(image), how) if side is None else read_square(Path(image), side, how)
    if isinstance(image, Image.Image):
        picture = upright_rgb(image, how.levels)
        return np.asarray(picture) if side is None else square(picture, side)
    if isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8:
        return image if side is None else square(image, side)
    what = f"an array {image.shape} {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
    raise ShapeError(f"predict: got {what}, expected a path, a PIL picture or uint8 (H, W, 3)")
