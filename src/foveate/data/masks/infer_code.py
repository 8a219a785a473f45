"""Infer what the pixels of mask files mean, from the user's options, files beside them, and their values.

Every decision made by default is reported in a note.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from foveate.data.class_numbers import BACKGROUND, IGNORE, MOST_CLASSES
from foveate.data.masks.class_table import (
    COLOUR_FILES,
    NAME_FILES,
    VOID,
    Colour,
    Colours,
    Names,
    beside,
    class_names,
    colour_table,
)
from foveate.data.masks.code import MaskCode
from foveate.data.masks.known_sets import known_set
from foveate.data.masks.raw import first_colours
from foveate.data.masks.scan_masks import MaskScan, Seen
from foveate.data.palette import is_voc_brightness
from foveate.errors import DataError, OptionError, first_few

_BINARY = {0, 255}
_SHOWN = 12  # values named in an error
_LIGHT = 200  # a grey level above any class number, where the number of classes is not given
Ignored = int | str | Sequence[int | str]


@dataclass(frozen=True)
class MaskOptions:
    """A user's options for masks; None for what is inferred.

    Args:
        classes: Names in the order of the class numbers, ignored ones too; how many; or a file of them.
        ignore_index: Values (or names) that do not count; ``IGNORE`` never does in index masks.
        colours: Colour table of RGB masks: a file, or a mapping from names to colours.
        background: Name of class 0 of binary masks; with a colour table, the class of all colours that it
            leaves out ("ignore": they do not count).
        threshold: Grey level at and above which a pixel is foreground, for masks with soft edges.
    """

    classes: Names | None = None
    ignore_index: Ignored | None = None
    colours: Colours | None = None
    background: str | None = None
    threshold: int | None = None


@dataclass(frozen=True)
class InferredCode:
    """The code of masks, the colours of its classes if known, and notes on what was decided by default."""

    code: MaskCode
    palette: UInt8[np.ndarray, "k 3"] | None
    notes: tuple[str, ...]


def infer_code(root: Path, masks: MaskScan, options: MaskOptions) -> InferredCode:
    """Return what the pixels of the mask files mean.

    Args:
        root: Where name lists and colour tables may lie.
        masks: The files; no more are looked at than needed.
        options: What the user says.

    Raises:
        DataError: a mask cannot be read, or the meaning of its pixels is ambiguous.
        OptionError: the options contradict each other.
    """
    notes: list[str] = []
    named, table = _named((root, masks.files[0].parent), options, notes)
    if named is None and table is None and options == MaskOptions() and (known := known_set(masks.files[0])):
        return InferredCode(MaskCode("index", known.classes, known.numbers), known.palette, (known.note,))
    if options.threshold is not None:
        return _by_threshold(options, named, notes)
    if table is not None and (options.colours is not None or masks.are_coloured()):
        return _by_colour(table, options, notes)
    if table is not None and named is None:
        named = tuple(dict.fromkeys(name for name, _ in table))
        notes.append("the masks hold class numbers: only the names and order of the colour table are used")
    seen = masks.seen(masks.files if named is None else masks.sample)
    if seen.values <= _BINARY and len(named or ()) <= 2 and options.ignore_index is None:
        return _binary(options, named, notes)
    (first,) = masks.look(masks.files[:1])
    return _index(first.palette, options, named, table, notes, seen)


def infer_from_values(values: frozenset[int], options: MaskOptions) -> InferredCode:
    """Return what masks without files mean, from the values that occur in them.

    Raises:
        DataError: the meaning of the values is ambiguous.
        OptionError: the options contradict each other.
    """
    notes: list[str] = []
    named = None if options.classes is None else class_names(options.classes)
    if options.threshold is not None:
        return _by_threshold(options, named, notes)
    seen = Seen(values, None)
    if 255 in values and values <= _BINARY and len(named or ()) <= 2 and options.ignore_index is None:
        return _binary(options, named, notes)
    return _index(None, options, named, None, notes, seen)


def _named(
    folders: Sequence[Path], options: MaskOptions, notes: list[str]
) -> tuple[tuple[str, ...] | None, list[tuple[str, Colour]] | None]:
    """Return class names and colour table: the user's, or those in files beside the masks."""
    names: Names | None = options.classes
    colours: Colours | None = options.colours
    if names is None and colours is None:
        colours = next((file for folder in folders if (file := beside(folder, COLOUR_FILES))), None)
        names = next((file for folder in folders if (file := beside(folder, NAME_FILES))), None)
        names = names if colours is None else None
        found = names or colours
        if isinstance(found, Path):
            notes.append(f"classes are those of {found.name}")
    named = None if names is None else class_names(names)
    return named, None if colours is None else colour_table(colours)


def _by_threshold(options: MaskOptions, named: tuple[str, ...] | None, notes: list[str]) -> InferredCode:
    level = options.threshold
    if isinstance(level, bool) or not isinstance(level, int) or not 1 <= level <= 65535:
        raise OptionError(f"threshold={level!r} is not a grey level. Write threshold=128, for example.")
    names = _two(options, named)
    return InferredCode(MaskCode("threshold", names, {}, threshold=level), None, tuple(notes))


def _binary(options: MaskOptions, named: tuple[str, ...] | None, notes: list[str]) -> InferredCode:
    names = _two(options, named)
    notes.append(f"the masks are binary: 0 is {names[0]}, 255 is {names[1]}")
    return InferredCode(MaskCode("binary", names, {0: 0, 255: 1}), None, tuple(notes))


