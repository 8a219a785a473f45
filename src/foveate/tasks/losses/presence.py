"""Which classes an image holds, learnt beside the pixels.

Formula -mean over images and classes of t log sigmoid(x) + (1 - t) log(1 - sigmoid(x)), t = 1 for a class with a
        pixel in the image, else 0.
Paper   Zhang et al. Context Encoding for Semantic Segmentation. CVPR 2018. arXiv:1803.08904, section 3.1.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from foveate.errors import ShapeError
from foveate.tasks.losses.base import at_least_single


def presence(logits: Float[Tensor, "b k"], targets: Int64[Tensor, b *s]) -> Float[Tensor, ""]:
    """Return the mean binary cross-entropy of each class being in each image, in nats.

    Args:
        logits: One a class.
        targets: The class of each pixel; 255, which nobody knows, is no class.

    Raises:
        ShapeError: There is not one row of logits for each image.

    Example:
        >>> round(float(presence(torch.zeros(1, 3), torch.tensor([[[0, 255]]]))), 4)
        0.6931
    """
    if logits.ndim != 2 or len(logits) != len(targets):
        raise ShapeError(
            f"got logits {tuple(logits.shape)} for {len(targets)} images, expected (B, classes): one logit a class"
        )
    classes = torch.arange(logits.shape[1], device=targets.device)
    there = torch.stack([torch.isin(classes, image) for image in targets])
    logits = at_least_single(logits)
    return F.binary_cross_entropy_with_logits(logits, there.to(logits))
