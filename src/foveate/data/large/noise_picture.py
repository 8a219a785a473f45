"""A picture of noise of any size, to try models out on: nothing of it is held in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foveate.data.large.large_picture import Box, LargePicture, Pixels

_SIDE = 64  # pixels, after which the noise repeats


class NoisePicture(LargePicture):
    """Noise, always the same.

    Args:
        size: Height and width in pixels.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.noise = np.random.Generator(np.random.Philox(0)).integers(
            0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8
        )

    def read(self, boxes: Sequence[Box]) -> list[Pixels]:
        """Return windows at full resolution."""
        return [
            self.noise[np.arange(top, top + height) % _SIDE][:, np.arange(left, left + width) % _SIDE]
            for top, left, height, width in boxes
        ]
