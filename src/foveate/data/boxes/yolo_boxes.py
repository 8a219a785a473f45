"""Boxes from YOLO's text files: a line an object, ``class centre-x centre-y width height``, as shares.

The text of ``images/1.jpg`` is ``labels/1.txt``, or ``1.txt`` beside it. Numbers are shares of the picture's
width and height. A line of more numbers is an outline, whose smallest box is taken. A picture without a text,
or with an empty one, has no object. The classes are the ``names`` of a ``data.yaml``, or the lines of a
``classes.txt``; else they are called by their numbers. Splits are folders called train, val and test.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from foveate.data.boxes.box_entries import Annotated, BoxEntry
from foveate.data.boxes.box_splits import split_of
from foveate.data.folders.tree import is_image
from foveate.data.folders.walk import visible_files
from foveate.data.masks.outline_text import is_outline_file, names_in
from foveate.data.printable import printable
from foveate.errors import DataError, first_few
from foveate.files import read_text

_BOX = 4
_NAMES = ("classes.txt", "obj.names", "labels.txt", "names.txt")
_FAR = 1.5  # a share beyond this is a number of pixels

Row = tuple[int, tuple[float, float, float, float]]


def is_yolo(files: Sequence[Path]) -> bool:
    """Return whether some of the files are YOLO's texts of boxes, beside pictures."""
    if not any(file.suffix == ".txt" for file in files):
        return False
    pictures = (file for file in files if is_image(file.name))
    texts = (text for picture in pictures if (text := _text_of(picture)) is not None)
    filled = next((text for text in texts if text.stat().st_size), None)
    return filled is not None and is_outline_file(filled) and _is_of_boxes(filled)


def _is_of_boxes(file: Path) -> bool:
    return any(len(line.split()) == _BOX + 1 for line in read_text(file, "").splitlines())


def read_yolo(path: Path, images: str | None = None) -> Annotated:
    """Return what a folder of pictures and texts holds.

    Args:
        path: The folder.
        images: The folder of the pictures, from ``path``; all pictures below it if None.

    Raises:
        DataError: A line is not an object, or names no class of ``data.yaml``.
    """
    path = path.resolve()
    files = visible_files(path)
    pictures = [file for file in files if is_image(file.name)]
    if images is not None:
        pictures = [file for file in pictures if file.is_relative_to(path / images)]
    texts = [_text_of(picture) for picture in pictures]
    rows = [[] if text is None else _rows(text) for text in texts]
    highest = max((label for some in rows for label, _ in some), default=-1)
    names = _class_names(files)
    if names and highest >= len(names):
        odd = next(
            text for text, some in zip(texts, rows, strict=True) if any(n >= len(names) for n, _ in some)
        )
        raise DataError(
            f"{odd}: names class {highest}, but there are {len(names)} names of classes (from 0): "
            f"{first_few(names)}. Correct the names or the text."
        )
    classes = names or tuple(str(number) for number in range(highest + 1))
    if not classes:
        raise DataError(
            f"{path}: none of its texts has an object. Give YOLO's texts: class x y width height."
        )
    twice = sorted({name for name in classes if classes.count(name) > 1})
    if twice:
        raise DataError(f"{path}: two classes are called {first_few(twice)}. Rename one.")
    bare = sum(text is None for text in texts)
    notes = (f"{bare} pictures have no text: they are taken to show no object",) if bare else ()
    return Annotated(
        classes=classes,
        entries=tuple(
            BoxEntry(
                name=picture.relative_to(path).as_posix(),
                path=picture,
                boxes=[box for _, box in some],
                labels=[label for label, _ in some],
                split=split_of(path, picture),
                relative=True,
            )
            for picture, some in zip(pictures, rows, strict=True)
        ),
        categories=tuple(range(len(classes))),
        notes=notes,
    )


def _text_of(picture: Path) -> Path | None:
    """Return a picture's text: in a folder ``labels`` in place of ``images``, or beside it."""
    parts = list(picture.parts)
    places = [place for place, part in enumerate(parts[:-1]) if part.lower() == "images"]
    tried = []
    if places:
        parts[places[-1]] = "labels"
        tried.append(Path(*parts).with_suffix(".txt"))
    tried.append(picture.with_suffix(".txt"))
    return next((text for text in tried if text.is_file()), None)


def _rows(file: Path) -> list[Row]:
    found = []
    for place, line in enumerate(read_text(file, "Export it again.").splitlines(), start=1):
        words = line.split()
        if words:
            found.append(_row(f"{file}, line {place}", words))
    return found


def _row(where: str, words: Sequence[str]) -> Row:
    try:
        label, numbers = int(words[0]), np.array([float(word) for word in words[1:]])
    except ValueError:
        label, numbers = -1, np.zeros(0)
    if label < 0 or len(numbers) < _BOX or len(numbers) % 2 or not np.isfinite(numbers).all():
        raise DataError(
            f"{where}: not a class number and the centre, width and height of a box: {' '.join(words)[:60]}. "
            "Export it again."
        )
    if np.abs(numbers).max() > _FAR:
        raise DataError(
            f"{where}: {numbers.max():g} is not a share of the picture's width or height, from 0 to 1. "
            "Divide pixels by the picture's size."
        )
    if len(numbers) > _BOX:
        points = numbers.reshape(-1, 2)
        (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        return label, (left, top, right, bottom)
    x, y, width, height = numbers.tolist()
    return label, (x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _class_names(files: Sequence[Path]) -> tuple[str, ...]:
    for file in files:
        if file.suffix.lower() in (".yaml", ".yml") and (names := names_in(file)):
            return tuple(map(printable, names))
    for file in files:
        if file.name in _NAMES:
            lines = read_text(file, "Export it again.").splitlines()
            names = tuple(printable(line.strip()) for line in lines if line.strip())
            if names and not any(name.split()[0].isdecimal() and len(name.split()) > _BOX for name in names):
                return names
    return ()
