"""Class names and colours from small text files beside masks.

A name list (``classes.txt``) has one name per line, or its number and the name. A colour table
(``classes.csv``, ``class_dict.csv``, ``label_colors.txt``, CVAT's ``labelmap.txt``) has a name and three
numbers per line, in either order, separated by commas, colons, tabs or blanks; a heading is skipped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from foveate.errors import DataError, OptionError
from foveate.files import read_text

Colour = tuple[int, int, int]
NAME_FILES = ("classes.txt", "class_names.txt", "labels.txt", "_classes.csv")
COLOUR_FILES = (
    "classes.csv",
    "class_dict.csv",
    "colours.csv",
    "colors.csv",
    "label_colors.txt",
    "labelmap.txt",
)
VOID = ("void", "ignore", "ignored", "unlabelled", "unlabeled")  # names of classes that do not count
Names = int | str | Path | Sequence[str]
Colours = str | Path | Mapping[str, int | Sequence[int]]


def class_names(given: Names) -> tuple[str, ...]:
    """Return class names in the order of their numbers.

    Args:
        given: The names; or how many there are; or a file with one per line.

    Raises:
        OptionError: it is none of these, or a name occurs twice.
        DataError: the file cannot be read.
    """
    if isinstance(given, int) and not isinstance(given, bool) and given > 0:
        return tuple(str(number) for number in range(given))
    if isinstance(given, (str, Path)):
        names = _numbered(_lines(Path(given)))
    elif isinstance(given, Sequence):
        names = [str(name) for name in given]
    else:
        names = []
    twice = next((name for name in names if names.count(name) > 1), None)
    if not names or twice is not None:
        what = f'the name "{twice}" occurs twice' if twice else f"got {given!r}"
        raise OptionError(
            f"classes: {what}. Give distinct names in order, their number, or a file with one per line."
        )
    return tuple(names)


def colour_table(given: Colours) -> list[tuple[str, Colour]]:
    """Return names and colours, in order; several colours may have one name.

    Args:
        given: A file, or a mapping from names to (red, green, blue), or to one grey level.

    Raises:
        OptionError: a colour is not three numbers (or one) in 0..255, or belongs to two names.
        DataError: the file cannot be read.
    """
    if isinstance(given, (str, Path)):
        table = _coloured(Path(given))
    elif isinstance(given, Mapping):
        table = [(str(name), _colour(str(name), colour)) for name, colour in given.items()]
    else:
        table = []
    if not table:
        raise OptionError(
            f'colours: got {given!r}. Give a file such as classes.csv, or {{"road": (128, 64, 128), ...}}.'
        )
    owner: dict[Colour, str] = {}
    for name, colour in table:
        if owner.setdefault(colour, name) != name:
            raise OptionError(
                f"colours: {colour} is the colour of both {owner[colour]} and {name}. Give each its own."
            )
    return table


def beside(folder: Path, names: Sequence[str]) -> Path | None:
    """Return the first file of one of these names in a folder, whatever the case, or None."""
    if not folder.is_dir():
        return None
    there = {child.name.lower(): child for child in sorted(folder.iterdir()) if child.is_file()}
    return next((there[name] for name in names if name in there), None)


def _colour(name: str, colour: object) -> Colour:
    levels = (
        (colour,) * 3 if isinstance(colour, int) else tuple(colour) if isinstance(colour, Sequence) else ()
    )
    if len(levels) != 3 or not all(isinstance(level, int) and 0 <= level <= 255 for level in levels):
        raise OptionError(
            f"colours: {name} has {colour!r}. Give (red, green, blue), or a grey level, in 0..255."
        )
    red, green, blue = levels
    return int(red), int(green), int(blue)


def _lines(path: Path) -> list[str]:
    text = read_text(path, "Write one class per line, in UTF-8.")
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _numbered(lines: Sequence[str]) -> list[str]:
    """Return names without the numbers in front of them, if those count the lines."""
    parts = [re.match(r"(\d+)[\s,:;]+(.+)", line) for line in lines]
    if len(parts) > 1 and parts[0] is None and all(parts[1:]):  # a heading
        lines, parts = lines[1:], parts[1:]
    found = [match for match in parts if match]
    if len(found) == len(lines) and [int(match[1]) for match in found] == list(range(len(lines))):
        return [match[2].strip() for match in found]
    return list(lines)


def _coloured(path: Path) -> list[tuple[str, Colour]]:
    table: list[tuple[str, Colour]] = []
    for number, line in enumerate(_lines(path)):
        words = [word for word in re.split(r"[\s,;:]+", line) if word]
        levels, name = next(
            (
                (part, rest)
                for part, rest in ((words[-3:], words[:-3]), (words[:3], words[3:]))
                if len(part) == 3 and rest and all(word.isdecimal() for word in part)
            ),
            (None, None),
        )
        if levels is None or name is None:
            if number == 0:  # a heading
                continue
            raise DataError(f'{path}: "{line}" is not a name with three numbers. Write name,red,green,blue.')
        if len(name) > 1 and name[0] == str(len(table)):
            name = name[1:]
        table.append((" ".join(name), _colour(" ".join(name), [int(level) for level in levels])))
    return table
