"""The model that a command line names, and an input that fits it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


def model_and_example(name: str, *, size: int | None, images: int = 1) -> tuple[nn.Module, Tensor]:
    """Return a model in eval mode with drawn weights, and an input (images, 3, size, size).

    Args:
        name: A name that ``create_model`` knows.
        size: Side of the images in pixels; None takes the side that the model was made for.
        images: How many images the input holds.
    """
    import torch

    from foveate.models.create import create_model
    from foveate.models.made_for import made_for
    from foveate.options import whole
    from foveate.recipe import LONGEST_SIDE

    model = create_model(name).eval()
    side = made_for(name, model) if size is None else whole("size", size, most=LONGEST_SIDE)
    return model, torch.rand(images, 3, side, side, generator=torch.Generator().manual_seed(0))
