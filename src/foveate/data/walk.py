"""Files and folders below a folder: sorted, only visible ones; links are followed, but never back up.

A link to the folder that it lies in, or to one above, would show every file again and again: it is left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from foveate.data.decode import SUFFIXES
from foveate.errors import DataError


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


def image_files(folder: Path) -> list[Path]:
    """Return visible files at any depth that are named as images are.

    Raises:
        DataError: a folder cannot be read.
    """
    return [file for file in visible_files(folder) if file.suffix.lower() in SUFFIXES]


def links_back(folder: Path) -> tuple[Path, ...]:
    """Return visible links, at any depth, to the folder that they lie in or to one above."""
    return tuple(sorted(Path(place, name) for place, links, _ in walk(folder) for name in links))


def walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield each folder, the upper before the lower, with the names of its links back and of its files.

    Raises:
        DataError: a folder cannot be read.
    """
    entered = {os.path.realpath(folder)}
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        shown = [name for name in sorted(folders) if not _hidden(name)]
        back = [name for name in shown if _goes_back(Path(place, name))]
        folders.clear()
        for name in shown:
            real = os.path.realpath(Path(place, name))
            if name not in back and (real not in entered or not Path(place, name).is_symlink()):
                entered.add(real)
                folders.append(name)
        yield place, back, [name for name in names if not _hidden(name)]


def _goes_back(path: Path) -> bool:
    """Tell a link to the folder that it lies in, or to one above."""
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
