"""The size that images are brought to where the user names none: what suits the images and the model."""

from __future__ import annotations

from foveate.data.base import ImageData
from foveate.data.canvas import Canvas, choose_canvas, image_size
from foveate.errors import DataError

LARGEST = 224  # pixels of the short side of images with masks


def natural_size(data: ImageData, made_for: int, *, keep: bool) -> Canvas:
    """Return height and width of images that suit data and model.

    It is the side that the model was made for, but no larger than the images are, unless it has to be kept:
    published weights expect objects at their size. Images with masks keep their aspect; their short side is
    ``LARGEST`` pixels at most.

    Args:
        data: The images; the first training image stands for all.
        made_for: Side of the images that the model was made for, in pixels.
        keep: Whether to take that side in any case.
    """
    train = data.splits["train"]
    try:
        if data.truth == "mask":
            return choose_canvas(data, min(*image_size(train, 0), LARGEST))
        height, width = train.load(0).shape[:2] if train.pictures is None else train.pictures(0).size
        side = made_for if keep else min(made_for, height, width)
    except DataError:  # the check of the data comes next, and names this file with all others
        if data.truth == "mask":
            return choose_canvas(data, LARGEST)
        side = made_for
    return side, side


def stated_size(data: ImageData, side: int) -> Canvas:
    """Return height and width of images whose side, or short side where they have masks, is ``side``."""
    return choose_canvas(data, side) if data.truth == "mask" else (side, side)
