"""Augmentations: what training does to images before they are normalised, one declaration for each.

An ``Augmentation`` says which changes are made. It is carried out here for images alone, and in
``joint_crops`` for images with their masks. A draw belongs to a sample, not to its place in a batch, so the
size of batches changes nothing.

Shapes  images uint8 (B, 3, H, W); a row of 6 uniform draws an image; out uint8 (B, 3, size, size).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor
from torchvision.transforms.v2 import functional as geometry

from foveate.registry import Registry

DRAWS = 6  # uniform numbers per image and epoch
_AREA = (0.35, 1.0)  # share of the image that a crop keeps; torchvision's 0.08 is for ImageNet's image sizes
_ASPECT = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class Augmentation:
    """The changes that an augmentation makes; called with images that have no masks, it makes them.

    Args:
        scales: Whether crops are enlarged or reduced: of images alone 0.35 to 1 of the area, at an aspect of
            3/4 to 4/3; of images with masks by 0.5 to 2.
        shifts: Whether crops lie anywhere; else in the middle.
        flips: Whether half of the images are mirrored left to right.
    """

    scales: bool = False
    shifts: bool = False
    flips: bool = False

    def __call__(self, images: Tensor, draws: Float64[np.ndarray, "b 6"], size: int) -> Tensor:
        """Return ``size`` pixels a side of each image.

        Without ``scales``, crops of images no larger than ``size`` first get a black border of an eighth.
        """
        if self.scales:
            out = _resized(images, draws, size, anywhere=self.shifts)
        else:
            out = _shifted(images, draws, size) if self.shifts else middle(images, size)
        return _flipped(out, draws) if self.flips else out


augmentations: Registry[Augmentation] = Registry("augmentation")
augmentations.register("none")(Augmentation())
augmentations.register("flip")(Augmentation(flips=True))
augmentations.register("crop")(Augmentation(shifts=True))
augmentations.register("crop_flip")(Augmentation(shifts=True, flips=True))
augmentations.register("resized_crop")(Augmentation(scales=True, shifts=True, flips=True))


def _shifted(images: Tensor, draws: Float64[np.ndarray, "b 6"], size: int) -> Tensor:
    if images.shape[-1] == size:
        images = geometry.pad(images, [size // 8])
    play = images.shape[-1] - size + 1
    tops, lefts = (draws[:, :2] * play).astype(int).T.tolist()
    out = torch.empty((len(images), size, size, 3), dtype=images.dtype).permute(0, 3, 1, 2)
    for place, image, top, left in zip(out, images, tops, lefts, strict=True):
        place.copy_(image[:, top : top + size, left : left + size])
    return out


def _resized(images: Tensor, draws: Float64[np.ndarray, "b 6"], size: int, *, anywhere: bool) -> Tensor:
    side = images.shape[-1]
    area = side**2 * (_AREA[0] + (_AREA[1] - _AREA[0]) * draws[:, 3])
    aspect = np.exp(math.log(_ASPECT[0]) + (math.log(_ASPECT[1]) - math.log(_ASPECT[0])) * draws[:, 4])
    heights = np.sqrt(area / aspect).round().clip(1, side).astype(int)
    widths = np.sqrt(area * aspect).round().clip(1, side).astype(int)
    down, right = draws[:, :2].T if anywhere else (0.5, 0.5)
    tops = (down * (side - heights + 1)).astype(int)
    lefts = (right * (side - widths + 1)).astype(int)
    out = torch.empty((len(images), size, size, 3), dtype=images.dtype).permute(0, 3, 1, 2)
    boxes = zip(tops.tolist(), lefts.tolist(), heights.tolist(), widths.tolist(), strict=True)
    for place, image, (top, left, height, width) in zip(out, images, boxes, strict=True):
        place.copy_(
            geometry.resized_crop(image[None], top, left, height, width, [size, size], antialias=True)[0]
        )
    return out


def middle(images: Tensor, size: int) -> Tensor:
    """Cut out the middle ``size`` pixels; nothing to do if that is all there is."""
    return images if images.shape[-1] == size else geometry.center_crop(images, [size, size])


def _flipped(images: Tensor, draws: Float64[np.ndarray, "b 6"]) -> Tensor:
    mirrored = torch.from_numpy(draws[:, 2] < 0.5)
    return torch.where(mirrored[:, None, None, None], geometry.horizontal_flip(images), images)
