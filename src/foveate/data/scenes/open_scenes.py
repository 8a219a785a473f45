"""Scenes: handwritten digits in coloured clutter; the one digit with the red mark is the label.

The built-in data. The digits are real (scikit-learn's copy of the UCI set, 1797 samples of 8x8 pixels);
samples of train, val and test are disjoint. Without looking at the mark one can only guess among the digits
shown; ``Split.look`` says where the evidence is. With masks, a pixel of the marked area has
the class of its digit, and every other pixel, those of other digits too, is background.

Shapes  images uint8 (N, size, size, 3); where to look bool (size, size); masks uint8 (size, size).
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from foveate.data.base import SPLITS, ImageData, Split
from foveate.data.class_numbers import BACKGROUND
from foveate.data.scenes.scene_layout import Layout, SceneOptions, layout
from foveate.data.scenes.scene_paint import OTHER_MARKS, mark_mask, paint
from foveate.errors import OptionError

VERSION = 1  # raise it whenever a pixel changes: the fingerprint, and so every cache, follows
_CHUNK = 256  # scenes painted at once: fits the second-level cache at 32 pixels


def scenes(
    *,
    train: int = 2000,
    val: int = 500,
    test: int = 1000,
    seed: int = 0,
    masks: bool = False,
    **options: int,
) -> ImageData:
    """Return scenes as data.

    Args:
        train: How many training scenes.
        val: How many validation scenes; 0 for no such split.
        test: How many test scenes.
        seed: Determines everything random.
        masks: Whether the truth is a mask, of classes background, 0, 1, ...; else the digit is the label.
        options: size, classes, distractors, strokes: see ``SceneOptions``.

    Raises:
        OptionError: an option is unknown or out of range.

    Example:
        >>> data = scenes(train=20, val=0, test=10, size=32)
        >>> data.splits["train"].load(3).shape
        (32, 32, 3)
    """
    settings = scene_options(seed=seed, **options)
    counts = dict(zip(SPLITS, (train, val, test), strict=True))
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < (name != "val"):
            raise OptionError(
                f"scenes: {name}={count!r} is not a number of scenes. Write {name}=1000, for example."
            )
    if not isinstance(masks, bool):
        raise OptionError(
            f"scenes: masks={masks!r} is neither True nor False. Write masks=True, for example."
        )
    splits = {name: _split(settings, name, count, masks) for name, count in counts.items() if count}
    recipe = {**asdict(settings), **counts, **({"masks": True} if masks else {})}
    digits = tuple(str(digit) for digit in range(settings.classes))
    digest = hashlib.sha256(f"scenes {VERSION} {sorted(recipe.items())}".encode()).hexdigest()
    return ImageData(
        name="scenes",
        classes=(BACKGROUND, *digits) if masks else digits,
        splits=splits,
        origin={
            "source": "scenes",
            "seed": seed,
            "options": {k: v for k, v in recipe.items() if k != "seed"},
        },
        fingerprint=digest,
    )


def scene_options(**options: int) -> SceneOptions:
    """Return checked options.

    Raises:
        OptionError: an option is unknown or out of range.
    """
    known = tuple(SceneOptions.__dataclass_fields__)
    for name in options:
        if name not in known:
            raise OptionError(
                f"scenes: no option is called {name}. Options: train, val, test, masks, {', '.join(known)}."
            )
    return SceneOptions(**options)


def scene_layout(options: SceneOptions, split: str, first: int, count: int) -> Layout:
    """Return what is where in scenes ``first`` to ``first + count`` of a split."""
    return layout(options, SPLITS.index(split), first, count, len(OTHER_MARKS))


def scene_images(options: SceneOptions, split: str, first: int, count: int) -> UInt8[np.ndarray, "n s s 3"]:
    """Return the images of scenes ``first`` to ``first + count`` of a split."""
    out = np.empty((count, options.size, options.size, 3), dtype=np.uint8)
    for start in range(0, count, _CHUNK):
        number = min(_CHUNK, count - start)
        plan = scene_layout(options, split, first + start, number)
        out[start : start + number] = paint(options, plan, SPLITS.index(split), first + start)
    return out


def scene_boxes(options: SceneOptions, split: str, first: int, count: int) -> Int64[np.ndarray, "n 4"]:
    """Return the box of each marked digit: top, left, bottom, right in pixels, the last two exclusive."""
    plan = scene_layout(options, split, first, count)
    top, left = plan.tops[:, 0], plan.lefts[:, 0]
    return np.stack([top, left, top + options.box, left + options.box], axis=1)


def _split(options: SceneOptions, name: str, count: int, masked: bool) -> Split:
    labels = scene_layout(options, name, 0, count).labels

    def many(first: int, number: int) -> UInt8[np.ndarray, "n s s 3"]:
        return scene_images(options, name, first, number)

    def load(item: int) -> UInt8[np.ndarray, "s s 3"]:
        return many(item, 1)[0]

    def look(item: int) -> Bool[np.ndarray, "s s"]:
        top, left, bottom, right = scene_boxes(options, name, item, 1)[0]
        mask = np.zeros((options.size, options.size), dtype=bool)
        mask[top:bottom, left:right] = mark_mask(options)
        return mask

    def mask(item: int) -> UInt8[np.ndarray, "s s"]:
        return look(item) * np.uint8(1 + labels[item])

    return Split(
        names=tuple(f"{name}-{item:06d}" for item in range(count)),
        targets=np.zeros(count, dtype=np.int64) if masked else labels,
        load=load,
        look=look,
        many=many,
        masks=mask if masked else None,
    )
