"""A dense CRF after a network: probabilities of a picture in, probabilities that follow its edges out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from foveate.errors import DataError, ShapeError
from foveate.models.crf.layer import DenseCRF

LEAST = 1e-5  # a probability of 0 would stay 0 whatever the neighbours are
_ROUNDED = 2**-11  # by how much a probability in float16 may be off


def refine(
    probabilities: Float[Tensor, "k h w"], image: UInt8[np.ndarray, "h w 3"], **options: Any
) -> Float[Tensor, "k h w"]:
    """Return the probabilities of a picture's pixels after mean field.

    Args:
        probabilities: Of each class at each pixel: at least two classes, in [0, 1], summing to 1 up to the
            rounding of float16.
        image: The picture.
        options: Those of ``DenseCRF``: standard deviations, weights, iterations.

    Returns:
        Probabilities that sum to 1 over the classes, on the device of the given ones.

    Raises:
        ShapeError: The two do not fit each other, or there are fewer than two classes.
        DataError: The probabilities are not finite, not in [0, 1], or do not sum to 1.
        OptionError: An option has an impossible value.

    Example:
        >>> refine(torch.full((2, 4, 5), 0.5), np.zeros((4, 5, 3), np.uint8)).shape
        torch.Size([2, 4, 5])
    """
    if probabilities.ndim != 3 or image.shape != (*probabilities.shape[1:], 3):
        raise ShapeError(
            f"got probabilities {tuple(probabilities.shape)} and an image {image.shape}, expected (K, H, W) "
            "and (H, W, 3). Resize one to the other."
        )
    check_probabilities(probabilities)
    picture = torch.from_numpy(np.array(image)).to(probabilities.device).permute(2, 0, 1)[None].float()
    crf = DenseCRF(len(probabilities), **options).to(probabilities.device)
    with torch.no_grad():
        logits = crf(probabilities[None].float().clamp(min=LEAST).log(), picture)
    return logits.softmax(dim=1)[0]


def check_probabilities(probabilities: Float[Tensor, "k h w"]) -> None:
    """Check that each pixel has the probabilities of at least two classes.

    Raises:
        ShapeError: There are fewer than two classes.
        DataError: They are not finite, not in [0, 1], or do not sum to 1.
    """
    classes = len(probabilities)
    if classes < 2:
        raise ShapeError(
            f"got probabilities of {classes} class, expected at least two. From p, the probability of the "
            "foreground, make torch.stack([1 - p, p])."
        )
    odd = int((~probabilities.isfinite()).any(dim=0).sum())
    if odd:
        raise DataError(
            f"{odd} pixels have probabilities that are NaN or infinite. Check how the "
            "probabilities were computed."
        )
    low, high = (float(end) for end in torch.aminmax(probabilities))
    if low < -_ROUNDED or high > 1 + _ROUNDED:
        raise DataError(
            f"probabilities go from {low:.4g} to {high:.4g}, expected [0, 1]. From logits, take the softmax "
            "over classes."
        )
    sums = probabilities.float().sum(dim=0)
    off = (sums - 1).abs() > 1e-3 + classes * _ROUNDED
    if off.any():
        raise DataError(
            f"the probabilities of {int(off.sum())} pixels do not sum to 1 over the classes (one sums to "
            f"{float(sums[off][0]):.4g}). Use a softmax; if a pixel may have several classes, "
            "refine each class by itself, as [1 - p, p]."
        )
