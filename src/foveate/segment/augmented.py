"""Test-time augmentation: the mean of a network's predictions on several views of an image, each view undone.

Formula p = 1/V sum_v v^-1(softmax(f(v(x)))), v a scale after quarter turns after a mirror; logits of a scaled
        view are brought back to the size of the image before the softmax.
Paper   Chen et al. Rethinking Atrous Convolution for Semantic Image Segmentation. arXiv:1706.05587,
        section 4.1 (flips and scales; averaged probabilities).
Shapes  images (B, C, H, W) -> probabilities (B, K, H, W).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from foveate.errors import OptionError, ShapeError
from foveate.models.outputs import Run, logits_of, probabilities
from foveate.running import eval_no_grad

FLIPS = ("lr", "ud")


@dataclass(frozen=True)
class Views:
    """Which views of an image are averaged: all combinations, those that are the same once.

    Args:
        flips: "lr" for left and right exchanged, "ud" for up and down, "lr,ud" for both and for both at once;
            "" for none.
        scales: Factors of height and width, each above 0.
        rotations: Turns in degrees, multiples of 90. A list without 0 leaves the upright image out.

    Raises:
        OptionError: A view is none of these.
    """

    flips: str = ""
    scales: tuple[float, ...] = (1.0,)
    rotations: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        if unknown := set(self._flips) - set(FLIPS):
            raise OptionError(f'flips: "{min(unknown)}" is unknown. Write "lr", "ud" or "lr,ud".')
        if not self.scales or min(self.scales) <= 0:
            raise OptionError(f"scales={self.scales}: factors above 0 are needed, such as (0.75, 1, 1.25).")
        if not self.rotations or any(turn % 90 for turn in self.rotations):
            raise OptionError(f"rotations={self.rotations}: multiples of 90 degrees are needed.")

    @property
    def _flips(self) -> list[str]:
        return [word for word in self.flips.replace(" ", "").split(",") if word]

    @property
    def orientations(self) -> tuple[tuple[bool, int], ...]:
        """The different (mirrored left to right?, quarter turns after it); "ud" is "lr" and half a turn."""
        flipped = {(False, 0)}
        if "lr" in self._flips:
            flipped |= {(True, 0)}
        if "ud" in self._flips:
            flipped |= {(not mirrored, (turns + 2) % 4) for mirrored, turns in flipped}
        turned = {
            (mirrored, (turns + degrees // 90) % 4)
            for mirrored, turns in flipped
            for degrees in self.rotations
        }
        return tuple(sorted(turned))

    def __len__(self) -> int:
        return len(self.orientations) * len(set(self.scales))


def augmented(
    model: Run,
    images: Float[Tensor, "b c h w"],
    *,
    flips: str = "lr",
    scales: tuple[float, ...] = (1.0,),
    rotations: tuple[int, ...] = (0,),
) -> Float[Tensor, "b q h w"]:
    """Return the mean of the probabilities that a network gives to views of the images.

    Args:
        model: A network in any mode, which it is left in; or a function from images to logits, such as
            ``functools.partial(sliding_window, model, window=512)``.
        images: What the network takes.
        flips: See ``Views``, as for the following.
        scales: Factors of height and width.
        rotations: Turns in degrees, multiples of 90.

    Raises:
        OptionError: A view is unknown.
        ShapeError: The images are not (B, C, H, W), or the network does not return maps.

    Example:
        >>> from torch import nn
        >>> found = augmented(nn.Conv2d(3, 5, 3, padding=1), torch.rand(2, 3, 50, 70), scales=(0.75, 1.0))
        >>> found.shape, bool(torch.allclose(found.sum(1), torch.ones(())))
        (torch.Size([2, 5, 50, 70]), True)
    """
    views = Views(flips, tuple(scales), tuple(rotations))
    if images.ndim != 4 or not images.numel():
        raise ShapeError(f"augmented: got images {tuple(images.shape)}, expected (B, C, H, W)")
    with eval_no_grad(model):
        return mean_of_views(model, images, views)


def mean_of_views(model: Run, images: Float[Tensor, "b c h w"], views: Views) -> Float[Tensor, "b q h w"]:
    """Return what ``augmented`` does; the caller has seen to mode and gradients."""
    mean: Tensor | None = None
    for (mirrored, turns), scale in itertools.product(views.orientations, sorted(set(views.scales))):
        view = torch.rot90(images.flip(3) if mirrored else images, turns, (2, 3))
        size = view.shape[2:]
        logits = logits_of(model, scaled(view, scale))
        if logits.shape[2:] != size:
            logits = interpolate(logits, size=size, mode="bilinear", align_corners=False)
        found = torch.rot90(probabilities(logits), -turns, (2, 3))
        found = found.flip(3) if mirrored else found
        mean = found if mean is None else mean.add_(found)
    assert mean is not None  # there is always a view
    return mean.div_(len(views)) if len(views) > 1 else mean


def scaled(images: Float[Tensor, "b c h w"], scale: float) -> Float[Tensor, "b c _ _"]:
    """Return images with height and width times ``scale``, at least a pixel, smoothed where they shrink."""
    size = [max(1, round(scale * side)) for side in images.shape[2:]]
    if size == list(images.shape[2:]):
        return images
    return interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=scale < 1)
