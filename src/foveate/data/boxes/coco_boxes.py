"""Boxes from COCO annotations: one JSON file, or a folder with one a split; see ``coco_files``.

The categories are the classes, in the order of their ids, which may have gaps. An object's box is its
``bbox``; without one, the smallest around its outline or run lengths. Its size is the stated ``area``, that
of its outline. A crowd (``iscrowd``) is not learnt, and finding it counts neither as right nor as wrong.
Pictures without objects stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from foveate.data.boxes.box_entries import Annotated, BoxEntry
from foveate.data.coco.coco_files import coco_files, image_paths, lone_coco_file, unlisted
from foveate.data.coco.coco_schema import Content, Object, RunLengths, read_coco
from foveate.data.coco.coco_shapes import run_length_region
from foveate.data.coco.open_coco import class_names
from foveate.data.printable import printable
from foveate.errors import DataError


def coco_annotations(path: Path) -> dict[str, Path]:
    """Return COCO files by split, one alone under ""; empty if there are none."""
    found = coco_files(path)
    lone = None if found or not path.is_dir() else lone_coco_file(path)
    return found if lone is None else {"": lone}


def read_coco_boxes(path: Path, images: str | None = None) -> Annotated:
    """Return what COCO annotations hold.

    Args:
        path: A .json file, or a folder with such.
        images: Folder of the pictures, from where the annotations are opened; searched for nearby if None.

    Raises:
        DataError: A file cannot be read or lacks what is needed, or a picture is missing.
    """
    path = path.resolve()
    files = coco_annotations(path)
    if not files:
        raise DataError(
            f"{path}: no JSON with images, annotations and categories. Give such a file, or its folder."
        )
    root = path if path.is_dir() else path.parent
    contents = {split: read_coco(file) for split, file in files.items()}
    names, notes = class_names(files, contents)
    number = {category: place for place, category in enumerate(names)}
    entries: list[BoxEntry] = []
    warnings: list[str] = []
    for split, content in contents.items():
        places = image_paths(files[split], content.images, root, images)
        notes += unlisted(files[split], places)
        entries += _entries(split, content, places, number)
        warnings += content.left_out.words(files[split])
    whole = all(key.isdecimal() for key in names)
    categories = tuple(int(key) for key in names) if whole else tuple(range(1, len(names) + 1))
    return Annotated(tuple(names.values()), tuple(entries), categories, tuple(notes), tuple(warnings))


def _entries(
    split: str, content: Content, places: Mapping[str, Path], number: Mapping[str, int]
) -> list[BoxEntry]:
    boxes: dict[str, list[tuple[tuple[float, ...], Object]]] = {}
    for one in content.objects:
        box = _box_of(one)
        if box is None:
            content.left_out.add(one.problem or "no box", one.number)
        else:
            boxes.setdefault(one.image, []).append((box, one))
    return [
        BoxEntry(
            name=_name(split, image.name),
            path=places[image.key],
            boxes=[box for box, _ in boxes.get(image.key, ())],
            labels=[number[one.category] for _, one in boxes.get(image.key, ())],
            crowd=[one.crowd for _, one in boxes.get(image.key, ())],
            area=[np.nan if one.area is None else one.area for _, one in boxes.get(image.key, ())],
            split=split,
            size=image.size,
        )
        for image in content.images
    ]


def _name(split: str, name: str) -> str:
    shown = printable(name.replace("\\", "/"))
    return f"{split}/{shown}" if split else shown


def _box_of(one: Object) -> tuple[float, ...] | None:
    """Return left, top, right and bottom; None if the object has neither box nor outline."""
    if one.box is not None:
        left, top, width, height = one.box
        return (left, top, left + width, top + height)
    corners = []
    for shape in one.shapes:
        if isinstance(shape, RunLengths):
            rows, columns = np.nonzero(run_length_region(shape.counts, shape.height, shape.width))
            if len(rows):
                corners += [(columns.min(), rows.min()), (columns.max() + 1, rows.max() + 1)]
        else:
            corners += [tuple(shape.min(axis=0)), tuple(shape.max(axis=0))]
    if not corners:
        return None
    every = np.array(corners, dtype=np.float64)
    return tuple(np.concatenate([every.min(axis=0), every.max(axis=0)]).tolist())
