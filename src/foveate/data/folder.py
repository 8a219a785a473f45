"""A folder of images, one subfolder a class: train/val/test, train/test, or flat and cut by a seed.

Layouts accepted (``valid``, ``validation``, ``dev`` mean val)::

    DATA/train/CLASS/*.jpg  DATA/val/CLASS/*.jpg  DATA/test/CLASS/*.jpg
    DATA/train/CLASS/*.jpg  DATA/test/CLASS/*.jpg
    DATA/CLASS/*.jpg
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from foveate.data.base import ImageData
from foveate.data.decode import MOST_PIXELS, SUFFIXES
from foveate.data.files import Entry, data_from_entries
from foveate.data.mask_layout import IMAGES, found_in
from foveate.data.splits import SHARES, WORDS, Shares
from foveate.data.walk import visible_files, visible_folders
from foveate.errors import DataError


def open_folder(
    path: Path, *, seed: int = 0, shares: Shares = SHARES, max_pixels: int = MOST_PIXELS
) -> ImageData:
    """Open a folder of class folders.

    Args:
        path: The folder.
        seed: Decides the cut of a flat folder.
        shares: Of train, val and test, for a flat folder.
        max_pixels: Pixels of the largest picture that is decoded.

    Raises:
        DataError: there are no class folders with images, or a split is missing.
    """
    path = path.resolve()
    parts = split_folders(path)
    if not parts:
        _check_level(path)
    roots: list[tuple[str | None, Path]] = [*parts.items()] or [(None, path)]
    entries = [entry for split, folder in roots for entry in _entries(path, folder, split)]
    if not entries:
        raise DataError(f"{path}: no class folder with images in it. {_hint(path)}")
    classes = tuple(sorted({entry.label for entry in entries}))
    _check_not_masks(path, classes)
    options = {} if parts else {"shares": list(shares)}
    return data_from_entries(
        path, entries, classes, seed=seed, shares=shares, options=options, max_pixels=max_pixels
    )


def split_folders(path: Path) -> dict[str, Path]:
    """Return the folders that are splits, by split; empty if the folder is flat.

    Raises:
        DataError: two folders mean the same split, or there is a test without a train.
    """
    found: dict[str, Path] = {}
    for folder in visible_folders(path):
        split = WORDS.get(folder.name.lower())
        if split is None or not visible_folders(
            folder
        ):  # a *class* may be called "test"; it has no class folders
            continue
        if split in found:
            raise DataError(
                f"{path}: {found[split].name} and {folder.name} both mean {split}. Rename or merge one."
            )
        found[split] = folder
    if found and "train" not in found:
        raise DataError(
            f"{path}: has {', '.join(sorted(found))} but no train with class folders. Add {path / 'train'}."
        )
    return found


def strangers(path: Path) -> Iterator[Path]:
    """Yield every visible file under a folder of images that would not be read as one."""
    try:
        parts = split_folders(path)
    except DataError:
        parts = {}
    roots = list(parts.values()) or [path]
    for root in roots:
        for file in visible_files(root):
            in_class = len(file.relative_to(root).parts) > 1
            if file.suffix.lower() not in SUFFIXES or not in_class:
                yield file
    if parts:
        inside = tuple(parts.values())
        yield from (
            file for file in visible_files(path) if not any(file.is_relative_to(part) for part in inside)
        )


def _entries(source: Path, root: Path, split: str | None) -> Iterator[Entry]:
    for folder in visible_folders(root):
        for file in visible_files(folder):
            if file.suffix.lower() in SUFFIXES:
                yield Entry(file.relative_to(source).as_posix(), file, folder.name, split)


def _check_level(path: Path) -> None:
    """Refuse a folder whose only subfolder is the one that was meant."""
    folders = visible_folders(path)
    for folder in folders:
        split = any(
            WORDS.get(child.name.lower()) == "train" and visible_folders(child)
            for child in visible_folders(folder)
        )
        classes = len(folders) == 1 and sum(_images_in(child) for child in visible_folders(folder)) > 1
        if split or classes:
            raise DataError(f"{path}: the classes are one level further down. Did you mean {folder}?")


def _check_not_masks(path: Path, classes: tuple[str, ...]) -> None:
    """Refuse images and masks whose folder has no usual name: they would pass for two classes."""
    pictures = [label for label in classes if label.lower() in IMAGES]
    if pictures and len(classes) > 1:
        others = ", ".join(label for label in classes if label not in pictures)
        raise DataError(
            f"{path}: has folders {pictures[0]} and {others}. If the latter hold masks, say which: "
            f'masks="{next(label for label in classes if label not in pictures)}". Else rename {pictures[0]}.'
        )


def _hint(path: Path) -> str:
    if _images_in(path):
        return (
            f"It holds images itself: put them into one folder per class, such as {path / 'cat' / '1.jpg'}."
        )
    return (
        "Expected train/CLASS/*.jpg and test/CLASS/*.jpg, or CLASS/*.jpg; with masks images/*.jpg and "
        f"masks/*.png. {found_in(path)}"
    )


def _images_in(folder: Path) -> bool:
    return any(child.suffix.lower() in SUFFIXES for child in folder.iterdir())
