"""The same augmentations for a picture of any size together with its boxes, by torchvision's tv_tensors.

The picture keeps its size: with ``scales`` a part of 0.35 to 1 of its area is cut out and enlarged to it;
otherwise it gets a black border of an eighth and is cut out of that. A box is cut off where the picture ends
and leaves if less than a quarter of it is still there.

Shapes  image uint8 (3, H, W); boxes float32 (N, 4) in pixels; a row of 6 uniform draws.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, UInt8
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as geometry

from foveate.data.augment.augmentations import Augmentation

_AREA = (0.35, 1.0)
_ASPECT = (3 / 4, 4 / 3)
_LEAST = 0.25  # of a box's area that must be left for it to stay


def changed(
    image: UInt8[Tensor, "3 h w"],
    boxes: Float32[Tensor, "n 4"],
    augmentation: Augmentation,
    draws: Float64[np.ndarray, " 6"],
) -> tuple[UInt8[Tensor, "3 h w"], Float32[Tensor, "n 4"], Bool[Tensor, " n"]]:
    """Return the changed picture, its boxes, and which of them stay.

    Args:
        image: The picture.
        boxes: Left, top, right, bottom.
        augmentation: What is changed.
        draws: Uniform in [0, 1).

    Example:
        >>> picture, corners = torch.zeros(3, 10, 20, dtype=torch.uint8), torch.tensor([[0.0, 0, 5, 5]])
        >>> changed(picture, corners, Augmentation(flips=True), np.zeros(6))[1].tolist()
        [[15.0, 0.0, 20.0, 5.0]]
    """
    height, width = image.shape[-2:]
    marked = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(height, width))
    scale = 1.0
    if augmentation.scales:
        top, left, rows, columns = _part(height, width, draws, anywhere=augmentation.shifts)
        image = geometry.resized_crop(image, top, left, rows, columns, [height, width], antialias=True)
        marked = geometry.resized_crop(marked, top, left, rows, columns, [height, width])
        scale = height * width / (rows * columns)
    elif augmentation.shifts:
        border = [width // 8, height // 8]
        top, left = int(draws[0] * (2 * border[1] + 1)), int(draws[1] * (2 * border[0] + 1))
        image = geometry.crop(geometry.pad(image, border), top, left, height, width)
        marked = geometry.crop(geometry.pad(marked, border), top, left, height, width)
    if augmentation.flips and draws[2] < 0.5:
        image, marked = geometry.horizontal_flip(image), geometry.horizontal_flip(marked)
    found = geometry.clamp_bounding_boxes(marked).as_subclass(torch.Tensor)
    before = scale * (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    sides = found[:, 2:] - found[:, :2]
    stays = (sides.prod(dim=1) >= _LEAST * before) & (sides > 0).all(dim=1)
    return image, found, stays


def _part(
    height: int, width: int, draws: Float64[np.ndarray, " 6"], *, anywhere: bool
) -> tuple[int, int, int, int]:
    """Return top, left, height and width of what is cut out."""
    area = _AREA[0] + (_AREA[1] - _AREA[0]) * draws[3]
    aspect = math.exp(math.log(_ASPECT[0]) + (math.log(_ASPECT[1]) - math.log(_ASPECT[0])) * draws[4])
    rows = int(np.clip(round(height * math.sqrt(area / aspect)), 1, height))
    columns = int(np.clip(round(width * math.sqrt(area * aspect)), 1, width))
    down, right = (draws[0], draws[1]) if anywhere else (0.5, 0.5)
    return int(down * (height - rows + 1)), int(right * (width - columns + 1)), rows, columns
