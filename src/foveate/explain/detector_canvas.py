"""Where the images lie on the canvas that a torchvision detector resizes and pads them to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F


@dataclass
class Canvas:
    """A padded canvas.

    Args:
        height: Rows with padding.
        width: Columns with padding.
        used: Rows and columns of the images, at the top left.
    """

    height: int
    width: int
    used: tuple[int, int]

    def cut(self, maps: Tensor) -> Tensor:
        """Return maps (B, h, w) of the whole canvas without the padding, (B, *used)."""
        whole = F.interpolate(maps[:, None], (self.height, self.width), mode="bilinear", align_corners=False)
        return whole[:, 0, : self.used[0], : self.used[1]]


@dataclass
class Seen:
    """What was seen during a run."""

    found: Canvas | None = None


def is_detector(model: nn.Module) -> bool:
    """Return whether a model takes a list of images, as torchvision's detectors do."""
    return bool(_transforms(model))


@contextmanager
def canvas_of(model: nn.Module) -> Iterator[Seen]:
    """See what a detector makes of its images while it runs inside the block; they are of one size."""
    seen = Seen()

    def look(_module: nn.Module, _args: object, output: Any) -> None:
        images, _ = output
        height, width = images.tensors.shape[-2:]
        seen.found = Canvas(height, width, tuple(images.image_sizes[0]))

    hooks = [module.register_forward_hook(look) for module in _transforms(model)]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _transforms(model: nn.Module) -> list[nn.Module]:
    from torchvision.models.detection.transform import GeneralizedRCNNTransform

    return [module for module in model.modules() if isinstance(module, GeneralizedRCNNTransform)]
