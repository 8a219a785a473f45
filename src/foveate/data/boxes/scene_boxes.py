"""Scenes with boxes: the built-in data for detection. Every digit in the clutter is an object.

The pictures are those of the other scenes, with their digits, marks and strokes; what is asked differs: where
each digit is, and which it is. A box is the place that a digit has with its mark.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from foveate.data.boxes.box_data import BoxData
from foveate.data.boxes.boxes import Boxes
from foveate.data.scenes.open_scenes import scene_layout, scene_options, scenes


def box_scenes(
    *, train: int = 1000, val: int = 200, test: int = 500, size: int = 64, seed: int = 0, **options: int
) -> BoxData:
    """Return scenes with the boxes of their digits.

    Args:
        train: How many training scenes.
        val: How many validation scenes; 0 for no such split.
        test: How many test scenes.
        size: Height and width in pixels.
        seed: Determines everything random.
        options: classes, distractors (a scene shows one digit more), strokes: see ``SceneOptions``.

    Raises:
        OptionError: An option is unknown or out of range.

    Example:
        >>> data = box_scenes(train=20, val=0, test=10, classes=3)
        >>> data, len(data.boxes["train"][0])
        (BoxData(scenes: 3 classes; train 20, test 10), 4)
    """
    asked: dict[str, Any] = {"size": size, "seed": seed, **options}
    images, settings = scenes(train=train, val=val, test=test, **asked), scene_options(**asked)
    boxes = {}
    for name, split in images.splits.items():
        plan = scene_layout(settings, name, 0, len(split))
        corners = np.stack(
            [plan.lefts, plan.tops, plan.lefts + settings.box, plan.tops + settings.box], axis=-1
        )
        boxes[name] = tuple(Boxes.of(where, which) for where, which in zip(corners, plan.digits, strict=True))
    bare = {
        name: replace(split, targets=np.zeros(len(split), dtype=np.int64), look=None)
        for name, split in images.splits.items()
    }
    return BoxData(replace(images, splits=bare), boxes, tuple(range(len(images.classes))))
