"""Many small pictures on one sheet.

Shapes  pictures uint8 (N, S, S, 3).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

_LEAST = 32  # pixels of a picture on a sheet: smaller ones are enlarged
_GAP = 2
_GROUND = 96  # grey between the pictures


def as_pictures(images: Float[Tensor, "n c s s"]) -> UInt8[np.ndarray, "n s s 3"]:
    """Return what a generator draws, in [-1, 1], as pictures; one channel becomes grey."""
    levels = ((images.detach().float().cpu() + 1) * 127.5).round().clamp(0, 255).byte()
    return levels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()


def sheet(pictures: UInt8[np.ndarray, "n s s 3"], columns: int) -> Image.Image:
    """Return pictures row by row on one sheet."""
    side = pictures.shape[1]
    times = max(1, _LEAST // side)
    step = side * times + _GAP
    rows = -(-len(pictures) // columns)
    ground = np.full((rows * step + _GAP, columns * step + _GAP, 3), _GROUND, dtype=np.uint8)
    for place, picture in enumerate(pictures):
        top, left = _GAP + place // columns * step, _GAP + place % columns * step
        large = picture.repeat(times, axis=0).repeat(times, axis=1)
        ground[top : top + side * times, left : left + side * times] = large
    return Image.fromarray(ground)
