"""COCO annotations: instances become one class per pixel, or several labels per image.

The categories are the classes, in the order of their ids; for masks, behind a background. Later annotations
of an image cover earlier ones. A crowd region (``iscrowd``) is ignored wherever no single object lies over
it. ``coco_schema`` reads the file; an object that cannot be used is left out, and a warning says how many and
why.

Accepted are one JSON file, or a folder with one per split: ``annotations/instances_train2017.json``,
``train/_annotations.coco.json``, ``train.json``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from foveate.data.base import SPLITS, ImageData, Split
from foveate.data.class_numbers import BACKGROUND, IGNORE
from foveate.data.coco.coco_files import coco_files, image_paths, unlisted
from foveate.data.coco.coco_items import Item, items_of, mask_of
from foveate.data.coco.coco_schema import Content, read_coco
from foveate.data.fingerprint import hash_splits
from foveate.data.images.common_levels import common_reading
from foveate.data.images.decode import read
from foveate.data.images.hash_files import hash_images
from foveate.data.images.open_image import (
    MOST_PIXELS,
    Reading,
)
from foveate.data.label_sets import as_truths, strata
from foveate.data.printable import printable
from foveate.data.splits import SHARES, Shares, cut
from foveate.errors import DataError, OptionError

_DUMMY = "0"  # the id that exports give to a category of their own, in which nothing is drawn


def open_coco(
    path: Path,
    files: Mapping[str, Path] | None = None,
    /,
    *,
    seed: int = 0,
    shares: Shares = SHARES,
    images: str | None = None,
    background: str = BACKGROUND,
    truth: Literal["mask", "labels"] = "mask",
    max_pixels: int = MOST_PIXELS,
) -> ImageData:
    """Open COCO annotations.

    Args:
        path: A .json file, which is cut by the seed unless its name says its split's; or a folder of such.
        files: The annotations of each split, if they were looked for already; see ``coco_files``.
        seed: Decides the cut.
        shares: Of train, val and test, likewise.
        images: Folder of the images, from where the annotations are opened; searched for nearby if None.
        background: Name of the class of uncovered pixels; "ignore" leaves it out of the classes.
        truth: "mask", one class per pixel; or "labels", which categories an image has, boxes and crowds
            included.
        max_pixels: Pixels of the largest picture that is decoded.

    Raises:
        DataError: a file cannot be read, lacks what is needed, or an image is missing; or no object can be
            drawn.
        OptionError: ``truth`` is something else.
    """
    if truth not in ("mask", "labels"):
        raise OptionError(f"truth: got {truth!r}, expected mask or labels")
    path = path.resolve()
    files = files or coco_files(path)
    if not files:
        raise DataError(
            f"{path}: no JSON with images, annotations and categories. Give such a file, or its folder."
        )
    root = path if path.is_dir() else path.parent
    contents = {split: read_coco(file) for split, file in files.items()}
    names, notes = class_names(files, contents)
    bare = truth == "labels" or background == "ignore"
    classes = tuple(names.values()) if bare else (background, *names.values())
    number = {category: place + len(classes) - len(names) for place, category in enumerate(names)}
    parts = {}
    for split, content in contents.items():
        found = image_paths(files[split], content.images, root, images)
        notes += unlisted(files[split], found)
        parts[split] = items_of(content, found, number, truth, max_pixels)
    warnings = [text for split, file in files.items() for text in contents[split].left_out.words(file)]
    _check_some(path, parts, warnings)
    if truth == "mask":
        notes.append("later annotations cover earlier ones; crowds are ignored")
    if len(parts) == 1:  # one file, or train alone
        ((name, items),) = parts.items()
        if name:
            notes.append("only train has annotations: it is cut into train, val and test")
        whole = _truths(items, classes) if truth == "labels" else np.zeros(len(items), dtype=np.int64)
        chosen = cut(strata(whole), seed=seed, shares=shares)
        parts = {split: [items[item] for item in numbers] for split, numbers in chosen.items()}
    elif "test" not in parts and "val" in parts:
        parts["test"] = parts.pop("val")
        notes.append("there is no test split: validation images are the test images")
    how, said = common_reading([item.path for part in parts.values() for item in part], max_pixels)
    ground = None if truth == "labels" else IGNORE if background == "ignore" else 0
    splits = {name: _split(parts[name], classes, ground, how) for name in SPLITS if parts.get(name)}
    options: dict[str, object] = {"background": background, "shares": list(shares)}
    options |= {"images": images} if images else {}
    options |= {"truth": truth} if truth != "mask" else {}
    options |= {"max_pixels": max_pixels} if max_pixels != MOST_PIXELS else {}
    return ImageData(
        name=printable(path.stem),
        classes=classes,
        splits=splits,
        origin={
            "source": printable(str(path)),
            "seed": seed,
            "options": options,
            "notes": [*notes, *said],
            "warnings": warnings,
        },
        fingerprint=hash_splits(classes, splits, {name: _contents(parts[name], how) for name in splits}),
    )


def class_names(
    files: Mapping[str, Path], contents: Mapping[str, Content]
) -> tuple[Mapping[str, str], list[str]]:
    """Return the names of the categories by id, the same in all files, and notes on what is left out."""
    first = next(iter(contents))
    names, used = dict(contents[first].categories), set()
    for split, content in contents.items():
        if dict(content.categories) != names:
            raise DataError(
                f"{files[split]}: other categories than {files[first].name}. Export them together."
            )
    for split, content in contents.items():
        used |= {one.category for one in content.objects}
        strange = next((one for one in content.objects if one.category not in names), None)
        if strange is not None:
            raise DataError(
                f"{files[split]}: annotation {strange.number} is of category {strange.category}, which is "
                "not listed."
            )
    if not names:
        raise DataError(f"{files[first]}: lists no categories. Export it with them.")
    notes = []
    for key, name in list(names.items()):
        twice = list(names.values()).count(name) > 1
        if key not in used and len(names) > 1 and (key == _DUMMY or twice):
            notes.append(f'category {key}, "{name}", is left out: no annotation uses it')
            del names[key]
        elif twice:
            others = ", ".join(other for other in names if names[other] == name)
            raise DataError(f'{files[first]}: categories {others} are all called "{name}". Rename them.')
    return names, notes


def _check_some(path: Path, parts: Mapping[str, Sequence[Item]], warnings: Sequence[str]) -> None:
    if any(item.drawn for part in parts.values() for item in part):
        return
    why = "; ".join(warnings) or "there are no annotations"
    raise DataError(
        f"{path}: no object can be drawn: {why}. Masks need outlines or run lengths; to learn which "
        'categories an image has, give truth="labels".'
    )


def _truths(items: Sequence[Item], classes: Sequence[str]) -> np.ndarray:
    return as_truths([tuple(classes[label] for label, _ in item.drawn) for item in items], classes)


def _split(items: list[Item], classes: Sequence[str], ground: int | None, how: Reading) -> Split:
    """Return a split of masks on a ``ground``, or of labels if that is None."""
    return Split(
        names=tuple(item.name for item in items),
        targets=_truths(items, classes) if ground is None else np.zeros(len(items), dtype=np.int64),
        load=lambda item: read(items[item].path, how),
        files=tuple(item.path for item in items),
        masks=None if ground is None else lambda item: mask_of(items[item], ground),
        how=how,
    )


def _contents(items: list[Item], how: Reading) -> list[str]:
    hashes = hash_images([item.path for item in items], how)
    return [f"{image} {item.digest}" for image, item in zip(hashes, items, strict=True)]
