"""COCO annotations: instances, as polygons or run lengths, become one class a pixel.

The categories are the classes, in the order of their ids, behind a background. Later annotations of an image
cover earlier ones. A crowd region (``iscrowd``) is ignored wherever no single object lies over it.

Accepted are one JSON file, and a folder with one a split: ``annotations/instances_train2017.json``,
``train/_annotations.coco.json``, ``train.json``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from foveate.data.base import BACKGROUND, IGNORE, SPLITS, ImageData, Split
from foveate.data.coco_files import coco_files, image_folder
from foveate.data.coco_shapes import polygon_region, run_length_region
from foveate.data.contents import hash_files, hash_splits
from foveate.data.decode import read
from foveate.data.splits import SHARES, Shares, cut
from foveate.errors import DataError

_SHOWN = 5  # files named in an error


@dataclass(frozen=True)
class _Item:
    """An image with what is drawn on it: pairs of class (or ``IGNORE``) and segmentation, in order."""

    path: Path
    name: str
    height: int
    width: int
    shapes: tuple[tuple[int, Any], ...]


def open_coco(
    path: Path,
    *,
    seed: int = 0,
    shares: Shares = SHARES,
    images: str | None = None,
    background: str = BACKGROUND,
) -> ImageData:
    """Open COCO annotations as masks.

    Args:
        path: A .json file, which is cut by the seed unless its name says its split's; or a folder of such.
        seed: Decides the cut.
        shares: Of train, val and test, likewise.
        images: Folder of the images, from where the annotations are opened; searched for nearby if None.
        background: Name of the class of what nothing covers; "ignore" leaves it out of the classes.

    Raises:
        DataError: a file cannot be read, lacks what is needed, or an image is missing.
    """
    path = path.resolve()
    files = coco_files(path)
    if not files:
        raise DataError(
            f"{path}: no JSON with images, annotations and categories. Give such a file, or its folder."
        )
    root = path if path.is_dir() else path.parent
    read_in = {split: _read(file) for split, file in files.items()}
    names = _categories(files, read_in)
    classes = tuple(names.values()) if background == "ignore" else (background, *names.values())
    number = {category: place + len(classes) - len(names) for place, category in enumerate(names)}
    parts = {split: _items(files[split], content, number, root, images) for split, content in read_in.items()}
    notes = ["later annotations cover earlier ones; crowds are ignored"]
    if len(parts) == 1:  # one file, or train alone
        (whole,) = parts.values()
        if set(parts) == {"train"}:
            notes.append("only train has annotations: it is cut into train, val and test")
        chosen = cut(np.zeros(len(whole), dtype=np.int64), seed=seed, shares=shares)
        parts = {split: [whole[item] for item in items] for split, items in chosen.items()}
    elif "test" not in parts and "val" in parts:
        parts["test"] = parts.pop("val")
        notes.append("there is no test split: validation images are the test images")
    ground = IGNORE if background == "ignore" else 0
    splits = {name: _split(parts[name], ground) for name in SPLITS if parts.get(name)}
    contents = {name: _contents(parts[name]) for name in splits}
    options = {"background": background, "shares": list(shares), **({"images": images} if images else {})}
    return ImageData(
        name=path.stem,
        classes=classes,
        splits=splits,
        origin={
            "source": str(path),
            "seed": seed,
            "options": options,
            "notes": notes,
        },
        fingerprint=hash_splits(classes, splits, contents),
    )


def _read(file: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read as JSON ({error}). Export it again.") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise DataError(
                f"{file}: has no list {key}. COCO annotations have images, annotations, categories."
            )
    return content


def _categories(files: Mapping[str, Path], contents: Mapping[str, Mapping[str, Any]]) -> dict[int, str]:
    """Return the name of each category by id, sorted; the same in all files."""
    first, known = next(iter(files)), None
    for split, content in contents.items():
        own = {int(category["id"]): str(category["name"]) for category in content["categories"]}
        if known is not None and own != known:
            raise DataError(
                f"{files[split]}: other categories than {files[first].name}. Export them together."
            )
        known = own
    return dict(sorted((known or {}).items()))


def _items(
    file: Path, content: Mapping[str, Any], number: Mapping[int, int], root: Path, images: str | None
) -> list[_Item]:
    shapes: dict[int, list[tuple[int, Any]]] = {}
    for note in content["annotations"]:
        if note.get("segmentation"):
            category = int(note["category_id"])
            if category not in number:
                raise DataError(
                    f"{file}: annotation {note.get('id')} is of category {category}, which is not listed."
                )
            label = IGNORE if note.get("iscrowd") else number[category]
            shapes.setdefault(note["image_id"], []).append((label, note["segmentation"]))
    folder = image_folder(file, content, root, images)
    items = [
        _Item(
            folder / str(image["file_name"]),
            str(image["file_name"]),
            int(image["height"]),
            int(image["width"]),
            tuple(shapes.get(image["id"], ())),
        )
        for image in content["images"]
    ]
    missing = [item.name for item in items if not item.path.is_file()]
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise DataError(
            f"{file}: no such image in {folder}: {', '.join(missing[:_SHOWN])}{more}. Give images=."
        )
    return sorted(items, key=lambda item: item.name)


def _split(items: list[_Item], ground: int) -> Split:
    return Split(
        names=tuple(item.name for item in items),
        targets=np.zeros(len(items), dtype=np.int64),
        load=lambda item: read(items[item].path),
        files=tuple(item.path for item in items),
        masks=lambda item: _drawn(items[item], ground),
    )


def _drawn(item: _Item, ground: int) -> UInt8[np.ndarray, "h w"]:
    """Return the mask: crowds first, so that single objects lie over them, then the others in their order."""
    mask = np.full((item.height, item.width), ground, dtype=np.uint8)
    for label, shape in sorted(item.shapes, key=lambda shape: shape[0] != IGNORE):  # stable
        try:
            if isinstance(shape, Mapping):
                region = run_length_region(shape["counts"], shape["size"], *mask.shape)
                mask[region] = label
            else:
                for polygon in shape:
                    mask[polygon_region(polygon, *mask.shape)] = label
        except (DataError, KeyError, TypeError, ValueError, IndexError) as error:
            raise DataError(
                f"{item.path}: a segmentation cannot be drawn ({error}). Correct the annotation."
            ) from None
    return mask


def _contents(items: list[_Item]) -> list[str]:
    hashes = hash_files([item.path for item in items])
    notes = [json.dumps(item.shapes, sort_keys=True).encode() for item in items]
    return [
        f"{image} {hashlib.blake2b(note, digest_size=16).hexdigest()}"
        for image, note in zip(hashes, notes, strict=True)
    ]
