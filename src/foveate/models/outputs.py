"""The outputs of networks: the logits among them, and the probabilities that logits stand for.

Shapes  images (B, C, H, W), normalised -> logits (B, K, H, W); one channel is the logit of class 1 of two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from foveate.errors import ShapeError
from foveate.models.segmentation.segmenter import resized

Run = Callable[[Tensor], object]
"""A network, or any callable like one: images (B, C, H, W) to an output that ``main_output`` accepts."""


def main_output(outputs: object) -> Tensor:
    """Return the tensor of logits in the output of a model.

    Accepted are a tensor, a mapping with ``out`` (torchvision's segmenters) or ``logits``, and an object
    with ``logits`` (transformers, torchvision's GoogLeNet and Inception in training).

    Raises:
        ShapeError: There is no such tensor.
    """
    if isinstance(outputs, Tensor):
        return outputs
    for name in ("out", "logits"):
        found = outputs.get(name) if isinstance(outputs, Mapping) else getattr(outputs, name, None)
        if isinstance(found, Tensor):
            return found
    raise ShapeError(
        f"the model returned a {type(outputs).__name__}, expected a tensor of logits, or a mapping or object "
        'with "out" or "logits". Wrap the model so that it returns its logits.'
    )


def further_loss(outputs: object, targets: Tensor) -> Tensor | None:
    """Return what a model adds to the loss of its logits, None for most models.

    A model that is trained by more than its logits, such as one that learns where to look by reinforcement,
    returns an object with ``logits`` and a method ``further_loss(targets)`` while it is trained.

    Args:
        outputs: What the model returned.
        targets: What is true of the batch, as the task gives it to its loss.
    """
    own = getattr(outputs, "further_loss", None)
    return own(targets) if callable(own) else None


def logits_of(run: Run, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h w"]:
    """Return a network's logits, resized to the images if it leaves them smaller.

    Raises:
        ShapeError: The network does not return maps.
    """
    logits = main_output(run(images))
    if logits.ndim != 4 or len(logits) != len(images):
        raise ShapeError(
            f"the model returned {tuple(logits.shape)} for images {tuple(images.shape)}, expected logits "
            "(B, classes, H, W). Use a segmentation model."
        )
    return resized(logits, images)


def probabilities(logits: Float[Tensor, "b k h w"]) -> Float[Tensor, "b q h w"]:
    """Return probabilities (B, K, H, W), at least float32, that sum to 1 over the classes.

    One channel stands for two classes: the result is that of softmax over [0, x], and has two channels.

    Example:
        >>> probabilities(torch.zeros(1, 1, 1, 1)).flatten().tolist()
        [0.5, 0.5]
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if logits.shape[1] == 1:
        return torch.cat([(-logits).sigmoid(), logits.sigmoid()], dim=1)
    return logits.softmax(dim=1)
