"""What the pixels of mask files mean, and reading masks accordingly.

A mask file holds class numbers (grey, paletted, or 16 bits; of a palette the index counts, not the colour),
one bit, 0 and 255, or colours that a table explains. ``layers`` and ``outlines`` have other codes.

Shapes  a mask is uint8 (H, W): a class number, or ``IGNORE``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32, UInt8

from foveate.data.class_numbers import IGNORE
from foveate.data.masks.raw import Kind, counted, raw_mask, word_for
from foveate.errors import DataError


@runtime_checkable
class Code(Protocol):
    """How the files of a mask become classes."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names."""
        ...

    def read(self, files: Sequence[Path], image: Path) -> UInt8[np.ndarray, "h w"]:
        """Return the mask of an image from its files.

        Raises:
            DataError: a file cannot be read, or holds a value without a meaning.
        """
        ...

    def key(self, files: Sequence[Path]) -> str:
        """Return the code of the files, for a fingerprint."""
        ...


@dataclass(frozen=True)
class MaskCode:
    """How the pixels of mask files become classes.

    Args:
        kind: "index": class numbers; "binary": 0 and 255; "colour": RGB; "threshold": grey levels.
        classes: Class names.
        numbers: Raw value, or colour as red * 65536 + green * 256 + blue, to class or ``IGNORE``.
        rest: What every other value means: a class, ``IGNORE``, or None if it is an error.
        threshold: Grey level at and above which a pixel is class 1, for that kind.
    """

    kind: Kind
    classes: tuple[str, ...]
    numbers: Mapping[int, int]
    rest: int | None = None
    threshold: int = 128

    def __repr__(self) -> str:
        numbers = sorted(self.numbers.items())
        return f"MaskCode({self.kind}, {self.classes}, {numbers}, {self.rest}, {self.threshold})"

    def read(self, files: Sequence[Path], image: Path) -> UInt8[np.ndarray, "h w"]:
        """Return the mask in its one file.

        Raises:
            DataError: the file cannot be read, or holds a value or colour without a meaning.
        """
        (path,) = files
        return self.classes_of(raw_mask(path, self.kind), str(path))

    def key(self, files: Sequence[Path]) -> str:
        """Return the code, which is that of every file."""
        return str(self)

    def classes_of(self, raw: Int32[np.ndarray, " *s"], where: str) -> UInt8[np.ndarray, " *s"]:
        """Return the class of each raw pixel; ``where`` is named in an error.

        Raises:
            DataError: a value or colour has no meaning.
        """
        if self.kind == "threshold":
            return (raw >= self.threshold).astype(np.uint8)
        keys, classes = self._table
        place = np.searchsorted(keys, raw).clip(max=len(keys) - 1)
        mask: UInt8[np.ndarray, " *s"] = classes[place]
        unknown = keys[place] != raw
        if unknown.any():
            if self.rest is None:
                self._refuse(where, raw[unknown])
            mask[unknown] = self.rest
        return mask

    @cached_property
    def _table(self) -> tuple[Int32[np.ndarray, " k"], UInt8[np.ndarray, " k"]]:
        keys = np.array(sorted(self.numbers), dtype=np.int32)
        return keys, np.array([self.numbers[key] for key in keys.tolist()], dtype=np.uint8)

    def _refuse(self, where: str, unknown: Int32[np.ndarray, " n"]) -> None:
        coloured = self.kind == "colour"
        known = _listed(np.array(sorted(self.numbers)), coloured)
        raise DataError(
            f"{where}: holds {counted(unknown, coloured)}, which is not a class. Known "
            f"{'colours' if coloured else 'values'} are {known}. Correct the mask, or "
            + (
                'complete the colour table; background="other" makes all other colours a class.'
                if coloured
                else "state all classes in classes=, or ignore values with ignore_index=."
            )
        )


def masked(code: Code, files: Sequence[Path], image: Path, inside: Path | None) -> UInt8[np.ndarray, "h w"]:
    """Return a mask that is ignored wherever the mask ``inside``, if there is one, is 0.

    Args:
        code: What the files mean.
        files: Those of the mask.
        image: That of its image.
        inside: A file, or None.

    Raises:
        DataError: a file cannot be read, holds a value without a meaning, or they differ in size.
    """
    mask = code.read(files, image)
    if inside is None:
        return mask
    within = raw_mask(inside, "index") != 0
    if within.shape != mask.shape:
        raise DataError(
            f"{inside}: {within.shape[1]}x{within.shape[0]} pixels, but {files[0].name} has "
            f"{mask.shape[1]}x{mask.shape[0]}. Make them equal."
        )
    return np.where(within, mask, np.uint8(IGNORE))


def _listed(values: np.ndarray, coloured: bool) -> str:
    words = [word_for(int(value), coloured) for value in values]
    return f"0 to {values[-1]}" if _is_run(values) else ", ".join(words)


def _is_run(values: np.ndarray) -> bool:
    return len(values) > 3 and bool((values == np.arange(len(values))).all())
