"""Masks in several files per image: one for each class, or one for each object.

Pixels that are not 0 belong to the class or object; in files with values above 1, those of at least 128.
Later files cover earlier ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from foveate.data.class_numbers import BACKGROUND, IGNORE, MOST_CLASSES
from foveate.data.masks.class_table import VOID
from foveate.data.masks.found_files import OBJECT, Pair
from foveate.data.masks.raw import raw_mask
from foveate.data.masks.scan_masks import MaskScan
from foveate.errors import DataError, OptionError, first_few

_HALF = 128
_FEW = 3  # a layer with this many values holds class numbers if none is bright, else soft edges
FOREGROUND = "foreground"


@dataclass(frozen=True)
class Layers:
    """Several files become one mask.

    Args:
        classes: Class names, the background first.
        numbers: The class of each file, or ``IGNORE``.
        threshold: Grey level at and above which a pixel counts, in a file with values above 1.
    """

    classes: tuple[str, ...]
    numbers: Mapping[Path, int]
    threshold: int = _HALF

    def __repr__(self) -> str:
        return f"Layers({self.classes}, {self.threshold})"

    def read(self, files: Sequence[Path], image: Path) -> UInt8[np.ndarray, "h w"]:
        """Return the mask of an image.

        Raises:
            DataError: a file cannot be read, or two differ in size.
        """
        mask: UInt8[np.ndarray, "h w"] | None = None
        for file in sorted(files, key=lambda file: (self.numbers[file] == IGNORE, self.numbers[file])):
            region = _region(file, self.threshold)
            if mask is None:
                mask = np.zeros(region.shape, dtype=np.uint8)
            if region.shape != mask.shape:
                raise DataError(
                    f"{file}: {region.shape[1]}x{region.shape[0]} pixels, but another mask of {image.name} "
                    f"has {mask.shape[1]}x{mask.shape[0]}. Make them equal."
                )
            mask[region] = self.numbers[file]
        assert mask is not None
        return mask

    def key(self, files: Sequence[Path]) -> str:
        """Return the code and the class of each file."""
        return f"{self} {[self.numbers[file] for file in files]}"


def infer_layers(
    pairs: Sequence[Pair], scan: MaskScan, names: tuple[str, ...] | None, threshold: int | None
) -> tuple[Layers, str]:
    """Return the code of masks in several files, and a note on it.

    Args:
        pairs: Images with their masks and the labels of those.
        scan: The files of the masks.
        names: The user's class names, with the background first or without; None for those of the folders.
        threshold: The user's grey level at and above which a pixel counts.

    Raises:
        DataError: a file cannot be read, or holds class numbers.
        OptionError: the names do not match the labels.
    """
    found = sorted({label for pair in pairs for label in pair.labels} - {BACKGROUND}, key=_by_number)
    _check_layers(scan)
    objects = found == [OBJECT]
    own = [FOREGROUND] if objects else [label for label in found if label.lower() not in VOID]
    classes = _classes(own, names, objects=objects)
    place = {name: number for number, name in enumerate(classes)}
    numbers = {
        file: 1 if objects else place.get(label, 0 if label == BACKGROUND else IGNORE)
        for pair in pairs
        for file, label in zip(pair.masks, pair.labels, strict=True)
    }
    what = "object" if objects else f"class: {first_few(own)}"
    note = f"each mask is composed of one file per {what}; later ones cover earlier ones"
    return Layers(classes, numbers, threshold or _HALF), note


def _classes(own: list[str], names: tuple[str, ...] | None, *, objects: bool) -> tuple[str, ...]:
    if len(own) >= MOST_CLASSES:
        raise DataError(f"{len(own)} classes, but masks can hold {MOST_CLASSES}. Merge some.")
    if names is None:
        return (BACKGROUND, *own)
    if len(names) == len(own) and (objects or set(names) == set(own)):
        return (BACKGROUND, *names)
    if len(names) == len(own) + 1 and (objects or set(names[1:]) == set(own)):
        return names
    raise OptionError(
        f"classes= names {', '.join(names)}, but there are mask files for {', '.join(own)}. Name these, "
        "with or without the background first."
    )


def are_layers(scan: MaskScan) -> bool:
    """Return whether all files can be read and none holds class numbers."""
    try:
        _check_layers(scan)
    except DataError:
        return False
    return True


def _check_layers(scan: MaskScan) -> None:
    for file, look in zip(scan.sample, scan.look(scan.sample), strict=True):
        held = look.values or frozenset()
        if len(held) >= _FEW and max(held) < _HALF:
            raise DataError(
                f"{file}: is one of several masks of an image, but holds the values "
                f"{first_few(sorted(held))}. If these are class numbers, say which folder "
                'holds the masks: masks="..." (--masks on the command line); else save 0 and 255.'
            )


def _region(file: Path, threshold: int) -> Bool[np.ndarray, "h w"]:
    raw = raw_mask(file, "binary")
    region: Bool[np.ndarray, "h w"] = raw >= threshold if raw.max(initial=0) > 1 else raw > 0
    return region


def _by_number(label: str) -> tuple[int, int, str]:
    return (0, int(label), "") if label.isdecimal() else (1, 0, label)
