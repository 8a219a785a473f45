"""Where COCO annotations and their images lie.

Annotations are one JSON file, or one a split in a folder: ``annotations/instances_train2017.json``,
``train/_annotations.coco.json``, ``train.json``. One file without a split
(``annotations/instances_default.json``, as labelling tools export it) is the whole folder if no other may
be meant.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from foveate.data.folders.name_words import meaning
from foveate.data.folders.walk import visible_folders
from foveate.data.images.open_image import check_file
from foveate.errors import DataError

_OTHER = ("captions", "keypoints", "panoptic", "stuff")  # COCO's files of other tasks
_SPLITS = ("train", "val", "test")


def coco_files(path: Path) -> dict[str, Path]:
    """Return COCO files by split (one alone under the empty name); empty if there are none."""
    if path.suffix.lower() == ".json":
        return {"": path}
    if not path.is_dir():
        return {}
    nearby = [*sorted(path.glob("annotations/*.json")), *sorted(path.glob("*.json"))]
    nearby += [
        file
        for folder in visible_folders(path)
        if meaning(folder.name).split in _SPLITS
        for file in sorted(folder.glob("*.json"))
    ]
    named = {file: split for file in nearby if (split := _split_of(path, file))}
    files = [
        file for file in named if not any(word in file.stem.lower() for word in _OTHER) and _is_coco(file)
    ]
    found: dict[str, Path] = {}
    for file in sorted(files, key=lambda file: "instances" not in file.stem.lower()):  # instances first
        found.setdefault(named[file], file)
    return found if "train" in found else {}


def lone_coco_file(path: Path) -> Path | None:
    """Return the only COCO file of a folder, if its name says no split.

    Raises:
        DataError: there are several, and nothing tells which is meant.
    """
    nearby = [*sorted(path.glob("annotations/*.json")), *sorted(path.glob("*.json"))]
    found = [file for file in nearby if not any(w in file.stem.lower() for w in _OTHER) and _is_coco(file)]
    if len(found) > 1:
        names = ", ".join(file.relative_to(path).as_posix() for file in found[:5])
        raise DataError(
            f"{path}: {names} are all COCO annotations, and no name says which split they are for. Name "
            "the one that "
            "is meant instead of the folder, or call them train.json and test.json."
        )
    return found[0] if found else None


def _split_of(root: Path, file: Path) -> str | None:
    """Return the split that a file's name says, or that of its folder."""
    names = [file.stem.removesuffix(".coco"), *([file.parent.name] if file.parent != root else [])]
    return next((split for name in names if (split := meaning(name).split) in _SPLITS), None)


def _is_coco(file: Path) -> bool:
    """Tell COCO annotations by their keys, wherever in the file they stand."""
    try:
        check_file(file)
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as text:
            return all(text.find(word) >= 0 for word in (b'"images"', b'"annotations"', b'"categories"'))
    except (OSError, ValueError, DataError):  # empty, not a file, or not one that we may read
        return False


def image_places(file: Path, root: Path) -> Iterator[Path]:
    """Yield where images may lie, the likeliest first."""
    split = _split_of(root, file)
    for place in dict.fromkeys((file.parent, root, root / "images", root.parent, root.parent / "images")):
        if place.is_dir():
            yield place
            folders = visible_folders(place)
            alike = [folder for folder in folders if split and meaning(folder.name).split == split]
            yield from [*alike, *folders]
