"""Images of COCO annotations with what is drawn on them, and their masks."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from foveate.data.class_numbers import IGNORE
from foveate.data.coco.coco_schema import Content, LeftOut, Listed, Object, Outline, RunLengths
from foveate.data.coco.coco_shapes import polygon_region, run_length_region
from foveate.data.images.open_image import TURNS, opened, orientation, upright_size
from foveate.data.printable import printable
from foveate.errors import DataError

Drawn = tuple[tuple[int, tuple[Outline | RunLengths, ...]], ...]


@dataclass(frozen=True)
class Item:
    """An image with what is drawn on it.

    Args:
        path: Its file.
        name: Its name in the annotations.
        size: Height and width of the grid that its objects are drawn on; None if the image cannot be read.
        turn: How that grid is turned with the image, if it was drawn on the pixels before EXIF turns them.
        drawn: Pairs of class (or ``IGNORE``) and what it covers, in order.
        problem: Why nothing can be drawn on it, or "".
        digest: A hash of what is drawn, as the annotations state it.
    """

    path: Path
    name: str
    size: tuple[int, int] | None
    turn: Image.Transpose | None
    drawn: Drawn = ()
    problem: str = ""
    digest: str = ""


def items_of(
    content: Content, paths: Mapping[str, Path], number: Mapping[str, int], truth: str, max_pixels: int
) -> list[Item]:
    """Return the images with what is drawn on them; ``content.left_out`` counts what cannot be.

    Args:
        content: What a file holds.
        paths: The file of each image by its id.
        number: The class of each category by its id.
        truth: "mask" or "labels".
        max_pixels: Pixels of the largest picture that is opened.
    """
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        grids = pool.map(partial(_grid, paths, max_pixels), content.images)
        items = {image.key: item for image, item in zip(content.images, grids, strict=True)}
    drawn: dict[str, list[tuple[int, Object]]] = {}
    for one in content.objects:
        if truth == "labels" or _can_be_drawn(one, items[one.image], content.left_out):
            label = IGNORE if truth == "mask" and one.crowd else number[one.category]
            drawn.setdefault(one.image, []).append((label, one))
    found = []
    for key, item in items.items():
        own = drawn.get(key, [])
        stated = [(label, [] if truth == "labels" else one.segmentation) for label, one in own]
        shapes = tuple((label, one.shapes) for label, one in own)
        found.append(replace(item, drawn=shapes, digest=_hash(stated)))
    return sorted(found, key=lambda item: item.name)


def _hash(stated: object) -> str:
    return hashlib.blake2b(json.dumps(stated, sort_keys=True).encode(), digest_size=16).hexdigest()


def _grid(paths: Mapping[str, Path], max_pixels: int, image: Listed) -> Item:
    """Return an image with the grid that its objects are drawn on: its pixels, upright or as they lie."""
    path, name = paths[image.key], printable(image.name.replace("\\", "/"))
    try:
        with opened(path, max_pixels) as file:
            turn = TURNS.get(orientation(file)) if file.format != "TIFF" else None
            size = upright_size(file)
    except DataError:  # a finding of the check, and an error when it is read
        return Item(path, name, image.size, None)
    if image.size in (None, size):
        return Item(path, name, size, None)
    if turn is not None and image.size == size[::-1]:
        return Item(path, name, image.size, turn)
    stated = f"{image.size[1]}x{image.size[0]}" if image.size else ""
    problem = f"the annotations state {stated} pixels, the image has {size[1]}x{size[0]}. Export them again"
    return Item(path, name, size, None, problem=problem)


def _can_be_drawn(one: Object, item: Item, left_out: LeftOut) -> bool:
    """Return whether an object covers pixels of its image; count it as left out if not."""
    shapes = one.shapes
    if not shapes:
        left_out.add(one.problem or "no outline", one.number)
        return False
    if item.size is None or item.problem:
        return True  # unknown; the image itself is an error
    height, width = item.size
    for shape in shapes:
        if isinstance(shape, RunLengths):
            if (shape.height, shape.width) != item.size:
                left_out.add("run lengths of another size than their image", one.number)
                return False
        elif (shape.max(axis=0) > 0).all() and (shape.min(axis=0) < (width, height)).all():
            return True
    if isinstance(shapes[0], RunLengths):
        return True
    left_out.add("an outline outside the image", one.number)
    return False


def mask_of(item: Item, ground: int) -> UInt8[np.ndarray, "h w"]:
    """Return the mask: crowds first, so that single objects lie over them, then the others in their order."""
    if item.size is None or item.problem:
        raise DataError(f"{item.path}: {item.problem or 'its size is not known, as it cannot be read'}.")
    mask = np.full(item.size, ground, dtype=np.uint8)
    for label, shapes in sorted(item.drawn, key=lambda drawn: drawn[0] != IGNORE):  # stable
        for shape in shapes:
            mask[_region(shape, item.size)] = label
    if item.turn is None:
        return mask
    return np.asarray(Image.fromarray(mask).transpose(item.turn))


def _region(shape: Outline | RunLengths, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    if isinstance(shape, RunLengths):
        return run_length_region(shape.counts, *size)
    return polygon_region(shape, *size)
