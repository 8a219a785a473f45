"""A picture in NumPy's .npy: mapped into memory, so that only what is looked at is read.

Shapes  (H, W), (H, W, 1) or (H, W, 3), unsigned whole numbers or floats; uint8 as they are, others scaled by
        the levels of their data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from foveate.data.images.levels import SIXTEEN, Levels
from foveate.data.large.as_rgb import as_rgb
from foveate.data.large.large_picture import Box, LargePicture, Pixels
from foveate.errors import DataError

MAGIC = b"\x93NUMPY"
_SAMPLED = 512  # places a side


class ArrayFile(LargePicture):
    """A picture in a .npy file.

    Args:
        path: The file.
        levels: The values that become black and white where it has more than eight bits.

    Raises:
        DataError: It does not hold a picture, or fewer values than its header promises.
    """

    def __init__(self, path: Path, levels: Levels | None = None) -> None:
        try:
            self.values = np.lib.format.open_memmap(path, mode="r")
        except (ValueError, OSError, EOFError) as error:
            raise DataError(f"{path}: cannot be read as a .npy file ({error}). Save it again.") from None
        shape = self.values.shape
        fits = len(shape) in (2, 3) and shape[2:] in ((), (1,), (3,)) and 0 not in shape
        if not fits or self.values.dtype.kind not in "uf":
            raise DataError(
                f"{path}: an array {shape} of {self.values.dtype}, expected a picture: (H, W) or (H, W, 3), "
                "of unsigned numbers or floats."
            )
        self.levels = SIXTEEN if levels is None else levels
        self.size = (shape[0], shape[1])

    def sample(self) -> np.ndarray:
        """Return values of places evenly spread."""
        down, across = (max(1, side // _SAMPLED) for side in self.size)
        return np.asarray(self.values[::down, ::across])

    def read(self, boxes: Sequence[Box]) -> list[Pixels]:
        """Return windows at full resolution."""
        return [
            as_rgb(np.asarray(self.values[top : top + height, left : left + width]), self.levels)
            for top, left, height, width in boxes
        ]
