"""The base class of every segmentation system: images in, logits of the images' size out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import ShapeError
from foveate.models.normalisation import IMAGENET_MEAN, IMAGENET_STD, Triple
from foveate.options import whole


class Segmenter(nn.Module):
    """Images (B, C, H, W) to logits (B, classes, H, W); while training, to a dict if there are aux heads.

    A system implements ``heads``, which returns logits of any size by name: ``"out"``, and, while training,
    the names in ``aux``. They are resized here.

    Args:
        classes: Channels of the output.
        in_channels: Channels of the images.

    Attributes:
        aux: Names of the auxiliary outputs, in their order; empty without any. All are maps of logits
            (B, classes, H, W) but EncNet's ``"presence"``: (B, classes), of each class being in the image.
        aux_weights: The authors' weights of the losses of auxiliary outputs, relative to that of ``"out"``; 1
            for an output that is not named. May name outputs that an instance does not have.
        align_corners: How logits are resized to the images: by the corners of the map, or by the centres of
            its pixels.
        dimensions: 2 for images, 3 for volumes (B, C, D, H, W).
    """

    aux: tuple[str, ...] = ()
    aux_weights: ClassVar[Mapping[str, float]] = {}
    align_corners: bool = False
    dimensions: int = 2

    def __init__(self, classes: int, in_channels: int = 3) -> None:
        super().__init__()
        self.classes, self.in_channels = whole("classes", classes), whole("in_channels", in_channels)

    @abstractmethod
    def heads(self, x: Float[Tensor, "b c *size"]) -> dict[str, Float[Tensor, "b q *_"]]:
        """Return logits by name, those in ``aux`` only while training."""

    def forward(self, x: Float[Tensor, "b c *size"]) -> Tensor | dict[str, Tensor]:
        """Return logits of the images' size: ``"out"`` alone, or a dict while training with aux heads."""
        if x.ndim != self.dimensions + 2 or x.shape[1] != self.in_channels or not x.is_floating_point():
            axes = "D, H, W" if self.dimensions == 3 else "H, W"
            raise ShapeError(
                f"{type(self).__name__}: got {tuple(x.shape)} of {x.dtype}, expected floating point "
                f"(B, {self.in_channels}, {axes}). Build it with the in_channels of the images."
            )
        logits = self.heads(x)
        if self.training and self.aux:
            return {name: self.fitted(logits[name], x) for name in ("out", *self.aux)}
        return self.fitted(logits["out"], x)

    def fitted(self, logits: Tensor, images: Tensor) -> Tensor:
        """Return ``logits`` at the size of ``images``."""
        return resized(logits, images, align_corners=self.align_corners)

    @property
    def published_normalisation(self) -> tuple[Triple, Triple] | None:
        """Mean and deviation that published weights expect of colour images: ImageNet's."""
        return (IMAGENET_MEAN, IMAGENET_STD) if self.in_channels == 3 else None


def resized(logits: Tensor, like: Tensor, align_corners: bool = False) -> Tensor:
    """Return a map (B, C, H, W) or volume (B, C, D, H, W) at the size of ``like``, by linear interpolation.

    Args:
        logits: The map.
        like: Gives the height and width.
        align_corners: Whether the centres of the corner pixels stay in place, or the corners of the map.

    Example:
        >>> resized(torch.rand(1, 2, 3, 3), torch.rand(1, 5, 4, 6)).shape
        torch.Size([1, 2, 4, 6])
    """
    size, mode = like.shape[2:], "bilinear" if logits.ndim == 4 else "trilinear"
    # An export would fix the sizes to be equal, as those of the example are.
    if not torch.compiler.is_exporting() and logits.shape[2:] == size:
        return logits
    return nn.functional.interpolate(logits, size=size, mode=mode, align_corners=align_corners)
