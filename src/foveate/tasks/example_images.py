"""Images that a model can be tried on, and what it expects of any."""

from __future__ import annotations

from typing import TypedDict

import torch
from torch import Tensor

from foveate.models.normalisation import Triple


class Normalisation(TypedDict):
    """What a model expects of images in [0, 1]."""

    mean: Triple
    std: Triple


def example_images(size: tuple[int, int], items: int = 2) -> Tensor:
    """Return images (B, 3, H, W) that a model can be tried on; always the same."""
    noise = torch.rand(items, 3, *size, generator=torch.Generator().manual_seed(0))
    return (noise - 0.5).contiguous(memory_format=torch.channels_last)
