"""What is where in a scene, before a pixel is drawn: labels, digits, cells, marks.

Every draw of item i comes from a counter-based generator at a place that only (seed, split, i) decide, so
that an item is the same whatever its neighbours, the number of items, or the order in which they are asked
for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int64, UInt64

from foveate.errors import OptionError
from foveate.options import check_fields

STREAMS = {"labels": 0, "layout": 1, "paint": 2, "noise": 3}
_SMALLEST_CELL = 12  # pixels: a digit of 6, a gap, the mark, and one pixel of play
_WORDS = 4  # a Philox counter step yields four 64-bit words


@dataclass(frozen=True)
class SceneOptions:
    """What a scene is like.

    Args:
        size: Height and width of the image, in pixels.
        classes: Digits 0..classes-1 occur, in [2, 10].
        distractors: Unmarked (or differently marked) digits beside the marked one, in [0, 35].
        strokes: Short lines of clutter.
        seed: Determines everything random.
    """

    size: int = 32
    classes: int = 10
    distractors: int = 3
    strokes: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self, "scenes")
        _check_range("classes", self.classes, 2, 10)
        _check_range("distractors", self.distractors, 0, 35)
        _check_range("strokes", self.strokes, 0, 100)
        _check_range("seed", self.seed, 0, 2**63 - 1)
        _check_range("size", self.size, _SMALLEST_CELL * self.grid, 4096)

    @cached_property
    def grid(self) -> int:
        """Cells a side: the fewest that hold every digit."""
        return int(np.ceil(np.sqrt(self.distractors + 1)))

    @property
    def cell(self) -> int:
        """Pixels a side of a cell; no digit leaves its cell, so none hides another."""
        return self.size // self.grid

    @property
    def box(self) -> int:
        """Pixels a side of a digit with its mark."""
        return 3 * self.cell // 4

    @property
    def digits(self) -> int:
        """How many digits a scene shows: always the same number."""
        return self.distractors + 1


@dataclass(frozen=True)
class Layout:
    """What is where in n scenes of k digits; digit 0 is the marked one.

    Args:
        labels: The marked digit's class (n,).
        digits: Classes (n, k).
        picks: Uniform in [0, 1): which handwritten sample of the class (n, k).
        tops: First row of each digit's box (n, k).
        lefts: First column of each digit's box (n, k).
        marks: 0 for the marked digit; the others' marks are 1, 2, ... or -1 for none (n, k).
    """

    labels: Int64[np.ndarray, " n"]
    digits: Int64[np.ndarray, "n k"]
    picks: Float64[np.ndarray, "n k"]
    tops: Int64[np.ndarray, "n k"]
    lefts: Int64[np.ndarray, "n k"]
    marks: Int64[np.ndarray, "n k"]


def layout(options: SceneOptions, split: int, first: int, count: int, other_marks: int) -> Layout:
    """Return the layout of scenes ``first`` to ``first + count`` of a split."""
    cells, digits = options.grid**2, options.digits
    draws = uniform(options.seed, split, "layout", first, count, cells + 5 * digits)
    order, rest = draws[:, :cells], draws[:, cells:].reshape(count, 5, digits)
    # The marked digit takes the first cell of a random order: any cell, whatever the label.
    cell = np.argsort(order, axis=1)[:, :digits]
    play = options.cell - options.box + 1
    labels = _labels(options, split, first, count)
    kinds = (rest[:, 0] * options.classes).astype(np.int64)  # drawn without looking at the label
    kinds[:, 0] = labels
    marks = (rest[:, 1] * (other_marks + 1)).astype(np.int64)
    marks[marks == 0] = -1
    marks[:, 0] = 0
    return Layout(
        labels=labels,
        digits=kinds,
        picks=rest[:, 2],
        tops=cell // options.grid * options.cell + (rest[:, 3] * play).astype(np.int64),
        lefts=cell % options.grid * options.cell + (rest[:, 4] * play).astype(np.int64),
        marks=marks,
    )


def _labels(options: SceneOptions, split: int, first: int, count: int) -> Int64[np.ndarray, " n"]:
    """Return labels that are balanced exactly in every run of ``classes`` items, in random order."""
    classes = options.classes
    block, last = first // classes, (first + count - 1) // classes
    draws = uniform(options.seed, split, "labels", block, last - block + 1, classes)
    labels = np.argsort(draws, axis=1).reshape(-1)
    return labels[first - block * classes :][:count].astype(np.int64)


def uniform(
    seed: int, split: int, stream: str, first: int, count: int, width: int
) -> Float64[np.ndarray, "n w"]:
    """Return ``width`` draws from [0, 1) for each item; those of an item depend on nothing but its number."""
    return (raw(seed, split, stream, first, count, width) >> np.uint64(11)) * 2.0**-53


def raw(seed: int, split: int, stream: str, first: int, count: int, width: int) -> UInt64[np.ndarray, "n w"]:
    """Return ``width`` random 64-bit words for each item."""
    steps = -(-width // _WORDS)
    key = np.array([seed, split * len(STREAMS) + STREAMS[stream]], dtype=np.uint64)
    generator = np.random.Philox(key=key, counter=first * steps)
    words: UInt64[np.ndarray, " ..."] = generator.random_raw(count * steps * _WORDS)
    return words.reshape(count, steps * _WORDS)[:, :width]


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise OptionError(
            f"scenes: {name} must be a whole number, got {value!r}. Write {name}={low}, for example."
        )
    if not low <= value <= high:
        raise OptionError(f"scenes: {name}={value} is not in {low}..{high}. Write {name}={low}, for example.")
