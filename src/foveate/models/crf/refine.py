"""A dense CRF after a network: probabilities of a picture in, probabilities that follow its edges out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from foveate.errors import ShapeError
from foveate.models.crf.layer import DenseCRF

LEAST = 1e-5  # a probability of 0 could never be talked out of it


def refine(
    probabilities: Float[Tensor, "k h w"], image: UInt8[np.ndarray, "h w 3"], **options: Any
) -> Float[Tensor, "k h w"]:
    """Return the probabilities of a picture's pixels after mean field.

    Args:
        probabilities: Of each class at each pixel.
        image: The picture.
        options: Those of ``DenseCRF``: standard deviations, weights, iterations.

    Returns:
        Probabilities that sum to 1 over the classes, on the device of the given ones.

    Raises:
        ShapeError: The two do not fit each other.
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
    picture = torch.from_numpy(np.array(image)).to(probabilities.device).permute(2, 0, 1)[None].float()
    crf = DenseCRF(len(probabilities), **options).to(probabilities.device)
    with torch.no_grad():
        logits = crf(probabilities[None].float().clamp(min=LEAST).log(), picture)
    return logits.softmax(dim=1)[0]
