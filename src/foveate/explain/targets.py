"""What a map explains: a class, a pixel, a region, a box or a word.

``read_target`` turns what users write into one of these for each image:

    None                          what the model predicts
    3, or a tensor (B,) of ints   a class, one for all images, or one for each
    (y, x)                        a segmenter's class at a pixel of the image
    a boolean mask (H, W)         a segmenter's class in a region; (B, H, W) for one for each image
    Pixel, Region, Box, Word      the same with more said
    a list of these               one for each image
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from foveate.errors import OptionError, ShapeError
from foveate.typed import quoted


@dataclass(frozen=True)
class Class:
    """A class: its logit, summed over the pixels that are predicted as it if the model is a segmenter.

    Args:
        index: Which; None for the predicted one.
    """

    index: int | None = None


@dataclass(frozen=True)
class Pixel:
    """A segmenter's logit at one pixel.

    Args:
        row: y, in pixels of the image from the top, from 0.
        column: x, in pixels of the image from the left, from 0.
        of: The class; None for the one that is predicted there.
    """

    row: int
    column: int
    of: int | None = None


@dataclass(frozen=True, eq=False)
class Region:
    """A segmenter's logits, summed over a region.

    Args:
        mask: (H, W) bool on the image's grid, at least one pixel true.
        of: The class; None for the one that is predicted for most of the region.
    """

    mask: Tensor
    of: int | None = None


@dataclass(frozen=True)
class Box:
    """The score of one box of a torchvision detector.

    In changed images, where other boxes are found, it is the largest product of overlap (intersection over
    union) with this box and score of its class, 0 if none overlaps.

    Args:
        index: Which of the boxes that the detector finds in the unchanged image; 0 is the most certain.
    """

    index: int = 0


@dataclass(frozen=True)
class Word:
    """The logit of one word of a captioner or translator.

    Args:
        step: At which step, from 0.
        token: The number of the word; None for the predicted one.
    """

    step: int
    token: int | None = None


Target = Class | Pixel | Region | Box | Word
_KINDS = (Class, Pixel, Region, Box, Word)
_EXPECTED = (
    "None, a class, a tensor (B,) of classes, (y, x), a boolean mask (H, W) or (B, H, W), one of Class, "
    "Pixel, "
    "Region, Box and Word of foveate.explain.targets, or a list with one of these for each image"
)


def read_target(target: object, count: int, height: int, width: int) -> list[Target]:
    """Return one target for each image; a pixel comes back as the region that holds it alone.

    Args:
        target: What the user wrote.
        count: B, the number of images.
        height: H of the images.
        width: W of the images.

    Raises:
        OptionError: It is not a target, or lies outside the image.
        ShapeError: Their number is not that of the images, or a mask has another size than the images.
    """
    if isinstance(target, Tensor) and target.ndim in (1, 3):
        target = list(target.unbind())
    if isinstance(target, list):
        if len(target) != count:
            raise ShapeError(
                f"target: got {len(target)} for {count} images, expected one for each. Pass a single one to "
                "explain the same in all"
            )
        return [_read_one(one, height, width) for one in target]
    return [_read_one(target, height, width)] * count


def _read_one(target: object, height: int, width: int) -> Target:
    if target is None:
        return Class()
    if isinstance(target, Tensor) and target.ndim == 0 and not target.is_floating_point():
        target = int(target)
    if isinstance(target, int) and not isinstance(target, bool):
        return Class(_natural("class", target))
    if isinstance(target, Tensor) and target.ndim == 2:
        target = Region(target)
    if isinstance(target, tuple) and len(target) == 2 and all(isinstance(n, int) for n in target):
        target = Pixel(*target)
    if isinstance(target, _KINDS):
        _check(target, height, width)
        return _as_region(target, height, width) if isinstance(target, Pixel) else target
    raise OptionError(f"target: got {quoted(target)}, expected {_EXPECTED}")


def _check(target: Target, height: int, width: int) -> None:
    if isinstance(target, Pixel) and not (0 <= target.row < height and 0 <= target.column < width):
        raise OptionError(
            f"target: got the pixel (y={target.row}, x={target.column}), expected one of an image of "
            f"{height} x {width}: (y, x), both from 0"
        )
    if isinstance(target, Region):
        mask = target.mask
        if mask.dtype != torch.bool or tuple(mask.shape) != (height, width):
            raise ShapeError(
                f"target: got a mask {tuple(mask.shape)} of {mask.dtype}, expected torch.bool of the image's "
                f"size ({height}, {width})"
            )
        if not mask.any():
            raise ShapeError("target: got a mask without a pixel, expected at least one that is True")
    if isinstance(target, Box):
        _natural("box", target.index)
    if isinstance(target, Word):
        _natural("step", target.step)


def _as_region(pixel: Pixel, height: int, width: int) -> Region:
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[pixel.row, pixel.column] = True
    return Region(mask, pixel.of)


def _natural(what: str, number: int) -> int:
    if number < 0:
        raise OptionError(f"target: got {what} {number}, expected a number from 0")
    return number


def expect_below(what: str, number: int, most: int, hint: str = "") -> int:
    """Return a number that is an index of something.

    Raises:
        OptionError: There are not so many.
    """
    if not 0 <= number < most:
        listed = f"0 to {most - 1}" if most else "none, because there are none"
        raise OptionError(f"target: got {what} {number}, expected {listed}{hint}")
    return number


def one_kind(targets: Sequence[Target]) -> type:
    """Return the one kind that all targets are of.

    Raises:
        OptionError: They are of several.
    """
    kinds = {type(target) for target in targets}
    if len(kinds) > 1:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise OptionError(
            f"target: got several kinds in one batch ({names}), expected one. Explain them apart"
        )
    return kinds.pop()
