"""The files of a folder of images and masks: what each holds, and what belongs together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from foveate.data.folders.name_words import Role

OUTLINES = ".txt"  # the ending of files of outlines
SEPARATOR = re.compile(r"[_.\- (]+")  # between the parts of a file's name
OBJECT = ""  # the label of a layer that is one object among many


@dataclass(frozen=True)
class File:
    """A file with what its place tells about it.

    Args:
        path: Where it is.
        role: What it holds; None if no name tells.
        kind: The folder's word for that.
        split: train, val, test, or None.
        place: The folders below the root, without words for split or role.
        stem: Its name without the ending.
    """

    path: Path
    role: Role | None
    kind: str
    split: str | None
    place: tuple[str, ...]
    stem: str

    @property
    def where(self) -> tuple[str | None, tuple[str, ...]]:
        """Return split and place, which an image and its mask share."""
        return self.split, self.place


@dataclass(frozen=True)
class Files:
    """The files of a folder by what they hold.

    Args:
        images: Images.
        masks: Their masks, of one kind.
        inside: Masks of where to look, of all such folders.
        notes: What was left out or chosen by default.
    """

    images: tuple[File, ...]
    masks: tuple[File, ...]
    inside: tuple[File, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Match:
    """A mask with its image, and what its place and name add to those of the image."""

    image: File
    mask: File
    folder: str
    tail: str
    nested: bool = False


@dataclass(frozen=True)
class Pair:
    """An image with its mask.

    Args:
        image: The image file.
        masks: Its mask's, or one for each class or object that it shows.
        split: train, val or test, or None if unknown.
        labels: The class of each mask file, ``OBJECT`` for objects; empty if one file holds the whole mask.
        inside: A mask of where to look, if it is wanted.
    """

    image: Path
    masks: tuple[Path, ...]
    split: str | None
    labels: tuple[str, ...] = ()
    inside: Path | None = None
