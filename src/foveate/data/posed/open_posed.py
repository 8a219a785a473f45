"""Open pictures for generation: a folder, with classes or without; a table with poses; built-in digits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from foveate.calls import parse_call
from foveate.data.base import ImageData
from foveate.data.entries import Entry, data_from_entries
from foveate.data.folders.class_folders import Level
from foveate.data.folders.name_words import sibling_splits, split_named
from foveate.data.folders.tree import Tree, scan
from foveate.data.images.open_image import MOST_PIXELS
from foveate.data.open import MANIFESTS, open_data
from foveate.data.posed.pose_columns import CAPTION, described, pose_columns, pose_values
from foveate.data.posed.posed_data import PosedImages
from foveate.data.posed.turned_digits import turned_digits
from foveate.data.splits import SHARES, Shares
from foveate.data.tables.table import read_table
from foveate.errors import DataError, OptionError
from foveate.options import checked

DIGITS = "turned_digits"
_ALL = "picture"  # the one class of pictures without classes


def means_digits(source: object) -> bool:
    """Return whether a text means the built-in turned digits: ``turned_digits(size=16)``."""
    text = source.strip() if isinstance(source, str) else ""
    return text.startswith(f"{DIGITS}(") and text.endswith(")") and not Path(text).exists()


def open_posed(
    source: object = None,
    /,
    *,
    seed: int = 0,
    shares: Shares = SHARES,
    class_folders: Level | None = None,
    max_pixels: int = MOST_PIXELS,
    pose_columns: str | None = None,
    **options: Any,
) -> PosedImages:
    """Open pictures with their classes and poses.

    Args:
        source: A folder of class folders; a folder of pictures, alone or in train, val and test; a table with
            the columns path and, if wanted, label, split, group, caption and columns of numbers: the pose;
            "turned_digits(size=16, angle=45)", built in; or anything else that has one label a picture,
            such as scenes.
        seed: Decides how data in one piece is cut, and how digits are turned.
        shares: Of train, val and test, for data in one piece.
        class_folders: Which folders are classes where folders lie in folders; see ``open_folder``.
        max_pixels: Pixels of the largest picture that is decoded.
        pose_columns: Names of the columns that are a pose, with commas between them; "none"; all further ones
            if None. An angle in degrees is one by its name: angle, rotation, pose, azimuth, elevation, yaw,
            pitch, roll, or one that ends in _degrees.
        options: Of the built-in data.

    Raises:
        DataError: There is no picture, a pose is not a number or always the same, a caption is empty, or
            pictures have masks or several labels.
        OptionError: An option is unknown or impossible.
    """
    if isinstance(source, PosedImages):
        return source
    given: dict[str, Any] = {"seed": seed}
    if shares is not SHARES:
        given["shares"] = shares
    if max_pixels != MOST_PIXELS:
        given["max_pixels"] = max_pixels
    if means_digits(source):
        if shares is not SHARES or class_folders is not None or pose_columns is not None:
            raise OptionError(
                f"{source}: shares, class_folders and pose_columns are for files. Leave them out."
            )
        written = {**parse_call(str(source))[1], **options}
        return turned_digits(**checked(DIGITS, turned_digits, {"seed": seed, **written}))
    if isinstance(source, str | Path) and not _built_in(source):
        path = Path(source).expanduser()
        if path.suffix.lower() in MANIFESTS and path.is_file():
            return _table(path, given | options, pose_columns)
        if pose_columns is not None:
            raise OptionError(
                "pose_columns: poses come from a table. Give a .csv with path, label and poses."
            )
        if path.is_dir() and class_folders is None and (found := _without_classes(path, given)) is not None:
            return _posed(found, without_classes=True)
    if class_folders is not None:
        given["class_folders"] = class_folders
    return _posed(open_data(source, **given, **options))


def _built_in(source: str | Path) -> bool:
    return isinstance(source, str) and source.partition("(")[0].strip() == "scenes"


def _posed(images: ImageData, *, without_classes: bool = False) -> PosedImages:
    classes = () if without_classes or len(images.classes) == 1 else images.classes
    poses = {name: np.zeros((len(split), 0)) for name, split in images.splits.items()}
    return PosedImages(images, classes, (), poses, images.origin)


def _without_classes(path: Path, given: dict[str, Any]) -> ImageData | None:
    """Return the pictures of a folder without class folders, or with a single one; None if it has classes.

    Raises:
        DataError: There are no pictures.
    """
    tree = scan(path.resolve())
    if not tree.count:
        raise DataError(
            f"{path}: no pictures are in it. Give a folder of pictures, or of one folder for each class, or "
            "a table with the column path."
        )
    parts: dict[str | None, Tree]
    splits = sibling_splits(tree.filled)
    if splits and not any(tree.folders[name].filled for name in splits):
        parts = {split: tree.folders[name] for name, split in splits.items()}
    elif not tree.filled or (len(tree.filled) == 1 and not tree.own_images):
        parts = {None: tree}
    else:
        return None
    entries = [
        Entry(file.relative_to(tree.path).as_posix(), file, _ALL, split)
        for split, part in parts.items()
        for file in part.images()
    ]
    whole = {*parts} in ({None}, {"train"})
    if whole:
        entries = [replace(entry, split=None) for entry in entries]
    return _from(tree.path, entries, given, cut=whole)


def _table(path: Path, given: dict[str, Any], asked: str | None) -> PosedImages:
    table = read_table(path)
    names = pose_columns(path, table, asked)
    where = {name.lower(): name for name in table.columns}
    if "label" in where:
        images = open_data(path, **given)
        classes = images.classes if len(images.classes) > 1 else ()
    elif "path" in where:
        images, classes = _unlabelled(path, table, where, given), ()
    else:
        raise DataError(
            f"{path}: has no column path. Columns are path and, if wanted, label, split and poses."
        )
    written = (row[where["path"]] for row in table.rows)
    rows = dict(zip(written, pose_values(table, names), strict=True))
    poses = {
        name: np.array([rows[item] for item in split.names]).reshape(len(split), len(names))
        for name, split in images.splits.items()
    }
    columns = described(names, poses["train"], str(path))
    captions = _captions(path, table, where, images)
    origin = dict(images.origin)
    if asked is not None:
        origin["options"] = {**dict(images.origin.get("options", {})), "pose_columns": asked}  # type: ignore[call-overload]
    return PosedImages(images, classes, columns, poses, origin, captions)


def _captions(path: Path, table: Any, where: dict[str, str], images: ImageData) -> dict[str, tuple[str, ...]]:
    """Return the captions of a table, by split; none if it has no column of them."""
    if CAPTION not in where:
        return {}
    texts = {row[where["path"]]: row[where[CAPTION]].strip() for row in table.rows}
    empty = [name for name, text in texts.items() if not text]
    if empty:
        raise DataError(
            f"{path}: {empty[0]} has no caption ({len(empty)} such). Write one, leave the row out, or rename "
            "the column."
        )
    return {name: tuple(texts[item] for item in split.names) for name, split in images.splits.items()}


def _unlabelled(path: Path, table: Any, where: dict[str, str], given: dict[str, Any]) -> ImageData:
    """Return the pictures of a table without labels."""
    folder, entries = path.resolve().parent, []
    for line, row in zip(table.lines, table.rows, strict=True):
        file = folder / row[where["path"]]
        if not row[where["path"]] or not file.is_file():
            raise DataError(f"{path}, line {line}: no such file: {file}. Paths are relative to {folder}.")
        split = split_named(row[where["split"]]) if "split" in where else None
        if "split" in where and split is None:
            raise DataError(
                f'{path}, line {line}: split "{row[where["split"]]}" is unknown. Write train, val or test.'
            )
        group = row[where["group"]] or None if "group" in where else None
        entries.append(Entry(row[where["path"]], file, _ALL, split, group))
    return _from(path.resolve(), entries, given, cut="split" not in where)


def _from(source: Path, entries: list[Entry], given: dict[str, Any], *, cut: bool) -> ImageData:
    shares = given.get("shares", SHARES)
    options = {"shares": list(shares)} if cut else {}
    return data_from_entries(
        source,
        entries,
        (_ALL,),
        seed=given["seed"],
        shares=shares,
        options=options,
        max_pixels=given.get("max_pixels", MOST_PIXELS),
    )
