"""What takes the place of removed pixels. Every fill leaves the data's distribution in another way: show two.

``zero``    0 in the model's input: mean grey where pictures are normalised.
``black``   black, as far as the normalisation is known.
``mean``    each picture's mean of each channel.
``blur``    the picture blurred: a Gaussian of ``sigma`` pixels, reflected at the border. As RISE has it
            (``blur=rise``), the kernel is a box with the Gaussian's tails folded back into it, and what lies
            outside of the picture is 0, so that its border darkens (authors' code; 11 pixels, sigma 5).
``linear``  the noisy linear imputation of ROAD; see ``imputation``.
``donor``   another picture of the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy.ndimage import gaussian_filter
from torch import Tensor

from foveate.errors import DataError, OptionError
from foveate.explain.judging.subject import Subject
from foveate.registry import Registry

LINEAR = "linear"  # depends on which pixels are removed


@dataclass(frozen=True)
class Blur:
    """How pictures are blurred.

    Args:
        kind: "gaussian" or "rise".
        sigma: In pixels; None for an eighth of the longer side, or 5 as RISE has it.
        kernel: Side of RISE's box in pixels.
    """

    kind: str = "gaussian"
    sigma: float | None = None
    kernel: int = 11


Fill = Callable[[Subject, Blur], Tensor]
fills: Registry[Fill] = Registry("fill of removed pixels")


@fills.register("zero")
def zero(subject: Subject, _blur: Blur) -> Float[Tensor, "b c h w"]:
    """Return zeros."""
    return torch.zeros_like(subject.images)


@fills.register("black")
def black(subject: Subject, _blur: Blur) -> Float[Tensor, "b c h w"]:
    """Return black.

    Raises:
        OptionError: Nobody said how the images are normalised.
    """
    if subject.black is None:
        raise OptionError(
            "fill=black: how the images are normalised is not known, so neither is black. Pass "
            "normalisation=(mean, std), or choose fill=zero or fill=mean."
        )
    colour = subject.black.to(subject.images)
    return colour.view(1, -1, 1, 1).expand_as(subject.images)


@fills.register("mean")
def mean(subject: Subject, _blur: Blur) -> Float[Tensor, "b c h w"]:
    """Return each picture's mean of each channel."""
    return subject.images.mean(dim=(2, 3), keepdim=True).expand_as(subject.images)


@fills.register("blur")
def blur(subject: Subject, how: Blur) -> Float[Tensor, "b c h w"]:
    """Return the pictures blurred."""
    images = subject.images
    if how.kind == "rise":
        kernel = rise_kernel(how.kernel, 5.0 if how.sigma is None else how.sigma).to(images)
        weights = kernel.expand(images.shape[1], 1, -1, -1)
        return F.conv2d(images, weights, padding=how.kernel // 2, groups=images.shape[1])
    sigma = max(images.shape[-2:]) / 8 if how.sigma is None else how.sigma
    blurred = gaussian_filter(images.double().cpu().numpy(), (0, 0, sigma, sigma), mode="reflect")
    return torch.from_numpy(blurred).to(images)


@fills.register("donor")
def donor(subject: Subject, _blur: Blur) -> Float[Tensor, "b c h w"]:
    """Return the next picture in place of each.

    Raises:
        DataError: There is only one picture.
    """
    if subject.count < 2:
        raise DataError("fill=donor: got one picture, expected at least two: each is filled from another.")
    return subject.images.roll(1, dims=0)


def rise_kernel(side: int, sigma: float) -> Float[Tensor, "k k"]:
    """Return the kernel with which RISE blurs: the response of a reflecting box to a single pixel."""
    pixel = np.zeros((side, side))
    pixel[side // 2, side // 2] = 1
    return torch.from_numpy(gaussian_filter(pixel, sigma))
