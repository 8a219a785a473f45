"""A picture read by libvips, where it is installed: what the other readers cannot read in parts.

TIFF tiles of any compression are read at random; of other formats, JPEG among them, all rows above a window
are decoded too, in the memory of a few.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from foveate.data.images.levels import SIXTEEN, Levels
from foveate.data.large.as_rgb import as_rgb
from foveate.data.large.large_picture import STRIP, Box, LargePicture, Pixels
from foveate.data.large.strip_windows import cut_from_strips, lowest_row
from foveate.errors import DataError, in_one_line

_KINDS = {"uchar": np.uint8, "ushort": np.uint16, "float": np.float32}


def has_vips() -> bool:
    """Return whether pyvips is installed."""
    return find_spec("pyvips") is not None


class ByVips(LargePicture):
    """A picture that libvips reads.

    Args:
        path: The file.
        levels: The values that become black and white where it has more than eight bits.
        at_random: Whether it is stored in tiles.

    Raises:
        DataError: It cannot be read.
    """

    def __init__(self, path: Path, levels: Levels | None = None, *, at_random: bool) -> None:
        self.path, self.levels, self.at_random = path, SIXTEEN if levels is None else levels, at_random
        image = self._open()
        self.size = (image.height, image.width)

    def read(self, boxes: Sequence[Box]) -> list[Pixels]:
        """Return windows at full resolution."""
        if not self.at_random:
            return cut_from_strips(self.strips(lowest_row(boxes)), boxes)
        import pyvips  # type: ignore[import-not-found, import-untyped, unused-ignore]

        image = self._open()
        region = pyvips.Region.new(image)
        return [self._cut(image, region, box) for box in boxes]

    def strips(self, rows: int | None = None) -> Iterator[Pixels]:
        """Yield the rows, from the top; all if ``rows`` is None."""
        import pyvips

        image, last = self._open(), self.size[0] if rows is None else rows
        region = pyvips.Region.new(image)  # reads on where it stopped
        step = max(1, STRIP // image.width)
        for top in range(0, last, step):
            yield self._cut(image, region, (top, 0, min(step, last - top), image.width))

    def _open(self) -> Any:
        import pyvips

        try:
            image = pyvips.Image.new_from_file(
                str(self.path), access="random" if self.at_random else "sequential", fail_on="truncated"
            )
            if image.format not in _KINDS or image.interpretation in ("cmyk", "lab", "labs", "xyz"):
                image = image.colourspace("srgb")
        except pyvips.Error as error:
            raise DataError(f"{self.path}: cannot be read ({in_one_line(error)}). Replace it.") from None
        return image

    def _cut(self, image: Any, region: Any, box: Box) -> Pixels:
        import pyvips

        top, left, height, width = box
        try:
            data = region.fetch(left, top, width, height)
        except pyvips.Error as error:
            raise DataError(f"{self.path}: is damaged ({in_one_line(error)}). Copy it again.") from None
        values = np.frombuffer(data, dtype=_KINDS[image.format]).reshape(height, width, image.bands)
        return as_rgb(values, self.levels, alpha=image.hasalpha())
