"""Visible files and folders below a folder, sorted; links are followed, but never back up.

A link to its own folder or to one above would show every file again and again, so it is skipped, and so is
one that closes a loop of links. Any other link to a folder is followed, even if its files appear elsewhere
too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from foveate.errors import DataError

_MOST_LINKS = 8  # on the way to a folder; folders that all link to each other would never end


def visible_files(folder: Path) -> list[Path]:
    """Return visible files at any depth.

    Raises:
        DataError: a folder cannot be read.
    """
    return sorted(Path(place, name) for place, _, names in walk(folder) for name in names)


def visible_folders(path: Path) -> list[Path]:
    """Return visible folders directly below.

    Raises:
        DataError: the folder cannot be read.
    """
    try:
        children = sorted(path.iterdir())
    except OSError as error:
        _refuse(error)
    return [
        child for child in children if child.is_dir() and not _hidden(child.name) and not _goes_back(child)
    ]


def walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield each folder, the upper before the lower, with the names of its links back and of its files.

    Raises:
        DataError: a folder cannot be read.
    """
    ways = {Path(folder): _Way((os.path.realpath(folder),), 0)}
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        way = ways.pop(Path(place))
        shown = [name for name in sorted(folders) if not _hidden(name)]
        back = [name for name in shown if _goes_back(Path(place, name))]
        folders.clear()
        for name in shown:
            path = Path(place, name)
            further = way.into(path)
            if name not in back and further is not None:
                ways[path] = further
                folders.append(name)
        yield place, back, [name for name in names if not _hidden(name)]


@dataclass(frozen=True)
class _Way:
    """How a folder is reached.

    Args:
        entered: Where the folders on the way really are, this one last.
        links: How many of them are links.
    """

    entered: tuple[str, ...]
    links: int

    def into(self, path: Path) -> _Way | None:
        """Return the way to a folder in this one; None if it is on the way already: a loop of links.

        Raises:
            DataError: it lies behind too many links.
        """
        linked, real = path.is_symlink(), os.path.realpath(path)
        if real in self.entered:
            return None
        if self.links + linked > _MOST_LINKS:
            raise DataError(
                f"{path}: lies behind more than {_MOST_LINKS} nested links. Remove links between folders of "
                "the data."
            )
        return _Way((*self.entered, real), self.links + linked)


def _goes_back(path: Path) -> bool:
    """Return whether a path is a link to its own folder or to one above."""
    if not path.is_symlink():
        return False
    home, target = os.path.realpath(path.parent), os.path.realpath(path)
    return home == target or home.startswith(target.rstrip(os.sep) + os.sep)


def _refuse(error: OSError) -> NoReturn:
    raise DataError(
        f"{error.filename}: this folder cannot be read ({error.strerror}). Grant read permission, or move it "
        "out of the data."
    ) from None


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