def _two(options: MaskOptions, named: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the names of two classes."""
    named = named or ("foreground",)
    names = (options.background or BACKGROUND, *named) if len(named) == 1 else named
    if len(names) != 2:
        raise OptionError(f"binary masks have two classes, but classes= names {len(names)}. Name two.")
    return names


def _by_colour(table: Sequence[tuple[str, Colour]], options: MaskOptions, notes: list[str]) -> InferredCode:
    names = list(dict.fromkeys(name for name, _ in table))
    if options.classes is not None and set(class_names(options.classes)) != set(names):
        raise OptionError("classes= and colours= name different classes. Leave classes= out.")
    ignored = {names[number] for number in _ignored(options.ignore_index, names)}
    if options.ignore_index is None:
        ignored = {name for name in names if name.lower() in VOID}
        if ignored:
            notes.append(f"pixels of {', '.join(sorted(ignored))} are ignored")
    kept = [name for name in names if name not in ignored]
    rest = None
    if options.background is not None:
        if options.background == "ignore":
            rest = IGNORE
        else:
            kept = kept if options.background in kept else [options.background, *kept]
            rest = kept.index(options.background)
    numbers = {
        (red << 16) | (green << 8) | blue: IGNORE if name in ignored else kept.index(name)
        for name, (red, green, blue) in table
    }
    first = dict(reversed(table))
    palette = np.array([first.get(name, (0, 0, 0)) for name in kept], dtype=np.uint8).reshape(len(kept), 3)
    return InferredCode(MaskCode("colour", tuple(kept), numbers, rest), palette, tuple(notes))


def _index(
    own: Sequence[int] | None,
    options: MaskOptions,
    named: tuple[str, ...] | None,
    table: Sequence[tuple[str, Colour]] | None,
    notes: list[str],
    seen: Seen,
) -> InferredCode:
    given = options.ignore_index
    if given is None and named and named[-1].lower() in VOID:
        given = len(named) - 1
        notes.append(f"pixels of class {given}, {named[-1]}, are ignored: it is the last of the names")
    if named is None and given is not None and any(isinstance(one, str) for one in _several(given)):
        raise OptionError(f"ignore_index={given!r} is a name, but the classes have no names. Give classes=.")
    ignored = set(_ignored(given, named or ()))
    if IGNORE in seen.values and IGNORE not in ignored and len(named or ()) <= IGNORE:
        ignored.add(IGNORE)
        notes.append(f"pixels of value {IGNORE} are ignored")
    if named is None:
        named = _unnamed(options, seen, ignored)
    values = [number for number in range(len(named)) if number not in ignored]
    numbers = dict.fromkeys(ignored | {IGNORE}, IGNORE)
    numbers.update((value, place) for place, value in enumerate(values))
    names = tuple(named[value] for value in values)
    if not names or len(names) > MOST_CLASSES:
        raise DataError(
            f"{len(names)} classes remain, but masks can hold 1 to {MOST_CLASSES}. Are these object "
            "numbers? Masks must hold class numbers."
        )
    first = dict(reversed(table)) if table else {}
    if table:
        palette = np.array([first[name] for name in names], dtype=np.uint8)
    else:
        colours = first_colours(own, len(named)) if len(named) <= IGNORE else None
        palette = None if colours is None else colours[values]  # type: ignore[assignment]
    return InferredCode(MaskCode("index", names, numbers), palette, tuple(notes))


def _unnamed(options: MaskOptions, seen: Seen, ignored: set[int]) -> tuple[str, ...]:
    """Return names for as many classes as there are numbers, if they look like class numbers."""
    values = sorted(seen.values - ignored)
    if not values:
        raise DataError("every pixel of every mask is ignored. Check ignore_index=, or the masks.")
    listed = first_few(values, _SHOWN)
    if values[-1] > 20 and is_voc_brightness(values):
        raise DataError(
            f"the masks hold {listed}: the brightness of VOC's colours, not class numbers. Paletted masks "
            "were converted to grey. Use the paletted ones."
        )
    soft = len(values) > 2 and (
        seen.soft is not None or (IGNORE in seen.values and _LIGHT <= values[-1] < IGNORE)
    )
    if soft:
        jpeg = f" ({seen.soft} is a JPEG, which blurs them)" if seen.soft else ""
        raise DataError(
            f"the masks hold {len(values)} values from {values[0]} to {values[-1]}, as 0/255 masks with soft "
            f"edges do{jpeg}. Give threshold=128 (--threshold 128 on the command line), or better the "
            "masks before they were resized or compressed."
        )
    if values[0] < 0 or values[-1] + 1 > 2 * len(values) + 2:
        raise DataError(
            f"the masks hold the values {listed}: grey levels rather than class numbers. Name them, "
            f'colours={{"one": {values[-1]}, ...}} (--colours classes.csv on the command '
            f"line); if they are class numbers, give classes={values[-1] + 1} (--classes {values[-1] + 1})."
        )
    count = values[-1] + 1
    if count == 2 and not ignored - {IGNORE}:
        return (options.background or BACKGROUND, "foreground")
    return class_names(count)


def _several(given: Ignored) -> Sequence[int | str]:
    return (given,) if isinstance(given, (int, str)) else tuple(given)


def _ignored(given: Ignored | None, names: Sequence[str]) -> list[int]:
    """Return the values that ``ignore_index`` means."""
    found = []
    for one in () if given is None else _several(given):
        if isinstance(one, str):
            if one not in names:
                raise OptionError(
                    f"ignore_index={one!r}: there is no class of this name. Classes: {', '.join(names)}."
                )
            found.append(names.index(one))
        elif isinstance(one, bool) or not isinstance(one, int) or one < 0:
            raise OptionError(
                f"ignore_index={one!r} is not a pixel value. Write ignore_index=255, for example."
            )
        else:
            found.append(one)
    return found
