"""Augmentations: what training does to a batch before it is normalised.

Each takes uint8 images (B, 3, H, W), one row of uniform draws per image, and the size wanted, and returns
uint8 (B, 3, size, size). A draw belongs to a sample, not to a place in a batch, so batches of any size see
the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor
from torchvision.transforms.v2 import functional as geometry

from foveate.registry import Registry

Augment = Callable[[Tensor, Float64[np.ndarray, "b 6"], int], Tensor]
DRAWS = 6  # uniform numbers per image and epoch: as many as the greediest augmentation needs
_AREA = (
    0.35,
    1.0,
)  # share of the image that a random resized crop keeps; torchvision's 0.08 is for ImageNet's size
_ASPECT = (3 / 4, 4 / 3)

augmentations: Registry[Augment] = Registry("augmentation")


@augmentations.register("none")
def none(images: Tensor, draws: Float64[np.ndarray, "b 6"], size: int) -> Tensor:
    """Change nothing; cut out the middle if the images are larger than ``size``."""
    return middle(images, size)


@augmentations.register("flip")
def flip(images: Tensor, draws: Float64[np.ndarray, "b 6"], size: int) -> Tensor:
    """Mirror half of the images left to right."""
    return _flipped(middle(images, size), draws)


@augmentations.register("crop")
def crop(images: Tensor, draws: Float64[np.ndarray, "b 6"], size: int) -> Tensor:
    """Cut out ``size`` pixels anywhere; images no larger than that get a black border of an eighth first."""
    if images.shape[-1] == size:
        images = geometry.pad(images, [size // 8])
    play = images.shape[-1] - size + 1
    tops, lefts = (draws[:, :2] * play).astype(int).T.tolist()
    out = torch.empty((len(images), size, size, 3), dtype=images.dtype).permute(0, 3, 1, 2)
    for place, image, top, left in zip(out, images, tops, lefts, strict=True):
        place.copy_(image[:, top : top + size, left : left + size])
    return out


@augmentations.register("crop_flip")
def crop_flip(images: Tensor, draws: Float64[np.ndarray, "b 6"], size: int) -> Tensor:
    """Crop as ``crop`` and mirror as ``flip``."""
    return _flipped(crop(images, draws, size), draws)


@augmentations.register("resized_crop")
def resized_crop(images: Tensor, draws: Float64[np.ndarray, "b 6"], size: int) -> Tensor:
    """Cut out a rectangle of random area and aspect, bring it to ``size``, and mirror half of them."""
    side = images.shape[-1]
    area = side**2 * (_AREA[0] + (_AREA[1] - _AREA[0]) * draws[:, 3])
    aspect = np.exp(math.log(_ASPECT[0]) + (math.log(_ASPECT[1]) - math.log(_ASPECT[0])) * draws[:, 4])
    heights = np.sqrt(area / aspect).round().clip(1, side).astype(int)
    widths = np.sqrt(area * aspect).round().clip(1, side).astype(int)
    tops = (draws[:, 0] * (side - heights + 1)).astype(int)
    lefts = (draws[:, 1] * (side - widths + 1)).astype(int)
    out = torch.empty((len(images), size, size, 3), dtype=images.dtype).permute(0, 3, 1, 2)
    boxes = zip(tops.tolist(), lefts.tolist(), heights.tolist(), widths.tolist(), strict=True)
    for place, image, (top, left, height, width) in zip(out, images, boxes, strict=True):
        place.copy_(
            geometry.resized_crop(image[None], top, left, height, width, [size, size], antialias=True)[0]
        )
    return _flipped(out, draws)


def middle(images: Tensor, size: int) -> Tensor:
    """Cut out the middle ``size`` pixels; nothing to do if that is all there is."""
    return images if images.shape[-1] == size else geometry.center_crop(images, [size, size])


def _flipped(images: Tensor, draws: Float64[np.ndarray, "b 6"]) -> Tensor:
    mirrored = torch.from_numpy(draws[:, 2] < 0.5)
    return torch.where(mirrored[:, None, None, None], geometry.horizontal_flip(images), images)
