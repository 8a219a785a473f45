"""What a COCO file holds, checked strictly: images, categories and objects.

Errors in what all else depends on (the lists, an image's file, a category's name) raise. A single object that
cannot be used is left out and counted, with the reason and the numbers of the first few.

Shapes  an outline is float64 (points, 2), x and y; run lengths are whole numbers that add up to H * W.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from jaxtyping import Float64

from foveate.data.coco.coco_shapes import uncompressed
from foveate.data.printable import printable
from foveate.errors import DataError, first_few
from foveate.files import read_json

LISTS = ("images", "annotations", "categories")
_LARGEST = 2**32  # bytes of a file: COCO's own largest has 0.5 GB
_FAR = 1e7  # pixels; no point of an outline lies farther out
_LEAST_POINTS = 3

Outline = Float64[np.ndarray, "p 2"]


@dataclass(frozen=True)
class RunLengths:
    """An area as lengths, column by column, of zeros and ones in turn, for an image of this size."""

    counts: tuple[int, ...]
    height: int
    width: int


@dataclass(frozen=True)
class Object:
    """One annotation that can be used.

    Args:
        number: Its place in the file.
        image: The image's id.
        category: The category's id.
        crowd: Whether it is a crowd, which is ignored.
        segmentation: What it covers, as the file states it; empty if there is no outline.
        shapes: The same as outlines or run lengths.
        problem: What is wrong with its segmentation, which then cannot be drawn, or "".
        box: Left, top, width and height, if stated as four numbers.
        area: Square pixels, if stated.
    """

    number: int
    image: str
    category: str
    crowd: bool
    segmentation: Any
    shapes: tuple[Outline | RunLengths, ...]
    problem: str = ""
    box: tuple[float, ...] | None = None
    area: float | None = None


@dataclass(frozen=True)
class Listed:
    """An image of the list: its id, its file's name, and height and width if they are stated."""

    key: str
    name: str
    size: tuple[int, int] | None


@dataclass
class LeftOut:
    """Objects that cannot be used, by reason."""

    reasons: dict[str, list[int]] = field(default_factory=dict)

    def add(self, reason: str, number: int) -> None:
        """Count an object."""
        self.reasons.setdefault(reason, []).append(number)

    def words(self, file: Path) -> list[str]:
        """Return a sentence for each reason."""
        return [_left_out(file, reason, numbers) for reason, numbers in self.reasons.items()]


@dataclass(frozen=True)
class Content:
    """What a file holds.

    Args:
        images: The list of images.
        categories: Names by id, in order.
        objects: Those that can be used.
        left_out: Those that cannot.
    """

    images: tuple[Listed, ...]
    categories: Mapping[str, str]
    objects: tuple[Object, ...]
    left_out: LeftOut


def read_coco(file: Path) -> Content:
    """Return what a file holds.

    Raises:
        DataError: it cannot be read as JSON, or lists, images or categories are not what they must be.
    """
    content = _lists(file)
    categories = _categories(file, content["categories"])
    images = _images(file, content["images"])
    left_out = LeftOut()
    known = {image.key for image in images}
    objects = tuple(
        one
        for number, note in enumerate(content["annotations"])
        if (one := _object(number, note, known, left_out)) is not None
    )
    return Content(images, categories, objects, left_out)


def _lists(file: Path) -> Mapping[str, Any]:
    content = read_json(file, DataError, "Export it again.", largest=_LARGEST)
    for key in LISTS:
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise DataError(
                f"{file}: has no list {key}. COCO annotations have images, annotations, categories."
            )
    return content


def _categories(file: Path, listed: Sequence[object]) -> dict[str, str]:
    found: dict[str, str] = {}
    for place, category in enumerate(listed):
        where = f"{file}: category {place} of the list"
        if not isinstance(category, dict):
            raise DataError(f"{where} is {_kind(category)}, not an object with id and name. Export it again.")
        key, name = _key(category.get("id")), category.get("name")
        if key is None or not isinstance(name, str) or not name.strip():
            raise DataError(f"{where} has no id or no name: {_short(category)}. Export it again.")
        if key in found:
            raise DataError(f"{file}: two categories have the id {key}. Export it again.")
        found[key] = printable(name.strip())
    if all(key.isdecimal() for key in found):
        found = dict(sorted(found.items(), key=lambda pair: int(pair[0])))
    return found


def _images(file: Path, listed: Sequence[object]) -> tuple[Listed, ...]:
    if not listed:
        raise DataError(f"{file}: lists no images.")
    found: dict[str, Listed] = {}
    for place, image in enumerate(listed):
        where = f"{file}: image {place} of the list"
        if not isinstance(image, dict):
            raise DataError(
                f"{where} is {_kind(image)}, not an object with id and file_name. Export it again."
            )
        key, name = _key(image.get("id")), image.get("file_name")
        if key is None or not isinstance(name, str) or not name.strip():
            raise DataError(f"{where} has no id or no file_name: {_short(image)}. Export it again.")
        if key in found:
            raise DataError(f"{file}: two images have the id {key}. Export it again.")
        height, width = image.get("height"), image.get("width")
        size = (int(height), int(width)) if _positive(height) and _positive(width) else None
        found[key] = Listed(key, name, size)
    return tuple(found.values())


