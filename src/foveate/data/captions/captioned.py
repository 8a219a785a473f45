"""A picture and its captions as a file states them, before the picture is looked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from foveate.data.folders.name_words import split_named
from foveate.errors import DataError


@dataclass
class Captioned:
    """A picture and its captions.

    Args:
        name: Of the picture, as the file writes it.
        captions: As the file has them; some may be empty.
        split: train, val or test; None if the file does not say.
        path: The picture's file, once it is found.
    """

    name: str
    captions: list[str]
    split: str | None = None
    path: Path | None = None


def gathered(some: Iterable[Captioned], file: Path) -> list[Captioned]:
    """Return pictures that occur several times with all of their captions, in order of the first.

    Raises:
        DataError: A picture is in two splits.
    """
    found: dict[str, Captioned] = {}
    for one in some:
        known = found.setdefault(one.name, Captioned(one.name, [], one.split))
        if known.split != one.split:
            raise DataError(
                f"{file}: {one.name} is in split {known.split} and in {one.split}. Keep all captions of a "
                "picture in one split."
            )
        known.captions += one.captions
    return list(found.values())


def stated_split(text: object, where: str) -> str | None:
    """Return the split that a cell or entry states; None if it is missing or empty.

    Raises:
        DataError: It does not name a split.
    """
    if text is None or not str(text).strip():
        return None
    word = str(text).strip()
    found = "train" if word.lower() == "restval" else split_named(word)
    if found is None:
        raise DataError(f'{where}: split "{word[:40]}" is unknown. Write train, val or test.')
    return found
