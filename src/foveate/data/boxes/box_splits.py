"""Where the picture of an annotation lies, and which split its folders say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foveate.data.folders.name_words import split_named
from foveate.errors import DataError, first_few


def split_of(root: Path, file: Path) -> str:
    """Return the split that a folder between ``root`` and a file is named for; "" if none is."""
    names = [split_named(part) for part in file.relative_to(root).parts[:-1]]
    return next((name for name in reversed(names) if name), "")


def picture_of(root: Path, file: Path, name: str, pictures: Sequence[Path]) -> Path:
    """Return the picture that an annotation is of: of its name, else of its own stem; the nearest such.

    Args:
        root: The folder of the data.
        file: The annotation.
        name: The picture's name as it states it, with or without an ending.
        pictures: All pictures below ``root``.

    Raises:
        DataError: There is none, or several are equally near.
    """
    for found in (
        [picture for picture in pictures if picture.name == name],
        [picture for picture in pictures if picture.stem in (file.stem, Path(name).stem)],
    ):
        nearest = _nearest(file, found)
        if len(nearest) == 1:
            return nearest[0]
        if nearest:
            names = first_few(picture.relative_to(root).as_posix() for picture in nearest)
            raise DataError(f"{file}: its picture may be any of {names}. Remove all but one.")
    raise DataError(
        f"{file}: no picture {name} below {root}. Bring the pictures, or say where they are: images=."
    )


def _nearest(file: Path, pictures: Sequence[Path]) -> list[Path]:
    """Return the pictures that share most of the way to the annotation."""
    shared = [_shared(file.parts, picture.parts) for picture in pictures]
    return [picture for picture, depth in zip(pictures, shared, strict=True) if depth == max(shared)]


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count
