"""One door to data: scenes, a folder, a manifest, a COCO file, or a Python dataset."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from foveate.calls import parse_call
from foveate.data.base import ImageData
from foveate.data.scenes.open_scenes import scenes
from foveate.errors import DataError, OptionError, SpecError
from foveate.options import checked, seed_number

Opened = TypeVar("Opened")
_NAMED = {"images": "images", "masks": "masks", "inside": "ignore_outside"}
SCENES, MEGAPIXEL = "scenes", "megapixel"  # the built-in data
MANIFESTS = (".csv", ".tsv", ".parquet")


def open_data(source: object = None, /, *, seed: int = 0, **options: object) -> ImageData:
    """Open images with their labels or masks.

    Args:
        source: None or "scenes" or "scenes(size=48, train=2000)" for the built-in scenes, "megapixel" or
            "megapixel(size=1500, train=500)" for large ones, see ``megapixel``; the path of a folder of class
            folders or of images and masks, of a .csv or .parquet manifest, or of COCO
            annotations; a dataset that yields (image, label), (image, labels) or (image, mask), or a mapping
            from split names to such; an ``ImageData`` passes through. A folder called scenes is "./scenes".
        seed: Decides how data that comes in one piece is split, and what the scenes show.
        options: Passed to the opener: ``scenes``, ``open_folder``, ``open_mask_folder``, ``open_coco``,
            ``open_manifest`` or ``open_dataset``.

    Raises:
        DataError: nothing of the kind is there, or it cannot be used.
        OptionError: an option is unknown or impossible.

    Example:
        >>> open_data("scenes(train=40, val=0, test=20, classes=4)")
        ImageData(scenes: 4 classes; train 40, test 20)
    """
    if isinstance(source, ImageData):
        return source
    seed_number("seed", seed)
    if source is None or means_scenes(source):
        return call_opener(SCENES, scenes, {"seed": seed, **scene_words(source), **options})
    if means_scenes(source, MEGAPIXEL):
        return _open_megapixel({"seed": seed, **scene_words(source), **options})
    if isinstance(source, (str, Path)):
        return _read_as_asked(_open_path(Path(source).expanduser(), {"seed": seed, **options}))
    from foveate.data.datasets.open_dataset import open_dataset

    return call_opener("dataset", open_dataset, {"seed": seed, **options}, source)


def reopen(origin: Mapping[str, object]) -> ImageData:
    """Open data again from the ``origin`` of an ``ImageData``.

    Raises:
        DataError: it was a Python object, which only Python can give again.
    """
    if origin.get("source") is None:
        raise DataError(
            f"this data came from a Python object ({origin.get('description', 'a dataset')}) and cannot be "
            "opened from its description. Pass the dataset itself."
        )
    options = origin.get("options", {})
    source = origin["source"]
    if source in (SCENES, MEGAPIXEL):  # whatever lies here by now
        source = None if source == SCENES else f"{MEGAPIXEL}()"
    return open_data(source, seed=origin.get("seed", 0), **options)  # type: ignore[arg-type]


def means_scenes(source: object, name: str = SCENES) -> bool:
    """Tell whether a text means the built-in scenes, and not something on the disk.

    Args:
        source: What the user wrote.
        name: Of the built-in data.

    Raises:
        OptionError: it may mean both.
    """
    if not isinstance(source, str) or source.partition("(")[0].strip() != name:
        return False
    there = os.path.lexists(source)
    if there and source.strip() == name:
        raise OptionError(
            f'"{name}" is the name of the built-in data, and here is something of this name. Write ./{name} '
            f"for what is here, {name}() for the built-in data."
        )
    return not there


def scene_words(source: object) -> dict[str, object]:
    """Return the options in ``"scenes(size=48, train=2000)"``.

    Raises:
        OptionError: it cannot be read.
    """
    if not isinstance(source, str) or "(" not in source:
        return {}
    try:
        return parse_call(source)[1]
    except SpecError as error:
        raise OptionError(f"{error}. Write scenes(size=48, train=2000): names and whole numbers.") from None


def _open_megapixel(options: dict[str, object]) -> ImageData:
    """Open megapixel scenes, and first the folder of small pictures that they are made of, if any."""
    from foveate.data.megapixel.open_megapixel import megapixel

    images = options.get("images")
    if isinstance(images, (str, Path)):
        options["images"] = _open_path(Path(images).expanduser(), {"seed": options["seed"]})
    return call_opener(MEGAPIXEL, megapixel, options)


def _read_as_asked(data: ImageData) -> ImageData:
    """Return data whose images are read in parts if that was asked for."""
    if not data.origin.get("options", {}).get("large"):  # type: ignore[attr-defined]
        return data
    from foveate.data.large.in_parts import read_in_parts

    return read_in_parts(data)


def _open_path(path: Path, options: dict[str, object]) -> ImageData:
    if path.is_dir():
        try:
            return _open_folder(path, options)
        except DataError as error:
            raise DataError(f"{error}{_about_unread(path)}") from None
    if path.suffix.lower() == ".json":
        return _open_folder(path, options)
    if path.suffix.lower() in MANIFESTS and path.is_file():
        from foveate.data.tables.open_manifest import open_manifest

        return call_opener("manifest", open_manifest, options, path)
    if not path.exists():
        raise DataError(
            f"{path}: no such file or folder. Give a folder of class folders or of images and masks, a .csv "
            "or .parquet, or scenes."
        )
    raise DataError(
        f"{path}: neither a folder nor one of {', '.join(MANIFESTS)}, .json. Give a folder of class folders, "
        "or of images and masks."
    )


def _about_unread(path: Path) -> str:
    """Return a sentence on pictures of formats that are not read; "" if there are none."""
    from foveate.data.folders.walk import visible_files
    from foveate.data.images.open_image import unread_advice, unread_pictures

    try:
        unread = unread_pictures(visible_files(path))
    except DataError:
        return ""
    return (
        f" {len(unread)} pictures are of formats that are not read. {unread_advice(unread)}" if unread else ""
    )


def _open_folder(path: Path, options: dict[str, object]) -> ImageData:
    """Open a folder by what lies in it: COCO annotations, images and masks, or class folders."""
    from foveate.data.coco.coco_files import coco_files, lone_coco_file
    from foveate.data.coco.open_coco import open_coco
    from foveate.data.folders.open_folder import open_folder
    from foveate.data.folders.tree import scan
    from foveate.data.masks.layout import find_pairs
    from foveate.data.masks.open_mask_folder import open_mask_folder

    if options.get("class_folders"):  # the user has said what it is
        return call_opener("folder of classes", open_folder, options, path)
    if files := coco_files(path):
        return call_opener("COCO annotations", open_coco, options, path, files)
    tree = scan(path.resolve(), large=bool(options.get("large")))
    named = {what: options.get(word) for what, word in _NAMED.items()}
    pairs = find_pairs(tree, **named)  # type: ignore[arg-type]
    if pairs is not None:
        return call_opener("folder of masks", open_mask_folder, options, path, pairs)
    if (lone := lone_coco_file(path)) is not None:
        images = {"images": str(path.resolve() / str(images))} if (images := options.get("images")) else {}
        return call_opener("COCO annotations", open_coco, options | images, lone)
    return call_opener("folder of classes", open_folder, options, path, tree)


def call_opener(
    kind: str, opener: Callable[..., Opened], options: Mapping[str, object], *source: object
) -> Opened:
    """Return what an opener makes of a source, its options being checked first.

    Args:
        kind: What it opens, for messages.
        opener: A function with the options as its keyword-only parameters.
        options: By name, from the user.
        source: What is opened.

    Raises:
        DataError: It cannot be opened.
        OptionError: The opener does not have such an option, or it is impossible; the text names its flag.
    """
    known = [name for name, p in inspect.signature(opener).parameters.items() if p.kind is p.KEYWORD_ONLY]
    try:
        return opener(*source, **checked(kind, opener, options))
    except OptionError as error:
        unknown = next((name for name in options if name not in known), None)
        if unknown is None or "has no option" not in str(error):
            raise
        flag = f"--{unknown.replace('_', '-')}"
        raise OptionError(
            f"{error}. Leave {flag} out (in Python {unknown}=), or give data that it is for."
        ) from None
