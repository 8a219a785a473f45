"""Pictures that look alike, side by side in one image, for a person to judge."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from types import MappingProxyType

from PIL import Image, ImageDraw, ImageOps

from foveate.data.base import ImageData
from foveate.data.checks.finding import Finding
from foveate.errors import DataError
from foveate.files import replacing

SIDE = 160  # pixels of a picture on the sheet
MOST = 60  # rows
MOST_ACROSS = 12  # places in a row
_MARGIN, _LINE = 8, 14
_SAID, _LETTERS = 3, 26  # lines under a name, and letters of a line
_ACROSS = ("near_duplicate", "duplicate_across_splits", "label_conflict", "duplicate_within_split")


def alike(findings: Sequence[Finding]) -> list[tuple[str, ...]]:
    """Return the names of pictures that are alike by the findings, in groups, those across splits first.

    Example:
        >>> alike([Finding("near_duplicate", "warning", "1 pair", ("train/a.png ~ test/b.png",))])
        [('train/a.png', 'test/b.png')]
    """
    ranked = sorted((f for f in findings if f.kind in _ACROSS), key=lambda f: _ACROSS.index(f.kind))
    groups = (tuple(re.split(" [~=] ", item)) for finding in ranked for item in finding.items)
    return list(dict.fromkeys(groups))


def contact_sheet(
    data: ImageData,
    groups: Sequence[tuple[str, ...]],
    path: Path,
    said: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Draw each group of pictures in a row with their names, and return how many rows there are.

    Args:
        data: Where the pictures are.
        groups: Their names as a check gives them.
        path: The file, in any format that Pillow writes; at most 60 rows are drawn, each of at most 12
            places, the last of which then says how many more pictures there are.
        said: What is printed under the name of a picture, in three lines at most.

    Raises:
        DataError: The file cannot be written.
    """
    shown = list(groups[:MOST])
    wide = min(max((len(group) for group in shown), default=1), MOST_ACROSS)
    height = SIDE + _LINE + _MARGIN + _SAID * _LINE * bool(said)
    sheet = Image.new(
        "RGB", (wide * (SIDE + _MARGIN) + _MARGIN, max(1, len(shown)) * height + _MARGIN), "white"
    )
    pen = ImageDraw.Draw(sheet)
    places = _places(data)
    for row, group in enumerate(shown):
        top, many = _MARGIN + row * height, len(group) > MOST_ACROSS
        if many:
            place = (_MARGIN + (MOST_ACROSS - 1) * (SIDE + _MARGIN), top + SIDE // 2)
            pen.text(place, f"+{len(group) - MOST_ACROSS + 1} more", fill="black")
        for column, name in enumerate(group[: MOST_ACROSS - 1] if many else group):
            left = _MARGIN + column * (SIDE + _MARGIN)
            below = [_short(name), *wrap(said.get(name, ""), _LETTERS, max_lines=_SAID, placeholder="…")]
            pen.text((left, top + SIDE + 1), "\n".join(below), fill="black")
            if name in places:
                split, item = places[name]
                picture = Image.fromarray(data.splits[split].load(item))
                sheet.paste(ImageOps.contain(picture, (SIDE, SIDE)), (left, top))
    try:
        with replacing(path) as part:
            sheet.save(part, format=_format(path))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: the sheet cannot be written ({error}). Name a .png or .jpg.") from None
    return len(shown)


def _format(path: Path) -> str:
    form = Image.registered_extensions().get(path.suffix.lower())
    if form is None or form not in Image.SAVE:
        raise ValueError(f'pictures are not written as "{path.suffix}"')
    return form


def _places(data: ImageData) -> dict[str, tuple[str, int]]:
    """Return split and number of every picture by its name in a check."""
    return {
        item if split.files is not None else f"{name}:{item}": (name, number)
        for name, split in data.splits.items()
        for number, item in enumerate(split.names)
    }


def _short(name: str, letters: int = _LETTERS) -> str:
    return name if len(name) <= letters else f"…{name[1 - letters :]}"
