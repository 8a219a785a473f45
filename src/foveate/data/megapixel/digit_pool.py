"""The small pictures that megapixel scenes are made of: handwritten digits, or the user's own.

Shapes  float32 (n, 28, 28) in [0, 1], white on black; labels int64 (n,).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64
from PIL import Image

from foveate.data.base import SPLITS, ImageData
from foveate.data.megapixel.megapixel_layout import TILE
from foveate.data.scenes.scene_paint import digit_samples
from foveate.errors import DataError


@dataclass(frozen=True)
class DigitPool:
    """Small pictures of one split.

    Args:
        pictures: float32 (n, 28, 28).
        labels: The class of each (n,).
    """

    pictures: Float32[np.ndarray, "n 28 28"]
    labels: Int64[np.ndarray, " n"]

    @property
    def digest(self) -> str:
        """A hash of all of it."""
        return hashlib.sha256(self.pictures.tobytes() + self.labels.tobytes()).hexdigest()


def handwritten(split: str) -> DigitPool:
    """Return scikit-learn's digits, enlarged from 8x8 pixels (bicubic); no digit is in two splits."""
    images, labels = digit_samples(SPLITS.index(split))
    return DigitPool(np.stack([_enlarged(image) for image in images]), labels)


def own_pictures(data: ImageData, split: str) -> DigitPool:
    """Return the pictures of a split, grey.

    Args:
        data: Small pictures, with one class each.
        split: Its name.

    Raises:
        DataError: They have no classes, fewer than two, one without pictures in the split, or no such split.
    """
    folder, part = data.name, data.splits.get(split)
    if data.truth != "label":
        raise DataError(f"{folder}: megapixel scenes are made of pictures with one class each. Give such.")
    if part is None:
        raise DataError(f"{folder}: has no split {split}. Leave it out: {split}=0.")
    missing = sorted(set(range(len(data.classes))) - set(part.targets.tolist()))
    if len(data.classes) < 2 or missing:
        what = f"no picture of {data.classes[missing[0]]} in {split}" if missing else "a single class"
        raise DataError(f"{folder}: {what}. Every class needs pictures in every split.")
    pictures = [_grey(part.load(item)) for item in range(len(part))]
    return DigitPool(np.stack(pictures), part.targets)


def _enlarged(image: Float32[np.ndarray, "8 8"]) -> Float32[np.ndarray, "28 28"]:
    return np.asarray(Image.fromarray(image).resize((TILE, TILE), Image.Resampling.BICUBIC)).clip(0, 1)


def _grey(pixels: np.ndarray) -> Float32[np.ndarray, "28 28"]:
    small = Image.fromarray(pixels).convert("L").resize((TILE, TILE), Image.Resampling.BICUBIC)
    return np.asarray(small, dtype=np.float32) / 255
