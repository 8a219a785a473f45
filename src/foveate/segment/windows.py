"""Windows along one axis and their weights, which sum to one at every pixel.

Formula n_i(x) = w(x - s_i) / sum_j w(x - s_j), with w(u) = 1 ("mean"), min(u + 1/2, L - u - 1/2) ("linear")
        or exp(-(u - (L - 1) / 2)^2 / (2 (L / 8)^2)) ("gaussian"), u = 0..L-1 in a window of length L.
        Windows of an image are the products of those of its axes, and so are the weights.
Paper   Isensee et al. nnU-Net: a self-configuring method for deep learning-based biomedical image
        segmentation. Nature Methods 18, 2021 (sliding window, Gaussian of an eighth of the window).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from foveate.errors import OptionError

Blend = Literal["gaussian", "linear", "mean"]


@dataclass(frozen=True)
class Tiling:
    """How images are cut into windows and put together again.

    Windows start every ``window * (1 - overlap)`` pixels; the last is shifted back to end with the image. If
    the distance between starts is a multiple of the network's stride, its grid lies in the windows as it
    would in the whole image.

    Args:
        window: Height and width in pixels, or one number for both.
        overlap: Least share of a window that the next one sees again, in [0, 1).
        blend: How windows weigh where they overlap: falling off from the middle ("gaussian", "linear"), or
            alike ("mean").
        margin: Pixels along each side that a window sees but says nothing about, unless the image ends there.
            With the radius of the network's receptive field the result is that of the whole image.
        batch_size: Windows that go through the network at once.

    Raises:
        OptionError: One of them is out of range, or windows without their margins would leave gaps.
    """

    window: int | tuple[int, int] = 512
    overlap: float = 0.25
    blend: Blend = "gaussian"
    margin: int = 0
    batch_size: int = 4

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise OptionError(f"window={self.window} has no pixels. Write window=512, or window=(384, 512).")
        if not 0 <= self.overlap < 1:
            raise OptionError(f"overlap={self.overlap} is not in [0, 1). Write overlap=0.25, for example.")
        if self.blend not in get_args(Blend):
            raise OptionError(f'blend="{self.blend}" is unknown. Known: {", ".join(get_args(Blend))}.')
        if self.batch_size < 1:
            raise OptionError(f"batch_size={self.batch_size}: at least one window goes through at once.")
        if self.margin < 0 or min(self.size) - 2 * self.margin < step(min(self.size), self.overlap):
            raise OptionError(
                f"margin={self.margin}: windows of {min(self.size)} pixels that overlap by {self.overlap} "
                "would leave gaps between their margins. A margin is at least 0, and twice the margin at "
                "most the overlap: enlarge window or overlap."
            )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a window."""
        return (self.window, self.window) if isinstance(self.window, int) else self.window


@dataclass(frozen=True)
class Axis:
    """Windows along one axis of an image.

    Args:
        starts: First pixel of each window, ascending, in the image or in what it was enlarged to.
        weights: (windows, window), float64; at each pixel those of all windows sum to 1.
        source: Where each pixel of the axis comes from: 0..length-1; an image that is shorter than a window
            is reflected at both ends.
        before: Pixels in front of the image's first.
    """

    starts: tuple[int, ...]
    weights: Float64[Tensor, "n window"]
    source: Int64[Tensor, " pixels"]
    before: int


def step(window: int, overlap: float) -> int:
    """Return the distance between the starts of two windows, in pixels."""
    return max(1, int(window * (1 - overlap) + 1e-9))


def axis(length: int, window: int, tiling: Tiling) -> Axis:
    """Return the windows along an axis of ``length`` pixels.

    Example:
        >>> axis(10, 4, Tiling(window=4, overlap=0.25)).starts
        (0, 3, 6)
        >>> axis(2, 4, Tiling(window=4)).source.tolist()
        [1, 0, 1, 0]
    """
    before = max(0, window - length) // 2
    pixels = max(length, window)
    last, stride = pixels - window, step(window, tiling.overlap)
    starts = (*range(0, last, stride), last)
    weights = _profile(window, tiling.blend).repeat(len(starts), 1)
    if tiling.margin:
        weights[1:, : tiling.margin] = 0
        weights[:-1, -tiling.margin :] = 0
    total = torch.zeros(pixels, dtype=torch.float64)
    for start, row in zip(starts, weights, strict=True):
        total[start : start + window] += row
    for start, row in zip(starts, weights, strict=True):
        row.div_(total[start : start + window])
    return Axis(starts, weights, _reflected(length, before, pixels), before)


def _profile(window: int, blend: Blend) -> Float64[Tensor, " window"]:
    place = torch.arange(window, dtype=torch.float64)
    if blend == "mean":
        return torch.ones_like(place)
    if blend == "linear":
        return torch.minimum(place, place.flip(0)) + 0.5
    return (-0.5 * ((place - (window - 1) / 2) / (window / 8)) ** 2).exp()


def _reflected(length: int, before: int, pixels: int) -> Int64[Tensor, " pixels"]:
    """Return 0..length-1 going up and down, each end once a turn, so that any enlargement can be filled."""
    place = (torch.arange(pixels) - before) % max(1, 2 * (length - 1))
    return torch.where(place < length, place, 2 * (length - 1) - place)
