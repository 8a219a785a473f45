"""Text files of outlines as YOLO has them, and the class names in their ``data.yaml``."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from foveate.errors import DataError
from foveate.files import read_text

_BOX = 4  # numbers after the class that make a box
_CORNERS = 6  # numbers after the class that an outline needs at least
_ITEM = re.compile(r"""(?:-|(\d+)\s*:)\s*(['"]?)(.+?)\2\s*$""")
_INLINE = re.compile(r"""\s*(?:\d+\s*:)?\s*(?:(['"])(.*?)\1|([^,]*?))\s*(?:,|$)""")  # a comma may be quoted


def outlines_in(file: Path) -> list[tuple[int, list[float]]]:
    """Return the objects of a file: class number and corners.

    Raises:
        DataError: it cannot be read, or a line is not an outline.
    """
    found = []
    for place, line in enumerate(read_text(file, "Export it again.").splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        try:
            number, points = int(words[0]), [float(word) for word in words[1:]]
        except ValueError:
            number, points = -1, []
        if number < 0 or len(points) < _CORNERS or len(points) % 2 or not np.isfinite(points).all():
            boxes = "it is a box, which does not outline the object" if len(points) == _BOX else ""
            raise DataError(
                f"{file}, line {place}: not a class number and the outline of an object"
                f"{f' ({boxes})' if boxes else ''}. Export the annotations for segmentation: polygons, or "
                "masks."
            )
        found.append((number, points))
    return found


def is_outline_file(file: Path) -> bool:
    """Return whether a text file holds numbers in YOLO's format."""
    try:
        lines = [line.split() for line in read_text(file, "Export it again.").splitlines() if line.strip()]
        return (
            bool(lines)
            and all(len(line) > _BOX and line[0].isdecimal() for line in lines)
            and all(np.isfinite([float(word) for word in line]).all() for line in lines)
        )
    except (DataError, ValueError):
        return False


def names_in(file: Path) -> tuple[str, ...]:
    """Return the ``names`` of a ``data.yaml``: a list in brackets or of lines, or numbers with names.

    Raises:
        DataError: the file cannot be read as text.
    """
    lines = [line.split(" #")[0].rstrip() for line in read_text(file, "Export it again.").splitlines()]
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
