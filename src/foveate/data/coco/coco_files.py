"""Where COCO annotations and their images lie.

Annotations are one JSON file, or a folder with one per split: ``annotations/instances_train2017.json``,
``train/_annotations.coco.json``, ``train.json``. One file without a split
(``annotations/instances_default.json``, as labelling tools export it) stands for the whole folder if there is
no other.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from foveate.data.coco.coco_schema import Listed
from foveate.data.folders.name_words import meaning
from foveate.data.folders.walk import visible_folders
from foveate.data.images.open_image import SUFFIXES, check_file
from foveate.data.printable import printable
from foveate.errors import DataError, first_few
from foveate.quantities import agreeing

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
    """Return the only COCO file of a folder, if its name does not give a split.

    Raises:
        DataError: there are several.
    """
    nearby = [*sorted(path.glob("annotations/*.json")), *sorted(path.glob("*.json"))]
    found = [file for file in nearby if not any(w in file.stem.lower() for w in _OTHER) and _is_coco(file)]
    if len(found) > 1:
        names = first_few(file.relative_to(path).as_posix() for file in found)
        raise DataError(
            f"{path}: {names} are all COCO annotations, and no name says which split they are for. Name "
            "the one that is meant instead of the folder, or call them train.json and test.json."
        )
    return found[0] if found else None


def _split_of(root: Path, file: Path) -> str | None:
    """Return the split in a file's name, or in that of its folder."""
    names = [file.stem.removesuffix(".coco"), *([file.parent.name] if file.parent != root else [])]
    return next((split for name in names if (split := meaning(name).split) in _SPLITS), None)


def _is_coco(file: Path) -> bool:
    """Return whether a file holds COCO annotations, by its keys, wherever in the file they are."""
    try:
        check_file(file)
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as text:
            return all(text.find(word) >= 0 for word in (b'"images"', b'"annotations"', b'"categories"'))
    except (OSError, ValueError, DataError):  # empty, not a file, or not readable
        return False


def _image_places(file: Path, root: Path) -> Iterator[Path]:
    """Yield folders where images may be, the likeliest first."""
    split = _split_of(root, file)
    for place in dict.fromkeys((file.parent, root, root / "images", root.parent, root.parent / "images")):
        if place.is_dir():
            yield place
            folders = visible_folders(place)
            alike = [folder for folder in folders if split and meaning(folder.name).split == split]
            yield from [*alike, *folders]


def image_paths(file: Path, images: Sequence[Listed], root: Path, where: str | None) -> dict[str, Path]:
    """Return the file of each image by its id.

    Args:
        file: The annotations.
        images: Those that they list.
        root: Where the data lies.
        where: The folder of the images, from ``root``; searched for if None.

    Raises:
        DataError: an image is not there, or two are one file.
    """
    folder = _image_folder(file, images[0].name, root, where)
    found, missing = {}, []
    for image in images:
        path = _file(folder, image.name)
        if path is None:
            missing.append(printable(image.name))
        else:
            found[image.key] = path
    if missing:
        raise DataError(
            f"{file}: no such image in {folder}: {first_few(missing)}. Say where they are: "
            "images=, from the folder of the annotations."
        )
    owner: dict[Path, str] = {}
    for key, path in found.items():
        if owner.setdefault(path, key) != key:
            raise DataError(
                f"{file}: images {owner[path]} and {key} are both {path.name}. Export it again, each image "
                "once."
            )
    return found


def _file(folder: Path, name: str) -> Path | None:
    """Return an image's file: by its name, with backslashes turned, or by the last part."""
    turned = name.replace("\\", "/")
    for written in (name, turned, turned.rsplit("/", 1)[-1]):
        try:
            if written and (folder / written).is_file():
                return folder / written
        except (OSError, ValueError):
            continue  # too long, a zero byte or half a character in it: not the name of a file
    return None


def _image_folder(file: Path, first: str, root: Path, images: str | None) -> Path:
    """Return the folder that holds the first image."""
    if images is not None:
        return root / images
    return next((place for place in _image_places(file, root) if _file(place, first)), root)


def unlisted(file: Path, found: Mapping[str, Path]) -> list[str]:
    """Return a note on pictures beside the listed ones that are not listed."""
    listed = set(found.values())
    beside = [
        child
        for folder in sorted({path.parent for path in listed})
        for child in sorted(folder.iterdir())
        if child.suffix.lower() in SUFFIXES and not child.name.startswith(".") and child not in listed
    ]
    if not beside:
        return []
    shown = first_few(printable(child.name) for child in beside)
    text = "{n} [picture is|pictures are] not listed in {file} and [is|are] not used: {names}"
    return [agreeing(len(beside), text, file=file.name, names=shown)]
