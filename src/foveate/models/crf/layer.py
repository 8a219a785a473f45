"""The fully connected CRF as a layer: logits and the image in, refined logits out.

Formula Q <- softmax(-U - sum_m mu_m K_m Q), m over the kernels of position and of position and colour
Paper   Kraehenbuehl, Koltun. Efficient Inference in Fully Connected CRFs. NeurIPS 2011. arXiv:1210.5644.
Shapes  logits (B, L, H, W), images (B, C, H, W) -> logits (B, L, H, W).
Differs the paper normalises nothing; by default each kernel is D^-1/2 K D^-1/2, as in its authors' later
        code. A weight w stands for the matrix -w I, which differs from the Potts model w (1 - I) by what
        softmax cancels.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError, ShapeError
from foveate.models.crf.kernels import METHODS, Method, bilateral, gaussian
from foveate.models.crf.mean_field import mean_field
from foveate.models.crf.operators import NORMALISE, Normalise
from foveate.options import between, one_of, positive, whole

_SMALL = 4.0  # standardised images stay below


class DenseCRF(nn.Module):
    """A dense CRF over images; the matrices of its kernels can be trained.

    Gradients flow to the logits and to both matrices; to the images only where the kernels are exact.

    Args:
        classes: L, how many labels there are.
        position: Standard deviation of position in the kernel with colour, in pixels.
        colour: Standard deviation of colour, in the unit of the images.
        bilateral_weight: Weight of the kernel with colour.
        gaussian_std: Standard deviation of position in the kernel without colour, in pixels.
        gaussian_weight: Weight of the kernel without colour.
        iterations: Of mean field.
        normalise: ``symmetric``, ``after``, ``before`` or ``none``; see ``operators.normalised``.
        method: ``exact`` for all pairs of pixels; ``fine`` for a lattice that is nearly as exact; ``fast``
            for a coarser one; ``auto`` for exact kernels up to 4,096 pixels and ``fine`` above.
        trainable: Whether the two matrices (L, L) are parameters, or buffers.

    Raises:
        OptionError: An option has an impossible value.

    Example:
        >>> crf = DenseCRF(3)
        >>> crf(torch.zeros(1, 3, 8, 9), torch.rand(1, 3, 8, 9) * 255).shape
        torch.Size([1, 3, 8, 9])
    """

    bilateral_compatibility: Tensor
    gaussian_compatibility: Tensor

    def __init__(
        self,
        classes: int,
        *,
        position: float = 80.0,
        colour: float = 13.0,
        bilateral_weight: float = 10.0,
        gaussian_std: float = 3.0,
        gaussian_weight: float = 3.0,
        iterations: int = 5,
        normalise: Normalise = "symmetric",
        method: Method = "auto",
        trainable: bool = False,
    ) -> None:
        super().__init__()
        self.classes = whole("classes", classes)
        for name, value in (("position", position), ("colour", colour), ("gaussian_std", gaussian_std)):
            positive(name, value)
            between(name, value, 0)  # and finite
        for name, value in (("bilateral_weight", bilateral_weight), ("gaussian_weight", gaussian_weight)):
            between(name, value, 0)
        whole("iterations", iterations, least=0)
        one_of("normalise", normalise, NORMALISE)
        one_of("method", method, METHODS)
        self.position, self.colour, self.gaussian_std = position, colour, gaussian_std
        self.iterations, self.normalise, self.method = iterations, normalise, method
        for name, weight in (("bilateral", bilateral_weight), ("gaussian", gaussian_weight)):
            matrix = -weight * torch.eye(classes)
            if trainable:
                self.register_parameter(f"{name}_compatibility", nn.Parameter(matrix))
            else:
                self.register_buffer(f"{name}_compatibility", matrix)

    def forward(
        self, logits: Float[Tensor, "b l h w"], images: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b l h w"]:
        """Return refined logits; their softmax is the mean-field approximation of the labels.

        Args:
            logits: A network's output for each pixel by itself.
            images: The pictures, of the same height and width, in the unit of ``colour``: usually 0 to 255.

        Returns:
            Of the type of ``logits``; computed in float32, or in float64 if that is float64.

        Raises:
            ShapeError: The shapes do not fit each other or the number of classes.
            OptionError: The images are in another unit than ``colour``.
        """
        check(logits, images, self.classes, self.colour)
        return in_full(self._refined, logits, images)

    def _refined(self, logits: Tensor, images: Tensor) -> Tensor:
        near = gaussian(images, self.gaussian_std, method=self.method, normalise=self.normalise)
        alike = bilateral(images, self.position, self.colour, method=self.method, normalise=self.normalise)
        kernels = [(near, -self.gaussian_compatibility), (alike, -self.bilateral_compatibility)]
        return mean_field(logits, kernels, self.iterations)

    def extra_repr(self) -> str:
        """Show the settings that are not modules."""
        return (
            f"classes={self.classes}, position={self.position:g}, colour={self.colour:g}, "
            f"gaussian_std={self.gaussian_std:g}, iterations={self.iterations}, method={self.method}"
        )


def in_full(run: Callable[[Tensor, Tensor], Tensor], logits: Tensor, images: Tensor) -> Tensor:
    """Run mean field in float32 or float64, whatever autocast says, and return the type of the logits."""
    if len(logits) == 0:
        return logits.clone()
    working = torch.float64 if logits.dtype == torch.float64 else torch.float32
    with torch.autocast(logits.device.type, enabled=False):
        return run(logits.to(working), images.to(working)).to(logits.dtype)


def check(logits: Tensor, images: Tensor, classes: int, colour: float) -> None:
    """Raise unless logits (B, classes, H, W) and images (B, C, H, W) fit each other and the unit of colour.

    Raises:
        ShapeError: They do not.
        OptionError: The images seem to be in another unit.
    """
    fits = logits.ndim == 4 and images.ndim == 4 and logits.shape[1] == classes
    if not fits or logits.shape[2:] != images.shape[2:] or len(logits) != len(images):
        raise ShapeError(
            f"got logits {tuple(logits.shape)} and images {tuple(images.shape)}, expected "
            f"(B, {classes}, H, W) and (B, C, H, W) of equal B, H and W. Resize the logits to the images."
        )
    if not (logits.is_floating_point() and images.is_floating_point()):
        raise ShapeError(
            f"got logits of {logits.dtype} and images of {images.dtype}, expected floating point. Call "
            "images.float()."
        )
    if 0 in images.shape[1:]:
        raise ShapeError(f"got images {tuple(images.shape)}, expected at least one channel and pixel.")
    if len(images):
        _check_unit(images.detach(), colour)


def _check_unit(images: Tensor, colour: float) -> None:
    """Raise if fractions of small numbers came: images of 0 to 1 or standardised, where 0 to 255 is meant."""
    low, high = (float(end) for end in torch.aminmax(images))
    largest = max(-low, high)
    if not math.isfinite(largest):
        raise ShapeError(
            "got images with infinity or NaN, expected finite numbers. Check how the images were computed."
        )
    if largest <= min(colour, _SMALL) and bool((images != images.round()).any()):
        raise OptionError(
            f"got images from {low:.3g} to {high:.3g} with colour={colour:g}, expected images in the unit of "
            f"colour, usually 0 to 255: otherwise all colours count as alike. Multiply images of 0 to 1 "
            f"by 255, or give the colour in their unit, here {colour / 255:.3g}."
        )
