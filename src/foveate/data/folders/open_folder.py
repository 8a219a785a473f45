"""A folder of images, one subfolder per class: in splits, or in one piece that is cut by a seed.

Layouts accepted, splits under any of their usual names (``folder_names``)::

    DATA/train/CLASS/*.jpg  DATA/val/CLASS/*.jpg  DATA/test/CLASS/*.jpg
    DATA/train/CLASS/*.jpg  DATA/test/CLASS/*.jpg
    DATA/CLASS/*.jpg
"""

from __future__ import annotations

from pathlib import Path

from foveate.data.base import ImageData
from foveate.data.entries import Entry, data_from_entries
from foveate.data.folders.class_folders import Level, find_class_folders
from foveate.data.folders.tree import Tree, scan
from foveate.data.images.open_image import MOST_PIXELS
from foveate.data.splits import SHARES, Shares
from foveate.errors import OptionError

_LEVELS = ("outer", "inner", "path")


def open_folder(
    path: Path,
    tree: Tree | None = None,
    /,
    *,
    seed: int = 0,
    shares: Shares = SHARES,
    class_folders: Level | None = None,
    max_pixels: int = MOST_PIXELS,
    large: bool = False,
) -> ImageData:
    """Open a folder of class folders.

    Args:
        path: The folder.
        tree: What is in it, if it was scanned already.
        seed: Decides the cut of a flat folder.
        shares: Of train, val and test, for a flat folder.
        class_folders: Which folders are classes where folders lie in folders: "outer", "inner" (the last
            ones, which hold the images), or "path", all names on the way joined. Required where that is
            ambiguous.
        max_pixels: Pixels of the largest picture that is decoded.
        large: Whether pictures are read in parts, not decoded whole.

    Raises:
        DataError: there are no class folders with images, a split is missing, or the layout is ambiguous.
        OptionError: an option is impossible.
    """
    if class_folders not in (None, *_LEVELS):
        raise OptionError(f"class_folders: got {class_folders!r}, expected one of {', '.join(_LEVELS)}")
    path = path.resolve()
    found = find_class_folders(tree or scan(path, large=large), class_folders)
    whole = set(found.parts) in ({None}, {"train"})
    entries = [
        Entry(file.relative_to(path).as_posix(), file, label, None if whole else split)
        for split, labels in found.classes.items()
        for label, files in labels.items()
        for file in files
    ]
    classes = tuple(sorted({entry.label for entry in entries}))
    options: dict[str, object] = {"shares": list(shares)} if whole else {}
    if class_folders is not None:
        options["class_folders"] = class_folders
    return data_from_entries(
        path,
        entries,
        classes,
        seed=seed,
        shares=shares,
        options=options,
        notes=found.notes,
        max_pixels=max_pixels,
        large=large,
    )
