"""What all inference asks of a network: logits at the images' size, in evaluation mode, without gradients.

Shapes  images (B, C, H, W), normalised -> logits (B, K, H, W); one channel is the logit of class 1 of two.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import ShapeError
from foveate.models.segmentation.segmenter import resized
from foveate.tasks.base import main_output

Run = Callable[[Tensor], object]
"""A network, or anything that is called like one: images (B, C, H, W) to what ``main_output`` reads."""


def logits_of(run: Run, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h w"]:
    """Return a network's logits, resized to the images if it leaves them smaller.

    Raises:
        ShapeError: The network does not return maps.
    """
    logits = main_output(run(images))
    if logits.ndim != 4 or len(logits) != len(images):
        raise ShapeError(
            f"the model made {tuple(logits.shape)} of images {tuple(images.shape)}, expected logits "
            "(B, classes, H, W). Give a model that segments."
        )
    return resized(logits, images)


@contextmanager
def asking(run: Run) -> Iterator[None]:
    """Set a network to evaluation and compute no gradients; afterwards all is as it was."""
    with torch.no_grad():
        if isinstance(run, nn.Module):
            with evaluating(run):
                yield
        else:
            yield


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Set every module to evaluation, and afterwards each back to what it was."""
    before = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training


def device_of(model: nn.Module) -> torch.device:
    """Return where the model's first tensor is; the CPU for a model without any."""
    first: Tensor | None = next(itertools.chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if first is None else first.device
