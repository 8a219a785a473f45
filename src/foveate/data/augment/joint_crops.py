"""Joint augmentation: the same crop, scale and mirror for an image and its mask.

A crop is a window of the canvas. Outside the canvas it has the image's mean colour, and ``IGNORE`` in the
mask. Images are resampled bilinearly with antialiasing, masks take the nearest pixel.

Shapes  images uint8 (N, H, W, 3) and masks uint8 (N, H, W) of a split; a row of 7 uniform draws an item;
        out uint8 (B, h, w, 3) and (B, h, w).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64, UInt8
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as geometry

from foveate.data.augment.augmentations import Augmentation
from foveate.data.canvas import Canvas
from foveate.data.class_numbers import IGNORE

JOINT_DRAWS = 7  # uniform numbers per item and epoch
_TOP, _LEFT, _FLIP, _SCALE, _RARE, _CLASS, _PIXEL = range(JOINT_DRAWS)
_SCALES = (0.5, 2.0)  # of DeepLab's and many later recipes: uniform between them
_BORDER = 8  # a crop as large as the canvas may leave it by this fraction of a side


@dataclass(frozen=True)
class Jointly:
    """A joint augmentation, ready for use.

    Args:
        augmentation: The changes that it makes.
        crop: Height and width of what comes out, in pixels; not more than the canvas.
        rare: Share of the crops, in [0, 1], that contain a pixel of a class drawn from those in the image by
            inverse frequency. The pixel may be anywhere in the crop.
        frequency: Pixels of each class in the whole split (256,); ``IGNORE`` is not a class.
    """

    augmentation: Augmentation
    crop: Canvas
    rare: float
    frequency: Int64[np.ndarray, " 256"]

    def __call__(
        self,
        images: UInt8[np.ndarray, "n H W 3"],
        masks: UInt8[np.ndarray, "n H W"],
        draws: Float64[np.ndarray, "n 7"],
        chosen: Int64[np.ndarray, " b"],
    ) -> tuple[UInt8[np.ndarray, "b h w 3"], UInt8[np.ndarray, "b h w"]]:
        """Return the crops of the chosen items."""
        pictures = np.empty((len(chosen), *self.crop, 3), dtype=np.uint8)
        truths = np.empty((len(chosen), *self.crop), dtype=np.uint8)
        for place, item in enumerate(chosen.tolist()):
            self._one(images[item], masks[item], draws[item], pictures[place], truths[place])
        return pictures, truths

    def _one(
        self,
        image: UInt8[np.ndarray, "H W 3"],
        mask: UInt8[np.ndarray, "H W"],
        draw: Float64[np.ndarray, " 7"],
        picture: UInt8[np.ndarray, "h w 3"],
        truth: UInt8[np.ndarray, "h w"],
    ) -> None:
        low, high = _SCALES
        scale = low + (high - low) * draw[_SCALE] if self.augmentation.scales else 1.0
        pixel = self._rare_pixel(mask, draw) if self.augmentation.shifts and draw[_RARE] < self.rare else None
        rows, columns = (
            self._window(axis, mask.shape[axis], scale, draw[drawn], None if pixel is None else pixel[axis])
            for axis, drawn in ((0, _TOP), (1, _LEFT))
        )
        if self.augmentation.flips and draw[_FLIP] < 0.5:
            picture, truth = picture[:, ::-1], truth[:, ::-1]
        _paste(image, mask, rows, columns, picture, truth)

    def _window(self, axis: int, whole: int, scale: float, draw: float, pixel: int | None) -> tuple[int, int]:
        """Return the window's first row (or column) and one past its last; it may leave the canvas."""
        length = max(round(self.crop[axis] / scale), 1)
        low, high = sorted((0, whole - length))
        if not self.augmentation.shifts:
            low = high = (whole - length) // 2
        elif low == high and not self.augmentation.scales:
            low, high = -(length // _BORDER), length // _BORDER
        if pixel is not None:
            low, high = max(low, pixel - length + 1), min(high, pixel)
        first = low + int(draw * (high - low + 1))
        return first, first + length

    def _rare_pixel(
        self, mask: UInt8[np.ndarray, "H W"], draw: Float64[np.ndarray, " 7"]
    ) -> tuple[int, int] | None:
        """Return a pixel of a class drawn by inverse frequency; None if the whole mask is ignored."""
        present = np.bincount(mask.reshape(-1), minlength=IGNORE + 1) > 0
        present[IGNORE] = False
        classes = np.flatnonzero(present)
        if not len(classes):
            return None
        weights = np.cumsum(1 / self.frequency[classes])
        label = classes[np.searchsorted(weights, draw[_CLASS] * weights[-1], side="right")]
        places = np.flatnonzero(mask == label)
        row, column = divmod(int(places[int(draw[_PIXEL] * len(places))]), mask.shape[1])
        return row, column


def _paste(
    image: UInt8[np.ndarray, "H W 3"],
    mask: UInt8[np.ndarray, "H W"],
    rows: tuple[int, int],
    columns: tuple[int, int],
    picture: UInt8[np.ndarray, "h w 3"],
    truth: UInt8[np.ndarray, "h w"],
) -> None:
    """Write the window of image and mask into ``picture`` and ``truth``, resampled where sizes differ."""
    inside, target = zip(
        _overlap(rows, mask.shape[0], truth.shape[0]),
        _overlap(columns, mask.shape[1], truth.shape[1]),
        strict=True,
    )
    seen, labels = image[inside], mask[inside]
    if truth[target].size < truth.size:
        picture[:] = image.mean(axis=(0, 1)).round()
        truth[:] = IGNORE
    size = list(truth[target].shape)
    if labels.shape != truth[target].shape:
        pixels = torch.from_numpy(seen.copy()).permute(2, 0, 1)
        seen = geometry.resize(pixels, size, antialias=True).permute(1, 2, 0).numpy()
        classes = torch.from_numpy(labels.copy())[None]
        labels = geometry.resize(classes, size, interpolation=InterpolationMode.NEAREST_EXACT)[0].numpy()
    picture[target], truth[target] = seen, labels


def _overlap(window: tuple[int, int], whole: int, length: int) -> tuple[slice, slice]:
    """Return the part of the canvas inside the window, and its place in the crop."""
    first, last = window
    low, high = max(first, 0), min(last, whole)
    scale = length / (last - first)
    start = min(round((low - first) * scale), length - 1)
    stop = max(round((high - first) * scale), start + 1)
    return slice(low, high), slice(start, stop)
