"""From a picture's file to files of the result, a band of rows at a time.

With windows, no more is held at once than the rows that one window covers: (window height x width x K)
probabilities, whatever the picture's height. Without windows, or with a CRF, that band is the whole picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor, nn

from foveate.data.images.open_image import Reading
from foveate.models.normalisation import Triple
from foveate.segment.augmented import Views
from foveate.segment.drawing import overlay, with_legend
from foveate.segment.result_files import completed, mask_file, probability_file
from foveate.segment.row_reader import LIMITLESS, Rows, open_rows
from foveate.segment.segment_picture import PLAIN, probability_bands, segment
from foveate.segment.windows import Tiling

_BLOCKS = 32  # rows of blocks that are reduced at a time
LONGEST = 2048  # pixels of an overlay's longer side; larger pictures are reduced by a whole number

Refine = Callable[[Float[Tensor, "k h w"], UInt8[np.ndarray, "h w 3"]], Float[Tensor, "k h w"]]
"""Probabilities of a picture, and the picture -> better ones, such as a CRF's."""


@dataclass(frozen=True)
class Wanted:
    """Which files are to be written; None for none.

    Args:
        mask: A paletted PNG of class numbers.
        overlay: A PNG of the picture under the colours of the classes, with a legend.
        probabilities: An .npy of (K, H, W), of type ``dtype``.
        dtype: float16 is exact to 0.0005, and half as large.
    """

    mask: Path | None = None
    overlay: Path | None = None
    probabilities: Path | None = None
    dtype: Literal["float16", "float32"] = "float16"


def segment_file(
    model: nn.Module,
    image: Path | Rows,
    wanted: Wanted,
    *,
    classes: Sequence[str],
    palette: UInt8[np.ndarray, "k 3"],
    size: tuple[int, int],
    mean: Triple,
    std: Triple,
    tiling: Tiling | None = None,
    views: Views = PLAIN,
    refine: Refine | None = None,
    how: Reading = LIMITLESS,
) -> Float[np.ndarray, " k"]:
    """Segment a picture and write what is wanted of it.

    Args:
        model: A network on any device and in any mode, which it is left in.
        image: A file in any format that Pillow reads, or rows from elsewhere.
        wanted: The files to write.
        classes: Their names.
        palette: A colour for each class, RGB.
        size: See ``segment``, as for the following.
        mean: What is subtracted from each channel of images in [0, 1].
        std: What each channel is then divided by.
        tiling: Windows, if the picture is not to be seen whole.
        views: Views whose probabilities are averaged.
        refine: What to do with the probabilities of the whole picture.
        how: How a file becomes eight bits; by default pictures of any size are read.

    Returns:
        The share of the pixels that each class has (K,), float64.

    Raises:
        DataError: The file cannot be read as an image.
        ShapeError: The network does not segment.
    """
    if isinstance(image, Path):
        with open_rows(image, how) as rows:
            return segment_file(
                model, rows, wanted, classes=classes, palette=palette, size=size, mean=mean, std=std,
                tiling=tiling, views=views, refine=refine,
            )  # fmt: skip
    if tiling is not None:
        found = probability_bands(model, image, mean=mean, std=std, tiling=tiling, views=views)
    else:
        whole = image.read(0, image.height)
        found = iter([(0, segment(model, whole, size=size, mean=mean, std=std, views=views))])
    if refine is not None:
        probable = torch.cat([band.cpu() for _, band in found], dim=1)
        found = iter([(0, refine(probable, image.read(0, image.height)))])
    return _written(found, image, wanted, classes, palette)


def _written(
    found: Iterator[tuple[int, Float[Tensor, "k _ w"]]],
    image: Rows,
    wanted: Wanted,
    classes: Sequence[str],
    palette: UInt8[np.ndarray, "k 3"],
) -> Float[np.ndarray, " k"]:
    """Write every band as it comes, and return the classes' shares."""
    counts = np.zeros(len(classes), np.int64)
    factor = -(-max(image.height, image.width) // LONGEST)
    small = []
    with ExitStack() as open_files:
        put_mask = put_probable = None
        if wanted.mask is not None:
            put_mask = open_files.enter_context(mask_file(wanted.mask, image.height, image.width, palette))
        if wanted.probabilities is not None:
            put_probable = open_files.enter_context(
                probability_file(wanted.probabilities, image.height, image.width, wanted.dtype)
            )
        for first, band in found:
            labels = band.argmax(dim=0).to(torch.uint8).cpu().numpy()
            counts += np.bincount(labels.reshape(-1), minlength=len(classes))
            if put_mask:
                put_mask(labels)
            if put_probable:
                put_probable(band.cpu().numpy())
            if wanted.overlay is not None:
                small.append(labels[-first % factor :: factor, ::factor])
            del band  # it need not stay while the next one is computed
    shares = counts / counts.sum()
    if wanted.overlay is not None:
        laid = overlay(_reduced(image, factor), np.concatenate(small), palette)
        with completed(wanted.overlay) as file:
            with_legend(laid, classes, shares, palette).save(file, "PNG")
    return shares


def _reduced(image: Rows, factor: int) -> UInt8[np.ndarray, "h w 3"]:
    """Return the picture with each side divided by a whole number, rounded up; a pixel is a block's mean."""
    if factor == 1:
        return image.read(0, image.height)
    parts = []
    for first in range(0, image.height, _BLOCKS * factor):
        pixels = image.read(first, min(first + _BLOCKS * factor, image.height))
        parts.append(np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).reduce(factor)))
    return np.concatenate(parts)
