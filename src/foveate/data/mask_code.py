"""What the pixels of mask files mean, and masks read by it.

A mask file holds class numbers (grey, paletted, or 16 bits; of a palette the index counts, not the colour),
one bit, 0 and 255, or colours that a table explains.

Shapes  a mask is uint8 (H, W): a class number, or ``IGNORE``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int32, UInt8

from foveate.data.base import IGNORE
from foveate.data.decode import opened, upright
from foveate.errors import DataError

Kind = Literal["index", "binary", "colour", "threshold"]
_SHOWN = 6  # values or colours named in an error
_GREY = {"1": "1-bit", "L": "grey", "P": "paletted", "LA": "grey", "PA": "paletted"}
_DEEP = ("I", "I;16", "I;16B", "I;16L", "F")


@dataclass(frozen=True)
class MaskCode:
    """How the pixels of mask files become classes.

    Args:
        kind: "index": class numbers; "binary": 0 and 255; "colour": RGB; "threshold": grey levels.
        classes: Class names.
        numbers: Raw value, or colour as red * 65536 + green * 256 + blue, to class or ``IGNORE``.
        rest: What every other value means: a class, ``IGNORE``, or None if it is an error.
        threshold: Grey level from which on a pixel is class 1, for that kind.
    """

    kind: Kind
    classes: tuple[str, ...]
    numbers: Mapping[int, int]
    rest: int | None = None
    threshold: int = 128

    def __repr__(self) -> str:
        numbers = sorted(self.numbers.items())
        return f"MaskCode({self.kind}, {self.classes}, {numbers}, {self.rest}, {self.threshold})"

    def read(self, path: Path) -> UInt8[np.ndarray, "h w"]:
        """Return a mask.

        Raises:
            DataError: the file cannot be read, or holds a value or colour that means nothing.
        """
        return self.classes_of(raw_mask(path, self.kind), str(path))

    def classes_of(self, raw: Int32[np.ndarray, "h w"], where: str) -> UInt8[np.ndarray, "h w"]:
        """Return the class of each raw pixel; ``where`` is named in an error.

        Raises:
            DataError: a value or colour means nothing.
        """
        if self.kind == "threshold":
            return (raw >= self.threshold).astype(np.uint8)
        keys, classes = self._table
        place = np.searchsorted(keys, raw).clip(max=len(keys) - 1)
        mask: UInt8[np.ndarray, "h w"] = classes[place]
        strange = keys[place] != raw
        if strange.any():
            if self.rest is None:
                self._refuse(where, raw[strange])
            mask[strange] = self.rest
        return mask

    @cached_property
    def _table(self) -> tuple[Int32[np.ndarray, " k"], UInt8[np.ndarray, " k"]]:
        keys = np.array(sorted(self.numbers), dtype=np.int32)
        return keys, np.array([self.numbers[key] for key in keys.tolist()], dtype=np.uint8)

    def _refuse(self, where: str, strange: Int32[np.ndarray, " n"]) -> None:
        coloured = self.kind == "colour"
        known = _listed(np.array(sorted(self.numbers)), coloured)
        raise DataError(
            f"{where}: holds {counted(strange, coloured)}, which is no class. Known "
            f"{'colours' if coloured else 'values'} are {known}. Correct the mask, or "
            + (
                'complete the colour table; background="other" gives what it leaves out a class.'
                if coloured
                else "state all of classes=, or ignore_index= for what should not count."
            )
        )


def raw_mask(path: Path, kind: Kind) -> Int32[np.ndarray, "h w"]:
    """Return what a mask file holds: values, or colours as red * 65536 + green * 256 + blue.

    Args:
        path: The file.
        kind: What is wanted. One bit is 0 or 1 as an index, else 0 or 255.

    Raises:
        DataError: the file cannot be read, or holds colours where values are wanted.
    """
    with opened(path) as file:
        image = upright(file)  # as its image is turned
        mode = image.mode
        if kind == "colour":
            wide = mode in _DEEP
            pixels = np.zeros(()) if wide else np.asarray(image.convert("RGB")).astype(np.int32)
        else:
            pixels = np.asarray(image)
    if kind == "colour":
        if wide:
            raise DataError(
                f"{path}: holds {mode} values, where the colour table wants colours. Leave the table out."
            )
        return packed(pixels)
    if mode == "1" and kind != "index":
        return pixels.astype(np.int32) * 255
    if mode in _GREY:
        return (pixels if pixels.ndim == 2 else pixels[..., 0]).astype(np.int32)
    if mode in _DEEP:
        whole = pixels.astype(np.int32)
        if (whole != pixels).any():
            raise DataError(
                f"{path}: holds fractions such as {pixels[whole != pixels][0]:.4g}. Save class numbers."
            )
        return whole
    if mode in ("RGB", "RGBA"):
        return _grey_of(path, pixels)
    raise DataError(f"{path}: a mask of mode {mode}. Save it as grey, paletted or RGB.")


def masked(code: MaskCode, path: Path, inside: Path | None) -> UInt8[np.ndarray, "h w"]:
    """Return a mask that is ignored wherever the mask ``inside``, if there is one, is 0.

    Raises:
        DataError: a file cannot be read, holds what means nothing, or they differ in size.
    """
    mask = code.read(path)
    if inside is None:
        return mask
    within = raw_mask(inside, "index") != 0
    if within.shape != mask.shape:
        raise DataError(
            f"{inside}: {within.shape[1]}x{within.shape[0]} pixels, but {path.name} has "
            f"{mask.shape[1]}x{mask.shape[0]}. Make them equal."
        )
    return np.where(within, mask, np.uint8(IGNORE))


def packed(pixels: np.ndarray) -> Int32[np.ndarray, "h w"]:
    """Return colours (..., 3) as single numbers."""
    red, green, blue = (pixels[..., channel].astype(np.int32) for channel in range(3))
    return (red << 16) | (green << 8) | blue


def counted(values: Int32[np.ndarray, " n"], coloured: bool) -> str:
    """Return values with how often they occur, the most frequent first, in words."""
    found, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    shown = [f"{_word(int(found[n]), coloured)} ({counts[n]} pixels)" for n in order[:_SHOWN]]
    more = f" and {len(order) - _SHOWN} more" if len(order) > _SHOWN else ""
    what = "colour" if coloured else "value"
    return f"{what}{'s' * (len(order) > 1)} {', '.join(shown)}{more}"


def _grey_of(path: Path, pixels: UInt8[np.ndarray, "h w c"]) -> Int32[np.ndarray, "h w"]:
    """Return the values of a grey mask that was saved as RGB."""
    if (pixels[..., 0] != pixels[..., 1]).any() or (pixels[..., 0] != pixels[..., 2]).any():
        raise DataError(
            f"{path}: holds {counted(packed(pixels).reshape(-1), True)}, and nothing says which class each "
            "is. Write a classes.csv of name,red,green,blue beside the data, or give "
            'colours={"road": (128, 64, 128), ...}.'
        )
    return pixels[..., 0].astype(np.int32)


def palette_of(path: Path, count: int) -> UInt8[np.ndarray, "k 3"] | None:
    """Return the first ``count`` colours of a paletted mask, if it is one and they all differ."""
    with opened(path) as image:
        found = image.getpalette("RGB") if image.mode == "P" else None
    if found is None or len(found) < 3 * count:
        return None
    colours = np.array(found[: 3 * count], dtype=np.uint8).reshape(count, 3)
    return colours if len(np.unique(colours, axis=0)) == count else None


def _listed(values: np.ndarray, coloured: bool) -> str:
    words = [_word(int(value), coloured) for value in values]
    return f"0 to {values[-1]}" if _is_run(values) else ", ".join(words)


def _is_run(values: np.ndarray) -> bool:
    return len(values) > 3 and bool((values == np.arange(len(values))).all())


def _word(value: int, coloured: bool) -> str:
    return f"({value >> 16}, {value >> 8 & 255}, {value & 255})" if coloured else str(value)
