"""Lists of files that say which image is in which split: train.txt, val.txt and test.txt.

A line is a name, a path, or an image's and its mask's path, as CamVid's lists have them; only the image's
name without its ending counts, since such lists carry the paths of the machine that they were written on.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from foveate.data.splits import WORDS
from foveate.errors import DataError

_FOLDERS = (".", "ImageSets/Segmentation", "splits", "lists")


def split_lists(root: Path) -> dict[str, list[str]]:
    """Return the names in each split's list, without endings; empty if there are no lists.

    Raises:
        DataError: a list cannot be read, there is none for train, or a name is in two of them.
    """
    for place in _FOLDERS:
        files = sorted((root / place).glob("*.txt")) if (root / place).is_dir() else []
        found = {WORDS[file.stem.lower()]: _stems(file) for file in files if file.stem.lower() in WORDS}
        if found:
            _check(root / place, found)
            return found
    return {}


def _stems(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as text ({error}). Write one name a line, UTF-8.") from None
    return [PurePosixPath(line.split()[0].replace("\\", "/")).stem for line in lines if line.strip()]


def _check(folder: Path, found: dict[str, list[str]]) -> None:
    if "train" not in found:
        raise DataError(f"{folder}: lists {', '.join(found)} but no train. Add train.txt.")
    owner: dict[str, str] = {}
    for split, stems in found.items():
        for stem in stems:
            if stem in owner:
                raise DataError(f"{folder}: {stem} is listed twice ({owner[stem]}, {split}). Keep it once.")
            owner[stem] = split
