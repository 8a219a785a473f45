"""Files and folders below a folder: sorted, only visible ones; symbolic links are followed."""

from __future__ import annotations

import os
from pathlib import Path

from foveate.data.decode import SUFFIXES


def visible_files(folder: Path) -> list[Path]:
    """Return visible files at any depth."""
    found = []
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not _hidden(name)]
        found += [Path(place, name) for name in names if not _hidden(name)]
    return sorted(found)


def visible_folders(path: Path) -> list[Path]:
    """Return visible folders directly below."""
    return sorted(child for child in path.iterdir() if child.is_dir() and not _hidden(child.name))


def image_files(folder: Path) -> list[Path]:
    """Return visible files at any depth that are named as images are."""
    return [file for file in visible_files(folder) if file.suffix.lower() in SUFFIXES]


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
