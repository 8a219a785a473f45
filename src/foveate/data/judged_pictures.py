"""Pictures on which maps are judged: with their true masks and labels, as far as the data knows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from foveate.data.base import ImageData, Split
from foveate.data.class_numbers import IGNORE
from foveate.data.folders.picture_lists import pictures_of
from foveate.data.images.open_image import MOST_PIXELS
from foveate.data.open import open_data
from foveate.data.picture_form import PictureForm
from foveate.data.prepare_pictures import mask_of, pixels_of
from foveate.errors import DataError, OptionError

NOBODY = -1  # the label of a picture of which no label is known


@dataclass(frozen=True)
class JudgedPictures:
    """Pictures as a model takes them, and what is true of them.

    Args:
        names: Of the pictures.
        pixels: uint8 (B, H, W, 3), at the model's size.
        where: Where the object is (B, H, W); None if the data does not say.
        labels: The class of each picture (B,), in the model's numbers; None if the data does not say, or its
            classes are others than the model's.
        failed: What is wrong with pictures that cannot be read.
    """

    names: tuple[str, ...]
    pixels: UInt8[np.ndarray, "b h w 3"]
    where: Bool[np.ndarray, "b h w"] | None
    labels: Int64[np.ndarray, " b"] | None
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Item:
    name: str
    pixels: Callable[[], UInt8[np.ndarray, "h w 3"]]
    where: Callable[[], Bool[np.ndarray, "h w"]] | None = None
    label: int = NOBODY


def judged_pictures(
    sources: Sequence[str],
    form: PictureForm,
    *,
    classes: Sequence[str] = (),
    split: str = "test",
    most: int = 200,
    seed: int = 0,
    max_pixels: int = MOST_PIXELS,
) -> JudgedPictures:
    """Return the pictures that are meant, cut or laid on a canvas as the model expects it.

    Args:
        sources: One source of data, as ``open_data`` takes it: scenes, a folder of classes, or of images and
            masks; or any number of files, folders, lists and patterns of pictures.
        form: What the model expects.
        classes: The model's classes; labels of other classes are not used.
        split: The part of the data.
        most: How many pictures are taken, spread evenly over the data.
        seed: What the scenes show, and how data in one piece is split.
        max_pixels: Pixels of the largest file that is decoded.

    Raises:
        DataError: No picture is there, or none can be read.
        OptionError: The data has no such split.
    """
    data = _data(sources, seed)
    items = [*(_pictures(sources, form, max_pixels) if data is None else _items(data, split, form, classes))]
    chosen = np.unique(np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int))
    read, failed = [], []
    for item in (items[i] for i in chosen):
        try:
            read.append((item, item.pixels(), None if item.where is None else item.where()))
        except DataError as error:
            failed.append(str(error))
    if not read:
        raise DataError(f"judge: none of {len(chosen)} pictures can be read. {failed[0] if failed else ''}")
    masks = [mask for _, _, mask in read if mask is not None]
    labels = np.array([item.label for item, _, _ in read])
    return JudgedPictures(
        names=tuple(item.name for item, _, _ in read),
        pixels=np.stack([pixels for _, pixels, _ in read]),
        where=np.stack(masks) if len(masks) == len(read) else None,
        labels=labels if (labels != NOBODY).all() else None,
        failed=tuple(failed),
    )


def _data(sources: Sequence[str], seed: int) -> ImageData | None:
    """Return the data that a single source holds; None if it holds pictures alone.

    Raises:
        DataError: It is neither.
    """
    if len(sources) != 1:
        return None
    try:
        return open_data(sources[0], seed=seed)
    except DataError as error:
        try:
            pictures_of(sources)
        except DataError:
            raise error from None
        return None


def _items(data: ImageData, split: str, form: PictureForm, classes: Sequence[str]) -> Iterator[_Item]:
    """Yield the items of a part of the data."""
    if split not in data.splits:
        known = ", ".join(data.splits)
        raise OptionError(f"split={split}: {data.name} has none of this name. Its splits: {known}.")
    part = data.splits[split]
    numbers = {name: number for number, name in enumerate(classes)}
    own = [numbers.get(name, NOBODY) for name in data.classes]
    for item, name in enumerate(part.names):
        label = own[int(part.targets[item])] if data.truth == "label" else NOBODY
        yield _Item(name, _loading(part, item, form), _looking(part, item, form), label)


def _loading(part: Split, item: int, form: PictureForm) -> Callable[[], UInt8[np.ndarray, "h w 3"]]:
    return lambda: pixels_of(part.load(item), form)


def _looking(part: Split, item: int, form: PictureForm) -> Callable[[], Bool[np.ndarray, "h w"]] | None:
    """Return what finds an item's mask: where the evidence is, or what is neither background nor unknown."""
    look, masks = part.look, part.masks
    if look is not None:
        return lambda: mask_of(look(item), form)
    if masks is None:
        return None

    def objects() -> Bool[np.ndarray, "h w"]:
        found = masks(item)
        return mask_of((found != 0) & (found != IGNORE), form)

    return objects


def _pictures(sources: Sequence[str], form: PictureForm, max_pixels: int) -> Iterator[_Item]:
    for picture in pictures_of(sources):
        yield _Item(str(picture.path), _reading(picture.path, form, max_pixels))


def _reading(path: Path, form: PictureForm, max_pixels: int) -> Callable[[], UInt8[np.ndarray, "h w 3"]]:
    return lambda: pixels_of(path, form, max_pixels)
