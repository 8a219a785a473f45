"""Whether a model is a detector as torchvision's, tried on a few images before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from foveate.errors import FoveateError, ShapeError, in_one_line
from foveate.running import device_of, eval_no_grad, untouched
from foveate.tasks.detected_pictures import boxes_of


def try_detector(
    name: str, model: nn.Module, images: Sequence[Tensor], targets: Sequence[Mapping[str, Tensor]]
) -> None:
    """Find boxes in the first image, and take the losses of all; the model is left as it was.

    Args:
        name: The model's name, for messages.
        model: The model.
        images: float32 (3, H, W).
        targets: Boxes and labels of each, of the first class and of the last.

    Raises:
        ShapeError: It does not run on them, or returns something else.
    """
    device = device_of(model)
    moved = [image.to(device) for image in images]
    wanted = [{part: value.to(device) for part, value in one.items()} for one in targets]
    try:
        with eval_no_grad(model):
            found = model(moved[:1])
        with torch.no_grad(), untouched(model, training=True):
            losses = model(moved, wanted)
    except FoveateError:
        raise
    except Exception as error:  # whatever a foreign network raises
        height, width = images[0].shape[-2:]
        raise ShapeError(
            f"{name} does not detect these classes in images of {width} x {height} pixels "
            f"({in_one_line(error)}). Give a detector as torchvision's: it takes a list of images, and "
            "targets with boxes and labels from 1 while it is trained."
        ) from error
    boxes_of(name, found)
    if not isinstance(losses, Mapping) or not all(isinstance(one, Tensor) for one in losses.values()):
        raise ShapeError(
            f"{name}: returned a {type(losses).__name__} in training, expected a mapping of losses, as "
            "torchvision's detectors do."
        )
