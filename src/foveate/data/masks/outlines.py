"""Outlines of objects in text files, as labelling sites export them for YOLO.

One file per image, one object per line: its class number, then x and y of each corner as fractions of width
and height. An image without a file, or with an empty one, shows no object. Names are in ``data.yaml``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from foveate.data.class_numbers import BACKGROUND
from foveate.data.coco.coco_shapes import polygon_region
from foveate.data.images.open_image import file_size
from foveate.data.masks.outline_text import names_in, outlines_in
from foveate.errors import DataError

NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_LOOKED_AT = 64


@dataclass(frozen=True)
class Outlines:
    """Outlines become classes: the file's number 0 is class 1, behind the background.

    Args:
        classes: Background, and the names of the numbers in the files.
    """

    classes: tuple[str, ...]

    def read(self, files: Sequence[Path], image: Path) -> UInt8[np.ndarray, "h w"]:
        """Return the mask of an image; later outlines cover earlier ones.

        Args:
            files: The text file; empty if the image shows no object.
            image: The image, which has the mask's size.

        Raises:
            DataError: a file cannot be read, or a line is not an outline of a known class.
        """
        height, width = file_size(image)
        mask = np.zeros((height, width), dtype=np.uint8)
        for file in files:
            for number, points in outlines_in(file):
                if number + 1 >= len(self.classes):
                    raise DataError(
                        f"{file}: class {number} is not one of 0 to {len(self.classes) - 2} "
                        f"({', '.join(self.classes[1:])}). Correct the file, or the names in data.yaml."
                    )
                corners = np.asarray(points).reshape(-1, 2) * (width, height)
                mask[polygon_region(corners, height, width)] = number + 1
        return mask

    def key(self, files: Sequence[Path]) -> str:
        """Return the code, which is that of every file."""
        return str(self)


def infer_outlines(root: Path, files: Sequence[Path], given: tuple[str, ...] | None) -> tuple[Outlines, str]:
    """Return the code of text files, and a note on where the class names come from.

    Args:
        root: Where a ``data.yaml`` may lie.
        files: All text files.
        given: The user's names, without a background; None for those of ``data.yaml``, or numbers.

    Raises:
        DataError: a file cannot be read.
    """
    beside = next((root / name for name in NAMES if (root / name).is_file()), None)
    names, note = given, "the masks are drawn from outlines in text files, classes as given"
    if names is None and beside is not None:
        names, note = (
            names_in(beside),
            f"the masks are drawn from outlines in text files, classes are those of {beside.name}",
        )
    looked_at = files[:_LOOKED_AT] if names else files  # boxes are refused now, not in the first epoch
    numbers = {number for file in looked_at for number, _ in outlines_in(file)}
    if not names:
        names = tuple(str(number) for number in range(max(numbers, default=0) + 1))
        note = "the masks are drawn from outlines in text files, classes are their numbers"
    return Outlines((BACKGROUND, *names)), note
