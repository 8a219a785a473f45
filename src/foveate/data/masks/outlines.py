"""Outlines of objects in text files, as labelling sites export them for YOLO.

One file an image, one object a line: its class's number, then x and y of each corner as shares of width and
height. An image without a file, or with an empty one, shows no object. Names are in ``data.yaml``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from foveate.data.base import BACKGROUND
from foveate.data.coco.coco_shapes import polygon_region
from foveate.data.images.decode import file_size
from foveate.errors import DataError

NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_LOOKED_AT = 64
_BOX = 4  # numbers behind the class that make a box
_CORNERS = 6  # numbers behind the class from which on there is an outline
_ITEM = re.compile(r"""(?:-|(\d+)\s*:)\s*(['"]?)(.+?)\2\s*$""")
_INLINE = re.compile(r"""\s*(?:\d+\s*:)?\s*(?:(['"])(.*?)\1|([^,]*?))\s*(?:,|$)""")  # a comma may be quoted


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
            files: The text file, or none if the image shows no object.
            image: The image, which says how large the mask is.

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


def outlines_in(file: Path) -> list[tuple[int, list[float]]]:
    """Return the objects of a file: class number and corners.

    Raises:
        DataError: it cannot be read, or a line is not an outline.
    """
    found = []
    for place, line in enumerate(_text(file).splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        try:
            number, points = int(words[0]), [float(word) for word in words[1:]]
        except ValueError:
            number, points = -1, []
        if number < 0 or len(points) < _CORNERS or len(points) % 2 or not np.isfinite(points).all():
            boxes = "it is a box, which does not say which pixels are meant" if len(points) == _BOX else ""
            raise DataError(
                f"{file}, line {place}: not a class number and the outline of an object"
                f"{f' ({boxes})' if boxes else ''}. Export the annotations for segmentation: polygons, or "
                "masks."
            )
        found.append((number, points))
    return found


def is_outline_file(file: Path) -> bool:
    """Tell a text file of numbers, as YOLO's are, from any other."""
    try:
        lines = [line.split() for line in _text(file).splitlines() if line.strip()]
        return (
            bool(lines)
            and all(len(line) > _BOX and line[0].isdecimal() for line in lines)
            and all(np.isfinite([float(word) for word in line]).all() for line in lines)
        )
    except (DataError, ValueError):
        return False


def infer_outlines(root: Path, files: Sequence[Path], given: tuple[str, ...] | None) -> tuple[Outlines, str]:
    """Return what the class numbers in text files mean, and a note of where the names come from.

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
    for file in files[:_LOOKED_AT]:  # boxes are told at once, not in the first epoch
        outlines_in(file)
    if not names:
        numbers = {number for file in files for number, _ in outlines_in(file)}
        names = tuple(str(number) for number in range(max(numbers, default=0) + 1))
        note = "the masks are drawn from outlines in text files, classes are their numbers"
    return Outlines((BACKGROUND, *names)), note


def names_in(file: Path) -> tuple[str, ...]:
    """Return the ``names`` of a ``data.yaml``: a list in brackets or of lines, or numbers with names.

    Raises:
        DataError: the file cannot be read as text.
    """
    lines = [line.split(" #")[0].rstrip() for line in _text(file).splitlines()]
    start = next((n for n, line in enumerate(lines) if line.startswith("names:")), None)
    if start is None:
        return ()
    inline = lines[start].removeprefix("names:").strip()
    if inline:
        rows = lines[start:] if "]" not in inline and "}" not in inline else [lines[start]]
        body = re.split(r"[\]}]", " ".join(rows).removeprefix("names:"))[0].strip(" [{")
        items = [item for item in _INLINE.finditer(body) if item[1] or item[3]]
        return tuple(item[2] if item[1] else _unquoted(item[3]) for item in items)
    names = []
    for line in lines[start + 1 :]:
        item = _ITEM.match(line.strip())
        if line.strip() and (item is None or not (line[0].isspace() or line[0] == "-")):
            break
        if item:
            names.append(item[3])
    return tuple(names)


def _unquoted(text: str) -> str:
    return text.strip().strip("'\"")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as text ({error}). Export it again.") from None
