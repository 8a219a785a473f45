"""Which folders are splits and which are classes; ambiguous layouts are refused.

Folders that look like splits, like images with masks, or like classes within classes raise an error that
says what was found, how it would be read, and how to state what is meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from foveate.data.folders.name_words import core, meaning, sibling_splits
from foveate.data.folders.tree import Tree, held
from foveate.data.masks.looks_like_mask import look_like_masks
from foveate.errors import DataError, first_few
from foveate.quantities import agreeing

Level = Literal["outer", "inner", "path"]
_IMAGES = re.compile(r"(?:jpeg)?ima?ge?s?", re.IGNORECASE)  # hardly ever the name of a class
_ALIKE = 0.8  # share of names that two folders must have in common to pass for images and masks


@dataclass(frozen=True)
class ClassFolders:
    """The class folders of a data set.

    Args:
        parts: The folder that holds the class folders of each split; under None if there are no splits.
        classes: The images of each class, by split.
        notes: What was left out or decided by default.
    """

    parts: Mapping[str | None, Tree]
    classes: Mapping[str | None, Mapping[str, tuple[Path, ...]]]
    notes: tuple[str, ...]


def find_class_folders(tree: Tree, level: Level | None) -> ClassFolders:
    """Return the class folders below a folder.

    Args:
        tree: The folder.
        level: Which folders are the classes, where some lie in others: "outer", "inner", or "path", both
            joined. None: the outer ones if they hold images; otherwise an error.

    Raises:
        DataError: there are none, a split is missing, or the layout is ambiguous.
    """
    splits, notes = split_folders(tree, level)
    parts: dict[str | None, Tree] = {split: _unwrapped(folder) for split, folder in splits.items()}
    parts = parts or {None: tree}
    if not splits:
        _check_depth(tree)
    if level is None:
        _check_splits(tree, parts)
        _check_masks(tree, parts)
        _check_levels(tree, parts)
    classes = {split: _by_class(part, level or "outer") for split, part in parts.items()}
    for split in set(classes) - {None, "train"}:
        if not set(classes[split]) & set(classes["train"]):  # a test set whose labels are withheld
            names = first_few(sorted(classes.pop(split)))
            notes.append(f"{split} has no class of train, only {names}: it is left out")
            del parts[split]
    if level is None and (deep := [file for part in classes.values() for file in _deeper(part)]):
        notes.append(
            agreeing(
                len(deep),
                "{n} [image lies in a folder|images lie in folders] inside the folder of [its|their] class, "
                "such as {first}",
                first=deep[0],
            )
        )
    if set(parts) == {"train"}:
        notes.append("only train has class folders: it is cut into train, val and test")
    return ClassFolders(parts, classes, tuple(notes))


def split_folders(tree: Tree, level: Level | None = None) -> tuple[dict[str, Tree], list[str]]:
    """Return the folders that are splits and hold class folders, and notes on what lies beside them.

    Raises:
        DataError: two folders mean the same split, or there is a test without a train.
    """
    named = sibling_splits(tree.filled)
    found: dict[str, Tree] = {}
    flat: list[str] = []
    for name, split in named.items():
        folder = tree.folders[name]
        if not _unwrapped(folder).filled:  # a *class* may be called "test": it has no class folders
            flat.append(name)
        elif split in found:
            raise DataError(
                f"{tree.path}: {found[split].path.name} and {name} both mean {split}. Rename or merge one."
            )
        else:
            found[split] = folder
    if found and "train" not in found:
        raise DataError(
            f"{tree.path}: has {', '.join(sorted(found))} but no train with class folders. "
            f"Add {tree.path / 'train'}."
        )
    if not found:
        return {}, []
    used = {folder.path.name for folder in found.values()}
    beside = [name for name in tree.filled if name not in used]
    return found, [
        agreeing(
            tree.folders[name].count,
            "the {n} [image in {name} has no class folder and is|images in {name} have no class folders and "
            "are] left out"
            if name in flat
            else "the {n} [image in {name} is in no split and is|images in {name} are in no split and are] "
            "left out",
            name=name,
        )
        for name in beside
    ]


def ignored_files(tree: Tree) -> Iterator[Path]:
    """Yield every visible file in a folder of images that would not be read as one."""
    try:
        found = find_class_folders(tree, "outer")
    except DataError:
        used = set[Path]()
    else:
        used = {file for labels in found.classes.values() for files in labels.values() for file in files}
    yield from (file for file in tree.files() if file not in used)


def _unwrapped(folder: Tree) -> Tree:
    """Return the folder with the classes of a split: ``seg_train/seg_train``, ``train/images``."""
    while len(folder.filled) == 1 and not folder.own_images:
        (name,) = folder.filled
        says = meaning(name)
        if name != folder.path.name and (says.rest or (says.role != "image" and says.split is None)):
            break
        folder = folder.filled[name]
    return folder


def _by_class(part: Tree, level: Level) -> dict[str, tuple[Path, ...]]:
    found: dict[str, list[Path]] = {}
    for name, folder in part.filled.items():
        for names, images in _leaves(folder, (name,)):
            label = {"outer": names[0], "inner": names[-1], "path": "/".join(names)}[level]
            found.setdefault(label, []).extend(images)
    return {label: tuple(images) for label, images in found.items()}


def _leaves(folder: Tree, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], tuple[Path, ...]]]:
    """Yield every folder that holds images itself, with the names on the way to it."""
    if folder.own_images:
        yield names, folder.own_images
    for name, inner in folder.filled.items():
        yield from _leaves(inner, (*names, name))


def _deeper(classes: Mapping[str, Sequence[Path]]) -> Iterator[str]:
    for label, images in classes.items():
        yield from (f"{file.parent.name}/{file.name}" for file in images if file.parent.name != label)


def _check_depth(tree: Tree) -> None:
    """Refuse a folder whose only subfolder is the one that was meant, and one without class folders."""
    for folder in tree.filled.values():
        split = any(
            s == "train" and folder.filled[n].filled for n, s in sibling_splits(folder.filled).items()
        )
        classes = len(tree.filled) == 1 and sum(bool(f.own_images) for f in folder.filled.values()) > 1
        if split or classes:
            raise DataError(
                f"{tree.path}: the classes are one level further down. Did you mean {folder.path}?"
            )
    if not tree.filled:
        raise DataError(f"{tree.path}: no class folder with images in it. {_hint(tree)}")


def _check_splits(tree: Tree, parts: Mapping[str | None, Tree]) -> None:
    """Refuse folders called train and test that hold images and no class folders."""
    for part in parts.values():
        names = list(part.filled)
        splits = sibling_splits(names)
        others = [name for name in names if name not in splits]
        if len(set(splits.values())) > 1 or (splits and not others):
            raise DataError(
                f"{part.path}: the folders {first_few(list(splits))} look like splits"
                f"{f' ({first_few(others)} beside them)' if others else ''}, but hold images, not class "
                f"folders: they would be read as {len(names)} classes. Sort the images of each into class "
                f"folders, or give a table of path,label. If the folders are the classes: {_said('outer')}."
            )


def _check_levels(tree: Tree, parts: Mapping[str | None, Tree]) -> None:
    """Refuse class folders that hold several folders of images and no images themselves."""
    outer = [f for part in parts.values() for f in part.filled.values()]
    nested = [f for f in outer if not f.own_images and len(f.filled) > 1]
    if not nested:
        return
    names = {f.path.name for f in outer}
    inner = {name for f in nested for name in f.filled}
    paths = {f"{f.path.name}/{name}" for f in nested for name in f.filled}
    example = next(iter(sorted(paths)))
    raise DataError(
        f"{tree.path}: {first_few(sorted(names))} hold no images themselves, but folders of images one "
        f"level further down: {first_few(sorted(inner))}. Which are the classes? The {len(names)} outer "
        f"ones, such as {nested[0].path.name}: {_said('outer')}. The {len(inner)} inner ones, such as "
        f"{example.split('/')[1]}: {_said('inner')}. Both together, {len(paths)} such as {example}: "
        f"{_said('path')}."
    )


def _check_masks(tree: Tree, parts: Mapping[str | None, Tree]) -> None:
    """Refuse images and masks in folders of unusual names: they would pass for two classes."""
    for part in parts.values():
        folders = list(part.filled.values())
        called = [f for f in folders if _IMAGES.fullmatch(f.path.name)]
        for images in called or folders[:2]:
            for masks in folders:
                pairs = _common(images, masks) if images is not masks else []
                if pairs and (called or look_like_masks(pairs)):
                    raise DataError(
                        f"{tree.path}: the files in {images.path.name} and {masks.path.name} have the "
                        "same names, as images and their masks do; they would be read as two classes. If "
                        f'{masks.path.name} holds masks: images="{images.path.name}", '
                        f'masks="{masks.path.name}" (--images {images.path.name} --masks '
                        f"{masks.path.name} on the command line). If they are classes: {_said('outer')}."
                    )


def _common(images: Tree, masks: Tree) -> list[tuple[Path, Path]]:
    """Return the files of two folders that have the same name, if nearly all have."""
    left = {core(file.stem): file for file in images.own_images}
    right = {core(file.stem): file for file in masks.own_images}
    both = [(left[name], right[name]) for name in left if name in right]
    return both if both and len(both) >= _ALIKE * max(len(left), len(right)) else []


def _said(level: Level) -> str:
    return f'class_folders="{level}" (--class-folders {level} on the command line)'


def _hint(tree: Tree) -> str:
    if tree.own_images:
        example = tree.path / "cat" / "1.jpg"
        return f"It holds images itself: put them into one folder per class, such as {example}."
    return (
        "Expected train/CLASS/*.jpg and test/CLASS/*.jpg, or CLASS/*.jpg; with masks images/*.jpg and "
        f"masks/*.png. {held(tree)}"
    )