def _object(number: int, note: object, images: set[str], left_out: LeftOut) -> Object | None:
    """Return an annotation; None if it cannot be used, which is counted."""
    if not isinstance(note, dict):
        left_out.add("not an object of JSON", number)
        return None
    image, category = _key(note.get("image_id")), _key(note.get("category_id"))
    if category is None:
        left_out.add("no category_id", number)
        return None
    if image not in images:
        left_out.add("an image that is not listed" if image is not None else "no image_id", number)
        return None
    segmentation = note.get("segmentation") or []
    box, area = note.get("bbox"), note.get("area")
    one = partial(
        Object,
        number,
        str(image),
        category,
        _is_crowd(note.get("iscrowd")),
        box=tuple(map(float, box)) if _is_box(box) else None,
        area=float(area) if _is_number(area) else None,
    )
    try:
        return one(segmentation, _shapes_of(segmentation))
    except _OddError as odd:
        return one([], (), str(odd))


class _OddError(ValueError):
    """A segmentation in no known form."""


def _shapes_of(given: object) -> tuple[Outline | RunLengths, ...]:
    """Return what a segmentation covers: outlines, or run lengths; nothing if it is empty.

    Raises:
        ValueError: it is in no known form.
    """
    if not given and (given is None or isinstance(given, (list, dict, str))):
        return ()
    if isinstance(given, dict):
        return (_run_lengths(given),)
    if not isinstance(given, list):
        raise _OddError("a segmentation that is neither outlines nor run lengths")
    if all(_is_number(value) for value in given):  # one outline that is not in a list of outlines
        given = [given]
    elif len(given) >= _LEAST_POINTS and all(_is_point(value) for value in given):
        given = [[value for point in given for value in point]]
    return tuple(_outline(value) for value in given)


def _outline(given: object) -> Outline:
    if not isinstance(given, list) or not all(_is_number(value) for value in given):
        raise _OddError("an outline that is not a list of numbers")
    if len(given) < 2 * _LEAST_POINTS or len(given) % 2:
        raise _OddError(
            f"an outline of {len(given)} numbers (at least {_LEAST_POINTS} points x, y are needed)"
        )
    points = np.array([float(value) for value in given]).reshape(-1, 2)
    if not (np.abs(points) <= _FAR).all():  # NaN too
        raise _OddError("an outline with coordinates that are not numbers of pixels")
    return points


def _run_lengths(given: Mapping[str, object]) -> RunLengths:
    counts, size = given.get("counts"), given.get("size")
    if not isinstance(size, list) or len(size) != 2 or not all(map(_positive, size)):
        raise _OddError("run lengths without a size")
    if isinstance(counts, str):
        try:
            counts = uncompressed(counts)
        except DataError as error:
            raise _OddError(str(error)) from None
    elif not isinstance(counts, list) or not all(_is_number(count) for count in counts):
        raise _OddError("run lengths whose counts are neither numbers nor a text")
    if not all(float(count).is_integer() for count in counts):  # nor is NaN or infinity
        raise _OddError("run lengths whose counts are not whole numbers")
    numbers = tuple(int(count) for count in counts)
    height, width = int(size[0]), int(size[1])
    if min(numbers, default=0) < 0 or sum(numbers) != height * width:
        raise _OddError("run lengths that do not add up to their size")
    return RunLengths(numbers, height, width)


def _is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a JSON number that fits a float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return isinstance(value, float) or abs(value) < 2**63


def _is_box(value: object) -> TypeGuard[list[float]]:
    return (
        isinstance(value, list) and len(value) == 4 and all(_is_number(n) and abs(n) <= _FAR for n in value)
    )


def _is_point(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def _positive(value: object) -> TypeGuard[int | float]:
    return _is_number(value) and 1 <= value <= _FAR and float(value).is_integer()


def _key(given: object) -> str | None:
    """Return an id, which tools write as a number or as a text, as a text; None if it is neither."""
    if isinstance(given, str):
        return printable(given.strip()) or None
    if _is_number(given) and float(given).is_integer():
        return str(int(given))
    return None


def _is_crowd(given: object) -> bool:
    return given not in (None, 0, "0", False, "", "false")


def _kind(value: object) -> str:
    return {list: "a list", str: "a text", type(None): "null"}.get(type(value), "a number")


def _short(value: object) -> str:
    text = printable(repr(value))
    return text if len(text) <= 80 else f"{text[:80]}..."


def _left_out(file: Path, reason: str, numbers: Sequence[int]) -> str:
    some = first_few(numbers)
    return f"{file.name}: {len(numbers)} objects are left out, for {reason} (annotations {some}, from 0)"
