"""Small squares of large pictures, for who draws them or compares them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from foveate.data.large.keep_overviews import overview_of
from foveate.data.large.large_picture import LargePicture
from foveate.large_pictures import overview_size


@dataclass(frozen=True)
class SmallSquares:
    """The middle squares of large pictures at one size.

    Args:
        pictures: Item -> picture.
        side: In pixels.
    """

    pictures: Callable[[int], LargePicture]
    side: int

    def __getitem__(self, item: int) -> UInt8[np.ndarray, "3 s s"]:
        picture = self.pictures(int(item))
        scale = min(1.0, self.side / min(picture.size))
        small = overview_of(picture, overview_size(picture.size, scale))
        short = min(small.shape[:2])
        top, left = ((length - short) // 2 for length in small.shape[:2])
        middle = Image.fromarray(small[top : top + short, left : left + short])
        return np.asarray(middle.resize((self.side, self.side), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
